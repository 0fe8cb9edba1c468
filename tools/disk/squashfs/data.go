package squashfs

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// data writes the content of files: blocks are read in order, compressed at the same time, and written in order.
type data struct {
	w    io.WriterAt
	z    *zstd.Encoder
	size int
	at   int64
	// queue has the blocks that are being compressed, oldest first, at most limit.
	queue     []*block
	limit     int
	pool      []*block
	fragments []fragment
	// packed has the short files of the fragment block under way.
	packed *block
}

// fragment is a block of short files.
type fragment struct {
	start int64
	word  uint32
}

type block struct {
	raw, packed []byte
	done        chan struct{}
	// written is told where the block is and its size as an inode has it.
	written func(at int64, word uint32)
}

// newData starts behind the superblock.
func newData(w io.WriterAt, z *zstd.Encoder, size, workers int) *data {
	return &data{w: w, z: z, size: size, at: superblockSize, limit: 2 * workers}
}

// files writes the content of all files below root.
func (d *data) files(root *node, workers int) error {
	equal, err := equalFiles(root, workers)
	if err != nil {
		return err
	}
	err = root.walk(func(n *node) error {
		if first := equal[n]; first != nil {
			n.file = first.file
			return nil
		}
		n.file = &content{fragment: noFragment}
		return d.file(n)
	})
	if err == nil && d.packed != nil {
		err = d.submitFragment()
	}
	// What is being compressed is waited for in any case: the blocks are not ours before that.
	for len(d.queue) > 0 {
		err = errors.Join(err, d.collect(err == nil))
	}
	return err
}

// file reads one file to its end.
func (d *data) file(n *node) error {
	r, err := n.Reader()
	if err != nil {
		return err
	}
	defer r.Close()
	if n.Size < int64(d.size) {
		err = d.short(n, r)
	} else {
		err = d.long(n, r)
	}
	if err != nil {
		return err
	}
	// A reader says that there is more than the file's size only to who asks.
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		return err
	}
	return nil
}

// short packs a file into the fragment block under way.
func (d *data) short(n *node, r io.Reader) error {
	size := int(n.Size)
	if size == 0 {
		return nil
	}
	if d.packed != nil && len(d.packed.raw)+size > d.size {
		if err := d.submitFragment(); err != nil {
			return err
		}
	}
	if d.packed == nil {
		d.packed = d.block()
	}
	b := d.packed
	offset := len(b.raw)
	b.raw = b.raw[:offset+size]
	n.file.fragment, n.file.offset = uint32(len(d.fragments)), uint32(offset)
	_, err := io.ReadFull(r, b.raw[offset:])
	return err
}

// long makes blocks of a file, the last one as long as what is left.
func (d *data) long(n *node, r io.Reader) error {
	f := n.file
	f.words = make([]uint32, (n.Size+int64(d.size)-1)/int64(d.size))
	left := n.Size
	for i := range f.words {
		b := d.block()
		b.raw = b.raw[:min(left, int64(d.size))]
		left -= int64(len(b.raw))
		if _, err := io.ReadFull(r, b.raw); err != nil {
			return err
		}
		if zero(b.raw) {
			f.holes += int64(len(b.raw))
			d.pool = append(d.pool, b)
			continue
		}
		b.written = func(at int64, word uint32) {
			if f.start == 0 { // never the place of a block, the superblock is there
				f.start = at
			}
			f.words[i] = word
		}
		if err := d.submit(b); err != nil {
			return err
		}
	}
	return nil
}

func zero(b []byte) bool {
	return b[0] == 0 && bytes.Equal(b[:len(b)-1], b[1:])
}

func (d *data) submitFragment() error {
	b := d.packed
	d.packed = nil
	i := len(d.fragments)
	d.fragments = append(d.fragments, fragment{})
	b.written = func(at int64, word uint32) { d.fragments[i] = fragment{at, word} }
	return d.submit(b)
}

// block returns an empty block with room for a full one.
func (d *data) block() *block {
	if last := len(d.pool) - 1; last >= 0 {
		b := d.pool[last]
		d.pool = d.pool[:last]
		b.raw = b.raw[:0]
		return b
	}
	return &block{raw: make([]byte, 0, d.size), done: make(chan struct{}, 1)}
}

// submit begins to compress a block.
func (d *data) submit(b *block) error {
	go func() {
		b.packed = d.z.EncodeAll(b.raw, b.packed[:0])
		b.done <- struct{}{}
	}()
	d.queue = append(d.queue, b)
	if len(d.queue) < d.limit {
		return nil
	}
	return d.collect(true)
}

// collect waits for the oldest block and writes it.
func (d *data) collect(write bool) error {
	b := d.queue[0]
	d.queue = append(d.queue[:0], d.queue[1:]...)
	<-b.done
	if !write {
		return nil
	}
	bytes, word := b.packed, uint32(len(b.packed))
	if len(b.packed) >= len(b.raw) {
		bytes, word = b.raw, uint32(len(b.raw))|storedData
	}
	if _, err := d.w.WriteAt(bytes, d.at); err != nil {
		return err
	}
	b.written(d.at, word)
	d.at += int64(len(bytes))
	d.pool = append(d.pool, b)
	return nil
}

// equalFiles finds files with the content of an earlier one. Only files with the size of another are read for that.
func equalFiles(root *node, workers int) (map[*node]*node, error) {
	bySize := make(map[int64]int)
	var files []*node
	_ = root.walk(func(n *node) error { bySize[n.Size]++; return nil })
	_ = root.walk(func(n *node) error {
		if n.Size > 0 && bySize[n.Size] > 1 {
			files = append(files, n)
		}
		return nil
	})
	sums, errs := make([][sha256.Size]byte, len(files)), make([]error, len(files))
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := w; i < len(files); i += workers {
				h := sha256.New()
				errs[i] = files[i].Copy(h)
				h.Sum(sums[i][:0])
			}
		})
	}
	wait.Wait()
	type key struct {
		size int64
		sum  [sha256.Size]byte
	}
	first, equal := make(map[key]*node), make(map[*node]*node)
	for i, n := range files {
		if errs[i] != nil {
			return nil, errs[i]
		}
		k := key{n.Size, sums[i]}
		if known := first[k]; known != nil {
			equal[n] = known
		} else {
			first[k] = n
		}
	}
	return equal, nil
}
