package gobuild

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/modtest"
	"github.com/boardroom-tee/boardroom/tools/seed"
)

// lab is what the tests of this binary share: a seed made from the toolchain that runs them, and the runtime compiled once.
var lab struct {
	once   sync.Once
	err    error
	cache  string // with the seed
	pin    string // nix/seed.json
	goroot string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if lab.cache != "" {
		if err := os.RemoveAll(lab.cache); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// shared readies the lab and returns its cache folder.
func shared(t *testing.T) string {
	t.Helper()
	lab.once.Do(func() {
		out, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			lab.err = err
			return
		}
		lab.goroot = strings.TrimSpace(string(out))
		sum, err := seed.Tree(lab.goroot).Sum()
		if err != nil {
			lab.err = err
			return
		}
		lab.pin = fmt.Sprintf(`{
  "version": "go9.9.9",
  "nar": %q,
  "tarball": {"url": "https://go.dev/dl/go9.9.9.linux-amd64.tar.gz", "sha256": ""},
  "module": {"path": "golang.org/toolchain", "version": "v0.0.1-go9.9.9.linux-amd64", "sum": "h1:"}
}`, sum)
		lab.cache, lab.err = os.MkdirTemp("", "gobuild-test-")
	})
	if lab.err != nil {
		t.Fatal(lab.err)
	}
	return lab.cache
}

const goodSettings = `{
  "args": ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags=-s -w -buildid="],
  "env": {
    "CGO_ENABLED": "0", "GOAMD64": "v1", "GOARCH": "amd64", "GOENV": "off", "GOEXPERIMENT": "", "GOFIPS140": "off",
    "GOFLAGS": "-modcacherw", "GOOS": "linux", "GOSUMDB": "off", "GOTELEMETRY": "off", "GOTOOLCHAIN": "local", "GOWORK": "off"
  }
}`

// words is the module that the program imports.
func words(t *testing.T) modtest.Module {
	t.Helper()
	return modtest.Publish(t, "example.test/words", "v1.0.0", map[string]string{
		"go.mod":   "module example.test/words\n\ngo 1.24\n",
		"words.go": "package words\n\nfunc Greeting() string { return \"good morning\" }\n",
	})
}

// source writes a source tree with a program that says what the module tells it to, in a new folder. The files of edits
// replace or join those that are there; one without content is left out.
func source(t *testing.T, edits map[string]string) string {
	t.Helper()
	shared(t)
	files := map[string]string{
		"nix/seed.json":     lab.pin,
		"nix/go-build.json": goodSettings,
		"go.mod":            "module example.test/app\n\ngo 1.24\n\nrequire example.test/words v1.0.0\n",
		"go.sum":            words(t).Sums,
		"cmd/hello/main.go": "package main\n\nimport \"example.test/words\"\n\nfunc main() { println(words.Greeting()) }\n",
		// What the tags of a caller must not bring in.
		"cmd/hello/evil.go": "//go:build evil\n\npackage main\n\nfunc init() { println(\"evil\") }\n",
	}
	maps.Copy(files, edits)
	maps.DeleteFunc(files, func(_, content string) bool { return content == "" })
	dir := filepath.Join(t.TempDir(), "tree")
	modtest.WriteFiles(t, dir, files)
	return dir
}

// builder readies a builder that fetches modules from the proxy and shares the lab's seed.
func builder(t *testing.T, dir, proxy string) *Builder {
	t.Helper()
	cache := shared(t)
	t.Setenv("GOPROXY", proxy)
	b, err := New(t.Context(), dir, cache, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// isolated is b with compiled packages and modules of its own. The packages that do not belong to the program are there
// already, so that not every test compiles the runtime.
func isolated(t *testing.T, b *Builder) *Builder {
	t.Helper()
	runtimeOnce.Do(func() { runtimeErr = compileRuntime(t.Context(), b) })
	if runtimeErr != nil {
		t.Fatal(runtimeErr)
	}
	own := *b
	own.cache = t.TempDir()
	if err := os.CopyFS(filepath.Join(own.cache, "packages"), os.DirFS(filepath.Join(lab.cache, "runtime", "packages"))); err != nil {
		t.Fatal(err)
	}
	return &own
}

var (
	runtimeOnce sync.Once
	runtimeErr  error
)

// compileRuntime compiles a program that is nothing but the runtime.
func compileRuntime(ctx context.Context, b *Builder) error {
	dir := filepath.Join(lab.cache, "runtime")
	files := map[string]string{"go.mod": "module example.test/nothing\n\ngo 1.24\n", "main.go": "package main\n\nfunc main() {}\n"}
	err := os.MkdirAll(dir, 0o755)
	for name, content := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	if err != nil {
		return err
	}
	own := *b
	own.root, own.cache = dir, dir
	_, err = own.run(ctx, append(append([]string{"build"}, b.settings.Args...), "-o", os.DevNull, ".")...)
	return err
}
