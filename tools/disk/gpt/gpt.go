package gpt

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"unicode/utf16"
)

// Sector is the size of a sector in bytes. Everything else is counted in bytes here, and must be a multiple of it.
const Sector = 512

// Alignment is where [Layout] lets partitions begin and end.
const Alignment = 1 << 20

const (
	signature  = "EFI PART"
	revision   = 0x00010000
	headerSize = 92
	entrySize  = 128
	entryCount = 128
	tableSize  = entrySize * entryCount
	nameSize   = 72 // UTF-16LE, 36 units
	// reserved is what the MBR, the header and the entries take at the beginning; the same without the MBR is at the end.
	reserved = 2*Sector + tableSize
	// maxSize bounds arithmetic: no disk has more.
	maxSize = 1 << 60
)

// GUID is stored as in the table: its first three groups are little-endian.
type GUID [16]byte

// Types of partitions, as sgdisk's codes 8300 and ef00.
var (
	LinuxFilesystem = MustGUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
	EFISystem       = MustGUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
)

// ParseGUID reads the usual text: five groups of hexadecimal digits.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	digits := strings.ReplaceAll(s, "-", "")
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(g) || len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return g, fmt.Errorf("GUID %.80q: expected digits as in 0fc63daf-8483-4772-8e79-3d69d8477de4", s)
	}
	copy(g[:], b)
	g.swap()
	return g, nil
}

// MustGUID is ParseGUID for constants.
func MustGUID(s string) GUID {
	g, err := ParseGUID(s)
	if err != nil {
		panic(err)
	}
	return g
}

// swap turns the first three groups around.
func (g *GUID) swap() {
	slices.Reverse(g[:4])
	slices.Reverse(g[4:6])
	slices.Reverse(g[6:8])
}

func (g GUID) String() string {
	g.swap()
	return fmt.Sprintf("%x-%x-%x-%x-%x", g[:4], g[4:6], g[6:8], g[8:10], g[10:])
}

// Partition is one entry of a table.
type Partition struct {
	Type, GUID GUID
	// Name has up to 36 UTF-16 units.
	Name string
	// Offset and Size are in bytes.
	Offset, Size int64
}

// Table is what a disk says of itself.
type Table struct {
	GUID       GUID
	Partitions []Partition
	// Size is that of the disk, in bytes.
	Size int64
}

// ErrTable is wrapped by what [Read] refuses.
var ErrTable = errors.New("not a GUID partition table that was expected")

// Layout places partitions one after the other from 1 MiB on, rounds their sizes up to 1 MiB, and leaves 1 MiB at the end of the disk.
func Layout(disk GUID, partitions ...Partition) Table {
	t := Table{GUID: disk, Partitions: slices.Clone(partitions)}
	at := int64(Alignment)
	for i := range t.Partitions {
		p := &t.Partitions[i]
		p.Offset, p.Size = at, (p.Size+Alignment-1)/Alignment*Alignment
		at += p.Size
	}
	t.Size = at + Alignment
	return t
}

// check holds tables that are written and tables that are read to the same rules.
func (t *Table) check() error {
	if t.Size%Sector != 0 || t.Size < 2*reserved || t.Size > maxSize {
		return fmt.Errorf("disk of %d bytes: expected a multiple of %d from %d on", t.Size, Sector, 2*reserved)
	}
	if len(t.Partitions) > entryCount {
		return fmt.Errorf("%d partitions: expected at most %d", len(t.Partitions), entryCount)
	}
	for i, p := range t.Partitions {
		if p.Type == (GUID{}) || p.GUID == (GUID{}) {
			return fmt.Errorf("partition %d: expected a type and a GUID, got zeros", i+1)
		}
		if units := utf16.Encode([]rune(p.Name)); 2*len(units) > nameSize || string(utf16.Decode(units)) != p.Name || strings.Contains(p.Name, "\x00") {
			return fmt.Errorf("partition %d: name %q: expected up to %d UTF-16 units", i+1, p.Name, nameSize/2)
		}
		if p.Offset%Sector != 0 || p.Size%Sector != 0 || p.Size <= 0 || p.Offset < reserved || p.Offset > t.last() || p.Size > t.last()-p.Offset {
			return fmt.Errorf("partition %d: %d bytes at offset %d: expected whole sectors from offset %d to %d", i+1, p.Size, p.Offset, reserved, t.last())
		}
		for j, q := range t.Partitions[:i] {
			if p.Offset < q.Offset+q.Size && q.Offset < p.Offset+p.Size {
				return fmt.Errorf("partitions %d and %d have sectors in common", j+1, i+1)
			}
			if p.GUID == q.GUID {
				return fmt.Errorf("partitions %d and %d have the same GUID %s", j+1, i+1, p.GUID)
			}
		}
	}
	return nil
}

// last is the end of what partitions may take.
func (t *Table) last() int64 { return t.Size - reserved + Sector }

// Write writes the MBR, the table and its backup to w.
func (t *Table) Write(w io.WriterAt) error {
	if err := t.check(); err != nil {
		return fmt.Errorf("gpt: %w", err)
	}
	entries := t.entries()
	primary := slices.Concat(t.mbr(), t.header(entries, false), entries)
	if _, err := w.WriteAt(primary, 0); err != nil {
		return err
	}
	_, err := w.WriteAt(append(entries, t.header(entries, true)...), t.last())
	return err
}

// mbr covers the disk with one partition of the type 0xEE, as far as 32 bits go (section 5.2.3).
func (t *Table) mbr() []byte {
	b := make([]byte, Sector)
	e := b[446:]
	first, last := chs(1), chs(t.Size/Sector-1)
	copy(e[1:], first[:])
	e[4] = 0xEE
	copy(e[5:], last[:])
	binary.LittleEndian.PutUint32(e[8:], 1)
	binary.LittleEndian.PutUint32(e[12:], uint32(min(t.Size/Sector-1, 0xFFFFFFFF)))
	b[510], b[511] = 0x55, 0xAA
	return b
}

// chs is a sector's head, sector and cylinder, on a disk with 255 heads and 63 sectors per track as gptfdisk takes for granted
// (mbrpart.cc, MBRPart::LBAtoCHS), or 0xFF in each byte where that does not do.
func chs(sector int64) [3]byte {
	const heads, perTrack = 255, 63
	cylinder, track := sector/(heads*perTrack), sector/perTrack
	if cylinder > 1023 {
		return [3]byte{0xFF, 0xFF, 0xFF}
	}
	return [3]byte{byte(track % heads), byte(sector%perTrack+1) | byte(cylinder>>8<<6), byte(cylinder)}
}

func (t *Table) entries() []byte {
	b := make([]byte, tableSize)
	for i, p := range t.Partitions {
		e := b[i*entrySize:][:entrySize]
		copy(e, p.Type[:])
		copy(e[16:], p.GUID[:])
		binary.LittleEndian.PutUint64(e[32:], uint64(p.Offset/Sector))
		binary.LittleEndian.PutUint64(e[40:], uint64((p.Offset+p.Size)/Sector-1))
		for j, u := range utf16.Encode([]rune(p.Name)) {
			binary.LittleEndian.PutUint16(e[56+2*j:], u)
		}
	}
	return b
}

// header is one sector.
func (t *Table) header(entries []byte, backup bool) []byte {
	own, other, at := int64(1), t.Size/Sector-1, int64(2)
	if backup {
		own, other, at = other, own, t.last()/Sector
	}
	b := make([]byte, 0, Sector)
	b = append(b, signature...)
	b = binary.LittleEndian.AppendUint32(b, revision)
	b = binary.LittleEndian.AppendUint32(b, headerSize)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // checksum, below; reserved
	for _, sector := range []int64{own, other, reserved / Sector, t.last()/Sector - 1} {
		b = binary.LittleEndian.AppendUint64(b, uint64(sector))
	}
	b = append(b, t.GUID[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(at))
	b = binary.LittleEndian.AppendUint32(b, entryCount)
	b = binary.LittleEndian.AppendUint32(b, entrySize)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(entries))
	binary.LittleEndian.PutUint32(b[16:], crc32.ChecksumIEEE(b))
	return b[:Sector]
}

// Read reads the table of a disk of size bytes. Only what [Table.Write] writes is taken: any other byte, in the MBR, the table or its
// backup, is refused, so that no two programs can read different partitions.
func Read(r io.ReaderAt, size int64) (*Table, error) {
	t := &Table{Size: size}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTable, err)
	}
	primary, backup := make([]byte, reserved), make([]byte, reserved-Sector)
	for _, part := range []struct {
		b  []byte
		at int64
	}{{primary, 0}, {backup, t.last()}} {
		if n, err := r.ReadAt(part.b, part.at); n < len(part.b) {
			return nil, fmt.Errorf("read %d bytes at offset %d: %w", len(part.b), part.at, err)
		}
	}
	if got := string(primary[Sector:][:len(signature)]); got != signature {
		return nil, fmt.Errorf("%w: signature: expected %q, got %q", ErrTable, signature, got)
	}
	copy(t.GUID[:], primary[Sector+56:])
	entries := primary[2*Sector:]
	for i := range entryCount {
		e := entries[i*entrySize:][:entrySize]
		if GUID(e) == (GUID{}) {
			break
		}
		first, last := binary.LittleEndian.Uint64(e[32:]), binary.LittleEndian.Uint64(e[40:])
		if first > last || last >= uint64(size/Sector) {
			return nil, fmt.Errorf("%w: partition %d: sectors %d to %d of %d", ErrTable, i+1, first, last, size/Sector)
		}
		t.Partitions = append(t.Partitions, Partition{
			Type: GUID(e), GUID: GUID(e[16:]), Name: name(e[56:]), Offset: int64(first) * Sector, Size: int64(last-first+1) * Sector,
		})
	}
	if err := t.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTable, err)
	}
	table := t.entries()
	for _, part := range []struct {
		name      string
		want, got []byte
	}{
		{"protective MBR", t.mbr(), primary[:Sector]},
		{"header", t.header(table, false), primary[Sector : 2*Sector]},
		{"partition entries", table, entries},
		{"backup of the partition entries", table, backup[:tableSize]},
		{"backup of the header", t.header(table, true), backup[tableSize:]},
	} {
		if !bytes.Equal(part.want, part.got) {
			return nil, fmt.Errorf("%w: %s: expected the bytes that the partitions make, got others", ErrTable, part.name)
		}
	}
	return t, nil
}

func name(b []byte) string {
	var units []uint16
	for i := 0; i < nameSize; i += 2 {
		u := binary.LittleEndian.Uint16(b[i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}
