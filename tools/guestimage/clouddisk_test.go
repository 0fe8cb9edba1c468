package guestimage_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/disk/gpt"
	"github.com/boardroom-tee/boardroom/tools/disk/uki"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
)

// stub is a PE32+ program with one section and room for more.
func stub() []byte {
	const newHeader, optional = 0x80, 240
	b := make([]byte, 2048)
	le := binary.LittleEndian
	copy(b, "MZ")
	le.PutUint32(b[0x3C:], newHeader)
	h := b[newHeader:]
	copy(h, "PE\x00\x00")
	le.PutUint16(h[4:], 0x8664)
	le.PutUint16(h[6:], 1)
	le.PutUint16(h[20:], optional)
	o := h[24:]
	le.PutUint16(o, 0x20B)
	le.PutUint32(o[4:], 1024)
	le.PutUint32(o[32:], 4096)
	le.PutUint32(o[36:], 512)
	le.PutUint32(o[56:], 0x2000)
	le.PutUint32(o[60:], 1024)
	le.PutUint32(o[108:], 16)
	s := o[optional:]
	copy(s, ".text")
	le.PutUint32(s[8:], 1024)
	le.PutUint32(s[12:], 0x1000)
	le.PutUint32(s[16:], 1024)
	le.PutUint32(s[20:], 1024)
	return b
}

func TestWriteUKIDisk(t *testing.T) {
	dir := built(t, guestimage.Production)
	to := filepath.Join(t.TempDir(), "disk.raw")
	got, err := guestimage.WriteUKIDisk(dir, stub(), to)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	table, err := gpt.Read(f, got.Size)
	if err != nil {
		t.Fatal(err)
	}
	if p := table.Partitions; len(p) != 2 || p[0].Type != gpt.EFISystem || p[0].Name != "EFI System Partition" || p[0].Size != 256<<20 || p[1].Name != "dstack-rootfs" {
		t.Fatalf("partitions %+v", p)
	}
	// The partition behind is that of the image, bit for bit, and what is started is made of the image's own parts.
	im, err := guestimage.Inspect(dir, guestimage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	read := func(f *os.File, offset, size int64) []byte {
		b := make([]byte, size)
		if _, err := f.ReadAt(b, offset); err != nil {
			t.Fatal(err)
		}
		return b
	}
	root, err := os.Open(filepath.Join(dir, im.Root.File))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	size := table.Partitions[1].Size
	if !bytes.Equal(read(f, table.Partitions[1].Offset, size), read(root, im.Root.Offset, size)) {
		t.Error("the partition of the root file system is another one")
	}
	parts, err := image.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	program, err := uki.Build(stub(), uki.Image{
		OSRelease: "ID=dstack\nNAME=dstack\nVERSION_ID=0.5.11\n", Cmdline: im.Cmdline, Kernel: parts.KernelData, Initrd: parts.InitrdData,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.UKI != sha256.Sum256(program) || !bytes.Contains(read(f, table.Partitions[0].Offset, 4<<20), program) {
		t.Errorf("the program %s is not the one that the image makes, or not on the disk", got.UKI)
	}
	again, err := guestimage.WriteUKIDisk(dir, stub(), filepath.Join(t.TempDir(), "again"))
	if err != nil || again.SHA256 != got.SHA256 {
		t.Errorf("the second disk is %+v (%v), the first %s", again, err, got.SHA256)
	}
}

func TestWriteUKIDiskRefuses(t *testing.T) {
	dir := built(t, guestimage.Production)
	folder := t.TempDir()
	to := filepath.Join(folder, "disk.raw")
	if _, err := guestimage.WriteUKIDisk(dir, []byte("text"), to); !errors.Is(err, uki.ErrStub) {
		t.Errorf("no stub: %v", err)
	}
	var place *guestimage.PlaceError
	if _, err := guestimage.WriteUKIDisk(dir, stub(), folder); !errors.As(err, &place) {
		t.Errorf("something is there: %v", err)
	}
	changed := filepath.Join(dir, "bzImage")
	data, err := os.ReadFile(changed)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(changed, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var refused *guestimage.RefusedError
	if _, err := guestimage.WriteUKIDisk(dir, stub(), to); !errors.As(err, &refused) {
		t.Errorf("another kernel: %v", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
