package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// Types of entries: the part of st_mode that S_IFMT (0170000) masks, as in inode(7).
const (
	TypeMask uint32 = 0o170000
	FIFO     uint32 = 0o010000
	Char     uint32 = 0o020000
	Folder   uint32 = 0o040000
	Block    uint32 = 0o060000
	File     uint32 = 0o100000
	Symlink  uint32 = 0o120000

	// permissions are the bits of chmod(2), with setuid, setgid and sticky.
	permissions uint32 = 0o7777
)

const (
	maxName   = 255  // NAME_MAX of linux/limits.h
	maxTarget = 4095 // PATH_MAX of linux/limits.h, without the NUL
	// MaxID is the largest owner: the one above it means "none" to chown(2).
	MaxID = 1<<32 - 2
	// maxMajor and maxMinor are what the kernel's dev_t holds (include/linux/kdev_t.h).
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

// ErrTree is wrapped by what [NewTree] refuses.
var ErrTree = errors.New("no file system has this tree")

// Entry is a file, folder, symbolic link, device node or FIFO. Hard links are files with equal content.
type Entry struct {
	// Path is relative to the root, clean, with slashes, such as "usr/bin/runc"; the root itself is ".".
	Path string
	// Mode is st_mode of stat(2): one of the types, and permission bits. A link's permissions are 0777.
	Mode uint32
	// UID and GID are the numeric owner, up to MaxID.
	UID, GID uint32
	// Target is where a link points.
	Target string
	// Major and Minor are the numbers of a device node.
	Major, Minor uint32
	// Size is that of a file, in bytes.
	Size int64
	// Open begins reading a file's content, which must have Size bytes, and be the same each time. It may be called more than once and at
	// the same time as that of other entries.
	Open func() (io.ReadCloser, error)
}

// Type is the type bits of the mode.
func (e *Entry) Type() uint32 { return e.Mode & TypeMask }

// Content is an Open of bytes in memory.
func Content(data []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

// Tree is a set of entries that a file system can hold.
type Tree struct{ entries []Entry }

// NewTree checks entries, given in any order. Folders that are missing are made, the root among them, owned by root with mode 0755.
func NewTree(entries []Entry) (*Tree, error) {
	byPath := make(map[string]*Entry, len(entries)+1)
	all := slices.Clone(entries)
	for i := range all {
		e := &all[i]
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("%w: %q: %w", ErrTree, e.Path, err)
		}
		if byPath[e.Path] != nil {
			return nil, fmt.Errorf("%w: %q stands twice", ErrTree, e.Path)
		}
		byPath[e.Path] = e
	}
	missing := make(map[string]bool)
	for i := range all {
		for at := all[i].Path; at != "."; {
			at = path.Dir(at)
			above := byPath[at]
			if above == nil {
				missing[at] = true
			} else if above.Type() != Folder {
				return nil, fmt.Errorf("%w: %q lies below %q, which is no folder", ErrTree, all[i].Path, at)
			}
		}
	}
	if byPath["."] == nil {
		missing["."] = true
	}
	for at := range missing {
		all = append(all, Entry{Path: at, Mode: Folder | 0o755})
	}
	slices.SortFunc(all, func(a, b Entry) int { return comparePaths(a.Path, b.Path) })
	return &Tree{entries: all}, nil
}

// Entries are the root first, then all others in byte order of their paths, so that folders stand before what is in them. The slice is
// the tree's own.
func (t *Tree) Entries() []Entry { return t.entries }

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

func (e *Entry) check() error {
	if err := checkPath(e.Path); err != nil {
		return err
	}
	if e.Mode&^(TypeMask|permissions) != 0 {
		return fmt.Errorf("mode %#o: expected type and permission bits only", e.Mode)
	}
	if e.UID > MaxID || e.GID > MaxID {
		return fmt.Errorf("owner %d:%d: expected at most %d", e.UID, e.GID, uint32(MaxID))
	}
	kind := e.Type()
	if e.Path == "." && kind != Folder {
		return fmt.Errorf("mode %#o: expected a folder for the root", e.Mode)
	}
	switch kind {
	case Folder, FIFO:
	case File:
		if e.Size < 0 || e.Open == nil {
			return fmt.Errorf("size %d: expected a file with content", e.Size)
		}
	case Symlink:
		if e.Mode&permissions != 0o777 {
			return fmt.Errorf("mode %#o: expected 0777 for a link", e.Mode)
		}
		if e.Target == "" || len(e.Target) > maxTarget || strings.Contains(e.Target, "\x00") {
			return fmt.Errorf("target of %d bytes: expected 1 to %d without NUL", len(e.Target), maxTarget)
		}
	case Char, Block:
		if e.Major > maxMajor || e.Minor > maxMinor {
			return fmt.Errorf("device %d:%d: expected at most %d:%d", e.Major, e.Minor, maxMajor, maxMinor)
		}
	default:
		return fmt.Errorf("mode %#o: expected a file, folder, link, device node or FIFO", e.Mode)
	}
	if kind != File && (e.Size != 0 || e.Open != nil) {
		return fmt.Errorf("mode %#o: expected no content but for files", e.Mode)
	}
	if kind != Symlink && e.Target != "" {
		return fmt.Errorf("mode %#o: expected no target but for links", e.Mode)
	}
	if kind != Char && kind != Block && (e.Major != 0 || e.Minor != 0) {
		return fmt.Errorf("mode %#o: expected no device numbers but for device nodes", e.Mode)
	}
	return nil
}

func checkPath(name string) error {
	if name == "." {
		return nil
	}
	if path.IsAbs(name) || path.Clean(name) != name || name == ".." || strings.HasPrefix(name, "../") || len(name) > maxTarget {
		return errors.New("expected a path relative to the root, without . or .. or doubled slashes")
	}
	if strings.Contains(name, "\x00") {
		return errors.New("expected a path without NUL")
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxName {
			return fmt.Errorf("name of %d bytes: expected at most %d", len(part), maxName)
		}
	}
	return nil
}

// Reader begins reading the content of a file. Content that is not of the size that the entry has is an error of the read that finds
// out; one that reads no further than Size does not see what comes after it.
func (e *Entry) Reader() (io.ReadCloser, error) {
	r, err := e.Open()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Path, err)
	}
	return &reader{r, e, 0}, nil
}

type reader struct {
	io.ReadCloser
	entry *Entry
	n     int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.n += int64(n)
	switch {
	case r.n > r.entry.Size:
		return 0, fmt.Errorf("%w: %s: expected content of %d bytes, got more", ErrTree, r.entry.Path, r.entry.Size)
	case err == io.EOF && r.n < r.entry.Size:
		return n, fmt.Errorf("%w: %s: expected content of %d bytes, got %d", ErrTree, r.entry.Path, r.entry.Size, r.n)
	case err != nil && err != io.EOF:
		return n, fmt.Errorf("%s: %w", r.entry.Path, err)
	}
	return n, err
}

// Copy writes the content of a file to w.
func (e *Entry) Copy(w io.Writer) error {
	r, err := e.Reader()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}
