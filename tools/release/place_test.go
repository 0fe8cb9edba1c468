package release_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/release"
)

func fill(dir string) error {
	return errors.Join(os.MkdirAll(filepath.Join(dir, "a", "b"), 0o700), os.WriteFile(filepath.Join(dir, "a", "b", "file"), []byte("text"), 0o600))
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestWriteFolder(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	work := t.TempDir()
	// What a run that was killed left behind.
	if err := errors.Join(fill(filepath.Join(work, ".to.partial")), os.Mkdir(filepath.Join(work, "to"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := release.WriteFolder(filepath.Join(work, "to"), fill, nil); err != nil {
		t.Fatal(err)
	}
	if got := names(t, work); !slices.Equal(got, []string{"to"}) {
		t.Errorf("got %v, want the folder alone", got)
	}
	got := contents(t, filepath.Join(work, "to"))
	want := map[string]string{".": "drwxr-xr-x", "a": "drwxr-xr-x", "a/b": "drwxr-xr-x", "a/b/file": "-rw-r--r--text"}
	if names := differences(want, got); len(names) > 0 {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWriteFolderFails(t *testing.T) {
	errFill := errors.New("the disk is on fire")
	for name, tt := range map[string]struct {
		before func(to string) error
		fill   func(dir string) error
		want   string
	}{
		"fault":  {func(string) error { return nil }, func(dir string) error { return errors.Join(fill(dir), errFill) }, "the disk is on fire"},
		"folder": {fill, fill, "expected a folder that does not exist, and something else is there"},
		"file":   {func(to string) error { return os.WriteFile(to, []byte("x"), 0o600) }, fill, "expected a folder that does not exist, and something else is there"},
		"parent": {func(to string) error { return os.Remove(filepath.Dir(to)) }, fill, "no such file or directory"},
	} {
		t.Run(name, func(t *testing.T) {
			work := filepath.Join(t.TempDir(), "work")
			to := filepath.Join(work, "to")
			if err := errors.Join(os.Mkdir(work, 0o755), tt.before(to)); err != nil {
				t.Fatal(err)
			}
			err := release.WriteFolder(to, tt.fill, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q in it", err, tt.want)
			}
			if name == "parent" {
				return
			}
			if got := names(t, work); slices.Contains(got, ".to.partial") {
				t.Errorf("%v is left", got)
			}
			if name == "file" || name == "folder" {
				if _, err := os.Stat(to); err != nil {
					t.Errorf("what was there is gone: %v", err)
				}
			}
		})
	}
}

// TestWriteFolderSame: who asks is told both places, and decides.
func TestWriteFolderSame(t *testing.T) {
	to := filepath.Join(t.TempDir(), "to")
	if err := release.WriteFolder(to, fill, nil); err != nil {
		t.Fatal(err)
	}
	for _, same := range []bool{true, false} {
		err := release.WriteFolder(to, fill, func(dir, there string) (bool, error) {
			if there != to || len(differences(contents(t, dir), contents(t, there))) > 0 {
				t.Errorf("told %s and %s", dir, there)
			}
			return same, nil
		})
		var place *release.PlaceError
		if same != (err == nil) || err != nil && !errors.As(err, &place) {
			t.Errorf("same is %t: got %v", same, err)
		}
	}
}
