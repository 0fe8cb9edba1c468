package modcache

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	modpath "golang.org/x/mod/module"

	"github.com/boardroom-tee/boardroom/tools/modtest"
)

// modules are what the source tree of these tests takes: words is imported and imports letters, checks is imported by a test,
// unused stands in go.mod and is not imported.
func modules(t *testing.T) map[string]modtest.Module {
	t.Helper()
	return map[string]modtest.Module{
		"words": modtest.Publish(t, "example.test/Words", "v1.0.0", map[string]string{
			"go.mod":   "module example.test/Words\n\ngo 1.24\n\nrequire example.test/letters v1.2.0\n",
			"words.go": "package words\n\nimport \"example.test/letters\"\n\nvar Greeting = letters.H + \"ello\"\n",
		}),
		"letters": modtest.Publish(t, "example.test/letters", "v1.2.0", map[string]string{
			"go.mod":     "module example.test/letters\n\ngo 1.24\n",
			"letters.go": "package letters\n\nconst H = \"H\"\n",
		}),
		"checks": modtest.Publish(t, "example.test/checks", "v0.1.0", map[string]string{
			"go.mod":    "module example.test/checks\n\ngo 1.24\n",
			"checks.go": "package checks\n",
		}),
		"unused": modtest.Publish(t, "example.test/unused", "v1.0.0", map[string]string{
			"go.mod":    "module example.test/unused\n\ngo 1.24\n",
			"unused.go": "package unused\n",
		}),
	}
}

// source writes the main module, with a go.sum for all, in a new folder. The files of edits replace those that are there.
func source(t *testing.T, all map[string]modtest.Module, edits map[string]string) string {
	t.Helper()
	var sums strings.Builder
	for _, p := range all {
		sums.WriteString(p.Sums)
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
	modtest.WriteFiles(t, dir, files)
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
func (p *proxy) handler(t *testing.T, info string, all map[string]modtest.Module) http.Handler {
	t.Helper()
	files := make(map[string][]byte)
	for _, m := range all {
		escaped, err := modpath.EscapePath(m.Path)
		if err != nil {
			t.Fatal(err)
		}
		base := "/" + escaped + "/@v/" + m.Version
		files[base+".info"] = fmt.Appendf(nil, `{"Version": %q, "Time": %q}`, m.Version, info)
		files[base+".mod"] = []byte(m.Mod)
		files[base+".zip"] = m.Zip
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

func serveModules(t *testing.T, info string, all map[string]modtest.Module) *proxy {
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
