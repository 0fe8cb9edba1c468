package esp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// LoaderPath is the file that firmware starts.
const LoaderPath = `\EFI\BOOT\BOOTX64.EFI`

// loader is LoaderPath in short names.
var loader = []string{"EFI        ", "BOOT       ", "BOOTX64 EFI"}

// Disk is what of a disk is measured.
type Disk struct {
	// Table is the beginning of the disk, up to the end of the partition entries.
	Table []byte
	// Loader is the content of [LoaderPath].
	Loader []byte
}

// Read reads a disk of size bytes. A loader of more than limit bytes is refused. What is malformed wraps [ErrDisk]; other errors are
// those of reading.
func Read(r io.ReaderAt, size, limit int64) (*Disk, error) {
	head := make([]byte, min(size, 4096+headerSize))
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil, err
	}
	table, err := readTable(r, head, size)
	if err != nil {
		return nil, err
	}
	t, err := ParseTable(table)
	if err != nil {
		return nil, err
	}
	d := &Disk{Table: table}
	found := false
	for i, entry := range t.Entries {
		data, err := t.loaderOf(r, entry, size, limit)
		if err != nil {
			if path := (*fs.PathError)(nil); errors.As(err, &path) {
				return nil, err
			}
			return nil, fmt.Errorf("%w: partition %d: %w", ErrDisk, i+1, err)
		}
		if data == nil {
			continue
		}
		if found {
			return nil, fmt.Errorf("%w: expected one partition with %s, got a second", ErrDisk, LoaderPath)
		}
		d.Loader, found = data, true
	}
	if !found {
		return nil, fmt.Errorf("%w: expected a FAT partition with %s, got none in %d partitions", ErrDisk, LoaderPath, len(t.Entries))
	}
	return d, nil
}

// readTable reads as much of the disk as the table in head takes.
func readTable(r io.ReaderAt, head []byte, size int64) ([]byte, error) {
	end := int64(len(head))
	for _, block := range []uint64{512, 4096} {
		if uint64(len(head)) < block+headerSize || string(head[block:][:len(tableSignature)]) != tableSignature {
			continue
		}
		t := &Table{Header: head[block:][:headerSize], block: block}
		first, length, err := t.entries()
		if err != nil {
			return nil, err
		}
		end = max(end, int64(first+length))
		break
	}
	table := make([]byte, min(end, size))
	_, err := r.ReadAt(table, 0)
	return table, err
}

// loaderOf returns nil for a partition without a loader.
func (t *Table) loaderOf(r io.ReaderAt, entry []byte, disk, limit int64) ([]byte, error) {
	first, size, err := t.extent(entry, uint64(disk))
	if err != nil {
		return nil, err
	}
	f, err := openFAT(io.NewSectionReader(r, int64(first), int64(size)), int64(size))
	if err != nil || f == nil {
		return nil, err
	}
	return f.file(limit, loader...)
}
