package guestimage

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/deb"
)

// treeFS shows a folder of unpacked packages as a file system. Links are shown and not followed.
type treeFS struct {
	tree     *deb.Tree
	entries  map[string]deb.Entry
	children map[string][]fs.DirEntry
}

func newTreeFS(tree *deb.Tree, below string) *treeFS {
	t := &treeFS{tree: tree, entries: map[string]deb.Entry{".": {Path: below, Type: deb.Folder, Mode: 0o755}}, children: make(map[string][]fs.DirEntry)}
	for _, e := range tree.Entries() {
		name, inside := strings.CutPrefix(e.Path, below+"/")
		if !inside {
			continue
		}
		t.entries[name] = e
		dir := path.Dir(name)
		t.children[dir] = append(t.children[dir], fs.FileInfoToDirEntry(treeInfo{e}))
	}
	for _, list := range t.children {
		slices.SortFunc(list, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	}
	return t
}

// Open opens a file or folder.
func (t *treeFS) Open(name string) (fs.File, error) {
	e, found := t.entries[name]
	switch {
	case !fs.ValidPath(name):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	case !found:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case e.Type == deb.Folder:
		return &treeFile{info: treeInfo{e}, Reader: bytes.NewReader(nil), entries: t.children[name]}, nil
	case e.Type == deb.File:
		return &treeFile{info: treeInfo{e}, Reader: t.tree.Open(e)}, nil
	default:
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("is a link")}
	}
}

type treeFile struct {
	io.Reader
	info    treeInfo
	entries []fs.DirEntry
}

// Stat describes the entry.
func (f *treeFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close does nothing.
func (f *treeFile) Close() error { return nil }

// ReadDir lists a folder.
func (f *treeFile) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := f.entries
	if n > 0 && len(rest) == 0 {
		return nil, io.EOF
	}
	if n > 0 {
		rest = rest[:min(n, len(rest))]
	}
	f.entries = f.entries[len(rest):]
	return rest, nil
}

type treeInfo struct{ entry deb.Entry }

func (i treeInfo) Name() string       { return path.Base(i.entry.Path) }
func (i treeInfo) Size() int64        { return i.entry.Size }
func (i treeInfo) ModTime() time.Time { return time.Time{} }
func (i treeInfo) IsDir() bool        { return i.entry.Type == deb.Folder }
func (i treeInfo) Sys() any           { return nil }
func (i treeInfo) Mode() fs.FileMode {
	mode := fs.FileMode(i.entry.Mode & 0o777)
	switch i.entry.Type {
	case deb.Folder:
		mode |= fs.ModeDir
	case deb.Symlink:
		mode |= fs.ModeSymlink
	}
	return mode
}
