package gobuild

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	modpath "golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
)

// published is one version of a module as a proxy serves it, with its lines in a go.sum.
type published struct {
	path, version, mod string
	zip                []byte
	sums               string
}

// publish packs a module from its files.
func publish(t *testing.T, path, version string, files map[string]string) published {
	t.Helper()
	p := published{path: path, version: version, mod: files["go.mod"]}
	dir := t.TempDir()
	writeFiles(t, dir, files)
	var packed bytes.Buffer
	if err := modzip.CreateFromDir(&packed, modpath.Version{Path: path, Version: version}, dir); err != nil {
		t.Fatal(err)
	}
	p.zip = packed.Bytes()
	file := filepath.Join(t.TempDir(), "module.zip")
	if err := os.WriteFile(file, p.zip, 0o644); err != nil {
		t.Fatal(err)
	}
	content, err := dirhash.HashZip(file, dirhash.Hash1)
	if err != nil {
		t.Fatal(err)
	}
	mod, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(p.mod)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p.sums = fmt.Sprintf("%[1]s %[2]s %[3]s\n%[1]s %[2]s/go.mod %[4]s\n", path, version, content, mod)
	return p
}

// serveModules starts a module proxy that has one module.
func serveModules(t *testing.T, p published) string {
	t.Helper()
	base := "/" + p.path + "/@v/" + p.version
	files := map[string][]byte{
		base + ".info": fmt.Appendf(nil, `{"Version": %q, "Time": "2026-01-01T00:00:00Z"}`, p.version),
		base + ".mod":  []byte(p.mod),
		base + ".zip":  p.zip,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(content)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
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
