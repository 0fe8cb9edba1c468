package modtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	modpath "golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
)

// Module is one version of a module.
type Module struct {
	Path, Version string
	// Mod is its go.mod, Zip the packed module.
	Mod string
	Zip []byte
	// Content is the hash of the zip, as in a go.sum; Sums are both its lines there.
	Content, Sums string
}

// Publish packs a module from its files, one of which is go.mod.
func Publish(t *testing.T, path, version string, files map[string]string) Module {
	t.Helper()
	m := Module{Path: path, Version: version, Mod: files["go.mod"]}
	dir := t.TempDir()
	WriteFiles(t, dir, files)
	var packed bytes.Buffer
	if err := modzip.CreateFromDir(&packed, modpath.Version{Path: path, Version: version}, dir); err != nil {
		t.Fatal(err)
	}
	m.Zip = packed.Bytes()
	file := filepath.Join(t.TempDir(), "module.zip")
	if err := os.WriteFile(file, m.Zip, 0o644); err != nil {
		t.Fatal(err)
	}
	var err error
	if m.Content, err = dirhash.HashZip(file, dirhash.Hash1); err != nil {
		t.Fatal(err)
	}
	mod, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(m.Mod)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	m.Sums = fmt.Sprintf("%[1]s %[2]s %[3]s\n%[1]s %[2]s/go.mod %[4]s\n", path, version, m.Content, mod)
	return m
}

// WriteFiles writes files into a folder, by their names with slashes, in the place of those that are there.
func WriteFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		// The go command unpacks modules without permission to write.
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
