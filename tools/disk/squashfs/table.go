package squashfs

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/boardroom-tee/boardroom/tools/disk"
)

// metadata is a table under way: blocks that are done, and what the next one has so far, always less than a block.
type metadata struct {
	z         *zstd.Encoder
	done, raw []byte
}

// position is where the next byte goes: the offset of its block in the table and its offset in that block.
func (m *metadata) position() (block uint32, offset uint16) {
	return uint32(len(m.done)), uint16(len(m.raw))
}

func (m *metadata) write(b []byte) {
	m.raw = append(m.raw, b...)
	for len(m.raw) >= metadataBlock {
		m.done = appendMetadata(m.done, m.z, m.raw[:metadataBlock])
		m.raw = append(m.raw[:0], m.raw[metadataBlock:]...)
	}
}

func (m *metadata) finish() []byte {
	if len(m.raw) > 0 {
		m.done = appendMetadata(m.done, m.z, m.raw)
		m.raw = nil
	}
	return m.done
}

// appendMetadata appends one block: its size with the mark of a stored one, and its bytes.
func appendMetadata(dst []byte, z *zstd.Encoder, raw []byte) []byte {
	at := len(dst)
	dst = z.EncodeAll(raw, append(dst, 0, 0))
	if size := len(dst) - at - 2; size < len(raw) {
		binary.LittleEndian.PutUint16(dst[at:], uint16(size))
		return dst
	}
	binary.LittleEndian.PutUint16(dst[at:], uint16(len(raw))|storedMetadata)
	return append(dst[:at+2], raw...)
}

// ids numbers owners in the order in which they come.
type ids struct {
	list   []uint32
	number map[uint32]uint16
}

func (i *ids) of(id uint32) (uint16, error) {
	n, known := i.number[id]
	if !known {
		if len(i.list) == maxIDs {
			return 0, fmt.Errorf("expected at most %d different owners and groups", maxIDs)
		}
		n = uint16(len(i.list))
		i.list = append(i.list, id)
		i.number[id] = n
	}
	return n, nil
}

// tables are the metadata of an image.
type tables struct {
	epoch           uint32
	inodes, folders metadata
	ids             ids
	// exports are references of inodes, by number.
	exports []uint64
}

func newTables(z *zstd.Encoder, epoch uint32) *tables {
	return &tables{epoch: epoch, inodes: metadata{z: z}, folders: metadata{z: z}, ids: ids{number: make(map[uint32]uint16)}}
}

// reference is how an inode is named: the offset of its block in the table, and its offset in that.
func reference(block uint32, offset uint16) uint64 { return uint64(block)<<16 | uint64(offset) }

// folder writes what is in a folder, then the folder, and returns its reference.
func (t *tables) folder(n *node, parent uint32) (uint64, error) {
	references := make([]uint64, len(n.children))
	links := uint32(2)
	var err error
	for i, c := range n.children {
		if c.Type() == disk.Folder {
			references[i], err = t.folder(c, n.number)
			links++
		} else {
			references[i], err = t.inode(c)
		}
		if err != nil {
			return 0, err
		}
	}
	block, offset := t.folders.position()
	size, index, indexed := dots, []byte(nil), uint16(0)
	for i, last := 0, block; i < len(references); {
		// The index has the first run in each block of metadata but that in which the listing begins. Without it, the kernel reads a
		// listing from its beginning for each name.
		if at, _ := t.folders.position(); at != last && indexed < math.MaxUint16 {
			name := n.children[i].name
			index = append(append32(index, uint32(size-dots), at, uint32(len(name)-1)), name...)
			last, indexed = at, indexed+1
		}
		run, count := run(n.children[i:], references[i:])
		t.folders.write(run)
		size, i = size+len(run), i+count
		if size > math.MaxInt32 {
			return 0, fmt.Errorf("%s: folder with %d entries: expected a listing of at most %d bytes", n.Path, len(n.children), math.MaxInt32)
		}
	}
	kind := uint16(basicFolder)
	if size > math.MaxUint16 || indexed > 0 {
		kind = extendedFolder
	}
	b, err := t.header(n, kind)
	if err != nil {
		return 0, err
	}
	if kind == basicFolder {
		b = append32(b, block, links)
		b = append16(b, uint16(size), offset)
		b = append32(b, parent)
	} else {
		b = append32(b, links, uint32(size), block, parent)
		b = append16(b, indexed, offset)
		b = append(append32(b, noXattr), index...)
	}
	return t.add(b), nil
}

// run lists as many entries as one header can have: those whose inodes begin in one block and have numbers near that of the first.
func run(children []*node, references []uint64) (b []byte, count int) {
	first, start := children[0].number, uint32(references[0]>>16)
	for count < len(children) && count < maxRun && uint32(references[count]>>16) == start && near(first, children[count].number) {
		count++
	}
	b = append32(b, uint32(count-1), start, first)
	for i, c := range children[:count] {
		b = append16(b, uint16(references[i]), uint16(int16(int64(c.number)-int64(first))), basic(c), uint16(len(c.name)-1))
		b = append(b, c.name...)
	}
	return b, count
}

func near(first, number uint32) bool {
	d := int64(number) - int64(first)
	return d >= math.MinInt16 && d <= math.MaxInt16
}

func basic(n *node) uint16 {
	switch n.Type() {
	case disk.Folder:
		return basicFolder
	case disk.File:
		return basicFile
	case disk.Symlink:
		return basicSymlink
	case disk.Block:
		return basicBlock
	case disk.Char:
		return basicChar
	default:
		return basicFIFO
	}
}

// inode writes the inode of what is no folder and returns its reference.
func (t *tables) inode(n *node) (uint64, error) {
	kind := basic(n)
	f := n.file
	if kind == basicFile && (f.holes > 0 || f.start > math.MaxUint32 || n.Size > math.MaxUint32) {
		kind = extendedFile
	}
	b, err := t.header(n, kind)
	if err != nil {
		return 0, err
	}
	switch kind {
	case basicFile:
		b = append32(b, uint32(f.start), f.fragment, f.offset, uint32(n.Size))
		b = append32(b, f.words...)
	case extendedFile:
		b = binary.LittleEndian.AppendUint64(b, uint64(f.start))
		b = binary.LittleEndian.AppendUint64(b, uint64(n.Size))
		b = binary.LittleEndian.AppendUint64(b, uint64(f.holes))
		b = append32(b, 1, f.fragment, f.offset, noXattr)
		b = append32(b, f.words...)
	case basicSymlink:
		b = append32(b, 1, uint32(len(n.Target)))
		b = append(b, n.Target...)
	case basicBlock, basicChar:
		// As the kernel's new_encode_dev does (include/linux/kdev_t.h).
		b = append32(b, 1, n.Minor&0xFF|n.Major<<8|n.Minor&^0xFF<<12)
	default:
		b = append32(b, 1)
	}
	return t.add(b), nil
}

// header is what all inodes begin with.
func (t *tables) header(n *node, kind uint16) ([]byte, error) {
	uid, err := t.ids.of(n.UID)
	if err != nil {
		return nil, err
	}
	gid, err := t.ids.of(n.GID)
	if err != nil {
		return nil, err
	}
	b := append16(make([]byte, 0, 64), kind, uint16(n.Mode&^disk.TypeMask), uid, gid)
	return append32(b, t.epoch, n.number), nil
}

// add writes an inode; they come in the order of their numbers.
func (t *tables) add(inode []byte) uint64 {
	at := reference(t.inodes.position())
	t.inodes.write(inode)
	t.exports = append(t.exports, at)
	return at
}

func append16(b []byte, values ...uint16) []byte {
	b = slices.Grow(b, 2*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	return b
}

func append32(b []byte, values ...uint32) []byte {
	b = slices.Grow(b, 4*len(values))
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}
