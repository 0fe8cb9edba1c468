package squashfs

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"runtime"

	"github.com/klauspost/compress/zstd"

	"github.com/boardroom-tee/boardroom/tools/disk"
)

// Level is how much work goes into compression.
type Level int

// Levels. The zero value is Best.
const (
	Best Level = iota
	Better
	Fast
)

// DefaultBlockSize is that of mksquashfs.
const DefaultBlockSize = 128 << 10

// Options are what an image depends on besides the tree.
type Options struct {
	// Epoch is every time in the image, in seconds since 1970, at most 2^32-1.
	Epoch int64
	// BlockSize is a power of two from 4 KiB to 1 MiB; 0 is DefaultBlockSize.
	BlockSize int
	Level     Level
}

// maxWorkers bounds memory on machines with many cores: a worker has about six blocks and a compressor of up to 40 MiB.
const maxWorkers = 16

func (o *Options) check() error {
	if o.Epoch < 0 || o.Epoch > math.MaxUint32 {
		return fmt.Errorf("epoch %d: expected 0 to %d", o.Epoch, uint32(math.MaxUint32))
	}
	if o.BlockSize == 0 {
		o.BlockSize = DefaultBlockSize
	}
	if b := o.BlockSize; b < minBlock || b > maxBlock || b&(b-1) != 0 {
		return fmt.Errorf("block size %d: expected a power of two from %d to %d", b, minBlock, maxBlock)
	}
	if o.Level < Best || o.Level > Fast {
		return fmt.Errorf("level %d: expected %d to %d", o.Level, Best, Fast)
	}
	return nil
}

func (o *Options) compressor(workers int) (*zstd.Encoder, error) {
	level := [...]zstd.EncoderLevel{Best: zstd.SpeedBestCompression, Better: zstd.SpeedBetterCompression, Fast: zstd.SpeedDefault}[o.Level]
	// The kernel decompresses into a window of one block (fs/squashfs/zstd_wrapper.c): a single segment has no larger one.
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(workers), zstd.WithWindowSize(o.BlockSize),
		zstd.WithSingleSegment(true), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
}

// Write writes an image of the tree to w from its beginning, and returns its size, which is a multiple of 4096. Every byte up
// to that is written.
func Write(w io.WriterAt, tree *disk.Tree, options Options) (int64, error) {
	if err := options.check(); err != nil {
		return 0, fmt.Errorf("squashfs: %w", err)
	}
	size, err := write(w, tree, options)
	if err != nil {
		return 0, fmt.Errorf("squashfs: %w", err)
	}
	return size, nil
}

func write(w io.WriterAt, tree *disk.Tree, options Options) (int64, error) {
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	z, err := options.compressor(workers)
	if err != nil {
		return 0, err
	}
	root, err := nodes(tree)
	if err != nil {
		return 0, err
	}
	data := newData(w, z, options.BlockSize, workers)
	if err := data.files(root, workers); err != nil {
		return 0, err
	}
	t := newTables(z, uint32(options.Epoch))
	rootAt, err := t.folder(root, root.number+1)
	if err != nil {
		return 0, err
	}
	s := superblock{
		inodes: root.number, time: uint32(options.Epoch), blockSize: uint32(options.BlockSize), fragments: uint32(len(data.fragments)),
		ids: uint16(len(t.ids.list)), root: rootAt,
	}
	out := &tail{start: data.at, at: data.at}
	s.inodeTable = out.add(t.inodes.finish())
	s.folderTable = out.add(t.folders.finish())
	var fragments, exports, ids []byte
	for _, f := range data.fragments {
		fragments = binary.LittleEndian.AppendUint64(fragments, uint64(f.start))
		fragments = binary.LittleEndian.AppendUint32(fragments, f.word)
		fragments = binary.LittleEndian.AppendUint32(fragments, 0)
	}
	for _, at := range t.exports {
		exports = binary.LittleEndian.AppendUint64(exports, at)
	}
	for _, id := range t.ids.list {
		ids = binary.LittleEndian.AppendUint32(ids, id)
	}
	s.fragmentTable = out.lookup(z, fragments)
	s.exportTable = out.lookup(z, exports)
	s.idTable = out.lookup(z, ids)
	s.bytes = uint64(out.at)
	out.add(make([]byte, -out.at&(pad-1)))
	if _, err := w.WriteAt(out.b, out.start); err != nil {
		return 0, err
	}
	if _, err := w.WriteAt(s.encode(), 0); err != nil {
		return 0, err
	}
	return out.at, nil
}

// tail is what follows the data.
type tail struct {
	b         []byte
	start, at int64
}

// add appends and returns where in the image that is.
func (t *tail) add(b []byte) uint64 {
	at := t.at
	t.b = append(t.b, b...)
	t.at += int64(len(b))
	return uint64(at)
}

// lookup appends a table in metadata blocks and then the list of where they are, which is what the superblock points to.
func (t *tail) lookup(z *zstd.Encoder, table []byte) uint64 {
	var list []byte
	for len(table) > 0 {
		n := min(len(table), metadataBlock)
		list = binary.LittleEndian.AppendUint64(list, t.add(appendMetadata(nil, z, table[:n])))
		table = table[n:]
	}
	return t.add(list)
}
