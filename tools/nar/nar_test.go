package nar_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/nar"
)

// writeTree makes the tree whose hashes TestSum knows.
func writeTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"a": "hi\n", "e": "12345678", "d/B": "", "d/a": "x"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", filepath.Join(dir, "l")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The hashes were printed by "nix hash path" of nix 2.8.0.
func TestSum(t *testing.T) {
	tests := []struct{ name, want string }{
		{".", "sha256-t9YohkZ2vAGwnToR+20ih3rGKSF96RUQlJ9UyRKkfiU="},
		{"a", "sha256-tVvOGrOHiHZTZEkRVN8MV1pJWcJHq80NLSSm26SxDac="},
		{"d", "sha256-hnaDvMJ0UcjODkh/B3snhGf2CHpcefvJTMB9bKAaf2U="},
	}
	dir := writeTree(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sub, err := fs.Sub(os.DirFS(dir), tt.name)
			if err != nil {
				t.Fatal(err)
			}
			got, err := nar.Tree{FS: sub}.Sum()
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != tt.want {
				t.Errorf("hash is %s, want %s", got, tt.want)
			}
		})
	}
}

func TestRules(t *testing.T) {
	dir := writeTree(t)
	want, err := nar.Dir(dir).Sum()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "e"), filepath.Join(dir, "_e")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "junk", "more"), 0o755); err != nil {
		t.Fatal(err)
	}
	tree := nar.Dir(dir)
	tree.Skip = func(name string) bool { return name == "junk" }
	tree.Rename = func(name string) string { return strings.TrimPrefix(path.Base(name), "_") }
	tree.Executable = func(name string) bool { return name == "a" }
	got, err := tree.Sum()
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("hash under the rules is %s, want %s", got, want)
	}

	tree.Rename = func(string) string { return "same" }
	if _, err := tree.Sum(); err == nil || !strings.Contains(err.Error(), "two files would be archived as same") {
		t.Errorf("a clash of names: error is %v", err)
	}
}

func TestRefusesSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := nar.Dir(dir).Sum(); err == nil || !strings.Contains(err.Error(), "pipe") {
		t.Errorf("error is %v, want one that names the pipe", err)
	}
}

type failing struct{ after int }

var errFull = errors.New("full")

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriteReportsErrors(t *testing.T) {
	dir := writeTree(t)
	var whole bytes.Buffer
	if err := nar.Dir(dir).Write(&whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole.Len() {
		if err := nar.Dir(dir).Write(&failing{after: n}); !errors.Is(err, errFull) {
			t.Fatalf("writer that fails after %d of %d bytes: error is %v", n, whole.Len(), err)
		}
	}
	if _, err := nar.Dir(filepath.Join(dir, "absent")).Sum(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent directory: error is %v", err)
	}
}

func TestParseHash(t *testing.T) {
	const text = "sha256-pNOnNZ/zAg0V2hdo66FYy3Z7kpNnXG8nPptqWIKLsq4="
	h, err := nar.ParseHash(text)
	if err != nil || h.String() != text {
		t.Errorf("ParseHash(%q) = %v, %v", text, h, err)
	}
	for _, bad := range []string{"", "pNOn", "sha512-pNOnNZ/zAg0V2hdo66FYy3Z7kpNnXG8nPptqWIKLsq4=", "sha256-pNOn", "sha256-" + strings.Repeat("A", 43), text + "\n"} {
		if _, err := nar.ParseHash(bad); err == nil {
			t.Errorf("ParseHash(%q) succeeded", bad)
		}
	}
}
