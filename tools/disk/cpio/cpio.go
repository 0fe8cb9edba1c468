package cpio

import (
	"fmt"
	"io"

	"github.com/boardroom-tee/boardroom/tools/deflate"
	"github.com/boardroom-tee/boardroom/tools/disk"
)

const (
	magic   = "070701" // newc without checksums
	trailer = "TRAILER!!!"
	// align is what headers with names, and contents, are padded to.
	align = 4
	// block is what cpio(1) pads archives to. The kernel does not ask for it.
	block = 512
	// maxSize is what the eight hexadecimal digits of a field hold.
	maxSize = 1<<32 - 1
)

// Gzip writes the tree as a compressed archive. Every time is epoch, in seconds since 1970, at most 2^32-1.
func Gzip(w io.Writer, tree *disk.Tree, epoch int64) error {
	z := deflate.NewWriter(w)
	if err := Write(z, tree, epoch); err != nil {
		return err
	}
	return z.Close()
}

// Write writes the tree as an archive that is not compressed.
func Write(w io.Writer, tree *disk.Tree, epoch int64) error {
	if epoch < 0 || epoch > maxSize {
		return fmt.Errorf("epoch %d: expected 0 to %d", epoch, int64(maxSize))
	}
	a := &archive{w: w, epoch: epoch}
	for i := range tree.Entries() {
		if err := a.entry(&tree.Entries()[i]); err != nil {
			return err
		}
	}
	a.header(&disk.Entry{Path: trailer}, 0, 1, 0, 0)
	a.pad(block)
	return a.err
}

type archive struct {
	w     io.Writer
	epoch int64
	inode int
	n     int64
	err   error
}

func (a *archive) Write(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	n, err := a.w.Write(p)
	a.n += int64(n)
	a.err = err
	return n, err
}

func (a *archive) entry(e *disk.Entry) error {
	a.inode++
	links, size := 1, e.Size
	switch e.Type() {
	case disk.Folder:
		links = 2
	case disk.Symlink:
		size = int64(len(e.Target))
	}
	if size > maxSize {
		return fmt.Errorf("%s: size %d: expected at most %d in an initramfs", e.Path, size, int64(maxSize))
	}
	a.header(e, a.inode, links, size, a.epoch)
	switch e.Type() {
	case disk.File:
		if err := e.Copy(a); err != nil {
			return err
		}
	case disk.Symlink:
		_, _ = io.WriteString(a, e.Target)
	}
	a.pad(align)
	return a.err
}

// header writes the fields in the order of the format: inode, mode, owner, group, links, time, size, numbers of the device that the
// file is on, those of a device node, the name's length with its NUL, and a checksum that this format leaves 0.
func (a *archive) header(e *disk.Entry, inode, links int, size, epoch int64) {
	fmt.Fprintf(a, "%s%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		magic, inode, e.Mode, 0, 0, links, epoch, size, 0, 0, e.Major, e.Minor, len(e.Path)+1, 0, e.Path)
	a.pad(align)
}

func (a *archive) pad(to int64) {
	_, _ = a.Write(make([]byte, (to-a.n%to)%to))
}
