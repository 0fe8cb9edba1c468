package listing

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/boardroom-tee/boardroom/tools/disk"
)

// Of lists a folder. What can not be read has the error in its line.
func Of(root string) string {
	var lines []string
	_ = filepath.WalkDir(root, func(file string, _ fs.DirEntry, err error) error {
		e, times, statErr := entry(root, file)
		if err = errors.Join(err, statErr); err != nil {
			lines = append(lines, fmt.Sprintf("%q: %v", file, err))
			return nil
		}
		lines = append(lines, line(&e, times))
		return nil
	})
	return join(lines)
}

// OfTree lists what a tree should be as a folder, with one time.
func OfTree(tree *disk.Tree, epoch int64) string {
	var lines []string
	for i := range tree.Entries() {
		lines = append(lines, line(&tree.Entries()[i], epoch))
	}
	return join(lines)
}

func join(lines []string) string {
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// Entry describes a file below root.
func Entry(root, file string) (disk.Entry, error) {
	e, _, err := entry(root, file)
	return e, err
}

func entry(root, file string) (e disk.Entry, epoch int64, err error) {
	rel, err := filepath.Rel(root, file)
	if err != nil {
		return e, 0, err
	}
	var st syscall.Stat_t
	if err := syscall.Lstat(file, &st); err != nil {
		return e, 0, err
	}
	e = disk.Entry{Path: rel, Mode: st.Mode, UID: st.Uid, GID: st.Gid}
	switch e.Type() {
	case disk.File:
		e.Size = st.Size
		e.Open = func() (io.ReadCloser, error) { return os.Open(file) }
	case disk.Symlink:
		if e.Target, err = os.Readlink(file); err != nil {
			return e, 0, err
		}
	case disk.Char, disk.Block:
		// glibc's gnu_dev_major and gnu_dev_minor
		e.Major = uint32(st.Rdev>>8&0xFFF | st.Rdev>>32&^uint64(0xFFF))
		e.Minor = uint32(st.Rdev&0xFF | st.Rdev>>12&^uint64(0xFF))
	}
	return e, st.Mtim.Sec, nil
}

func line(e *disk.Entry, epoch int64) string {
	s := fmt.Sprintf("%q %o %d:%d %d:%d %d %d %q", e.Path, e.Mode, e.UID, e.GID, e.Major, e.Minor, e.Size, epoch, e.Target)
	if e.Type() == disk.File {
		h := sha256.New()
		if err := e.Copy(h); err != nil {
			return s + ": " + err.Error()
		}
		s += fmt.Sprintf(" %x", h.Sum(nil))
	}
	return s
}

// Diff returns the lines that are in one of two listings only, "" if there are none.
func Diff(got, want string) string {
	var b strings.Builder
	only := func(mark, of, other string) {
		known := make(map[string]bool)
		for line := range strings.Lines(other) {
			known[line] = true
		}
		for line := range strings.Lines(of) {
			if !known[line] {
				b.WriteString(mark + line)
			}
		}
	}
	only("- ", want, got)
	only("+ ", got, want)
	return b.String()
}
