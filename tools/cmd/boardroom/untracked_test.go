package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gitCheckout makes a git checkout that tracks nix/seed.json and nothing else of the files.
func gitCheckout(t *testing.T, files ...string) string {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed, so there is nothing to warn of")
	}
	// The settings of whoever runs the tests stay out of it.
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	dir := t.TempDir()
	for _, name := range append(files, "nix/seed.json") {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "nix/seed.json"}} {
		if out, err := exec.Command(git, append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	return dir
}

func TestWarnUntracked(t *testing.T) {
	tests := []struct {
		name  string
		files []string
		want  []string // in the warning; none if there is to be no warning
	}{
		{"all is tracked", nil, nil},
		{"a new source file", []string{"tools/new.go"}, []string{"tools/new.go", "git add"}},
		{"two new files", []string{"tools/new.go", "images/agents/new/image.json"}, []string{"tools/new.go", "images/agents/new/image.json"}},
		{"a name with a space", []string{"images/agents/new/read me.txt"}, []string{"images/agents/new/read me.txt"}},
		{"many files", []string{"tools/1", "tools/2", "tools/3", "tools/4", "tools/5", "tools/6", "tools/7"}, []string{"tools/1, ", "tools/5 and 2 more;"}},
		{"a file that no build reads", []string{"notes.txt", "result-hub/index.json"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var warning bytes.Buffer
			warnUntracked(t.Context(), gitCheckout(t, tt.files...), &warning)
			if len(tt.want) == 0 && warning.Len() > 0 {
				t.Errorf("warning is %q, want none", warning.String())
			}
			for _, want := range tt.want {
				if !strings.Contains(warning.String(), want) {
					t.Errorf("warning is %q, want it to have %q", warning.String(), want)
				}
			}
		})
	}
}

func TestWarnUntrackedOutsideOfACheckout(t *testing.T) {
	t.Setenv("GIT_CEILING_DIRECTORIES", "/")
	var warning bytes.Buffer
	warnUntracked(t.Context(), t.TempDir(), &warning)
	t.Setenv("PATH", t.TempDir())
	warnUntracked(t.Context(), t.TempDir(), &warning)
	if warning.Len() > 0 {
		t.Errorf("warning is %q, want none", warning.String())
	}
}
