package seed_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/nar"
	"github.com/boardroom-tee/boardroom/tools/seed"
)

// toolchain is a small Go toolchain as it is seen by a build: path to content, the executables marked in executables.
var toolchain = map[string]string{
	"VERSION":                       "go9.9.9\n",
	"bin/go":                        "the go command",
	"bin/gofmt":                     "the formatter",
	"go.env":                        "GOPROXY=off\n",
	"pkg/include/textflag.h":        "#define NOSPLIT 4\n",
	"pkg/tool/linux_amd64/compile":  "the compiler",
	"src/cmd/go.mod":                "module cmd\n",
	"src/cmd/doc/main.go":           "package main\n",
	"src/go.mod":                    "module std\n",
	"src/make.bash":                 "#!/bin/sh\n",
	"src/test/misc/api/testing.go":  "package api\n",
	"src/vendor/modules.txt":        "",
	"lib/time/zoneinfo.zip":         "\x00\xff",
	"src/cmd/go/testdata/go.mod.in": "module testdata\n",
}

var executables = map[string]bool{"bin/go": true, "bin/gofmt": true, "pkg/tool/linux_amd64/compile": true}

// write makes the files below a new folder with the modes that mode gives.
func write(t *testing.T, files map[string]string, mode func(name string) fs.FileMode) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "go")
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode(name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// trimmed writes the toolchain as the seed tree itself.
func trimmed(t *testing.T) string {
	t.Helper()
	return write(t, toolchain, func(name string) fs.FileMode {
		if executables[name] {
			return 0o755
		}
		return 0o644
	})
}

// tarball writes the toolchain as the release archive unpacks: with everything, scripts executable.
func tarball(t *testing.T) string {
	t.Helper()
	files := maps.Clone(toolchain)
	maps.Copy(files, map[string]string{
		"api/go1.txt": "pkg bufio\n", "doc/go_spec.html": "<html>", "misc/wasm/go.js": "js", "test/fixedbugs/issue1.go": "package p\n",
	})
	return write(t, files, func(name string) fs.FileMode {
		if executables[name] || strings.HasSuffix(name, ".bash") {
			return 0o755
		}
		return 0o644
	})
}

// module writes the toolchain as golang.org/toolchain unpacks: go.mod files renamed, nothing executable, nothing writable.
func module(t *testing.T) string {
	t.Helper()
	files := make(map[string]string)
	for name, content := range toolchain {
		if filepath.Base(name) == "go.mod" {
			name = filepath.Join(filepath.Dir(name), "_go.mod")
		}
		files[name] = content
	}
	return write(t, files, func(string) fs.FileMode { return 0o444 })
}

func sum(t *testing.T, tree nar.Tree) nar.Hash {
	t.Helper()
	h, err := tree.Sum()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// pin is the pin of toolchain.
func pin(t *testing.T) seed.Pin {
	t.Helper()
	return seed.Pin{
		Version: "go9.9.9",
		NAR:     sum(t, nar.Dir(trimmed(t))).String(),
		Module:  seed.Module{Path: "golang.org/toolchain", Version: "v0.0.1-go9.9.9.linux-amd64", Sum: "h1:good"},
	}
}

func put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
