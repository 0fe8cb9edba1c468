package squashfs_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/boardroom-tee/boardroom/tools/disk"
)

// reader reads images back, by fs/squashfs of Linux and not by the writer. It stops the test at the first thing that the kernel would
// not take.
type reader struct {
	t     *testing.T
	image []byte
	z     *zstd.Decoder

	block                    int
	epoch                    uint32
	inodes, folders          uint64 // where the tables begin
	fragments, exports, uids []byte
	numbers                  map[uint32]bool
	entries                  []disk.Entry
	// last is the block that was read last: short files share one.
	lastAt uint64
	last   []byte
}

func (r *reader) check(ok bool, format string, args ...any) {
	r.t.Helper()
	if !ok {
		r.t.Fatalf(format, args...)
	}
}

var le = binary.LittleEndian

func read(t *testing.T, image []byte) *disk.Tree {
	t.Helper()
	z, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(1<<20), zstd.WithDecoderMaxWindow(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	r := &reader{t: t, image: image, z: z, numbers: make(map[uint32]bool)}
	r.check(le.Uint32(image) == 0x73717368 && le.Uint16(image[20:]) == 6 && le.Uint32(image[28:]) == 4, "not squashfs 4.0 with zstd")
	r.block, r.epoch = int(le.Uint32(image[12:])), le.Uint32(image[8:])
	r.check(1<<le.Uint16(image[22:]) == r.block, "logarithm of the block size")
	used := le.Uint64(image[40:])
	r.check(used <= uint64(len(image)) && uint64(len(image))-used < 4096, "%d bytes of %d used", used, len(image))
	r.inodes, r.folders = le.Uint64(image[64:]), le.Uint64(image[72:])
	inodes := int(le.Uint32(image[4:]))
	// Tables stand in the order that the kernel checks: fragments, exports, owners, each with its index behind it.
	r.fragments = r.lookup(le.Uint64(image[80:]), 16*int(le.Uint32(image[16:])))
	r.exports = r.lookup(le.Uint64(image[88:]), 8*inodes)
	r.uids = r.lookup(le.Uint64(image[48:]), 4*int(le.Uint16(image[26:])))
	r.check(r.inodes < r.folders && r.folders <= le.Uint64(image[80:]) && le.Uint64(image[56:]) == 1<<64-1, "order of tables")
	r.walk(".", le.Uint64(image[32:]), basicFolder, uint32(inodes)+1)
	r.check(len(r.entries) == inodes && len(r.numbers) == inodes, "%d entries with %d numbers of %d inodes", len(r.entries), len(r.numbers), inodes)
	tree, err := disk.NewTree(r.entries)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// unpack decompresses a frame that needs no larger window than limit.
func (r *reader) unpack(b []byte, limit int) []byte {
	r.t.Helper()
	var h zstd.Header
	r.check(h.Decode(b) == nil && h.SingleSegment && h.HasFCS && h.FrameContentSize <= uint64(limit) && !h.HasCheckSum, "frame %+v", h)
	out, err := r.z.DecodeAll(b, nil)
	r.check(err == nil, "%v", err)
	return out
}

// metadata returns a block of metadata and the offset of the next.
func (r *reader) metadata(at uint64) ([]byte, uint64) {
	r.t.Helper()
	head := le.Uint16(r.image[at:])
	size := uint64(head &^ (1 << 15))
	b := r.image[at+2:][:size]
	if head&(1<<15) == 0 {
		b = r.unpack(b, 8192)
	}
	r.check(len(b) > 0 && len(b) <= 8192, "metadata block of %d bytes", len(b))
	return b, at + 2 + size
}

func (r *reader) lookup(at uint64, size int) []byte {
	r.t.Helper()
	var table []byte
	for i := range (size + 8191) / 8192 {
		b, next := r.metadata(le.Uint64(r.image[at+8*uint64(i):]))
		r.check(next <= at, "table behind its index")
		table = append(table, b...)
	}
	r.check(len(table) == size, "table of %d bytes, want %d", len(table), size)
	return table
}

// stream reads size bytes of a table from a reference.
func (r *reader) stream(table, block uint64, offset, size int) []byte {
	r.t.Helper()
	var out []byte
	for at := table + block; len(out) < offset+size; {
		b, next := r.metadata(at)
		out, at = append(out, b...), next
	}
	return out[offset:][:size]
}

const basicFolder = 1

func (r *reader) walk(name string, reference uint64, kind uint16, parent uint32) {
	r.t.Helper()
	// No inode of the tests is longer, but the last ones have less behind them.
	inode := func(size int) []byte { return r.stream(r.inodes, reference>>16, int(reference&0xFFFF), size) }
	b := inode(16)
	actual, number := le.Uint16(b), le.Uint32(b[12:])
	r.check(actual == kind || actual == kind+7 && kind < 3, "%s: inode of type %d in an entry of type %d", name, actual, kind)
	r.check(!r.numbers[number] && le.Uint64(r.exports[8*(number-1):]) == reference, "%s: number %d", name, number)
	r.numbers[number] = true
	r.check(le.Uint32(b[8:]) == r.epoch, "%s: time", name)
	e := disk.Entry{Path: name, Mode: uint32(le.Uint16(b[2:])), UID: le.Uint32(r.uids[4*int(le.Uint16(b[4:])):]), GID: le.Uint32(r.uids[4*int(le.Uint16(b[6:])):])}
	switch actual {
	case 1:
		b = inode(32)
		e.Mode |= disk.Folder
		r.folder(e, number, uint64(le.Uint32(b[16:])), int(le.Uint16(b[26:])), int(le.Uint16(b[24:])), le.Uint32(b[20:]))
		r.check(le.Uint32(b[28:]) == parent, "%s: parent", name)
		return
	case 8:
		b = inode(40)
		e.Mode |= disk.Folder
		r.folder(e, number, uint64(le.Uint32(b[24:])), int(le.Uint16(b[34:])), int(le.Uint32(b[20:])), le.Uint32(b[16:]))
		r.check(le.Uint32(b[28:]) == parent && le.Uint32(b[36:]) == 1<<32-1, "%s: parent or attributes", name)
		// The index leads to headers of runs, whose first names it has.
		at, count := 40, int(le.Uint16(b[32:]))
		r.check(count > 0, "%s: no index", name)
		for range count {
			i := inode(at + 12)[at:]
			n := int(le.Uint32(i[8:])) + 1
			first := inode(at + 12 + n)[at+12:]
			offset := (int(le.Uint16(b[34:])) + int(le.Uint32(i))) % 8192
			entry := r.stream(r.folders, uint64(le.Uint32(i[4:])), offset, 12+8+n)
			r.check(string(entry[20:]) == string(first) && int(le.Uint16(entry[18:]))+1 == n, "%s: %q in the index, %q in the listing", name, first, entry[20:])
			at += 12 + n
		}
		return
	case 2:
		b = inode(32)
		e.Mode |= disk.File
		r.file(&e, uint64(le.Uint32(b[16:])), int(le.Uint32(b[28:])), -1, b[20:28], func(n int) []byte { return inode(32 + n)[32:] })
	case 9:
		b = inode(56)
		e.Mode |= disk.File
		r.check(le.Uint32(b[40:]) == 1 && le.Uint32(b[52:]) == 1<<32-1, "%s: links or attributes", name)
		r.file(&e, le.Uint64(b[16:]), int(le.Uint64(b[24:])), int(le.Uint64(b[32:])), b[44:52], func(n int) []byte { return inode(56 + n)[56:] })
	case 3:
		e.Mode |= disk.Symlink
		n := int(le.Uint32(inode(24)[20:]))
		e.Target = string(inode(24 + n)[24:])
	case 4, 5:
		e.Mode |= map[uint16]uint32{4: disk.Block, 5: disk.Char}[actual]
		d := le.Uint32(inode(24)[20:])
		e.Major, e.Minor = d>>8&0xFFF, d&0xFF|d>>12&0xFFF00
	case 6:
		e.Mode |= disk.FIFO
	default:
		r.t.Fatalf("%s: inode of type %d", name, actual)
	}
	r.entries = append(r.entries, e)
}

func (r *reader) folder(e disk.Entry, number uint32, block uint64, offset, size int, links uint32) {
	r.t.Helper()
	r.entries = append(r.entries, e)
	list := []byte(nil)
	if size > 3 {
		list = r.stream(r.folders, block, offset, size-3)
	}
	last, folders := "", uint32(2)
	for len(list) > 0 {
		count, start, first := le.Uint32(list)+1, le.Uint32(list[4:]), le.Uint32(list[8:])
		r.check(count <= 256, "%s: %d entries in a run", e.Path, count)
		list = list[12:]
		for range count {
			at, delta, kind, n := le.Uint16(list), int16(le.Uint16(list[2:])), le.Uint16(list[4:]), int(le.Uint16(list[6:]))+1
			name := string(list[8:][:n])
			list = list[8+n:]
			r.check(last < name, "%s: %q after %q", e.Path, name, last)
			last = name
			reference := uint64(start)<<16 | uint64(at)
			r.check(le.Uint64(r.exports[8*(uint32(int64(first)+int64(delta))-1):]) == reference, "%s/%s: number", e.Path, name)
			if kind == basicFolder {
				folders++
			}
			r.walk(path.Join(e.Path, name), reference, kind, number)
		}
	}
	r.check(links == folders, "%s: %d links, want %d", e.Path, links, folders)
}

func (r *reader) file(e *disk.Entry, start uint64, size, holes int, fragment []byte, words func(int) []byte) {
	r.t.Helper()
	var content []byte
	if n := le.Uint32(fragment); n != 1<<32-1 {
		f := r.fragments[16*n:]
		content = r.data(le.Uint64(f), le.Uint32(f[8:]))[le.Uint32(fragment[4:]):][:size]
	} else {
		blocks, zeros := (size+r.block-1)/r.block, 0
		list := words(4 * blocks)
		for i := range blocks {
			want := min(size-len(content), r.block)
			word := le.Uint32(list[4*i:])
			if word == 0 {
				content = append(content, make([]byte, want)...)
				zeros += want
				continue
			}
			b := r.data(start, word)
			r.check(len(b) == want, "%s: block of %d bytes, want %d", e.Path, len(b), want)
			content = append(content, b...)
			start += uint64(word &^ (1 << 24))
		}
		r.check(holes == zeros || holes == -1 && zeros == 0, "%s: holes of %d bytes, want %d", e.Path, holes, zeros)
	}
	e.Size, e.Open = int64(size), disk.Content(bytes.Clone(content))
}

func (r *reader) data(at uint64, word uint32) []byte {
	r.t.Helper()
	if at == r.lastAt {
		return r.last
	}
	b := r.image[at:][:word&^(1<<24)]
	if word&(1<<24) == 0 {
		b = r.unpack(b, r.block)
	}
	r.check(len(b) > 0 && len(b) <= r.block, "%s", fmt.Sprintf("block of %d bytes", len(b)))
	r.lastAt, r.last = at, b
	return b
}
