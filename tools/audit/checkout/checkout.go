package checkout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/audit/gitobject"
)

// Checkout is a folder with the files of a revision, as a Git repository with that one commit.
type Checkout struct {
	Dir string
	// Revision and Tree are names of Git objects in hex. They were computed from Commit and from the files.
	Revision, Tree string
	// Commit is the text of the commit.
	Commit []byte
}

// MismatchError says that a source is not the one that was asked for.
type MismatchError struct {
	// What is "revision", "tree of the revision" or "tree of the files".
	What          string
	Expected, Got string
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("source: %s: expected %s, got %s", e.What, e.Expected, e.Got)
}

// SubmoduleError says that a revision has a submodule, whose files its tree does not vouch for.
type SubmoduleError struct{ Path string }

func (e *SubmoduleError) Error() string {
	return fmt.Sprintf("source: %s: expected files only, got a submodule, whose content is not part of the tree", e.Path)
}

// FromRepository checks out a revision of a repository on this machine into dir, which must not exist. That the revision has the given
// tree is checked by computing both names again. A source that is another one gives a *MismatchError or a *SubmoduleError.
func FromRepository(ctx context.Context, repository, revision, tree, dir string) (*Checkout, error) {
	repository, err := filepath.Abs(repository)
	if err != nil {
		return nil, err
	}
	return newCheckout(ctx, revision, tree, dir, func(g *git) error {
		if _, err := g.run(ctx, nil, "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--", "file://"+escape(repository), revision); err != nil {
			return fmt.Errorf("source %s: revision %s: %w", repository, revision, err)
		}
		_, err := g.run(ctx, nil, "checkout", "--quiet", "--detach", revision)
		return err
	})
}

// escape keeps Git from reading a path as something else.
func escape(path string) string {
	return strings.ReplaceAll(filepath.ToSlash(path), "%", "%25")
}

// FromFiles does the same from the files of a folder and the text of the commit.
func FromFiles(ctx context.Context, files string, commit []byte, revision, tree, dir string) (*Checkout, error) {
	return newCheckout(ctx, revision, tree, dir, func(g *git) error {
		if err := os.CopyFS(dir, os.DirFS(files)); err != nil {
			return err
		}
		for _, step := range []struct {
			input []byte
			args  []string
			want  string
		}{
			{nil, []string{"add", "--all", "--force", "--", "."}, ""},
			{nil, []string{"write-tree"}, tree},
			{commit, []string{"hash-object", "-w", "-t", "commit", "--stdin"}, revision},
		} {
			out, err := g.run(ctx, step.input, step.args...)
			if err != nil {
				return err
			}
			if got := strings.TrimSpace(string(out)); got != step.want {
				return &MismatchError{map[bool]string{true: "revision", false: "tree of the files"}[step.input != nil], step.want, got}
			}
		}
		// The history before the revision is not there, and Git is not to look for it.
		if err := os.WriteFile(filepath.Join(dir, ".git", "shallow"), []byte(revision+"\n"), 0o644); err != nil {
			return err
		}
		_, err := g.run(ctx, nil, "update-ref", "--no-deref", "HEAD", revision)
		return err
	})
}

func newCheckout(ctx context.Context, revision, tree, dir string, fill func(*git) error) (_ *Checkout, err error) {
	algorithm, err := gitobject.AlgorithmOf(revision)
	if err != nil {
		return nil, fmt.Errorf("source: revision: %w", err)
	}
	if _, err := gitobject.AlgorithmOf(tree); err != nil || len(tree) != len(revision) {
		return nil, fmt.Errorf("source: tree: expected a name as long as that of the revision, got %.80q", tree)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	g, err := newGit(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(g.home)) }()
	format := map[int]string{40: "sha1", 64: "sha256"}[len(revision)]
	if _, err := g.run(ctx, nil, "init", "--quiet", "--object-format="+format, "--initial-branch=main", "--template="); err != nil {
		return nil, err
	}
	if err := fill(g); err != nil {
		return nil, err
	}
	commit, err := g.run(ctx, nil, "cat-file", "commit", revision)
	if err != nil {
		return nil, err
	}
	c := &Checkout{Dir: dir, Revision: revision, Tree: tree, Commit: commit}
	if err := g.refuseSubmodules(ctx); err != nil {
		return nil, err
	}
	return c, c.verify(algorithm)
}

// verify computes all names again.
func (c *Checkout) verify(algorithm gitobject.Algorithm) error {
	if got := algorithm.Name("commit", c.Commit); got != c.Revision {
		return &MismatchError{"revision", c.Revision, got}
	}
	commit, err := gitobject.ParseCommit(c.Commit)
	if err != nil {
		return err
	}
	if commit.Tree != c.Tree {
		return &MismatchError{"tree of the revision", c.Tree, commit.Tree}
	}
	got, err := algorithm.Tree(c.Dir)
	if err != nil {
		return err
	}
	if got != c.Tree {
		return &MismatchError{"tree of the files", c.Tree, got}
	}
	return nil
}

// Verify computes the names of revision and tree again from what is there now.
func (c *Checkout) Verify() error {
	algorithm, err := gitobject.AlgorithmOf(c.Revision)
	if err != nil {
		return err
	}
	return c.verify(algorithm)
}

// Export copies the files alone to dir, which must not exist.
func (c *Checkout) Export(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		from, to := filepath.Join(c.Dir, e.Name()), filepath.Join(dir, e.Name())
		switch {
		case e.Name() == ".git":
		case e.IsDir():
			err = os.CopyFS(to, os.DirFS(from))
		case e.Type() == os.ModeSymlink:
			var target string
			if target, err = os.Readlink(from); err == nil {
				err = os.Symlink(target, to)
			}
		default:
			err = copyFile(from, to)
		}
		if err != nil {
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
	return os.WriteFile(to, data, info.Mode().Perm())
}

// git runs the program in one repository, with a configuration of our own alone.
type git struct{ dir, home string }

// config lets a repository on this machine be asked for any revision, whoever owns it, and keeps files as they are. Submodules, hooks and
// monitors stay off.
const config = `[uploadpack]
	allowAnySHA1InWant = true
[safe]
	directory = *
[core]
	autocrlf = false
	symlinks = true
	fileMode = true
	hooksPath = /dev/null
	fsmonitor = false
	attributesFile = /dev/null
	excludesFile = /dev/null
[transfer]
	fsckObjects = false
[gc]
	auto = 0
[submodule]
	recurse = false
[protocol]
	allow = never
[protocol "file"]
	allow = always
`

func newGit(dir string) (*git, error) {
	home, err := os.MkdirTemp("", "checkout-")
	if err != nil {
		return nil, err
	}
	return &git{dir, home}, os.WriteFile(filepath.Join(home, "config"), []byte(config), 0o600)
}

func (g *git) run(ctx context.Context, input []byte, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = g.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.home, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + filepath.Join(g.home, "config"),
		"GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_NO_REPLACE_OBJECTS=1", "GIT_CEILING_DIRECTORIES=" + filepath.Dir(g.dir),
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, errors.Join(ctx.Err(), fmt.Errorf("git %s: %w\n%s", args[0], err, strings.TrimSpace(stderr.String())))
	}
	return stdout.Bytes(), nil
}

// refuseSubmodules looks for entries of mode 160000, which Git writes as folders without content.
func (g *git) refuseSubmodules(ctx context.Context) error {
	out, err := g.run(ctx, nil, "ls-tree", "-r", "-z", "--full-tree", "HEAD")
	if err != nil {
		return err
	}
	for line := range strings.SplitSeq(string(out), "\x00") {
		if strings.HasPrefix(line, "160000 ") {
			_, path, _ := strings.Cut(line, "\t")
			return &SubmoduleError{path}
		}
	}
	return nil
}
