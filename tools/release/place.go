package release

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// PlaceError says that a release can not be written to a place.
type PlaceError struct {
	Path   string
	Reason string
}

func (e *PlaceError) Error() string { return e.Path + ": " + e.Reason }

// partial is the name of the folder beside a release where its files are made. It has one name, so that the next run finds what a killed
// one left; and it is outside of the release, where there is nothing that release.json does not account for.
func partial(dir string) string {
	return filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".partial")
}

// workshop is the locked and empty folder in which files for a place are made. They are renamed when they are whole.
type workshop struct {
	dir  string
	lock *os.File
}

// openWorkshop takes the folder beside dir, over what a killed run left there. Who else is at it has a lock, which ends with their process.
func openWorkshop(dir string) (*workshop, error) {
	w := &workshop{dir: partial(dir)}
	for {
		if err := os.Mkdir(w.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		lock, err := os.Open(w.dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // whoever had it was done in this moment
		}
		if err != nil {
			return nil, err
		}
		w.lock = lock
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			return nil, errors.Join(&PlaceError{dir, "expected to be alone at it, and another run is"}, lock.Close())
		}
		mine, err := lock.Stat()
		if err != nil {
			return nil, errors.Join(err, lock.Close())
		}
		// What was locked may have been renamed or removed since it was opened.
		if found, err := os.Stat(w.dir); err == nil && os.SameFile(mine, found) {
			return w, w.empty()
		}
		if err := lock.Close(); err != nil {
			return nil, err
		}
	}
}

func (w *workshop) empty() error {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(w.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// close removes what is left.
func (w *workshop) close() error { return errors.Join(os.RemoveAll(w.dir), w.lock.Close()) }

// put writes one file of a folder that is there: whole, or not at all. The folder is the caller's to sync.
func (w *workshop) put(name string, data []byte) error {
	made := filepath.Join(w.dir, filepath.Base(name))
	if err := errors.Join(os.WriteFile(made, data, 0o600), os.Chmod(made, 0o644), syncPath(made)); err != nil {
		return err
	}
	return os.Rename(made, name)
}

// WriteFolder makes the folder to by calling fill with an empty one beside it, which is renamed when all of it is on the disk. What is
// there already is left alone: it is an error, unless same, which is told both places, holds for it. Modes do not depend on the umask.
func WriteFolder(to string, fill func(dir string) error, same func(dir, there string) (bool, error)) (err error) {
	to, err = filepath.Abs(to)
	if err != nil {
		return err
	}
	w, err := openWorkshop(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	return w.folder(to, fill, same)
}

// folder is WriteFolder for the place that the workshop is for.
func (w *workshop) folder(to string, fill func(dir string) error, same func(dir, there string) (bool, error)) error {
	made := filepath.Join(w.dir, "made")
	if err := os.Mkdir(made, 0o755); err != nil {
		return err
	}
	if err := fill(made); err != nil {
		return err
	}
	if err := settle(made); err != nil {
		return err
	}
	// The system's own rename takes an empty folder, and nothing else that is there; package os takes none.
	err := syscall.Rename(made, to)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTDIR) {
		if same != nil {
			if is, err := same(made, to); err != nil || is {
				return err
			}
		}
		return &PlaceError{to, "expected a folder that does not exist, and something else is there"}
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: made, New: to, Err: err}
	}
	return syncPath(filepath.Dir(to))
}

// settle gives everything in a folder its mode, and waits until it is on the disk.
func settle(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if entry.IsDir() {
			mode = 0o755
		}
		return errors.Join(os.Chmod(path, mode), syncPath(path))
	})
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// sameRelease holds if there is a release in there with the release.json of the one in dir, and everything that it lists.
func sameRelease(dir, there string) (_ bool, err error) {
	ours, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil {
		return false, err
	}
	theirs, err := os.ReadFile(filepath.Join(there, ManifestFile))
	if err != nil || !bytes.Equal(ours, theirs) {
		return false, nil
	}
	d, err := Open(there)
	if err != nil {
		return false, fmt.Errorf("%s: %w", there, err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for _, f := range d.Release.Files {
		if err := d.CheckFile(f.Path); err != nil {
			return false, fmt.Errorf("%s: %w", there, err)
		}
	}
	return true, nil
}
