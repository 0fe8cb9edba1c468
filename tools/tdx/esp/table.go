package esp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// ErrDisk: the disk is malformed, or not one that firmware starts a known file from.
var ErrDisk = errors.New("not a disk to boot from")

// GUID partition table (UEFI 2.10 section 5.3.2 and 5.3.3).
const (
	tableSignature = "EFI PART"
	headerSize     = 92
	headerSizeAt   = 12
	headerSumAt    = 16
	entriesLBAAt   = 72
	entryCountAt   = 80
	entrySizeAt    = 84
	entriesSumAt   = 88
	firstLBAAt     = 32
	lastLBAAt      = 40
	minEntrySize   = 128
	maxEntrySize   = 4096
	maxEntryCount  = 4096
	// maxTable bounds how far into the disk entries are looked for, in bytes.
	maxTable = 32 << 20
)

// Table is the primary GUID partition table of a disk.
type Table struct {
	// Header is the header of 92 bytes.
	Header []byte
	// Entries are the used entries as they stand on the disk, in their order.
	Entries [][]byte
	// block is the size of a logical block in bytes.
	block uint64
}

// ParseTable reads the table at the beginning of a disk; disk has to reach to the end of its entries. Errors wrap [ErrDisk].
func ParseTable(disk []byte) (*Table, error) {
	for _, block := range []uint64{512, 4096} {
		if uint64(len(disk)) < block+headerSize || string(disk[block:][:len(tableSignature)]) != tableSignature {
			continue
		}
		t := &Table{Header: disk[block:][:headerSize], block: block}
		first, size, err := t.entries()
		if err != nil {
			return nil, err
		}
		if first+size > uint64(len(disk)) {
			return nil, fmt.Errorf("%w: expected partition entries up to byte %d, got a disk of %d bytes", ErrDisk, first+size, len(disk))
		}
		return t, t.read(disk[first:][:size])
	}
	return nil, fmt.Errorf("%w: expected a GUID partition table, got none", ErrDisk)
}

// entries checks the header, and returns where its entries begin and how long they are, in bytes.
func (t *Table) entries() (first, size uint64, err error) {
	count, each := uint64(binary.LittleEndian.Uint32(t.Header[entryCountAt:])), uint64(binary.LittleEndian.Uint32(t.Header[entrySizeAt:]))
	lba := binary.LittleEndian.Uint64(t.Header[entriesLBAAt:])
	if count > maxEntryCount || each < minEntrySize || each > maxEntrySize || lba > maxTable/t.block {
		return 0, 0, fmt.Errorf("%w: partition table of %d entries of %d bytes at block %d", ErrDisk, count, each, lba)
	}
	if n := binary.LittleEndian.Uint32(t.Header[headerSizeAt:]); n != headerSize {
		return 0, 0, fmt.Errorf("%w: expected a partition table header of %d bytes, got %d", ErrDisk, headerSize, n)
	}
	header := bytes.Clone(t.Header)
	clear(header[headerSumAt:][:4])
	if want, got := binary.LittleEndian.Uint32(t.Header[headerSumAt:]), crc32.ChecksumIEEE(header); want != got {
		return 0, 0, fmt.Errorf("%w: checksum of the partition table's header: expected %08x, got %08x", ErrDisk, want, got)
	}
	return lba * t.block, count * each, nil
}

func (t *Table) read(entries []byte) error {
	if want, got := binary.LittleEndian.Uint32(t.Header[entriesSumAt:]), crc32.ChecksumIEEE(entries); want != got {
		return fmt.Errorf("%w: checksum of the partition entries: expected %08x, got %08x", ErrDisk, want, got)
	}
	size := binary.LittleEndian.Uint32(t.Header[entrySizeAt:])
	for ; len(entries) > 0; entries = entries[size:] {
		if !bytes.Equal(entries[:16], make([]byte, 16)) {
			t.Entries = append(t.Entries, entries[:size])
		}
	}
	return nil
}

// extent is where the partition of an entry is, in bytes, within a disk of that size.
func (t *Table) extent(entry []byte, disk uint64) (first, size uint64, err error) {
	a, b := binary.LittleEndian.Uint64(entry[firstLBAAt:]), binary.LittleEndian.Uint64(entry[lastLBAAt:])
	if a > b || b >= disk/t.block {
		return 0, 0, fmt.Errorf("expected blocks within the %d of the disk, got %d to %d", disk/t.block, a, b)
	}
	return a * t.block, (b - a + 1) * t.block, nil
}
