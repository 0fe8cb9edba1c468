package logdir_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/logdir"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReader(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(t.TempDir(), "secret")
	for path, content := range map[string]string{
		filepath.Join(dir, "checkpoint"):              "head",
		filepath.Join(dir, "tile/0/x001/002.p/3"):     "tile",
		filepath.Join(dir, "tile/entries/x001/002"):   "bundle",
		filepath.Join(dir, "tile/0/x001/003"):         strings.Repeat("a", transparency.MaxTile+1),
		filepath.Join(dir, "tile/0/x001/004/nothing"): "",
		secret: "secret",
	} {
		check(t, os.MkdirAll(filepath.Dir(path), 0o755))
		check(t, os.WriteFile(path, []byte(content), 0o644))
	}
	check(t, os.Symlink(secret, filepath.Join(dir, "tile/0/x001/005")))
	r, err := logdir.Open(dir)
	check(t, err)
	defer r.Close()
	ctx := t.Context()
	if data, err := r.Checkpoint(ctx); err != nil || string(data) != "head" {
		t.Errorf("the checkpoint is %q: %v", data, err)
	}
	if data, err := r.ReadTile(ctx, 0, 1002, 3); err != nil || string(data) != "tile" {
		t.Errorf("the tile is %q: %v", data, err)
	}
	if data, err := r.ReadEntryBundle(ctx, 1002, 256); err != nil || string(data) != "bundle" {
		t.Errorf("the bundle is %q: %v", data, err)
	}
	if _, err := r.ReadTile(ctx, 1, 1002, 3); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want that there is none", err)
	}
	if data, err := r.ReadTile(ctx, 0, 1003, 256); err == nil || bytes.Contains(data, []byte("aa")) {
		t.Errorf("a tile that is too long is read: %v", err)
	}
	if _, err := r.ReadTile(ctx, 0, 1004, 256); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder is read as a tile: %v", err)
	}
	if data, err := r.ReadTile(ctx, 0, 1005, 256); err == nil || len(data) > 0 {
		t.Errorf("a link out of the folder is followed to %q", data)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := r.Checkpoint(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that of the context", err)
	}
	if _, err := logdir.Open(filepath.Join(dir, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want that there is none", err)
	}
}
