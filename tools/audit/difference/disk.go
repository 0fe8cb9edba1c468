package difference

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/boardroom-tee/boardroom/tools/disk/gpt"
	"github.com/boardroom-tee/boardroom/tools/disk/verity"
)

// chunk is how much of a disk is read at once, in bytes.
const chunk = 1 << 20

// Disks compares two disks of given sizes, as guest images have them: which partition, and whether its file system, the hash tree or the
// table. An error is one of reading.
func Disks(name string, expected, got io.ReaderAt, expectedSize, gotSize int64) (List, error) {
	f := newFinder(name)
	if expectedSize != gotSize {
		f.in("size").add(NoOffset, fmt.Sprintf("%d bytes", expectedSize), fmt.Sprintf("%d bytes", gotSize))
	}
	parts := areas(expected, expectedSize)
	a, b := make([]byte, chunk), make([]byte, chunk)
	size := min(expectedSize, gotSize)
	for _, p := range parts {
		first, count := int64(-1), int64(0)
		var e, g string
		for at := p.begin; at < min(p.end, size); at += chunk {
			n := min(chunk, min(p.end, size)-at)
			if err := readAt(expected, a[:n], at); err != nil {
				return List{}, err
			}
			if err := readAt(got, b[:n], at); err != nil {
				return List{}, err
			}
			if bytes.Equal(a[:n], b[:n]) {
				continue
			}
			for i := range a[:n] {
				if a[i] == b[i] {
					continue
				}
				if count++; first < 0 {
					first, e, g = at+int64(i), excerpt(a[:n], i), excerpt(b[:n], i)
				}
			}
		}
		if first >= 0 {
			f.in(p.name).add(first, e, fmt.Sprintf("%s (%d bytes of %d differ)", g, count, p.end-p.begin))
		}
	}
	return *f.list, nil
}

func readAt(r io.ReaderAt, b []byte, at int64) error {
	if n, err := r.ReadAt(b, at); n < len(b) && err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if n < len(b) {
		return io.ErrUnexpectedEOF
	}
	return nil
}

type area struct {
	name       string
	begin, end int64
}

// areas are the parts of a disk in order, without gaps.
func areas(disk io.ReaderAt, size int64) []area {
	table, err := gpt.Read(disk, size)
	if err != nil {
		return []area{{"content", 0, size}}
	}
	var all []area
	at := int64(0)
	for _, p := range table.Partitions {
		if p.Offset < at || p.Offset+p.Size > size {
			return []area{{"content", 0, size}}
		}
		all = append(all, area{"partition table", at, p.Offset})
		name := fmt.Sprintf("partition %q", p.Name)
		if data := dataSize(io.NewSectionReader(disk, p.Offset, p.Size), p.Size); data > 0 {
			all = append(all, area{name + ", file system", p.Offset, p.Offset + data}, area{name + ", hash tree", p.Offset + data, p.Offset + p.Size})
		} else {
			all = append(all, area{name, p.Offset, p.Offset + p.Size})
		}
		at = p.Offset + p.Size
	}
	return append(all, area{"partition table", at, size})
}

// squashfs is what the superblock of a squashfs begins with (fs/squashfs/squashfs_fs.h), and where its size stands.
const (
	squashfs      = "hsqs"
	squashfsBytes = 40
)

// dataSize is where the hash tree of a partition begins: behind its squashfs, padded to blocks; 0 where there is none.
func dataSize(partition io.ReaderAt, size int64) int64 {
	var b [48]byte
	if readAt(partition, b[:], 0) != nil || string(b[:4]) != squashfs {
		return 0
	}
	var used int64
	for i := range 8 {
		used |= int64(b[squashfsBytes+i]) << (8 * i)
	}
	const block = 4096
	if used <= 0 || used > size {
		return 0
	}
	used = (used + block - 1) / block * block
	if _, err := verity.ReadSuperblock(io.NewSectionReader(partition, 0, size), used); err != nil {
		return 0
	}
	return used
}
