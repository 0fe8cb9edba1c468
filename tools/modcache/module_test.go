package modcache

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	modpath "golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	modzip "golang.org/x/mod/zip"
)

// published is one version of a module as a proxy serves it, with its lines in a go.sum.
type published struct {
	path, version, mod string
	zip                []byte
	content, sums      string
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
	var err error
	if p.content, err = dirhash.HashZip(file, dirhash.Hash1); err != nil {
		t.Fatal(err)
	}
	mod, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(p.mod)), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	p.sums = fmt.Sprintf("%[1]s %[2]s %[3]s\n%[1]s %[2]s/go.mod %[4]s\n", path, version, p.content, mod)
	return p
}

// modules are what the source tree of these tests takes: words is imported and imports letters, checks is imported by a test,
// unused stands in go.mod and is not imported.
func modules(t *testing.T) map[string]published {
	t.Helper()
	return map[string]published{
		"words": publish(t, "example.test/Words", "v1.0.0", map[string]string{
			"go.mod":   "module example.test/Words\n\ngo 1.24\n\nrequire example.test/letters v1.2.0\n",
			"words.go": "package words\n\nimport \"example.test/letters\"\n\nvar Greeting = letters.H + \"ello\"\n",
		}),
		"letters": publish(t, "example.test/letters", "v1.2.0", map[string]string{
			"go.mod":     "module example.test/letters\n\ngo 1.24\n",
			"letters.go": "package letters\n\nconst H = \"H\"\n",
		}),
		"checks": publish(t, "example.test/checks", "v0.1.0", map[string]string{
			"go.mod":    "module example.test/checks\n\ngo 1.24\n",
			"checks.go": "package checks\n",
		}),
		"unused": publish(t, "example.test/unused", "v1.0.0", map[string]string{
			"go.mod":    "module example.test/unused\n\ngo 1.24\n",
			"unused.go": "package unused\n",
		}),
	}
}

// source writes the main module, with a go.sum for all, in a new folder. The files of edits replace those that are there.
func source(t *testing.T, all map[string]published, edits map[string]string) string {
	t.Helper()
	var sums strings.Builder
	for _, p := range all {
		sums.WriteString(p.sums)
	}
	files := map[string]string{
		"go.mod": "module example.test/app\n\ngo 1.24\n\nrequire (\n\texample.test/Words v1.0.0\n\texample.test/checks v0.1.0\n" +
			"\texample.test/unused v1.0.0\n)\n\nrequire example.test/letters v1.2.0 // indirect\n",
		"go.sum":       sums.String(),
		"main.go":      "package main\n\nimport words \"example.test/Words\"\n\nfunc main() { println(words.Greeting) }\n",
		"main_test.go": "package main\n\nimport _ \"example.test/checks\"\n",
	}
	maps.Copy(files, edits)
	dir := t.TempDir()
	writeFiles(t, dir, files)
	return dir
}

// proxy is a module proxy that counts what it is asked for.
type proxy struct {
	url   string
	mu    sync.Mutex
	asked []string
}

func (p *proxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// handler serves the modules; info is what it says about the time of each version.
func (p *proxy) handler(t *testing.T, info string, all map[string]published) http.Handler {
	t.Helper()
	files := make(map[string][]byte)
	for _, m := range all {
		escaped, err := modpath.EscapePath(m.path)
		if err != nil {
			t.Fatal(err)
		}
		base := "/" + escaped + "/@v/" + m.version
		files[base+".info"] = fmt.Appendf(nil, `{"Version": %q, "Time": %q}`, m.version, info)
		files[base+".mod"] = []byte(m.mod)
		files[base+".zip"] = m.zip
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked = append(p.asked, r.URL.EscapedPath())
		p.mu.Unlock()
		content, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(content)
	})
}

func serveModules(t *testing.T, info string, all map[string]published) *proxy {
	t.Helper()
	p := &proxy{}
	server := httptest.NewServer(p.handler(t, info, all))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// unreachable is the address of a proxy that is not there any more.
func unreachable(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	return server.Listener.Addr().String()
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
