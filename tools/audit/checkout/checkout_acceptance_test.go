//go:build acceptance

package checkout

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// repository is a Git repository that a test may do anything to.
type repository struct {
	t   *testing.T
	dir string
}

func newRepository(t *testing.T, format string) *repository {
	t.Helper()
	r := &repository{t, filepath.Join(t.TempDir(), "a repository%20")}
	check(t, os.Mkdir(r.dir, 0o755))
	r.git("init", "--quiet", "--object-format="+format)
	r.write("go.mod", "module example.com/m\n")
	r.write("tools/cmd/agent/main.go", "package main\n")
	r.write("run.sh", "#!/bin/sh\n")
	check(t, os.Chmod(filepath.Join(r.dir, "run.sh"), 0o755))
	check(t, os.Symlink("go.mod", filepath.Join(r.dir, "link")))
	return r
}

func (r *repository) write(name, content string) {
	r.t.Helper()
	file := filepath.Join(r.dir, name)
	check(r.t, os.MkdirAll(filepath.Dir(file), 0o755))
	check(r.t, os.WriteFile(file, []byte(content), 0o644))
}

func (r *repository) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@localhost",
		"GIT_COMMITTER_NAME=c", "GIT_COMMITTER_EMAIL=c@localhost", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z", "GIT_AUTHOR_DATE=2026-01-01T00:00:00Z")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r *repository) commit() (revision, tree string) {
	r.t.Helper()
	r.git("add", "--all")
	r.git("commit", "--quiet", "--message=one")
	return r.git("rev-parse", "HEAD"), r.git("rev-parse", "HEAD^{tree}")
}

func TestFromRepository(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			r := newRepository(t, format)
			revision, tree := r.commit()
			// What is not the revision: later commits, changes, files that nobody added, a hook, a configuration that would change files.
			r.write("go.mod", "module example.com/other\n")
			r.commit()
			r.write("tools/cmd/agent/main.go", "package other\n")
			r.write("untracked", "x")
			r.git("config", "core.autocrlf", "true")
			r.write(".git/hooks/post-checkout", "#!/bin/sh\nexit 1\n")
			check(t, os.Chmod(filepath.Join(r.dir, ".git/hooks/post-checkout"), 0o755))
			dir := filepath.Join(t.TempDir(), "checkout")
			c, err := FromRepository(t.Context(), r.dir, revision, tree, dir)
			check(t, err)
			check(t, c.Verify())
			data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
			check(t, err)
			if string(data) != "module example.com/m\n" {
				t.Errorf("go.mod is %q", data)
			}
			if _, err := os.Lstat(filepath.Join(dir, "untracked")); err == nil {
				t.Error("a file that nobody added came along")
			}
			clean := &repository{t, dir}
			if got := clean.git("status", "--porcelain"); got != "" {
				t.Errorf("status is %q", got)
			}
			if got := clean.git("rev-parse", "HEAD", "HEAD^{tree}"); got != revision+"\n"+tree {
				t.Errorf("HEAD is %s", got)
			}
			t.Run("from its files", func(t *testing.T) {
				files := filepath.Join(t.TempDir(), "files")
				check(t, c.Export(files))
				if _, err := os.Lstat(filepath.Join(files, ".git")); err == nil {
					t.Error("the repository was exported")
				}
				again, err := FromFiles(t.Context(), files, c.Commit, revision, tree, filepath.Join(t.TempDir(), "checkout"))
				check(t, err)
				copied := &repository{t, again.Dir}
				if got := copied.git("status", "--porcelain"); got != "" {
					t.Errorf("status is %q", got)
				}
				if got := copied.git("rev-parse", "HEAD", "HEAD^{tree}"); got != revision+"\n"+tree {
					t.Errorf("HEAD is %s", got)
				}
				check(t, os.WriteFile(filepath.Join(files, "run.sh"), nil, 0o755))
				mismatch(t, "tree of the files", func(dir string) error {
					_, err := FromFiles(t.Context(), files, c.Commit, revision, tree, dir)
					return err
				})
			})
		})
	}
}

func mismatch(t *testing.T, what string, make func(dir string) error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "checkout")
	var m *MismatchError
	if err := make(dir); !errors.As(err, &m) || m.What != what {
		t.Errorf("got %v, want a mismatch of the %s", err, what)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("what was refused was left behind")
	}
}

// History is no part of it: a commit with a parent is checked out alone.
func TestHistoryIsLeftBehind(t *testing.T) {
	r := newRepository(t, "sha1")
	first, _ := r.commit()
	r.write("go.mod", "module example.com/second\n")
	revision, tree := r.commit()
	c, err := FromRepository(t.Context(), r.dir, revision, tree, filepath.Join(t.TempDir(), "checkout"))
	check(t, err)
	cmd := exec.Command("git", "cat-file", "-e", first)
	cmd.Dir = c.Dir
	if cmd.Run() == nil {
		t.Error("the commit before is there too")
	}
	files := filepath.Join(t.TempDir(), "files")
	check(t, c.Export(files))
	again, err := FromFiles(t.Context(), files, c.Commit, revision, tree, filepath.Join(t.TempDir(), "checkout"))
	check(t, err)
	if got := (&repository{t, again.Dir}).git("log", "--format=%H"); got != revision {
		t.Errorf("log is %q", got)
	}
}

func TestOtherSources(t *testing.T) {
	r := newRepository(t, "sha1")
	revision, tree := r.commit()
	other := strings.Repeat("1", 40)
	mismatch(t, "tree of the revision", func(dir string) error {
		_, err := FromRepository(t.Context(), r.dir, revision, other, dir)
		return err
	})
	from := func(dir, revision, tree string) error {
		_, err := FromRepository(t.Context(), dir, revision, tree, filepath.Join(t.TempDir(), "checkout"))
		return err
	}
	for name, err := range map[string]error{
		"another revision": from(r.dir, other, tree), "no repository": from(t.TempDir(), revision, tree), "no name": from(r.dir, "HEAD", tree),
		"an option": from(r.dir, "--upload-pack=x", tree), "other lengths": from(r.dir, revision, tree+strings.Repeat("0", 24)),
	} {
		var m *MismatchError
		if err == nil || errors.As(err, &m) {
			t.Errorf("%s: got %v, want a fault", name, err)
		}
	}
}

// An object that is not what its name says does not pass, in whatever way Git stumbles over it.
func TestLyingObjectStore(t *testing.T) {
	r := newRepository(t, "sha1")
	revision, tree := r.commit()
	object := func(content string) string {
		r.write("blob", content)
		name := r.git("hash-object", "-w", "blob")
		return filepath.Join(r.dir, ".git", "objects", name[:2], name[2:])
	}
	truth, lie := object("package main\n"), object("package evil\n")
	data, err := os.ReadFile(lie)
	check(t, err)
	check(t, os.Chmod(truth, 0o644))
	check(t, os.WriteFile(truth, data, 0o644))
	if _, err := FromRepository(t.Context(), r.dir, revision, tree, filepath.Join(t.TempDir(), "checkout")); err == nil {
		t.Error("a blob with other content was checked out")
	}
}

// A conversion that the revision itself asks for changes files, which are then not those that the tree names.
func TestConversion(t *testing.T) {
	r := newRepository(t, "sha1")
	r.write(".gitattributes", "go.mod text eol=crlf\n")
	revision, tree := r.commit()
	mismatch(t, "tree of the files", func(dir string) error {
		_, err := FromRepository(t.Context(), r.dir, revision, tree, dir)
		return err
	})
}

func TestSubmodule(t *testing.T) {
	r := newRepository(t, "sha1")
	revision, _ := r.commit()
	r.git("update-index", "--add", "--cacheinfo", "160000,"+revision+",vendor/other")
	r.git("commit", "--quiet", "--message=two")
	var s *SubmoduleError
	_, err := FromRepository(t.Context(), r.dir, r.git("rev-parse", "HEAD"), r.git("rev-parse", "HEAD^{tree}"), filepath.Join(t.TempDir(), "checkout"))
	if !errors.As(err, &s) || s.Path != "vendor/other" {
		t.Errorf("got %v, want a refused submodule", err)
	}
}

// What is changed after the checkout is noticed.
func TestVerify(t *testing.T) {
	r := newRepository(t, "sha1")
	revision, tree := r.commit()
	dir := filepath.Join(t.TempDir(), "checkout")
	c, err := FromRepository(t.Context(), r.dir, revision, tree, dir)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(dir, "tools/cmd/agent/main.go"), []byte("package nain\n"), 0o644))
	var m *MismatchError
	if err := c.Verify(); !errors.As(err, &m) || m.What != "tree of the files" {
		t.Errorf("got %v", err)
	}
}
