package seed_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/nar"
	"github.com/boardroom-tee/boardroom/tools/seed"
)

// The point of the package: both published forms are one tree, and it is the tree that Nix would hash after trimming.
func TestBothFormsAreOneTree(t *testing.T) {
	want := sum(t, nar.Dir(trimmed(t)))
	for name, dir := range map[string]string{"tarball": tarball(t), "module": module(t), "trimmed": trimmed(t)} {
		if got := sum(t, seed.Tree(dir)); got != want {
			t.Errorf("the %s form hashes to %s, want %s", name, got, want)
		}
	}
}

func TestTreeSees(t *testing.T) {
	edit := func(name, content string) func(*testing.T, string) {
		return func(t *testing.T, dir string) { put(t, filepath.Join(dir, name), content) }
	}
	tests := []struct {
		name string
		edit func(t *testing.T, dir string)
		same bool
	}{
		{"another compiler", edit("pkg/tool/linux_amd64/compile", "the compileR"), false},
		{"another source file", edit("src/make.bash", "#!/bin/bash\n"), false},
		{"one file more", edit("src/extra.go", "package std\n"), false},
		{"one file less", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "VERSION")) }, false},
		{"an empty folder", func(t *testing.T, dir string) { mkdir(t, filepath.Join(dir, "src", "empty")) }, false},
		{"a folder named like a dropped one, deeper", edit("src/doc/doc.go", "package doc\n"), false},
		{"a file below bin's folders is not executable", edit("bin/linux_arm64/go", "go"), false},
		{"more in the dropped folders", edit("test/more/x.go", "package x\n"), true},
		{"executable bits", func(t *testing.T, dir string) { chmod(t, filepath.Join(dir, "VERSION"), 0o755) }, true},
		{"no executable bits", func(t *testing.T, dir string) { chmod(t, filepath.Join(dir, "bin", "go"), 0o600) }, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := tarball(t)
			before := sum(t, seed.Tree(dir))
			tt.edit(t, dir)
			if after := sum(t, seed.Tree(dir)); (after == before) != tt.same {
				t.Errorf("hash was %s and is %s, want the same: %v", before, after, tt.same)
			}
		})
	}
}

// A tree with go.mod and _go.mod side by side could be seen in two ways, so it is not seen at all.
func TestTreeRefusesTwoGoMods(t *testing.T) {
	dir := tarball(t)
	put(t, filepath.Join(dir, "src", "_go.mod"), "module std\n")
	if _, err := seed.Tree(dir).Sum(); err == nil || !strings.Contains(err.Error(), "go.mod") {
		t.Errorf("error is %v, want one that names go.mod", err)
	}
}

func TestVerify(t *testing.T) {
	good := pin(t)
	for name, dir := range map[string]string{"tarball": tarball(t), "module": module(t)} {
		if err := seed.Verify(dir, good); err != nil {
			t.Errorf("the %s form: %v", name, err)
		}
	}

	changed := tarball(t)
	put(t, filepath.Join(changed, "bin", "go"), "another go command")
	actual := sum(t, seed.Tree(changed))
	err := seed.Verify(changed, good)
	var mismatch *seed.MismatchError
	if !errors.As(err, &mismatch) {
		t.Fatalf("a changed toolchain: error is %v, want a *MismatchError", err)
	}
	if mismatch.Dir != changed || mismatch.Version != good.Version || mismatch.Expected.String() != good.NAR || mismatch.Actual != actual {
		t.Errorf("error is %+v, want it to hold %s, %s, %s and %s", *mismatch, changed, good.Version, good.NAR, actual)
	}
	for _, want := range []string{changed, good.Version, good.NAR, actual.String()} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("message is %q, want it to name %s", err, want)
		}
	}
}

// What could not be hashed is a fault and not a verdict.
func TestVerifyFaults(t *testing.T) {
	malformed := pin(t)
	malformed.NAR = "sha256-short"
	special := tarball(t)
	if err := syscall.Mkfifo(filepath.Join(special, "src", "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, dir string
		pin       seed.Pin
		want      string
	}{
		{"absent", filepath.Join(t.TempDir(), "absent"), pin(t), "absent"},
		{"no folder named", "", pin(t), ""},
		{"malformed pin", tarball(t), malformed, "sha256-short"},
		{"special file", special, pin(t), "pipe"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := seed.Verify(tt.dir, tt.pin)
			var mismatch *seed.MismatchError
			if err == nil || errors.As(err, &mismatch) {
				t.Fatalf("error is %v, want one that is no *MismatchError", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("message is %q, want it to name %q", err, tt.want)
			}
		})
	}
	if err := seed.Verify(filepath.Join(t.TempDir(), "absent"), pin(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent toolchain: error is %v, want fs.ErrNotExist in it", err)
	}
}

// Copy writes the tree as it is to be seen: its plain NAR hash, with no rules, is the pinned one. So is it under any umask.
func TestCopy(t *testing.T) {
	good := pin(t)
	for name, published := range map[string]string{"tarball": tarball(t), "module": module(t), "trimmed": trimmed(t)} {
		for _, umask := range []int{0o022, 0o077, 0} {
			dir := filepath.Join(t.TempDir(), "seed")
			old := syscall.Umask(umask)
			err := seed.Copy(published, dir)
			syscall.Umask(old)
			if err != nil {
				t.Fatalf("the %s form, umask %03o: %v", name, umask, err)
			}
			if err := seed.Verify(dir, good); err != nil {
				t.Errorf("the %s form, umask %03o: copy: %v", name, umask, err)
			}
			if got := sum(t, nar.Dir(dir)).String(); got != good.NAR {
				t.Errorf("the %s form, umask %03o: the copy as it lies there hashes to %s, want %s", name, umask, got, good.NAR)
			}
		}
	}
}

func TestCopyMakesTheToolsExecutable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "seed")
	if err := seed.Copy(module(t), dir); err != nil {
		t.Fatal(err)
	}
	for name := range toolchain {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := info.Mode()&0o100 != 0; got != executables[name] {
			t.Errorf("%s has mode %v, want it executable: %v", name, info.Mode(), executables[name])
		}
		if info.Mode()&0o200 == 0 {
			t.Errorf("%s has mode %v, want it writable, so that a cache can be removed", name, info.Mode())
		}
	}
}

func TestCopyRefuses(t *testing.T) {
	tests := []struct {
		name string
		edit func(t *testing.T, goroot string)
		want string
	}{
		{"a link", func(t *testing.T, goroot string) {
			if err := os.Symlink("go", filepath.Join(goroot, "bin", "golink")); err != nil {
				t.Fatal(err)
			}
		}, "bin/golink"},
		{"a link for a folder", func(t *testing.T, goroot string) {
			if err := os.Symlink("src", filepath.Join(goroot, "sources")); err != nil {
				t.Fatal(err)
			}
		}, "sources"},
		{"a pipe", func(t *testing.T, goroot string) {
			if err := syscall.Mkfifo(filepath.Join(goroot, "src", "pipe"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "src/pipe"},
		{"two files for one name", func(t *testing.T, goroot string) {
			put(t, filepath.Join(goroot, "src", "_go.mod"), "module std\n")
		}, "go.mod"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			goroot := tarball(t)
			tt.edit(t, goroot)
			err := seed.Copy(goroot, filepath.Join(t.TempDir(), "seed"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one that names %s", err, tt.want)
			}
		})
	}
}

func TestCopyLeavesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "mine"), "mine")
	if err := seed.Copy(tarball(t), dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an existing folder: error is %v, want fs.ErrExist in it", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the existing folder holds %v (%v), want the one file it had", entries, err)
	}
	absent := filepath.Join(t.TempDir(), "absent")
	if err := seed.Copy(absent, filepath.Join(t.TempDir(), "seed")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent toolchain: error is %v, want fs.ErrNotExist in it", err)
	}
}

// Copy and Tree agree on what is dropped, even where one of the names is a file.
func TestCopyAndTreeDropTheSame(t *testing.T) {
	goroot := trimmed(t)
	put(t, filepath.Join(goroot, "misc"), "a file, not a folder")
	want := sum(t, seed.Tree(goroot))
	dir := filepath.Join(t.TempDir(), "seed")
	if err := seed.Copy(goroot, dir); err != nil {
		t.Fatal(err)
	}
	if got := sum(t, nar.Dir(dir)); got != want {
		listed, err := os.ReadDir(dir)
		t.Errorf("the copy hashes to %s, the tree to %s; the copy has %v (%v)", got, want, listed, err)
	}
}

func remove(t *testing.T, file string) {
	t.Helper()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func chmod(t *testing.T, file string, mode fs.FileMode) {
	t.Helper()
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
}
