package deb

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
)

// Type is what an entry of a tree is.
type Type byte

// The types of entries. Nothing else is in a tree.
const (
	Folder  Type = 'd'
	File    Type = 'f'
	Symlink Type = 'l'
)

// Entry is a file, folder or symbolic link of a tree. Hard links are files with equal content.
type Entry struct {
	// Path is relative to the root, clean, with slashes, such as "usr/bin/runc"; the root itself is ".".
	Path string
	Type Type
	// Mode holds the permission bits as in stat(2), with 04000 for setuid, 02000 for setgid and 01000 for sticky. Links have 0777.
	Mode uint32
	// UID and GID are the owner's numbers.
	UID, GID int
	// Target is where a link points; absolute targets are relative to the tree's root.
	Target string
	// Size is that of a file, in bytes.
	Size int64
	// SHA256 is the digest of a file's content.
	SHA256 Digest
	// Package is the name of the package that the entry is from; "" for folders and links that no package has.
	Package string

	// offset is where in the tree's spool the content begins.
	offset int64
}

// same tells whether two entries are the same but for the package they are from.
func (e Entry) same(f Entry) bool {
	e.Package, e.offset, f.Package, f.offset = "", 0, "", 0
	return e == f
}

func (e Entry) String() string {
	switch e.Type {
	case Folder:
		return fmt.Sprintf("folder with mode %04o of %d:%d", e.Mode, e.UID, e.GID)
	case Symlink:
		return "link to " + e.Target
	default:
		return fmt.Sprintf("file with mode %04o of %d:%d, sha256 %s", e.Mode, e.UID, e.GID, e.SHA256)
	}
}

// Tree is what a set of packages holds, as one root file system: the entries, and on disk one nameless file with all content.
// It is safe for concurrent readers.
type Tree struct {
	entries []Entry
	spool   *spool
}

// Entries are the tree's entries: the root first, then all others in byte order of their paths, so that folders stand before what
// is in them. The slice is the tree's own.
func (t *Tree) Entries() []Entry { return t.entries }

// Find returns the entry of a path.
func (t *Tree) Find(name string) (Entry, bool) {
	i, found := slices.BinarySearchFunc(t.entries, name, func(e Entry, name string) int { return comparePaths(e.Path, name) })
	if !found {
		return Entry{}, false
	}
	return t.entries[i], true
}

// Open reads the content of a file.
func (t *Tree) Open(e Entry) *io.SectionReader {
	return io.NewSectionReader(t.spool.file, e.offset, e.Size)
}

// Size is the size of all files, in bytes.
func (t *Tree) Size() int64 {
	var n int64
	for i := range t.entries {
		n += t.entries[i].Size
	}
	return n
}

// Digest is a digest over all entries with all that they have but the package; trees with equal digests are equal.
func (t *Tree) Digest() Digest {
	h := sha256.New()
	for _, e := range t.entries {
		fmt.Fprintf(h, "%c %04o %d %d %d %s %q %q\n", e.Type, e.Mode, e.UID, e.GID, e.Size, e.SHA256, e.Path, e.Target)
	}
	return Digest(h.Sum(nil))
}

// Close gives the content up.
func (t *Tree) Close() error { return t.spool.file.Close() }

// comparePaths puts the root first.
func comparePaths(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == ".":
		return -1
	case b == ".":
		return 1
	default:
		return strings.Compare(a, b)
	}
}

// spool is a nameless file that several goroutines append to.
type spool struct {
	file *os.File
	end  atomic.Int64
}

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, "deb-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &spool{file: f}, nil
}

// add copies size bytes into the spool.
func (s *spool) add(r io.Reader, size int64) (offset int64, sum Digest, err error) {
	offset = s.end.Add(size) - size
	h := sha256.New()
	_, err = io.CopyN(io.MultiWriter(h, io.NewOffsetWriter(s.file, offset)), r, size)
	return offset, Digest(h.Sum(nil)), err
}

// builder puts the entries of packages together.
type builder struct {
	entries map[string]Entry
	// left are folders that the filter leaves out; they are kept where something in them is.
	left map[string]Entry
}

func newBuilder() *builder {
	return &builder{
		entries: map[string]Entry{".": {Path: ".", Type: Folder, Mode: 0o755}},
		left:    make(map[string]Entry),
	}
}

// leave notes a folder that the filter leaves out.
func (b *builder) leave(e Entry) {
	if _, known := b.left[e.Path]; !known && e.Type == Folder {
		b.left[e.Path] = e
	}
}

// add puts an entry into the tree. Two packages may have the same folder, or an equal file or link; anything else that stands in
// two packages is refused, as is what would lie below a link.
func (b *builder) add(e Entry) error {
	for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
		if above, found := b.entries[dir]; !found {
			// No package's folder, until one comes that has it.
			b.entries[dir] = Entry{Path: dir, Type: Folder, Mode: 0o755}
		} else if above.Type != Folder {
			return refuse(ErrConflict, "%s of package %s lies below a %s of package %s", e.Path, e.Package, above, above.Package)
		}
	}
	old, found := b.entries[e.Path]
	switch {
	case !found || old.Package == "" && old.Type == Folder && e.Type == Folder:
		b.entries[e.Path] = e
	case !old.same(e):
		return refuse(ErrConflict, "%s is a %s in package %s and a %s in package %s", e.Path, old, old.owner(), e, e.Package)
	}
	return nil
}

func (e Entry) owner() string {
	if e.Package == "" {
		return "(none: something lies below it)"
	}
	return e.Package
}

// topLinks are the folders that merged-/usr systems have as links into /usr. Packages may still have files in them.
var topLinks = []string{"bin", "lib", "lib32", "lib64", "libo32", "libx32", "sbin"}

// finish adds what no package has and sorts.
func (b *builder) finish(s *spool) (*Tree, error) {
	for name, e := range b.entries {
		if left, known := b.left[name]; known && e.Package == "" && e.Type == Folder {
			b.entries[name] = left
		}
	}
	for _, name := range topLinks {
		if e := b.entries["usr/"+name]; e.Type != Folder {
			continue
		}
		link := Entry{Path: name, Type: Symlink, Mode: 0o777, Target: "usr/" + name}
		if old, found := b.entries[name]; found && !old.same(link) {
			return nil, refuse(ErrConflict, "%s is a %s in package %s, expected a link to usr/%s", name, old, old.owner(), name)
		} else if !found {
			b.entries[name] = link
		}
	}
	t := &Tree{spool: s}
	for _, e := range b.entries {
		t.entries = append(t.entries, e)
	}
	slices.SortFunc(t.entries, func(a, b Entry) int { return comparePaths(a.Path, b.Path) })
	return t, nil
}

// Write writes the tree to a folder, which must not exist or be empty. Files belong to the caller, so setuid and setgid bits, which
// speak of other owners, are left away. Links are written as they are: absolute ones lead somewhere else than in the tree for who
// follows them without making the folder a root.
func (t *Tree) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	present, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(present) > 0 {
		return fmt.Errorf("%s: expected a folder that does not exist or is empty, it has %s", dir, present[0].Name())
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, e := range t.entries {
		if err := t.writeEntry(root, e); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	// Folders get their modes last, as some can not be written to.
	for _, e := range slices.Backward(t.entries) {
		if e.Type == Folder {
			mode := os.FileMode(e.Mode & 0o777)
			if e.Mode&0o1000 != 0 {
				mode |= os.ModeSticky
			}
			if err := root.Chmod(e.Path, mode); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Tree) writeEntry(root *os.Root, e Entry) error {
	switch {
	case e.Path == ".":
		return nil
	case e.Type == Folder:
		return root.Mkdir(e.Path, 0o700)
	case e.Type == Symlink:
		return root.Symlink(e.Target, e.Path)
	}
	f, err := root.OpenFile(e.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, t.Open(e))
	return errors.Join(err, f.Chmod(os.FileMode(e.Mode&0o777)), f.Close())
}
