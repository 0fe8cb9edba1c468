package seed

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/boardroom-tee/boardroom/tools/nar"
)

// Tree is the seed tree of the toolchain in goroot, whichever of the published forms it has.
func Tree(goroot string) nar.Tree {
	return nar.Tree{FS: os.DirFS(goroot), Skip: dropped, Rename: renamed, Executable: executable}
}

// dropped holds for what only one of the two forms has.
func dropped(name string) bool {
	switch name {
	case "api", "doc", "misc", "test":
		return true
	}
	return false
}

// renamed undoes what cmd/distpack does because a module may not contain another go.mod
// (src/cmd/distpack/archive.go, RenameGoMod).
func renamed(name string) string {
	if base := path.Base(name); base != "_go.mod" {
		return base
	}
	return "go.mod"
}

func executable(name string) bool {
	bin, _ := path.Match("bin/*", name)
	tool, _ := path.Match("pkg/tool/*/*", name)
	return bin || tool
}

// MismatchError says that a toolchain is not the seed.
type MismatchError struct {
	Dir              string
	Version          string
	Expected, Actual nar.Hash
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("toolchain %s is not the seed %s: expected NAR hash %s, got %s", e.Dir, e.Version, e.Expected, e.Actual)
}

// Verify hashes the toolchain in goroot, about 200 MiB, and compares it with the pin. A toolchain with other content is
// refused with a [*MismatchError].
func Verify(goroot string, pin Pin) error {
	expected, err := nar.ParseHash(pin.NAR)
	if err != nil {
		return fmt.Errorf("seed pin: nar: %w", err)
	}
	actual, err := Tree(goroot).Sum()
	if err != nil {
		return fmt.Errorf("toolchain %s: %w", goroot, err)
	}
	if actual != expected {
		return &MismatchError{Dir: goroot, Version: pin.Version, Expected: expected, Actual: actual}
	}
	return nil
}

// Copy writes the seed tree of goroot to dir, which must not exist.
func Copy(goroot, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("copy toolchain: %w", err)
	}
	err := fs.WalkDir(os.DirFS(goroot), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == ".":
			return nil
		case dropped(name) && entry.IsDir():
			return fs.SkipDir
		case dropped(name):
			return nil
		}
		as := path.Join(path.Dir(name), renamed(name))
		to := filepath.Join(dir, filepath.FromSlash(as))
		switch {
		case entry.IsDir():
			return os.Mkdir(to, 0o755)
		case entry.Type().IsRegular():
			return copyFile(filepath.Join(goroot, filepath.FromSlash(name)), to, executable(as))
		default:
			return fmt.Errorf("%s: expected a file or a folder, got %s", name, entry.Type())
		}
	})
	if err != nil {
		return fmt.Errorf("copy toolchain: %w", err)
	}
	return nil
}

func copyFile(from, to string, executable bool) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	mode := fs.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
