package deflate

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"testing"
)

// prng is xorshift64* (Vigna, 2016), in the test so that golden inputs depend
// on no library.
type prng uint64

func (r *prng) next() uint64 {
	x := uint64(*r)
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	*r = prng(x)
	return x * 0x2545F4914F6CDD1D
}

func (r *prng) below(n int) int { return int(r.next() >> 33 % uint64(n)) }

// noise is n incompressible bytes.
func noise(seed uint64, n int) []byte {
	r := prng(seed)
	var b []byte
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, r.next())
	}
	return b[:n]
}

// text is n bytes of words of uneven frequency.
func text(seed uint64, n int) []byte {
	r := prng(seed)
	words := make([][]byte, 2000)
	for i := range words {
		for range 2 + r.below(9) {
			words[i] = append(words[i], "etaoinshrdlucmfwypvbgkjqxz"[r.below(1+r.below(26))])
		}
	}
	var b []byte
	for len(b) < n {
		b = append(b, words[r.below(1+r.below(len(words)))]...)
		b = append(b, " \n"[r.below(12)/11])
	}
	return b[:n]
}

// records is n bytes of 24-byte little-endian records with slowly moving
// fields, the shape of tables in a binary.
func records(seed uint64, n int) []byte {
	r := prng(seed)
	var b []byte
	addr := uint64(0x401000)
	for len(b) < n {
		addr += uint64(r.below(64)) * 16
		b = binary.LittleEndian.AppendUint64(b, addr)
		b = binary.LittleEndian.AppendUint32(b, uint32(r.below(5)))
		b = binary.LittleEndian.AppendUint32(b, uint32(r.below(1<<16)))
		b = binary.LittleEndian.AppendUint64(b, addr^uint64(r.below(256)))
	}
	return b[:n]
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// compressWith writes src in pieces of step bytes to a Writer with the given
// number of workers.
func compressWith(t testing.TB, src []byte, workers, step int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := newWriter(&out, workers)
	for rest := src; len(rest) > 0; {
		n := min(step, len(rest))
		if got, err := w.Write(rest[:n]); got != n || err != nil {
			t.Fatalf("Write = %d, %v, want %d, nil", got, err, n)
		}
		rest = rest[n:]
	}
	if err := w.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	return out.Bytes()
}

// decode returns the contents of the only gzip member in z.
func decode(t testing.TB, z []byte) []byte {
	t.Helper()
	in := bytes.NewReader(z)
	r, err := gzip.NewReader(in)
	if err != nil {
		t.Fatalf("header: %v", err)
	}
	r.Multistream(false)
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("body: %v", err)
	}
	if in.Len() != 0 {
		t.Fatalf("%d bytes after the member", in.Len())
	}
	return b
}
