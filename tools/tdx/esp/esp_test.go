package esp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"runtime"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
)

const limit = 1 << 20

func content() []byte {
	var b bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&b, "line %06d\n", i)
	}
	return b.Bytes()
}

func read(disk []byte) (*Disk, error) {
	return Read(bytes.NewReader(disk), int64(len(disk)), limit)
}

func TestRead(t *testing.T) {
	for _, name := range []string{"fat12", "fat16", "fat32"} {
		disk := fwtest.Read(t, "testdata", name+".img.gz")
		d, err := read(disk)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(d.Loader, content()) {
			t.Errorf("%s: the loader has %d bytes, want %d other ones", name, len(d.Loader), len(content()))
		}
		table, err := ParseTable(d.Table)
		if err != nil || len(table.Entries) != 1 {
			t.Errorf("%s: %d partitions (%v), want 1", name, len(table.Entries), err)
		}
	}
}

// sum puts the right checksums into a changed table.
func sum(disk []byte) {
	header := disk[512:][:headerSize]
	first := binary.LittleEndian.Uint64(header[entriesLBAAt:]) * 512
	size := binary.LittleEndian.Uint32(header[entryCountAt:]) * binary.LittleEndian.Uint32(header[entrySizeAt:])
	binary.LittleEndian.PutUint32(header[entriesSumAt:], crc32.ChecksumIEEE(disk[first:][:size]))
	clear(header[headerSumAt:][:4])
	binary.LittleEndian.PutUint32(header[headerSumAt:], crc32.ChecksumIEEE(header))
}

func TestRefused(t *testing.T) {
	const entries, partition = 1024, 1 << 20
	good := fwtest.Read(t, "testdata/fat12.img.gz")
	chain := partition + 512 // the first table
	for name, change := range map[string]func([]byte) []byte{
		"no disk":                 func([]byte) []byte { return nil },
		"no table":                func(b []byte) []byte { b[512] = 0; return b },
		"header changed":          func(b []byte) []byte { b[512+56]++; return b },
		"entry changed":           func(b []byte) []byte { b[entries+40]++; return b },
		"cut before the entries":  func(b []byte) []byte { return b[:2000] },
		"cut in the partition":    func(b []byte) []byte { return b[:partition+4096] },
		"partition after the end": func(b []byte) []byte { b[entries+lastLBAAt+3] = 1; sum(b); return b },
		"no partitions":           func(b []byte) []byte { clear(b[entries:][:128]); sum(b); return b },
		"two loaders":             func(b []byte) []byte { copy(b[entries+128:], b[entries:][:128]); sum(b); return b },
		"no file system":          func(b []byte) []byte { b[partition+signatureAt] = 0; return b },
		"no loader":               func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("BOOTX64 EFI"), []byte("BOOTX64 EFX")) },
		"directory for a loader": func(b []byte) []byte {
			b[bytes.Index(b, []byte("BOOTX64 EFI"))+attributeAt] = attributeDirectory
			return b
		},
		"loader too long":       func(b []byte) []byte { b[bytes.Index(b, []byte("BOOTX64 EFI"))+fileSizeAt+2] = 0x20; return b },
		"loader of 4 GiB":       func(b []byte) []byte { b[bytes.Index(b, []byte("BOOTX64 EFI"))+fileSizeAt+3] = 0xFF; return b },
		"chain without an end":  func(b []byte) []byte { clear(b[chain:][:768]); return b },
		"tables too short":      func(b []byte) []byte { b[partition+tableSectors16At] = 1; return b },
		"larger than its place": func(b []byte) []byte { b[partition+sectors16At+1] = 0xFF; return b },
	} {
		if _, err := read(change(bytes.Clone(good))); err == nil || name != "no disk" && !errors.Is(err, ErrDisk) {
			t.Errorf("%s: %v, want ErrDisk", name, err)
		}
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: "disk", Err: errors.New("input/output error")}
}

// TestFault: what can not be read is no verdict about the disk.
func TestFault(t *testing.T) {
	if _, err := Read(broken{}, 1<<30, limit); err == nil || errors.Is(err, ErrDisk) {
		t.Errorf("%v, want the error of reading", err)
	}
}

// TestBounded: a directory whose chain is a circle, and a loader that claims all of the disk, take no more than the disk has.
func TestBounded(t *testing.T) {
	disk := fwtest.Read(t, "testdata/fat12.img.gz")
	const table = 1<<20 + 512
	for c := 2; c < 400; c++ { // each cluster is followed by itself
		at := table + c*3/2
		if c%2 == 0 {
			disk[at], disk[at+1] = byte(c), disk[at+1]&0xF0|byte(c>>8)
		} else {
			disk[at], disk[at+1] = disk[at]&0x0F|byte(c)<<4, byte(c>>4)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := read(disk); !errors.Is(err, ErrDisk) {
		t.Errorf("%v, want ErrDisk", err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > uint64(4*len(disk)) {
		t.Errorf("%d bytes allocated for a disk of %d", used, len(disk))
	}
}

// FuzzRead puts a small file system behind a table that is right, because a fuzzer does not guess checksums.
func FuzzRead(f *testing.F) {
	const partition = 1 << 20
	good := fwtest.Read(f, "testdata/fat12.img.gz")
	f.Add(good[512:][:headerSize], good[1024:][:128], good[partition:][:8192])
	f.Fuzz(func(_ *testing.T, header, entry, volume []byte) {
		disk := make([]byte, 4096+64<<10)
		copy(disk[512:1024], header)
		copy(disk[1024:2048], entry)
		copy(disk[4096:], volume)
		h := disk[512:]
		binary.LittleEndian.PutUint64(h[entriesLBAAt:], 2)
		binary.LittleEndian.PutUint32(h[entryCountAt:], 8)
		binary.LittleEndian.PutUint32(h[entrySizeAt:], 128)
		if len(entry) >= 128 {
			binary.LittleEndian.PutUint64(disk[1024+firstLBAAt:], 8)
			binary.LittleEndian.PutUint64(disk[1024+lastLBAAt:], uint64(len(disk)/512-1))
		}
		sum(disk)
		if d, err := read(disk); err == nil && len(d.Loader) > len(disk) {
			panic("a loader longer than the disk")
		}
		_, _ = ParseTable(volume)
	})
}
