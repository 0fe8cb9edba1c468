package guestimage

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/boardroom-tee/boardroom/tools/disk"
	"github.com/boardroom-tee/boardroom/tools/disk/fat"
	"github.com/boardroom-tee/boardroom/tools/disk/gpt"
	"github.com/boardroom-tee/boardroom/tools/disk/uki"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
)

// The EFI system partition of dstack's cloud disks (os/image, its partitioning script): what it is called and how large it is.
const (
	systemPartition = "EFI System Partition"
	systemLabel     = "DSTACKEFI"
	systemSize      = 256 << 20
	// loaderPath is what firmware starts of a disk that it knows nothing else about (UEFI 2.10 section 3.5.1.1).
	loaderPath = "EFI/BOOT/BOOTX64.EFI"
)

var systemGUID = gpt.MustGUID("d5acc000-0000-4000-8000-000000000002")

// UKIDisk says what WriteUKIDisk wrote.
type UKIDisk struct {
	File   string      `json:"file"`
	Size   int64       `json:"size"`
	SHA256 dstack.Hash `json:"sha256"`
	// UKI is the SHA-256 of the program that the firmware starts.
	UKI dstack.Hash `json:"uki_sha256"`
}

// WriteUKIDisk verifies an image and writes it as one disk that firmware boots from without any help of the host: kernel, command line and
// initramfs in one program on top of a stub of systemd's, and the root file system behind it. The disk is a function of the image and the stub.
func WriteUKIDisk(dir string, stub []byte, to string) (out *UKIDisk, err error) {
	im, err := Inspect(dir, Options{})
	if err != nil {
		return nil, err
	}
	if im.Root.Offset == 0 {
		return nil, refuse(im.Root.File, "expected a partition table, which tells where the file system is on a disk, got none")
	}
	if _, err := os.Lstat(to); err == nil {
		return nil, &PlaceError{to}
	}
	parts, err := image.Read(dir)
	if err != nil {
		return nil, err
	}
	program, err := uki.Build(stub, uki.Image{
		OSRelease: fmt.Sprintf("ID=dstack\nNAME=dstack\nVERSION_ID=%s\n", im.Version), Cmdline: im.Cmdline, Kernel: parts.KernelData, Initrd: parts.InitrdData,
	})
	if err != nil {
		return nil, err
	}
	root, err := os.Open(filepath.Join(dir, im.Root.File))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	table, err := gpt.Read(root, im.Root.Size)
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+"-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // it may be closed already
			_ = os.Remove(f.Name())
		}
	}()
	out = &UKIDisk{File: to, UKI: sha256.Sum256(program)}
	if out.Size, err = writeUKIDisk(f, program, root, table.Partitions[0]); err != nil {
		return nil, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, out.Size)); err != nil {
		return nil, err
	}
	out.SHA256 = dstack.Hash(sum.Sum(nil))
	if err := f.Chmod(0o644); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return out, os.Rename(f.Name(), to)
}

func writeUKIDisk(f *os.File, program []byte, root io.ReaderAt, content gpt.Partition) (size int64, err error) {
	table := gpt.Layout(diskGUID,
		gpt.Partition{Type: gpt.EFISystem, GUID: systemGUID, Name: systemPartition, Size: systemSize},
		gpt.Partition{Type: gpt.LinuxFilesystem, GUID: rootGUID, Name: rootPartition, Size: content.Size})
	if err := f.Truncate(table.Size); err != nil {
		return 0, err
	}
	if err := table.Write(f); err != nil {
		return 0, err
	}
	tree, err := disk.NewTree([]disk.Entry{file(loaderPath, 0o644, program)})
	if err != nil {
		return 0, err
	}
	system := table.Partitions[0]
	if err := fat.Write(io.NewOffsetWriter(f, system.Offset), tree, fat.Options{Size: system.Size, Label: systemLabel}); err != nil {
		return 0, err
	}
	_, err = io.Copy(io.NewOffsetWriter(f, table.Partitions[1].Offset), io.NewSectionReader(root, content.Offset, content.Size))
	return table.Size, err
}
