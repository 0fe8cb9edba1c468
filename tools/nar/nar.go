package nar

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Tree is what is archived: a file system and the rules under which it is seen. The zero rules archive everything as it is.
type Tree struct {
	FS fs.FS
	// Skip leaves out a path and what lies below it.
	Skip func(name string) bool
	// Rename gives the base name under which a path is archived.
	Rename func(name string) string
	// Executable replaces the owner's executable bit as the judge of what is executable. It is given the archived path.
	Executable func(name string) bool
}

// Dir is the tree of a directory on disk, as it is.
func Dir(dir string) Tree {
	return Tree{FS: os.DirFS(dir)}
}

// Hash is the SHA-256 of a NAR. Its text form is the one Nix prints and takes ("sha256-" and standard base64).
type Hash [sha256.Size]byte

func (h Hash) String() string {
	return "sha256-" + base64.StdEncoding.EncodeToString(h[:])
}

// ParseHash reads the text form.
func ParseHash(s string) (Hash, error) {
	var h Hash
	encoded, ok := strings.CutPrefix(s, "sha256-")
	if !ok {
		return h, fmt.Errorf("hash %q: expected sha256- and base64", s)
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err == nil && len(raw) == len(h) {
		h = Hash(raw)
	}
	// The decoder passes over line ends; one hash has one text.
	if h.String() != s {
		return Hash{}, fmt.Errorf("hash %q: expected 32 bytes of base64 after sha256-", s)
	}
	return h, nil
}

// Sum hashes the archive of a tree.
func (t Tree) Sum() (Hash, error) {
	sum := sha256.New()
	if err := t.Write(sum); err != nil {
		return Hash{}, err
	}
	return Hash(sum.Sum(nil)), nil
}

// Write archives a tree. Files that are neither regular, directories nor links are refused, as Nix refuses them.
func (t Tree) Write(w io.Writer) error {
	a := &archive{w: w, tree: t}
	a.str("nix-archive-1")
	info, err := fs.Lstat(t.FS, ".")
	if err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	if err := a.node(".", ".", info); err != nil {
		return fmt.Errorf("archive: %w", err)
	}
	return a.err
}

type archive struct {
	w    io.Writer
	tree Tree
	err  error
}

// str writes a string: its length as 64-bit little-endian, the bytes, zeros up to a multiple of 8.
func (a *archive) str(s string) {
	a.length(uint64(len(s)))
	a.write([]byte(s))
	a.pad(uint64(len(s)))
}

func (a *archive) length(n uint64) {
	var le [8]byte
	binary.LittleEndian.PutUint64(le[:], n)
	a.write(le[:])
}

func (a *archive) pad(n uint64) {
	var zeros [8]byte
	a.write(zeros[:(8-n%8)%8])
}

func (a *archive) write(p []byte) {
	if a.err == nil {
		_, a.err = a.w.Write(p)
	}
}

// node archives the file at name under the path as.
func (a *archive) node(name, as string, info fs.FileInfo) error {
	a.str("(")
	a.str("type")
	var err error
	switch mode := info.Mode(); {
	case mode.IsRegular():
		err = a.regular(name, as, info)
	case mode.IsDir():
		err = a.directory(name, as)
	case mode&fs.ModeSymlink != 0:
		var target string
		if target, err = fs.ReadLink(a.tree.FS, name); err == nil {
			a.str("symlink")
			a.str("target")
			a.str(target)
		}
	default:
		err = fmt.Errorf("%s: %s can not be archived", name, mode.Type())
	}
	if err != nil {
		return err
	}
	a.str(")")
	return a.err
}

func (a *archive) regular(name, as string, info fs.FileInfo) error {
	executable := info.Mode()&0o100 != 0
	if a.tree.Executable != nil {
		executable = a.tree.Executable(as)
	}
	a.str("regular")
	if executable {
		a.str("executable")
		a.str("")
	}
	a.str("contents")
	f, err := a.tree.FS.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	size := uint64(info.Size())
	a.length(size)
	if a.err != nil {
		return a.err
	}
	// One byte more than announced is asked for, so that a file that grows meanwhile is noticed.
	n, err := io.Copy(a.w, io.LimitReader(f, info.Size()+1))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if uint64(n) != size {
		return fmt.Errorf("%s: changed while it was read", name)
	}
	a.pad(size)
	return a.err
}

func (a *archive) directory(name, as string) error {
	a.str("directory")
	entries, err := a.entries(name)
	if err != nil {
		return err
	}
	for _, e := range entries {
		a.str("entry")
		a.str("(")
		a.str("name")
		a.str(e.as)
		a.str("node")
		if err := a.node(path.Join(name, e.info.Name()), path.Join(as, e.as), e.info); err != nil {
			return err
		}
		a.str(")")
	}
	return a.err
}
