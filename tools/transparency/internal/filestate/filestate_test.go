package filestate_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/transparency/internal/filestate"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Lock is held by one at a time, and Replace leaves nothing behind; both are tested where they are used, too.
func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := filestate.Lock(t.Context(), path)
	check(t, err)
	got := make(chan error, 1)
	go func() {
		second, err := filestate.Lock(t.Context(), path)
		if err == nil {
			second()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("two have the lock: %v", err)
	default:
	}
	unlock()
	check(t, <-got)
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	// What one left that was killed amid a write is no obstacle.
	check(t, os.WriteFile(path+".new", []byte("half of something that is longer"), 0o600))
	for _, content := range []string{"one", "", "three"} {
		check(t, filestate.Replace(path, []byte(content)))
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("the file has %q, want %q: %v", got, content, err)
		}
	}
	entries, err := os.ReadDir(dir)
	check(t, err)
	if len(entries) != 1 {
		t.Errorf("the folder has %v, want the file alone", entries)
	}
	check(t, os.MkdirAll(filepath.Join(dir, "folder", "full"), 0o755))
	if err := filestate.Replace(filepath.Join(dir, "folder"), nil); err == nil {
		t.Error("a folder is replaced")
	}
	if _, err := os.Stat(filepath.Join(dir, "folder.new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something is left behind: %v", err)
	}
}
