package verity_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/disk/verity"
)

// device is a disk in memory.
type device struct{ b []byte }

func (d *device) ReadAt(p []byte, at int64) (int, error) { return bytes.NewReader(d.b).ReadAt(p, at) }

func (d *device) WriteAt(p []byte, at int64) (int, error) {
	if end := at + int64(len(p)); end > int64(len(d.b)) {
		d.b = append(d.b, make([]byte, end-int64(len(d.b)))...)
	}
	return copy(d.b[at:], p), nil
}

// pattern is data in which no two blocks are equal.
func pattern(size int) []byte {
	b := make([]byte, size)
	for i := 0; i+8 <= size; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], uint64(i)*0x9E3779B97F4A7C15)
	}
	return b
}

// yocto are the parameters of dstack's images up to 0.5.11.
func yocto() verity.Parameters {
	return verity.Parameters{DataBlock: 1024, HashBlock: 4096, Salt: bytes.Repeat([]byte{0x5E, 0xCC}, 16), UUID: [16]byte{0x8A, 15: 0xD8}}
}

// formatted are images whose root hashes veritysetup 2.6.1 gave (TestVeritysetup makes them again).
var formatted = []struct {
	name   string
	blocks int // of 4096 bytes
	p      verity.Parameters
	root   string
}{
	{"no level", 1, verity.Default(), "5765bd730b4bd8df5af4c1c764152adc1c96af29e3ed140f9d96a3186fcda4a5"},
	{"one level", 2, verity.Default(), "9368175fe5d707e1006da0aad1f5aea88cb4c0756cc4adfeffbe5dc326a6063c"},
	{"one full level", 128, verity.Default(), "fce5dddbb1da673a18f02e1c7f25dc3811a0fc31e6d5d57ddcccad742d471087"},
	{"two levels", 129, verity.Default(), "4fa8bf5d9ad3f3e4ce8c89f8fffcd7dff4edb7e0ff4efa0efc8e2d332ca77113"},
	{"three levels", 128*128 + 1, verity.Default(), "5b6bb4be27fe1cde6e079789f9423a31c42565c6bbc42be6d457ba53afccd767"},
	{"blocks of 1024", 300, yocto(), "e119b940fc8e56730a9d5abfbd0d3d6d0fa43cf7ac48c7035268c8fdd617725b"},
	{"no salt, hash blocks of 1024", 300, verity.Parameters{DataBlock: 4096, HashBlock: 1024}, "6d401fdbad71f7facf5295bef63bbe864c9b58494803f51faa59863afed4bf1c"},
}

func TestFormat(t *testing.T) {
	for _, tt := range formatted {
		data := pattern(tt.blocks * 4096)
		for _, procs := range []int{1, 8} {
			old := runtime.GOMAXPROCS(procs)
			d := &device{bytes.Clone(data)}
			root, end, err := verity.Format(d, int64(len(data)), tt.p)
			runtime.GOMAXPROCS(old)
			if err != nil || root.String() != tt.root || end != int64(len(d.b)) {
				t.Errorf("%s: root hash %s (%v), want %s; the tree ends at %d of %d", tt.name, root, err, tt.root, end, len(d.b))
			}
			if !bytes.Equal(d.b[:len(data)], data) {
				t.Errorf("%s: the data has changed", tt.name)
			}
			s, err := verity.ReadSuperblock(d, int64(len(data)))
			if err != nil || s.TreeOffset(int64(len(data))) > end || !bytes.Equal(s.Salt, tt.p.Salt) || s.UUID != tt.p.UUID {
				t.Errorf("%s: superblock %+v (%v)", tt.name, s, err)
			}
			if err := verity.Verify(d, int64(len(data)), root); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
	}
}

func TestFormatRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		size int64
		p    verity.Parameters
	}{
		"nothing":          {0, verity.Default()},
		"negative":         {-4096, verity.Default()},
		"half a block":     {6144, verity.Default()},
		"half hash block":  {1024, yocto()},
		"no blocks":        {4096, verity.Parameters{HashBlock: 4096}},
		"odd blocks":       {4096, verity.Parameters{DataBlock: 4096, HashBlock: 1000}},
		"too large blocks": {1 << 20, verity.Parameters{DataBlock: 1 << 17, HashBlock: 4096}},
		"long salt":        {4096, verity.Parameters{DataBlock: 4096, HashBlock: 4096, Salt: make([]byte, 257)}},
	} {
		if _, _, err := verity.Format(&device{make([]byte, max(tt.size, 0))}, tt.size, tt.p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestEveryByte changes one byte at a time, in each block and each field of an image with two levels.
func TestEveryByte(t *testing.T) {
	const blocks, size = 130, 130 * 4096
	d := &device{pattern(size)}
	root, end, err := verity.Format(d, size, verity.Default())
	if err != nil {
		t.Fatal(err)
	}
	check := func(at int64, want error, says string) {
		t.Helper()
		d.b[at] ^= 0x10
		err := verity.Verify(d, size, root)
		d.b[at] ^= 0x10
		if !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
			t.Errorf("byte %d: %v, want %v and %q", at, err, want, says)
		}
	}
	for at := int64(7); at < size; at += 4096 + 31 {
		check(at, verity.ErrCorrupt, "data block at offset")
	}
	check(size-1, verity.ErrCorrupt, "data block at offset 528384")
	for at := int64(size); at < size+512; at++ {
		d.b[at] ^= 0x10
		// Salt, UUID, sizes: each is either refused or leads to another root hash; the UUID is in no hash.
		if err := verity.Verify(d, size, root); err == nil && (at < size+16 || at >= size+32) {
			t.Errorf("byte %d of the superblock: no error", at-size)
		}
		d.b[at] ^= 0x10
	}
	for at := int64(size + 4096); at < end; at += 97 {
		check(at, verity.ErrCorrupt, "hash block at offset")
	}
	root[5] ^= 1
	if err := verity.Verify(d, size, root); !errors.Is(err, verity.ErrCorrupt) {
		t.Errorf("other root hash: %v", err)
	}
}

// TestOtherData is about a superblock that says the tree is of other data, with the root hash that this tree has.
func TestOtherData(t *testing.T) {
	const size = 4 * 4096
	d := &device{pattern(size)}
	_, _, err := verity.Format(d, size, verity.Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, 4096, size - 4096, size + 4096, size * 1000, -1, 1<<63 - 1} {
		if _, err := verity.ReadSuperblock(d, at); !errors.Is(err, verity.ErrSuperblock) {
			t.Errorf("superblock at %d: %v", at, err)
		}
	}
	// The data, and behind it a superblock about the first half.
	half := &device{bytes.Clone(d.b[:size])}
	if _, _, err := verity.Format(half, size/2, verity.Default()); err != nil {
		t.Fatal(err)
	}
	moved := &device{append(bytes.Clone(d.b[:size]), half.b[size/2:]...)}
	if _, err := verity.ReadSuperblock(moved, size); !errors.Is(err, verity.ErrSuperblock) {
		t.Errorf("superblock about half of the data: %v", err)
	}
}

type broken struct{ error }

func (b broken) ReadAt([]byte, int64) (int, error) { return 0, b.error }

// TestFault: what can not be read is no verdict about the device.
func TestFault(t *testing.T) {
	fault := errors.New("input/output error")
	if _, err := verity.ReadSuperblock(broken{fault}, 4096); !errors.Is(err, fault) || errors.Is(err, verity.ErrSuperblock) {
		t.Errorf("%v, want the error of reading", err)
	}
}

func TestParseDigest(t *testing.T) {
	const good = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	if d, err := verity.ParseDigest(good); err != nil || d.String() != good {
		t.Errorf("%s (%v)", d, err)
	}
	for _, bad := range []string{"", good[2:], good + "00", strings.ToUpper(good), "x" + good[1:], " " + good} {
		if _, err := verity.ParseDigest(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func FuzzVerify(f *testing.F) {
	for _, p := range []verity.Parameters{verity.Default(), yocto(), {DataBlock: 512, HashBlock: 512}} {
		d := &device{pattern(8192)}
		root, _, err := verity.Format(d, 8192, p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(d.b, int64(8192), root[:])
	}
	f.Fuzz(func(t *testing.T, image []byte, size int64, root []byte) {
		if len(root) != 32 {
			return
		}
		if err := verity.Verify(bytes.NewReader(image), size, verity.Digest(root)); err == nil {
			s, err := verity.ReadSuperblock(bytes.NewReader(image), size)
			if err != nil || s.TreeOffset(size) > int64(len(image)) && s.Blocks > 1 || size > int64(len(image)) {
				t.Errorf("accepted %d bytes with superblock %+v (%v)", len(image), s, err)
			}
		}
	})
}

// BenchmarkFormat is the speed of hashing.
func BenchmarkFormat(b *testing.B) {
	const size = 256 << 20
	f, err := os.Create(filepath.Join(b.TempDir(), "image"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, bytes.NewReader(pattern(size))); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		if _, _, err := verity.Format(f, size, verity.Default()); err != nil {
			b.Fatal(err)
		}
	}
}
