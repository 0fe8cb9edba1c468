package fat

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/disk"
)

const (
	sector   = 512
	reserved = 32 // sectors before the tables, as the specification asks for
	tables   = 2
	// infoSector and backupSector are where the FSInfo structure and the copies of the first two sectors are.
	infoSector, backupSector = 1, 6
	media                    = 0xF8
	firstCluster             = 2
	endOfChain               = 0x0FFFFFFF

	entrySize                                       = 32
	attributeVolume, attributeFolder, attributeFile = 0x08, 0x10, 0x20
)

const (
	// MinSize and MaxSize bound file systems, in bytes. What is smaller has fewer clusters than make a file system FAT32: the
	// specification's table of cluster sizes begins here (DskTableFAT32).
	MinSize = 66601 * sector
	MaxSize = 8 << 30
	// smallSize is up to which clusters have one sector. Above, they have eight.
	smallSize = 532480 * sector
)

// Options are what a file system depends on besides the tree.
type Options struct {
	// Size is that of the file system in bytes, a multiple of 512.
	Size int64
	// Label has up to 11 upper-case letters, digits, blanks or any of _ and -.
	Label string
	// Serial is the volume's serial number.
	Serial uint32
	// Epoch is every time, in seconds since 1970; FAT has no time before 1980, which stands for earlier ones.
	Epoch int64
}

// Write writes a file system with the tree's files and folders to w, which has to read as zeros, as a new file does: not all of them are
// written. Owners and modes are left out, FAT has none.
func Write(w io.WriterAt, tree *disk.Tree, o Options) error {
	f, err := newFAT(tree, o)
	if err != nil {
		return fmt.Errorf("fat: %w", err)
	}
	return f.write(w)
}

type fat struct {
	Options
	stamp      stamp
	perCluster int64 // sectors
	tableSize  int64 // sectors
	clusters   int64
	next       uint32 // free cluster
	nodes      []*node
	table      []byte
}

// node is an entry with its place.
type node struct {
	*disk.Entry
	short    [11]byte
	parent   *node
	children []*node
	cluster  uint32 // the first, 0 for an empty file
	size     int64  // of a file, or of a folder's entries
}

func newFAT(tree *disk.Tree, o Options) (*fat, error) {
	if o.Size%sector != 0 || o.Size < MinSize || o.Size > MaxSize {
		return nil, fmt.Errorf("size %d: expected a multiple of %d from %d to %d", o.Size, sector, MinSize, int64(MaxSize))
	}
	if len(o.Label) > 11 || o.Label == "" || strings.Trim(o.Label, letters+" ") != "" || o.Label[0] == ' ' {
		return nil, fmt.Errorf("label %q: expected 1 to 11 upper-case letters, digits, blanks or any of _ and -", o.Label)
	}
	f := &fat{Options: o, next: firstCluster, perCluster: 1}
	var err error
	if f.stamp, err = newStamp(o.Epoch); err != nil {
		return nil, err
	}
	if o.Size > smallSize {
		f.perCluster = 8
	}
	// The specification's own formula, which may give a few sectors too many (section "FAT Volume Initialization").
	data, perSector := o.Size/sector-reserved, (256*f.perCluster+tables)/2
	f.tableSize = (data + perSector - 1) / perSector
	f.clusters = (data - tables*f.tableSize) / f.perCluster
	f.table = make([]byte, f.tableSize*sector)
	f.set(0, endOfChain&^0xFF|media)
	f.set(1, endOfChain)
	if err := f.place(tree); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *fat) set(cluster, next uint32) {
	binary.LittleEndian.PutUint32(f.table[4*cluster:], next)
}

// place makes nodes of the entries and gives them clusters.
func (f *fat) place(tree *disk.Tree) error {
	folders := make(map[string]*node)
	entries := tree.Entries()
	for i := range entries {
		n := &node{Entry: &entries[i], size: entries[i].Size}
		switch n.Type() {
		case disk.Folder:
			folders[n.Path] = n
			n.size = 2 * entrySize // "." and "..", and the label in the root
		case disk.File:
			if n.size > math.MaxUint32 {
				return fmt.Errorf("%s: %d bytes: expected at most %d", n.Path, n.size, uint32(math.MaxUint32))
			}
		default:
			return fmt.Errorf("%s: mode %#o: expected a file or a folder", n.Path, n.Mode)
		}
		if n.Path != "." {
			var err error
			if n.short, err = short(path.Base(n.Path)); err != nil {
				return fmt.Errorf("%s: %w", n.Path, err)
			}
			n.parent = folders[path.Dir(n.Path)]
			n.parent.children = append(n.parent.children, n)
			n.parent.size += entrySize
		}
		f.nodes = append(f.nodes, n)
	}
	for _, n := range f.nodes {
		if n.Type() == disk.Folder && n.size > 65536*entrySize {
			return fmt.Errorf("%s: expected at most 65536 entries in a folder, got %d", n.Path, n.size/entrySize)
		}
		count := (n.size + f.clusterSize() - 1) / f.clusterSize()
		if free := f.clusters + firstCluster - int64(f.next); count > free {
			return fmt.Errorf("%s: expected it to fit, got %d clusters left for %d bytes", n.Path, free, n.size)
		}
		if count == 0 {
			continue
		}
		n.cluster = f.next
		for range count - 1 {
			f.set(f.next, f.next+1)
			f.next++
		}
		f.set(f.next, endOfChain)
		f.next++
	}
	return nil
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

// short is the 11 bytes of a name: eight and an extension of three, filled with blanks.
func short(name string) (b [11]byte, err error) {
	stem, extension, dotted := strings.Cut(name, ".")
	if stem == "" || len(stem) > 8 || len(extension) > 3 || dotted && extension == "" || strings.Trim(stem+extension, letters) != "" {
		return b, fmt.Errorf("expected a name of 8 characters with an extension of 3, in upper case, got %q", name)
	}
	copy(b[:], bytes.Repeat([]byte{' '}, len(b)))
	copy(b[:8], stem)
	copy(b[8:], extension)
	return b, nil
}

func (f *fat) clusterSize() int64 { return f.perCluster * sector }

// at is where a cluster begins.
func (f *fat) at(cluster uint32) int64 {
	return (reserved+tables*f.tableSize)*sector + int64(cluster-firstCluster)*f.clusterSize()
}

func (f *fat) write(w io.WriterAt) error {
	head := make([]byte, reserved*sector)
	copy(head, f.boot())
	copy(head[infoSector*sector:], f.info())
	copy(head[backupSector*sector:], head[:2*sector])
	for range tables {
		head = append(head, f.table...)
	}
	if _, err := w.WriteAt(head, 0); err != nil {
		return err
	}
	for _, n := range f.nodes {
		if n.cluster == 0 {
			// Content that is there after all is an error.
			if err := n.Copy(io.Discard); err != nil {
				return err
			}
			continue
		}
		out := io.NewOffsetWriter(w, f.at(n.cluster))
		if n.Type() == disk.File {
			if err := n.Copy(out); err != nil {
				return err
			}
		} else if _, err := out.Write(f.folder(n)); err != nil {
			return err
		}
	}
	return nil
}

// boot is the first sector. What it would run stops the processor: nothing but UEFI starts from here.
func (f *fat) boot() []byte {
	b := make([]byte, 0, sector)
	u16 := func(v ...uint16) {
		for _, v := range v {
			b = binary.LittleEndian.AppendUint16(b, v)
		}
	}
	u32 := func(v ...uint32) {
		for _, v := range v {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
	}
	b = append(b, 0xEB, 0x58, 0x90)   // jump to offset 90
	b = append(b, "MSWIN4.1"...)      // what the specification recommends
	u16(sector)                       // bytes per sector
	b = append(b, byte(f.perCluster)) // sectors per cluster
	u16(reserved)
	b = append(b, tables)
	u16(0, 0) // entries of the root and sectors, which FAT32 has elsewhere
	b = append(b, media)
	u16(0, 63, 255) // sectors of a table, which FAT32 has elsewhere; sectors per track and heads
	u32(0, uint32(f.Size/sector), uint32(f.tableSize))
	u16(0, 0)         // both tables are kept; version 0.0
	u32(firstCluster) // of the root
	u16(infoSector, backupSector)
	b = append(b, make([]byte, 12)...)
	b = append(b, 0x80, 0, 0x29) // drive; the next three fields are there
	u32(f.Serial)
	b = append(b, f.label()...)
	b = append(b, "FAT32   "...)
	b = append(b, 0xF4, 0xEB, 0xFD) // hlt; jmp to it
	b = b[:sector]
	b[510], b[511] = 0x55, 0xAA
	return b
}

func (f *fat) label() []byte {
	return append([]byte(f.Label), bytes.Repeat([]byte{' '}, 11-len(f.Label))...)
}

// info says how many clusters are free and where the first of them is.
func (f *fat) info() []byte {
	b := make([]byte, sector)
	binary.LittleEndian.PutUint32(b, 0x41615252)
	binary.LittleEndian.PutUint32(b[484:], 0x61417272)
	binary.LittleEndian.PutUint32(b[488:], uint32(f.clusters+firstCluster-int64(f.next)))
	binary.LittleEndian.PutUint32(b[492:], f.next)
	binary.LittleEndian.PutUint32(b[508:], 0xAA550000)
	return b
}

// folder is the content of a folder.
func (f *fat) folder(n *node) []byte {
	var b []byte
	if n.parent == nil {
		b = f.entry(b, [11]byte(f.label()), attributeVolume, 0, 0)
	} else {
		up := n.parent.cluster
		if n.parent.parent == nil {
			up = 0 // stands for the root
		}
		b = f.entry(b, [11]byte([]byte(".          ")), attributeFolder, n.cluster, 0)
		b = f.entry(b, [11]byte([]byte("..         ")), attributeFolder, up, 0)
	}
	for _, c := range n.children {
		if c.Type() == disk.Folder {
			b = f.entry(b, c.short, attributeFolder, c.cluster, 0)
		} else {
			b = f.entry(b, c.short, attributeFile, c.cluster, uint32(c.size))
		}
	}
	return b
}

func (f *fat) entry(b []byte, name [11]byte, attribute byte, cluster, size uint32) []byte {
	b = append(b, name[:]...)
	b = append(b, attribute, 0, 0) // reserved; hundredths of the time of creation
	for _, v := range []uint16{f.stamp.time, f.stamp.date, f.stamp.date, uint16(cluster >> 16), f.stamp.time, f.stamp.date, uint16(cluster)} {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return binary.LittleEndian.AppendUint32(b, size)
}

// stamp is a time in steps of two seconds.
type stamp struct{ date, time uint16 }

func newStamp(epoch int64) (stamp, error) {
	const first, last = 315532800, 4354819199 // 1980 to 2107
	if epoch < 0 || epoch > last {
		return stamp{}, fmt.Errorf("epoch %d: expected 0 to %d", epoch, int64(last))
	}
	t := time.Unix(max(epoch, first), 0).UTC()
	return stamp{
		date: uint16(t.Year()-1980)<<9 | uint16(t.Month())<<5 | uint16(t.Day()),
		time: uint16(t.Hour())<<11 | uint16(t.Minute())<<5 | uint16(t.Second()/2),
	}, nil
}
