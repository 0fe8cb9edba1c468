package gitobject

import (
	"bytes"
	"cmp"
	"crypto/sha1" //nolint:gosec // the names of most repositories' objects
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Algorithm makes names.
type Algorithm func() hash.Hash

// AlgorithmOf tells by the length of a name which algorithm made it: 40 hexadecimal digits for SHA-1, 64 for SHA-256.
func AlgorithmOf(name string) (Algorithm, error) {
	raw, err := hex.DecodeString(name)
	switch {
	case err == nil && strings.ToLower(name) == name && len(raw) == sha1.Size:
		return sha1.New, nil
	case err == nil && strings.ToLower(name) == name && len(raw) == sha256.Size:
		return sha256.New, nil
	}
	return nil, fmt.Errorf("expected the name of a Git object, 40 or 64 lower-case hexadecimal digits, got %.80q", name)
}

// Modes of the entries of a tree.
const (
	Folder     = "40000"
	Regular    = "100644"
	Executable = "100755"
	Link       = "120000"
)

// Name is the name of an object.
func (a Algorithm) Name(kind string, content []byte) string {
	return hex.EncodeToString(a.sum(kind, content))
}

func (a Algorithm) sum(kind string, content []byte) []byte {
	h := a()
	fmt.Fprintf(h, "%s %d\x00", kind, len(content))
	h.Write(content)
	return h.Sum(nil)
}

// entry is a line of a tree.
type entry struct {
	mode, name string
	object     []byte
}

// Tree is the name of the tree of a folder: all that is in it but .git at its top. Folders without files do not count, as Git has none.
// What is neither file, link nor folder is refused.
func (a Algorithm) Tree(dir string) (name string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	object, _, err := a.tree(root, ".")
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(object), nil
}

func (a Algorithm) tree(root *os.Root, dir string) (object []byte, files int, err error) {
	folder, err := root.Open(dir)
	if err != nil {
		return nil, 0, err
	}
	found, err := folder.ReadDir(-1)
	if err = errors.Join(err, folder.Close()); err != nil {
		return nil, 0, err
	}
	var entries []entry
	for _, f := range found {
		name := path.Join(dir, f.Name())
		if name == ".git" {
			continue
		}
		e := entry{name: f.Name()}
		switch {
		case f.IsDir():
			var below int
			e.mode = Folder
			if e.object, below, err = a.tree(root, name); below == 0 && err == nil {
				continue
			}
		case f.Type() == os.ModeSymlink:
			var target string
			target, err = root.Readlink(name)
			e.mode, e.object = Link, a.sum("blob", []byte(target))
		case f.Type().IsRegular():
			e.mode, e.object, err = a.file(root, name)
		default:
			err = fmt.Errorf("%s: expected a file, a link or a folder, got %s", name, f.Type())
		}
		if err != nil {
			return nil, 0, err
		}
		entries = append(entries, e)
	}
	return a.sum("tree", encode(entries)), len(entries), nil
}

func (a Algorithm) file(root *os.Root, name string) (mode string, object []byte, err error) {
	f, err := root.Open(name)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", nil, err
	}
	mode = Regular
	if info.Mode()&0o100 != 0 {
		mode = Executable
	}
	h := a()
	fmt.Fprintf(h, "blob %d\x00", info.Size())
	n, err := io.Copy(h, f)
	if err == nil && n != info.Size() {
		err = fmt.Errorf("%s: changed while it was read", name)
	}
	return mode, h.Sum(nil), err
}

// encode writes a tree, sorted as Git sorts: a folder as if its name ended with a slash.
func encode(entries []entry) []byte {
	key := func(e entry) string {
		if e.mode == Folder {
			return e.name + "/"
		}
		return e.name
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(key(a), key(b)) })
	var b bytes.Buffer
	for _, e := range entries {
		fmt.Fprintf(&b, "%s %s\x00%s", e.mode, e.name, e.object)
	}
	return b.Bytes()
}

// MaxCommit bounds a commit, in bytes.
const MaxCommit = 1 << 20

// Commit is what a revision is.
type Commit struct {
	Tree    string
	Parents []string
	// Time is when it was committed, in whole seconds of UTC.
	Time time.Time
}

// ParseCommit reads the text of a commit.
func ParseCommit(text []byte) (Commit, error) {
	var c Commit
	if len(text) > MaxCommit {
		return c, fmt.Errorf("commit: expected at most %d bytes, got %d", MaxCommit, len(text))
	}
	header, _, ok := strings.Cut(string(text), "\n\n")
	if !ok {
		return c, errors.New("commit: expected a header and an empty line, got none")
	}
	for i, line := range strings.Split(header, "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch {
		case (key == "tree") != (i == 0):
			return c, fmt.Errorf("commit: expected the tree in the first line and in no other, got %.80q in line %d", line, i+1)
		case key == "tree" || key == "parent":
			if _, err := AlgorithmOf(value); err != nil {
				return c, fmt.Errorf("commit: %s: %w", key, err)
			}
			if key == "tree" {
				c.Tree = value
			} else {
				c.Parents = append(c.Parents, value)
			}
		case key == "committer" && c.Time.IsZero():
			var err error
			if c.Time, err = moment(value); err != nil {
				return c, fmt.Errorf("commit: committer: %w", err)
			}
		}
	}
	if c.Time.IsZero() {
		return c, errors.New("commit: committer: expected one, got none")
	}
	return c, nil
}

// moment is the time behind a person, in seconds since 1970 with a time zone.
func moment(person string) (time.Time, error) {
	_, rest, ok := strings.Cut(person, "> ")
	seconds, _, zoned := strings.Cut(rest, " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if !ok || !zoned || err != nil || n < 0 {
		return time.Time{}, fmt.Errorf("expected a person, seconds since 1970 and a time zone, got %.80q", person)
	}
	return time.Unix(n, 0).UTC(), nil
}
