package fat_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/disk"
	"github.com/boardroom-tee/boardroom/tools/disk/disktest"
	"github.com/boardroom-tee/boardroom/tools/disk/fat"
	"github.com/boardroom-tee/boardroom/tools/disk/gpt"
	"github.com/boardroom-tee/boardroom/tools/tdx/esp"
)

// device is a disk in memory.
type device []byte

func (d device) WriteAt(p []byte, at int64) (int, error) { return copy(d[at:], p), nil }

func file(path, content string) disk.Entry {
	return disk.Entry{Path: path, Mode: disk.File | 0o644, Size: int64(len(content)), Open: disk.Content([]byte(content))}
}

func loader() string { return strings.Repeat("not a program, but longer than a cluster\n", 1000) }

func entries() []disk.Entry {
	return []disk.Entry{
		file("EFI/BOOT/BOOTX64.EFI", loader()), file("EMPTY", ""), file("LOADER/ENTRIES/A-1.CNF", "x"), {Path: "VOID", Mode: disk.Folder | 0o755},
	}
}

// options are dstack's, on a small partition.
func options(size int64) fat.Options {
	return fat.Options{Size: size, Label: "DSTACKEFI", Serial: 0x1234ABCD, Epoch: 1700000001}
}

func write(t testing.TB, entries []disk.Entry, o fat.Options) device {
	t.Helper()
	d := make(device, o.Size)
	if err := fat.Write(d, disktest.Tree(t, entries), o); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWrite(t *testing.T) {
	for size, want := range map[int64]string{
		fat.MinSize: "5c68953871df6fa080ae6bca237ad2d97ab87569c53f402ada784a2f8cc6faad",
		256 << 20:   "7bfd1d0c92d41c8f96be553942831927a8731c39d1d9bfa1fccc59dbed8fc68a",
		300 << 20:   "4f2b86d2524a77a49476e53f8b1d8c54c5c67b3cef78b6a86f930131a937e989",
	} {
		list := entries()
		rand.New(rand.NewPCG(3, 4)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		d := write(t, list, options(size))
		sum := sha256.Sum256(d)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("%d bytes: SHA-256 %s, want %s", size, got, want)
		}
		// What makes firmware take it for FAT32 (specification, "FAT Type Determination").
		tableSize, perCluster := int64(binary.LittleEndian.Uint32(d[36:])), int64(d[13])
		if clusters := (size/512 - 32 - 2*tableSize) / perCluster; clusters < 65525 || (clusters+2)*4 > tableSize*512 {
			t.Errorf("%d bytes: %d clusters, a table of %d sectors", size, clusters, tableSize)
		}
	}
}

// TestFirmwareReads puts the file system into a partition and reads it as firmware does.
func TestFirmwareReads(t *testing.T) {
	table := gpt.Layout(gpt.GUID{1}, gpt.Partition{Type: gpt.EFISystem, GUID: gpt.GUID{2}, Name: "EFI System Partition", Size: 40 << 20})
	d := make(device, table.Size)
	if err := table.Write(d); err != nil {
		t.Fatal(err)
	}
	p := table.Partitions[0]
	if err := fat.Write(io.NewOffsetWriter(d, p.Offset), disktest.Tree(t, entries()), options(p.Size)); err != nil {
		t.Fatal(err)
	}
	got, err := esp.Read(bytes.NewReader(d), int64(len(d)), 1<<20)
	if err != nil || string(got.Loader) != loader() {
		t.Fatalf("the loader is another one (%v)", err)
	}
}

func TestRefused(t *testing.T) {
	o := options(fat.MinSize)
	for name, tt := range map[string]struct {
		entry  disk.Entry
		change func(*fat.Options)
	}{
		"small":            {change: func(o *fat.Options) { o.Size = fat.MinSize - 512 }},
		"large":            {change: func(o *fat.Options) { o.Size = fat.MaxSize + 512 }},
		"odd":              {change: func(o *fat.Options) { o.Size++ }},
		"no label":         {change: func(o *fat.Options) { o.Label = "" }},
		"long label":       {change: func(o *fat.Options) { o.Label = "ABCDEFGHIJKL" }},
		"lower label":      {change: func(o *fat.Options) { o.Label = "efi" }},
		"too late":         {change: func(o *fat.Options) { o.Epoch = 1 << 33 }},
		"lower case":       {entry: file("efi", "")},
		"long name":        {entry: file("ABCDEFGHI", "")},
		"long extension":   {entry: file("A.ABCD", "")},
		"no name":          {entry: file(".ABC", "")},
		"no extension":     {entry: file("ABC.", "")},
		"two dots":         {entry: file("A.B.C", "")},
		"link":             {entry: disk.Entry{Path: "LINK", Mode: disk.Symlink | 0o777, Target: "A"}},
		"does not fit":     {entry: disk.Entry{Path: "A", Mode: disk.File, Size: 35 << 20, Open: disk.Content(nil)}},
		"above 4 GiB":      {entry: disk.Entry{Path: "A", Mode: disk.File, Size: 1 << 32, Open: disk.Content(nil)}},
		"shorter":          {entry: disk.Entry{Path: "A", Mode: disk.File, Size: 2, Open: disk.Content([]byte("1"))}},
		"longer":           {entry: disk.Entry{Path: "A", Mode: disk.File, Size: 2, Open: disk.Content([]byte("123"))}},
		"empty but is not": {entry: disk.Entry{Path: "A", Mode: disk.File, Open: disk.Content([]byte("1"))}},
	} {
		o := o
		if tt.change != nil {
			tt.change(&o)
			tt.entry = file("A", "")
		}
		if err := fat.Write(make(device, fat.MinSize), disktest.Tree(t, []disk.Entry{tt.entry}), o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestFull: the last cluster can be used, and no more.
func TestFull(t *testing.T) {
	o := options(fat.MinSize)
	d := write(t, nil, o)
	free := int64(binary.LittleEndian.Uint32(d[512+488:]))
	for more, wantErr := range []bool{false, true} {
		size := (free + int64(more)) * 512
		e := disk.Entry{Path: "A", Mode: disk.File | 0o644, Size: size, Open: disk.Content(make([]byte, size))}
		if err := fat.Write(d, disktest.Tree(t, []disk.Entry{e}), o); (err != nil) != wantErr {
			t.Errorf("file of %d clusters where %d are free: %v", free+int64(more), free, err)
		}
	}
}
