//go:build acceptance

package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/nar"
)

// copySource copies what git tracks or would track of a work tree, as it lies there.
func copySource(from, to string) error {
	cmd := exec.CommandContext(context.Background(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = from
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("git ls-files (Debian package git): %w\n%s", err, stderr.String())
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		err := copyFile(filepath.Join(from, name), filepath.Join(to, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // deleted, and git was not told yet
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, info.Mode().Perm())
}

// linkTree copies a tree by links, or in full where there can be none. Files of the copy must be replaced, not written to.
func linkTree(t testing.TB, from, to string) {
	t.Helper()
	check(t, filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if os.Link(path, target) == nil {
			return nil
		}
		return copyFile(path, target)
	}))
}

// fresh makes a folder that is named for the test, in lower case because ko takes the path of a layout for a repository's name.
func fresh(t testing.TB) string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()))
	dir, err := os.MkdirTemp(scratch, name+"-")
	check(t, err)
	check(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	return dir
}

// clone makes a git repository with one commit of the tree under test, for Nix sees only what git tracks.
func clone(t testing.TB, dir string) string {
	t.Helper()
	check(t, os.CopyFS(dir, os.DirFS(source)))
	commit(t, dir)
	return dir
}

func commit(t testing.TB, dir string) {
	t.Helper()
	git := at{dir: dir, env: []string{
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=acceptance", "GIT_AUTHOR_EMAIL=acceptance@localhost", "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z",
		"GIT_COMMITTER_NAME=acceptance", "GIT_COMMITTER_EMAIL=acceptance@localhost", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z",
	}}
	git.must(t, "git", "init", "--quiet", "--initial-branch=main")
	git.must(t, "git", "add", "--all")
	git.must(t, "git", "commit", "--quiet", "--message=The tree under test")
}

// edit changes a file of a tree; a link to it elsewhere keeps what it had.
func edit(t testing.TB, file string, change func(string) string) {
	t.Helper()
	data, err := os.ReadFile(file)
	check(t, err)
	changed := change(string(data))
	if changed == string(data) {
		t.Fatalf("%s: the edit changes nothing", file)
	}
	info, err := os.Stat(file)
	check(t, err)
	check(t, os.Remove(file))
	check(t, os.WriteFile(file, []byte(changed), info.Mode().Perm()))
}

// replace is an edit of one text.
func replace(from, to string) func(string) string {
	return func(s string) string { return strings.Replace(s, from, to, 1) }
}

// flip is an edit of one bit in the middle.
func flip(s string) string {
	b := []byte(s)
	b[len(b)/2] ^= 1
	return string(b)
}

func narHash(t testing.TB, dir string) string {
	t.Helper()
	sum, err := nar.Dir(dir).Sum()
	check(t, err)
	return sum.String()
}

// modes lists a tree with the permissions of everything in it, which a NAR does not hold.
func modes(t testing.TB, dir string) string {
	t.Helper()
	var lines []string
	check(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		lines = append(lines, fmt.Sprintf("%s %s", info.Mode(), rel))
		return err
	}))
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
