package house_test

import (
	"bytes"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// topLevel is fixed by the design; what tools force on the repository comes second.
var topLevel = []string{
	"flake.nix", "flake.lock", "nix", "tools", "images", "policies", "compose", "go.mod", "Makefile", "README.md", "docs",
	"go.sum", ".ci", ".golangci.yml", ".gitignore", ".git", "LICENSE",
}

func TestTopLevel(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if name := entry.Name(); !slices.Contains(topLevel, name) && name != "result" && !strings.HasPrefix(name, "result-") {
			t.Errorf("%s stands at the top level; the design names what may", name)
		}
	}
}

var (
	// An open end is allowed where an issue knows of it.
	openEnd = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)
	issue   = regexp.MustCompile(`\b(TODO|FIXME|XXX)\(#[0-9]+\)`)
)

func TestGoFiles(t *testing.T) {
	n := 0
	err := filepath.WalkDir(filepath.Join(root, "tools"), func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(file) != ".go" {
			return err
		}
		n++
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		formatted, err := format.Source(content)
		if err != nil {
			return err
		}
		if !bytes.Equal(formatted, content) {
			t.Errorf("%s: not formatted as gofmt does", file)
		}
		for i, line := range strings.Split(string(content), "\n") {
			if openEnd.MatchString(line) && !issue.MatchString(line) && filepath.Base(file) != "tree_test.go" {
				t.Errorf("%s:%d: open end without an issue: %s", file, i+1, line)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Error("no Go files found")
	}
}

// TestPackagesSayWhatTheyAre asks every package for a doc.go with its one idea.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	for _, dir := range goList(t, "-f", `{{if ne .Name "main"}}{{.Dir}}{{end}}`, "./...") {
		if dir == "" {
			continue
		}
		doc, err := os.ReadFile(filepath.Join(dir, "doc.go"))
		if err != nil {
			t.Errorf("%s: %v", dir, err)
			continue
		}
		if want := "// Package " + filepath.Base(dir) + " "; !strings.HasPrefix(string(doc), want) {
			t.Errorf("%s/doc.go does not begin with %q", dir, want)
		}
	}
}
