package transparency

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// TileHeight is that of c2sp.org/tlog-tiles; a full tile has TileWidth hashes, a full bundle as many entries.
	TileHeight = 8
	TileWidth  = 1 << TileHeight

	// MaxTile and MaxEntryBundle bound what a log serves, in bytes.
	MaxTile        = TileWidth * tlog.HashSize
	MaxEntryBundle = TileWidth * (2 + MaxEntry)
)

// Reader reads what a log publishes. Width is the number of hashes or entries, TileWidth for what is full. What is not there is an
// [fs.ErrNotExist]. Nothing that is returned has to be right; but it is bounded, by MaxCheckpoint, MaxTile and MaxEntryBundle.
type Reader interface {
	Checkpoint(ctx context.Context) ([]byte, error)
	ReadTile(ctx context.Context, level, index uint64, width int) ([]byte, error)
	ReadEntryBundle(ctx context.Context, index uint64, width int) ([]byte, error)
}

// Tree is the tree of a checkpoint that was verified. Every hash and entry that it returns is in it.
type Tree struct {
	head   Checkpoint
	note   []byte
	reader Reader
}

// NewTree reads the tree of a verified checkpoint.
func NewTree(head Checkpoint, r Reader) *Tree { return &Tree{head: head, reader: r} }

// Head is the tree's checkpoint.
func (t *Tree) Head() Checkpoint { return t.head }

// Note is the checkpoint as [Follow] read it, verbatim and with all signatures; nil for a tree of NewTree.
func (t *Tree) Note() []byte { return bytes.Clone(t.note) }

// Inclusion proves that the entry with an index is in the tree.
func (t *Tree) Inclusion(ctx context.Context, index uint64) ([]Hash, error) {
	if index >= t.head.Size {
		return nil, fmt.Errorf("log %s: expected an index below the tree's size %d, got %d", t.head.Origin, t.head.Size, index)
	}
	tiles := t.tiles(ctx)
	hashes, err := tlog.ProveRecord(int64(t.head.Size), int64(index), tiles.hashes())
	return hashes, tiles.fault(err)
}

// Consistency proves that the tree begins with the one of a smaller size.
func (t *Tree) Consistency(ctx context.Context, old uint64) ([]Hash, error) {
	if old > t.head.Size {
		return nil, fmt.Errorf("log %s: expected a size of at most %d, got %d", t.head.Origin, t.head.Size, old)
	}
	if old == 0 || old == t.head.Size {
		return nil, nil
	}
	tiles := t.tiles(ctx)
	hashes, err := tlog.ProveTree(int64(t.head.Size), int64(old), tiles.hashes())
	return hashes, tiles.fault(err)
}

// Prover is the [Prover] of a tree.
func (t *Tree) Prover(ctx context.Context) Prover {
	return func(from, to uint64) ([]Hash, bool, error) {
		if to != t.head.Size || from > to {
			return nil, false, nil
		}
		hashes, err := t.Consistency(ctx, from)
		return hashes, err == nil, err
	}
}

// Entries calls yield with every entry from index first on, in order, until it returns an error.
func (t *Tree) Entries(ctx context.Context, first uint64, yield func(index uint64, entry []byte) error) error {
	for bundle := first / TileWidth; bundle*TileWidth < t.head.Size; bundle++ {
		start := bundle * TileWidth
		entries, err := t.bundle(ctx, bundle)
		if err != nil {
			return err
		}
		leaves, err := t.leaves(ctx, start, len(entries))
		if err != nil {
			return err
		}
		for i, entry := range entries {
			index := start + uint64(i)
			if tlog.RecordHash(entry) != leaves[i] {
				return refuse(CodeTile, "log %s: expected entry %d to have the hash %s, got one with %s", t.head.Origin, index, leaves[i], tlog.RecordHash(entry))
			}
			if index < first {
				continue
			}
			if err := yield(index, entry); err != nil {
				return err
			}
		}
	}
	return nil
}

// Entry returns the entry with an index.
func (t *Tree) Entry(ctx context.Context, index uint64) (entry []byte, err error) {
	if index >= t.head.Size {
		return nil, fmt.Errorf("log %s: expected an index below the tree's size %d, got %d", t.head.Origin, t.head.Size, index)
	}
	err = t.Entries(ctx, index, func(_ uint64, e []byte) error {
		entry = e
		return errStop
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return entry, err
}

// errStop ends Entries.
var errStop = errors.New("stop")

// Find returns the index of the first entry with the given bytes.
func (t *Tree) Find(ctx context.Context, entry []byte) (index uint64, found bool, err error) {
	want := tlog.RecordHash(entry)
	for start := uint64(0); start < t.head.Size; start += TileWidth {
		leaves, err := t.leaves(ctx, start, t.width(0, start/TileWidth))
		if err != nil {
			return 0, false, err
		}
		for i, leaf := range leaves {
			if leaf == want {
				return start + uint64(i), true, nil
			}
		}
	}
	return 0, false, nil
}

// width is how many hashes the tile of a level has.
func (t *Tree) width(level int, index uint64) int {
	return int(min(t.head.Size>>(TileHeight*level)-index*TileWidth, TileWidth))
}

// leaves returns hashes of entries that are in the tree.
func (t *Tree) leaves(ctx context.Context, start uint64, n int) ([]Hash, error) {
	indexes := make([]int64, n)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, int64(start)+int64(i))
	}
	tiles := t.tiles(ctx)
	hashes, err := tiles.hashes().ReadHashes(indexes)
	return hashes, tiles.fault(err)
}

// bundle reads a bundle and takes it apart (c2sp.org/tlog-tiles, "Log entries"). What it returns is not verified.
func (t *Tree) bundle(ctx context.Context, index uint64) ([][]byte, error) {
	width := t.width(0, index)
	data, err := t.reader.ReadEntryBundle(ctx, index, width)
	if width < TileWidth && errors.Is(err, fs.ErrNotExist) {
		data, err = t.reader.ReadEntryBundle(ctx, index, TileWidth)
	}
	if err != nil {
		return nil, err
	}
	entries := make([][]byte, 0, width)
	for len(entries) < width {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, refuse(CodeTile, "log %s: entry bundle %d: expected %d entries, got %d", t.head.Origin, index, width, len(entries))
		}
		n := 2 + int(binary.BigEndian.Uint16(data))
		entries, data = append(entries, data[2:n:n]), data[n:]
	}
	return entries, nil
}

// tileReader lets tlog read tiles, and keeps the reader's error apart from tlog's, which is a verdict about the tiles.
type tileReader struct {
	ctx  context.Context
	tree *Tree
	err  error
}

func (t *Tree) tiles(ctx context.Context) *tileReader { return &tileReader{ctx: ctx, tree: t} }

func (r *tileReader) hashes() tlog.HashReader {
	return tlog.TileHashReader(tlog.Tree{N: int64(r.tree.head.Size), Hash: r.tree.head.Root}, r)
}

func (r *tileReader) fault(err error) error {
	switch {
	case err == nil:
		return nil
	case r.err != nil:
		return r.err
	default:
		return refuse(CodeTile, "log %s: expected tiles that hash to the root of tree size %d, got others: %v", r.tree.head.Origin, r.tree.head.Size, err)
	}
}

func (r *tileReader) Height() int { return TileHeight }

func (r *tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func (r *tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	all := make([][]byte, len(tiles))
	for i, tile := range tiles {
		if all[i], r.err = r.tree.tile(r.ctx, tile.L, uint64(tile.N), tile.W); r.err != nil {
			return nil, r.err
		}
	}
	return all, nil
}

// tile reads the first hashes of a tile of the tree. What it returns is not verified.
func (t *Tree) tile(ctx context.Context, level int, index uint64, width int) ([]byte, error) {
	// The tile of this tree may be wider than what was asked for, and a log may have dropped it for the full one.
	for _, w := range []int{t.width(level, index), TileWidth} {
		data, err := t.reader.ReadTile(ctx, uint64(level), index, w)
		if errors.Is(err, fs.ErrNotExist) && w < TileWidth {
			continue
		}
		if err != nil {
			return nil, err
		}
		if len(data) != w*tlog.HashSize {
			return nil, refuse(CodeTile, "log %s: tile %d of level %d: expected %d bytes, got %d", t.head.Origin, index, level, w*tlog.HashSize, len(data))
		}
		return data[:width*tlog.HashSize], nil
	}
	return nil, fs.ErrNotExist // the loop ends with TileWidth
}

// Check reads every entry and every tile of the tree, and computes all of them anew from the entries. The error is a [*Refusal], or the
// reader's.
func (t *Tree) Check(ctx context.Context) error {
	// levels[l] are the hashes of level 8*l that no full tile has yet, and counts[l] the full tiles.
	var (
		levels [][]Hash
		counts []uint64
	)
	compare := func(level int) error {
		var want bytes.Buffer
		for _, h := range levels[level] {
			want.Write(h[:])
		}
		got, err := t.tile(ctx, level, counts[level], len(levels[level]))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want.Bytes()) {
			return refuse(CodeTile, "log %s: tile %d of level %d: expected the hashes of the entries below, got others", t.head.Origin, counts[level], level)
		}
		return nil
	}
	var add func(level int, h Hash) error
	add = func(level int, h Hash) error {
		if level == len(levels) {
			levels, counts = append(levels, nil), append(counts, 0)
		}
		levels[level] = append(levels[level], h)
		if len(levels[level]) < TileWidth {
			return nil
		}
		if err := compare(level); err != nil {
			return err
		}
		above := subtree(levels[level])
		levels[level], counts[level] = nil, counts[level]+1
		return add(level+1, above)
	}
	for index := uint64(0); index*TileWidth < t.head.Size; index++ {
		entries, err := t.bundle(ctx, index)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := add(0, tlog.RecordHash(entry)); err != nil {
				return err
			}
		}
	}
	root, right := emptyRoot, false
	for level := range levels {
		if len(levels[level]) == 0 {
			continue
		}
		if err := compare(level); err != nil {
			return err
		}
		hashes := levels[level]
		if right {
			hashes = append(hashes[:len(hashes):len(hashes)], root)
		}
		root, right = subtree(hashes), true
	}
	if root != t.head.Root {
		return refuse(CodeTile, "log %s: expected the root %s for its %d entries, got the checkpoint's %s", t.head.Origin, root, t.head.Size, t.head.Root)
	}
	return nil
}

// subtree is the root over at least one hash: MTH of RFC 6962 section 2.1, above the leaves. The last hash may be that of a smaller tree
// than the others': then it stays on the right edge, where it belongs.
func subtree(hashes []Hash) Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	split := 1
	for split*2 < len(hashes) {
		split *= 2
	}
	return tlog.NodeHash(subtree(hashes[:split]), subtree(hashes[split:]))
}
