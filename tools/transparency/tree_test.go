package transparency_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/logdir"
)

func tesseraReader(t testing.TB) transparency.Reader {
	t.Helper()
	r, err := logdir.Open("testdata/tessera")
	check(t, err)
	t.Cleanup(r.Close)
	return r
}

// A log that another program wrote: its words, and a tree for every size.
func TestTreeOfTessera(t *testing.T) {
	r := tesseraReader(t)
	for size := range 16 {
		head, _, err := tesseraPolicy.Open(tesseraCheckpoint(t, size))
		check(t, err)
		tree := transparency.NewTree(head, r)
		check(t, tree.Check(t.Context()))
		var words []string
		check(t, tree.Entries(t.Context(), 0, func(_ uint64, e []byte) error {
			words = append(words, string(e))
			return nil
		}))
		want := []string{"one", "two", "three", "four", "five", "six", "seven", "eit", "nain", "ten", "ileven", "twelf", "threeten", "four" + "ten", "fivten"}[:size]
		if fmt.Sprint(words) != fmt.Sprint(want) {
			t.Errorf("size %d: entries are %v, want %v", size, words, want)
		}
	}
}

// sizes are those at which trees and tiles change their form.
var sizes = []int{1, 2, 255, 256, 257, 511, 512, 513, 70_000}

func TestTree(t *testing.T) {
	l := newLog(t, 1)
	for _, size := range sizes {
		var entries [][]byte
		for i := len(l.entries); i < size; i++ {
			entries = append(entries, fmt.Appendf(nil, "entry %d", i))
		}
		l.add(entries...)
		tree := transparency.NewTree(l.at(uint64(size)), l)
		check(t, tree.Check(t.Context()))
		for _, index := range []uint64{0, uint64(size) / 2, uint64(size) - 1} {
			entry, err := tree.Entry(t.Context(), index)
			if err != nil || !bytes.Equal(entry, l.entries[index]) {
				t.Errorf("size %d: entry %d is %q: %v", size, index, entry, err)
			}
			hashes, err := tree.Inclusion(t.Context(), index)
			check(t, err)
			p := transparency.Proof{Origin: origin, Index: index, Hashes: hashes, Checkpoint: l.head}
			if _, err := transparency.Verify(p, entry, l.policy()); err != nil {
				t.Errorf("size %d: entry %d: %v", size, index, err)
			}
			if at, found, err := tree.Find(t.Context(), entry); err != nil || !found || at != index {
				t.Errorf("size %d: entry %d is found at %d, %v: %v", size, index, at, found, err)
			}
			hashes, err = tree.Consistency(t.Context(), index)
			check(t, err)
			check(t, transparency.VerifyConsistency(l.at(index), tree.Head(), hashes))
		}
		if _, found, err := tree.Find(t.Context(), []byte("stranger")); err != nil || found {
			t.Errorf("size %d: a stranger is found: %v", size, err)
		}
		var last uint64
		n := 0
		from := uint64(size) * 2 / 3
		check(t, tree.Entries(t.Context(), from, func(index uint64, entry []byte) error {
			if index != from+uint64(n) || !bytes.Equal(entry, l.entries[index]) {
				t.Fatalf("size %d: got entry %d after %d: %q", size, index, last, entry)
			}
			last, n = index, n+1
			return nil
		}))
		if n != size-int(from) {
			t.Errorf("size %d: got %d entries from %d on", size, n, from)
		}
	}
}

// A log may drop partial tiles and bundles that full ones have taken the place of.
func TestTreeWithoutPartialTiles(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 300)
	l.files = map[string][]byte{
		transparency.TilePath(0, 0, 256):     l.files[transparency.TilePath(0, 0, 256)],
		transparency.EntryBundlePath(0, 256): l.files[transparency.EntryBundlePath(0, 256)],
	}
	tree := transparency.NewTree(l.at(200), l)
	check(t, tree.Check(t.Context()))
	hashes, err := tree.Inclusion(t.Context(), 199)
	check(t, err)
	if _, err := transparency.Verify(transparency.Proof{Index: 199, Hashes: hashes, Checkpoint: l.checkpoint(200)}, l.entries[199], l.policy()); err != nil {
		t.Error(err)
	}
	_, err = transparency.NewTree(l.at(300), l).Inclusion(t.Context(), 299)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want that a tile is not there", err)
	}
}

func TestTreeRefuses(t *testing.T) {
	good := newLog(t, 1)
	good.grow("entry", 300)
	other := newLog(t, 1)
	other.grow("other", 300)
	var (
		leaves  = transparency.TilePath(0, 0, 256)
		partial = transparency.TilePath(0, 1, 44)
		above   = transparency.TilePath(1, 0, 1)
		bundle  = transparency.EntryBundlePath(0, 256)
	)
	flip := func(path string, at int) func(*fakeLog) {
		return func(l *fakeLog) {
			l.files[path] = bytes.Clone(l.files[path])
			l.files[path][at] ^= 1
		}
	}
	short := func(path string) func(*fakeLog) {
		return func(l *fakeLog) { l.files[path] = l.files[path][:len(l.files[path])-1] }
	}
	tests := []struct {
		name  string
		alter func(*fakeLog)
	}{
		{"a leaf", flip(leaves, 32*7)},
		{"a leaf of the last tile", flip(partial, 32*43)},
		{"a node", flip(above, 0)},
		{"a short tile", short(leaves)},
		{"a short bundle", short(bundle)},
		{"an entry", flip(bundle, 2)},
		{"the length of an entry", flip(bundle, 1)},
		{"tiles of another log", func(l *fakeLog) { l.files[leaves] = other.files[leaves] }},
		{"entries of another log", func(l *fakeLog) { l.files[bundle] = other.files[bundle] }},
		{"a whole other tree", func(l *fakeLog) { l.files = other.files }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := good.copy()
			tt.alter(l)
			tree := transparency.NewTree(l.at(300), l)
			refused(t, tree.Check(t.Context()), transparency.CodeTile)
			err := tree.Entries(t.Context(), 0, func(index uint64, entry []byte) error {
				if !bytes.Equal(entry, good.entries[index]) {
					t.Errorf("entry %d is believed to be %q", index, entry)
				}
				return nil
			})
			refused(t, err, transparency.CodeTile)
		})
	}
	// A root that was signed over other entries.
	head := good.at(300)
	head.Root[0] ^= 1
	refused(t, transparency.NewTree(head, good).Check(t.Context()), transparency.CodeTile)
	_, err := transparency.NewTree(head, good).Inclusion(t.Context(), 7)
	refused(t, err, transparency.CodeTile)

	tree := transparency.NewTree(good.at(300), good)
	if _, err := tree.Inclusion(t.Context(), 300); err == nil {
		t.Error("an index behind the tree has a proof")
	}
	if _, err := tree.Entry(t.Context(), 300); err == nil {
		t.Error("an index behind the tree has an entry")
	}
	if _, err := tree.Consistency(t.Context(), 301); err == nil {
		t.Error("a larger tree is a beginning")
	}
}

// brokenReader fails with what a disk or a network says, which is no verdict.
type brokenReader struct {
	transparency.Reader
	err error
}

func (r brokenReader) ReadTile(context.Context, uint64, uint64, int) ([]byte, error) {
	return nil, r.err
}
func (r brokenReader) ReadEntryBundle(context.Context, uint64, int) ([]byte, error) {
	return nil, r.err
}

func TestTreeKeepsTheReadersErrors(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 3)
	errDisk := errors.New("the disk is on fire")
	tree := transparency.NewTree(l.at(3), brokenReader{l, errDisk})
	_, inclusion := tree.Inclusion(t.Context(), 1)
	_, consistency := tree.Consistency(t.Context(), 1)
	_, _, find := tree.Find(t.Context(), l.entries[0])
	_, entry := tree.Entry(t.Context(), 0)
	for name, err := range map[string]error{
		"Inclusion": inclusion, "Consistency": consistency, "Find": find, "Entry": entry, "Check": tree.Check(t.Context()),
	} {
		if !errors.Is(err, errDisk) {
			t.Errorf("%s: error is %v, want the reader's", name, err)
		}
	}
}

// FuzzTree serves one file that is anything: no entry is believed that is not in the tree.
func FuzzTree(f *testing.F) {
	l := newLog(f, 1)
	l.grow("entry", 3)
	head := l.at(3)
	tile, bundle := transparency.TilePath(0, 0, 3), transparency.EntryBundlePath(0, 3)
	f.Add(l.files[tile], true)
	f.Add(l.files[bundle], false)
	f.Add(binary.BigEndian.AppendUint16(nil, 9), false)
	f.Fuzz(func(t *testing.T, data []byte, isTile bool) {
		c := l.copy()
		c.files[bundle] = data
		if isTile {
			c.files[bundle], c.files[tile] = l.files[bundle], data
		}
		tree := transparency.NewTree(head, c)
		n := 0
		err := tree.Entries(t.Context(), 0, func(index uint64, entry []byte) error {
			n++
			if !bytes.Equal(entry, l.entries[index]) {
				t.Fatalf("entry %d is believed to be %q", index, entry)
			}
			return nil
		})
		if (err == nil) != (n == 3) {
			t.Fatalf("got %d entries: %v", n, err)
		}
		if tree.Check(t.Context()) == nil && isTile && !bytes.Equal(data, l.files[tile]) {
			t.Fatal("an altered tile is checked")
		}
	})
}

// The paths are those of golang.org/x/mod, which has the height in them, too, and "data" for entries.
func TestPaths(t *testing.T) {
	for _, index := range []int64{0, 1, 255, 999, 1000, 1234067, 999_999_999, 1 << 40} {
		for _, width := range []int{1, 255, 256} {
			for level := range 8 {
				theirs := tlog.Tile{H: transparency.TileHeight, L: level, N: index, W: width}.Path()[len("tile/8/"):]
				if got := transparency.TilePath(uint64(level), uint64(index), width); got != "tile/"+theirs {
					t.Errorf("tile %d of level %d is at %s, want tile/%s", index, level, got, theirs)
				}
				r, ok := transparency.ParsePath("tile/" + theirs)
				if want := (transparency.Resource{Kind: transparency.TileResource, Level: uint64(level), Index: uint64(index), Width: width}); !ok || r != want {
					t.Errorf("tile/%s is read as %+v, want %+v", theirs, r, want)
				}
			}
			theirs := tlog.Tile{H: transparency.TileHeight, L: -1, N: index, W: width}.Path()[len("tile/8/data/"):]
			if got := transparency.EntryBundlePath(uint64(index), width); got != "tile/entries/"+theirs {
				t.Errorf("bundle %d is at %s, want tile/entries/%s", index, got, theirs)
			}
			if r, ok := transparency.ParsePath("tile/entries/" + theirs); !ok || r.Kind != transparency.EntryBundleResource || r.Index != uint64(index) || r.Width != width {
				t.Errorf("tile/entries/%s is read as %+v", theirs, r)
			}
		}
	}
	if r, ok := transparency.ParsePath("checkpoint"); !ok || r.Kind != transparency.CheckpointResource {
		t.Errorf("checkpoint is read as %+v", r)
	}
	for _, path := range []string{
		"", "/checkpoint", "checkpoint/", "Checkpoint", "tile", "tile/", "tile/0", "tile/0/", "tile/0/1", "tile/0/0001", "tile/0/000/", "tile/0/001/000",
		"tile/0/x000/001", "tile/0/x001/x000", "tile/00/000", "tile/-1/000", "tile/64/000", "tile/0/000.p", "tile/0/000.p/", "tile/0/000.p/0",
		"tile/0/000.p/01", "tile/0/000.p/256", "tile/0/000.p/+1", "tile/0/000.p/1/2", "tile/0/-01", "tile/entries", "tile/data/000", "tile/0/../../.state",
		".state/treeState", "tile/0/x999/x999/x999/x999/x999/x999/999",
	} {
		if r, ok := transparency.ParsePath(path); ok {
			t.Errorf("%q is read as %+v", path, r)
		}
	}
}
