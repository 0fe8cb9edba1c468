package share

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// diskLabel is the volume label of a share that is a FAT disk, padded as in a boot sector (dstack/vmm/src/app/qemu.rs, host share modes
// vvfat and vhd).
const diskLabel = "DSTACKSHR  "

// Where a FAT boot sector has the label and, behind it, the name of its type (Microsoft FAT specification 1.03, section 3.1).
const (
	labelAt16 = 43
	labelAt32 = 71
)

// FindDisk looks for the disk among block devices, a tree like /sys/class/block, whose nodes are in dev. It returns the path of its node, or
// nothing where there is none. Two such disks are refused.
func FindDisk(class fs.FS, dev string) (string, error) {
	entries, err := fs.ReadDir(class, ".")
	if err != nil {
		return "", err
	}
	var found string
	for _, entry := range entries {
		path := filepath.Join(dev, entry.Name())
		is, err := labelled(path)
		if err != nil {
			return "", err
		}
		if is && found != "" {
			return "", fmt.Errorf("host share: %s and %s both have the label %s", found, path, diskLabel)
		}
		if is {
			found = path
		}
	}
	return found, nil
}

// labelled reads the first sector. A device without one, such as an empty drive, is not the disk.
func labelled(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	sector := make([]byte, 512)
	if _, err := io.ReadFull(file, sector); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return false, nil
		}
		return false, err
	}
	return slices.ContainsFunc([]struct {
		at   int
		kind string
	}{{labelAt16, "FAT12   "}, {labelAt16, "FAT16   "}, {labelAt32, "FAT32   "}}, func(f struct {
		at   int
		kind string
	}) bool {
		return string(sector[f.at:f.at+len(diskLabel)+len(f.kind)]) == diskLabel+f.kind
	}), nil
}
