package deflate

import (
	"math/bits"
	"slices"
	"testing"
)

// kraft is the sum of 2^-length over used symbols, in units of 2^-15.
func kraft(length []uint8) int {
	sum := 0
	for _, n := range length {
		if n > 0 {
			sum += 1 << (maxCodeBits - n)
		}
	}
	return sum
}

func cost(freq []uint32, length []uint8) int {
	sum := 0
	for s, f := range freq {
		sum += int(f) * int(length[s])
	}
	return sum
}

func build(freq []uint32, limit int) []uint8 {
	length := make([]uint8, len(freq))
	for i := range length {
		length[i] = 99 // must be overwritten
	}
	new(huffman).lengths(length, freq, limit)
	return length
}

func fibonacci(n int) []uint32 {
	f := make([]uint32, n)
	for i := range f {
		f[i] = 1
		if i > 1 {
			f[i] = f[i-1] + f[i-2]
		}
	}
	return f
}

func randomFreq(r *prng, n, skew int) []uint32 {
	f := make([]uint32, n)
	for i := range f {
		if r.below(4) > 0 {
			f[i] = uint32(r.below(1 << (1 + r.below(skew))))
		}
	}
	return f
}

func TestLengthsComplete(t *testing.T) {
	const full = 1 << maxCodeBits
	r := prng(90)
	sets := [][]uint32{
		make([]uint32, numDist),
		fibonacci(22),
		{0, 0, 7, 0}, {7, 0, 0}, {1, 1}, {0, 5, 5, 5},
	}
	for range 200 {
		sets = append(sets, randomFreq(&r, 2+r.below(numLitLen-1), 13))
	}
	for _, freq := range sets {
		for _, limit := range []int{maxCodeLenBits, maxCodeBits} {
			if len(freq) > 1<<limit {
				continue
			}
			length := build(freq, limit)
			if got := kraft(length); got != full {
				t.Fatalf("limit %d, %v: Kraft sum %d/%d", limit, freq, got, full)
			}
			if m := slices.Max(length); int(m) > limit {
				t.Fatalf("limit %d, %v: a code has %d bits", limit, freq, m)
			}
			used := 0
			for s, f := range freq {
				if f > 0 {
					used++
					if length[s] == 0 {
						t.Fatalf("%v: symbol %d has no code", freq, s)
					}
				}
			}
			coded := 0
			for _, n := range length {
				if n > 0 {
					coded++
				}
			}
			if coded != max(2, used) {
				t.Fatalf("%v: %d symbols coded, want %d", freq, coded, max(2, used))
			}
		}
	}
}

// TestLengthsLimited uses frequencies whose unlimited code is one bit longer
// per symbol, so that the limit is reached.
func TestLengthsLimited(t *testing.T) {
	for _, c := range []struct{ symbols, limit int }{{19, 7}, {22, 15}} {
		length := build(fibonacci(c.symbols), c.limit)
		if got := slices.Max(length); int(got) != c.limit {
			t.Errorf("%d symbols: longest code %d bits, want %d", c.symbols, got, c.limit)
		}
	}
}

// huffmanCost is the size of an unlimited optimal code by repeatedly joining
// the two lightest weights (Huffman, 1952).
func huffmanCost(freq []uint32) int {
	var w []int
	for _, f := range freq {
		if f > 0 {
			w = append(w, int(f))
		}
	}
	total := 0
	for len(w) > 1 {
		slices.Sort(w)
		sum := w[0] + w[1]
		total += sum
		w = append(w[2:], sum)
	}
	return total
}

func TestLengthsOptimal(t *testing.T) {
	r := prng(91)
	for range 200 {
		freq := randomFreq(&r, 3+r.below(100), 8)
		freq[0], freq[1] = 1, 2
		length := build(freq, maxCodeBits)
		if got, want := cost(freq, length), huffmanCost(freq); got != want {
			t.Fatalf("%v: cost %d, want %d", freq, got, want)
		}
	}
}

// TestLengthsOptimalLimited compares with every complete assignment for a few
// symbols.
func TestLengthsOptimalLimited(t *testing.T) {
	const limit = 3
	r := prng(92)
	for range 100 {
		freq := make([]uint32, 6)
		for i := range freq {
			freq[i] = 1 + uint32(r.below(1<<(1+2*i)))
		}
		best := 1 << 30
		length := make([]uint8, len(freq))
		var try func(s int)
		try = func(s int) {
			if s == len(freq) {
				if kraft(length) <= 1<<maxCodeBits {
					best = min(best, cost(freq, length))
				}
				return
			}
			for n := uint8(1); n <= limit; n++ {
				length[s] = n
				try(s + 1)
			}
		}
		try(0)
		if got := cost(freq, build(freq, limit)); got != best {
			t.Fatalf("%v: cost %d, want %d", freq, got, best)
		}
	}
}

// TestLengthsTies fixes how equal frequencies are ordered.
func TestLengthsTies(t *testing.T) {
	for _, c := range []struct {
		freq []uint32
		want []uint8
	}{
		{[]uint32{1, 1, 1}, []uint8{2, 2, 1}},
		{[]uint32{1, 1, 1, 1, 1}, []uint8{3, 3, 2, 2, 2}},
		{[]uint32{2, 1, 1}, []uint8{1, 2, 2}},
		{[]uint32{1, 1, 2, 2}, []uint8{2, 2, 2, 2}},
		{[]uint32{0, 0, 0, 9}, []uint8{1, 0, 0, 1}},
		{[]uint32{0, 0, 0}, []uint8{1, 1, 0}},
	} {
		if got := build(c.freq, maxCodeBits); !slices.Equal(got, c.want) {
			t.Errorf("%v: lengths %v, want %v", c.freq, got, c.want)
		}
	}
}

// TestAssignCodes is the example of RFC 1951 §3.2.2.
func TestAssignCodes(t *testing.T) {
	length := []uint8{3, 3, 3, 3, 3, 2, 4, 4}
	want := []uint16{0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111}
	got := make([]uint16, len(length))
	assignCodes(got, length)
	for s := range got {
		if msbFirst := bits.Reverse16(got[s]) >> (16 - length[s]); msbFirst != want[s] {
			t.Errorf("symbol %d: code %b, want %b", s, msbFirst, want[s])
		}
	}
}
