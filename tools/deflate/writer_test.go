package deflate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"testing"
)

type input struct {
	name string
	data []byte
}

// inputs covers the block types, the chunk boundary and the window edge.
var inputs = sync.OnceValue(func() []input {
	seq := noise(1, 300)
	in := []input{
		{"empty", nil},
		{"one byte", []byte{0}},
		{"three bytes", []byte("aaa")},
		{"four bytes", []byte("aaaa")},
		{"every byte", func() (b []byte) {
			for i := range 256 {
				b = append(b, byte(i))
			}
			return b
		}()},
		{"zeros", make([]byte, 100_000)},
		{"zeros over chunks", make([]byte, 3*chunkSize+17)},
		{"period 3", bytes.Repeat([]byte("abc"), 50_000)},
		{"text", text(2, 300_000)},
		{"records", records(3, 300_000)},
		{"stored over 64 KiB", noise(4, 200_000)},
		{"noise over chunks", noise(5, 2*chunkSize+maxStored)},
		{"noise then text", join(noise(6, 100_000), text(7, 100_000), noise(8, 70_000))},
		{"2 chunks", records(12, 2*chunkSize)},
		{"2 chunks and a byte", records(12, 2*chunkSize+1)},
		{"match across chunks", join(noise(9, chunkSize-150), seq, noise(10, 5000), seq)},
	}
	for _, n := range []int{-1, 0, 1, hashBytes} {
		in = append(in,
			input{fmt.Sprintf("chunk%+d", n), text(11, chunkSize+n)},
			input{fmt.Sprintf("window%+d", n), noise(13, windowSize+n)},
			input{fmt.Sprintf("distance 32768%+d", n), join(seq, noise(14, windowSize+n-len(seq)), seq)},
			input{fmt.Sprintf("maxStored%+d", n), noise(15, maxStored+n)},
		)
	}
	return in
})

func TestRoundTrip(t *testing.T) {
	for _, in := range inputs() {
		t.Run(in.name, func(t *testing.T) {
			if got := decode(t, AppendGzip(nil, in.data)); !bytes.Equal(got, in.data) {
				t.Errorf("decoded %d bytes differ from the %d compressed", len(got), len(in.data))
			}
		})
	}
}

// TestGzipProgram decodes with zlib's descendant as well: compress/gzip accepts
// some incomplete codes that other decoders reject.
func TestGzipProgram(t *testing.T) {
	path, err := exec.LookPath("gzip")
	if err != nil {
		t.Skip("no gzip program; TestRoundTrip and TestLengthsComplete cover the format")
	}
	for _, in := range inputs() {
		cmd := exec.CommandContext(t.Context(), path, "-dc")
		cmd.Stdin = bytes.NewReader(AppendGzip(nil, in.data))
		got, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v", in.name, err)
		} else if !bytes.Equal(got, in.data) {
			t.Errorf("%s: decoded bytes differ", in.name)
		}
	}
}

func TestFraming(t *testing.T) {
	// RFC 1952 §2.3, and the 10-bit empty fixed block of RFC 1951 §3.2.6.
	want := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if got := AppendGzip(nil, nil); !bytes.Equal(got, want) {
		t.Errorf("empty member = %x, want %x", got, want)
	}
}

func TestAppendGzip(t *testing.T) {
	src := text(20, chunkSize+1000)
	want := append([]byte("prefix"), compressWith(t, src, 1, len(src))...)
	if got := AppendGzip([]byte("prefix"), src); !bytes.Equal(got, want) {
		t.Error("AppendGzip differs from dst followed by the Writer's output")
	}
}

// mixed is several chunks of unlike data.
func mixed() []byte {
	return join(text(30, chunkSize/2), noise(31, 200_000), records(32, chunkSize), make([]byte, chunkSize/2))
}

func TestSameForAnyWorkers(t *testing.T) {
	src := mixed()
	want := compressWith(t, src, 1, len(src))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, n := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(n)
		if !bytes.Equal(AppendGzip(nil, src), want) {
			t.Errorf("GOMAXPROCS %d changes the output", n)
		}
		if !bytes.Equal(compressWith(t, src, n, len(src)), want) {
			t.Errorf("%d workers change the output", n)
		}
	}
}

func TestSameForAnySplit(t *testing.T) {
	src := mixed()[:2*chunkSize+5]
	want := AppendGzip(nil, src)
	for _, step := range []int{1, 7, 4096, chunkSize - 1, chunkSize, chunkSize + 1} {
		if !bytes.Equal(compressWith(t, src, 2, step), want) {
			t.Errorf("writes of %d bytes change the output", step)
		}
	}
}

// TestReusedChunk checks that nothing of an earlier use shows in the output.
func TestReusedChunk(t *testing.T) {
	used := new(chunk)
	for _, in := range inputs() {
		if len(in.data) > chunkSize {
			continue
		}
		// Worse than any real use: every slot leads to a neighbour.
		for i := range used.match.prev {
			used.match.prev[i] = 1
		}
		for i := range used.win {
			used.win[i] = 'e'
		}
		fresh := new(chunk)
		for _, c := range []*chunk{used, fresh} {
			c.start, c.end, c.final = 0, copy(c.win[:], in.data), true
			c.compress()
		}
		if !bytes.Equal(used.blocks.out.buf, fresh.blocks.out.buf) {
			t.Errorf("%s: a used chunk compresses differently from a fresh one", in.name)
		}
	}
}

// TestDictionary checks that a chunk refers to the end of the one before it.
func TestDictionary(t *testing.T) {
	first := noise(44, chunkSize)
	alone := len(AppendGzip(nil, first))
	again := len(AppendGzip(nil, join(first, first[chunkSize-windowSize:])))
	if added := again - alone; added > 1000 {
		t.Errorf("repeating the last %d bytes of a chunk in the next adds %d", windowSize, added)
	}
}

// TestExpansionBound checks the bound in the package comment. No block is larger
// than in stored form, which adds up to 42 bits per block and per 65535 bytes;
// there is one block per 16384 bytes begun and one more to end a chunk; header,
// trailer and padding are 19 bytes.
func TestExpansionBound(t *testing.T) {
	// Short stretches of compressible data keep the blocks from ending on
	// byte boundaries, which is the worst case.
	var uneven []byte
	for i := range 40 {
		uneven = append(uneven, noise(uint64(50+i), 3*blockTokens)...)
		uneven = append(uneven, text(uint64(50+i), 40_000)...)
	}
	in := []input{{"uneven", uneven}}
	for _, n := range []int{0, 1, 2, 100, blockTokens, maxStored, chunkSize - 1, chunkSize, chunkSize + 1, 4 * chunkSize} {
		in = append(in, input{fmt.Sprintf("noise %d", n), noise(uint64(n)+1, n)})
	}
	for _, in := range in {
		n := len(in.data)
		if got, limit := len(AppendGzip(nil, in.data)), n+n/2048+32; got > limit {
			t.Errorf("%s: %d bytes became %d, bound %d", in.name, n, got, limit)
		}
	}
}

// failingWriter accepts room bytes, fails once, and would then accept more.
type failingWriter struct {
	room   int
	err    error // nil for a short write
	failed bool
	after  int // bytes offered after the failure
}

func (f *failingWriter) Write(p []byte) (int, error) {
	if f.failed {
		f.after += len(p)
		return len(p), nil
	}
	if len(p) > f.room {
		f.failed = true
		return f.room, f.err
	}
	f.room -= len(p)
	return len(p), nil
}

func TestStickyError(t *testing.T) {
	boom := errors.New("boom")
	src := noise(60, 5*chunkSize)
	size := len(AppendGzip(nil, src))
	for _, room := range []int{0, 5, 11, chunkSize, 3 * chunkSize, size - 9, size - 1} {
		for _, fail := range []error{boom, nil} {
			want := fail
			if want == nil {
				want = io.ErrShortWrite
			}
			f := &failingWriter{room: room, err: fail}
			w := newWriter(f, 2)
			n, err := w.Write(src)
			if err != nil && (!errors.Is(err, want) || n >= len(src)) {
				t.Errorf("room %d: Write = %d, %v, want fewer than %d and %v", room, n, err, len(src), want)
			}
			if room < chunkSize && err == nil {
				t.Errorf("room %d: Write of %d bytes did not report the error", room, len(src))
			}
			for range 2 {
				if err := w.Close(); !errors.Is(err, want) {
					t.Errorf("room %d: Close = %v, want %v", room, err, want)
				}
			}
			if n, err := w.Write(src[:1]); n != 0 || !errors.Is(err, want) {
				t.Errorf("room %d: Write after failure = %d, %v, want 0, %v", room, n, err, want)
			}
			if f.after != 0 {
				t.Errorf("room %d: %d bytes written after the failure", room, f.after)
			}
		}
	}
}

func TestWriteAfterClose(t *testing.T) {
	var out bytes.Buffer
	w := NewWriter(&out)
	if _, err := w.Write([]byte("data")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	size := out.Len()
	if n, err := w.Write([]byte("more")); n != 0 || err == nil {
		t.Errorf("Write after Close = %d, %v, want 0 and an error", n, err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if out.Len() != size {
		t.Error("output grew after Close")
	}
}

// TestBoundedMemory checks the number of chunks a Writer may hold.
func TestBoundedMemory(t *testing.T) {
	const workers = 2
	w := newWriter(io.Discard, workers)
	most := 0
	for range 40 {
		if _, err := w.Write(make([]byte, chunkSize/4)); err != nil {
			t.Fatal(err)
		}
		most = max(most, len(w.queue))
	}
	if most != workers {
		t.Errorf("at most %d chunks under way between calls, want %d", most, workers)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBlockTypes checks that each form of block is chosen where it is smallest.
func TestBlockTypes(t *testing.T) {
	// Thirty 9-bit literals (RFC 1951 §3.2.6) cost the fixed code what the
	// stored form spends on padding and lengths.
	var tie []byte
	for b := byte(144); b < 174; b++ {
		tie = append(tie, b)
	}
	for _, c := range []struct {
		name string
		data []byte
		want byte
	}{
		{"tie", tie, typeStored},
		{"tie less one", tie[1:], typeFixed},
		{"noise", noise(70, 1000), typeStored},
		{"short text", []byte("hello hello hello"), typeFixed},
		{"long text", text(71, 50_000), typeDynamic},
	} {
		got := AppendGzip(nil, c.data)[len(header)] >> 1 & 3
		if got != c.want {
			t.Errorf("%s: block type %d, want %d", c.name, got, c.want)
		}
	}
	if z := AppendGzip(nil, noise(72, 1000)); !slices.Equal(z[len(header)+5:len(header)+1005], noise(72, 1000)) {
		t.Error("stored block does not hold the data")
	}
}
