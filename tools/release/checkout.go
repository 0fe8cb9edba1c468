package release

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // the name of an object in most repositories, which git chose
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of a source tree.
const (
	maxObject  = 256 << 20 // bytes of one object
	maxEntries = 1 << 17   // files and folders
	maxDepth   = 64
)

// SourceError says that there is no source to make a release of: a checkout that is not clean, or a tree that can not be written.
type SourceError struct {
	Dir    string
	Reason string
}

func (e *SourceError) Error() string { return "source " + e.Dir + ": " + e.Reason }

// Revision is a revision of a Git repository.
type Revision struct {
	// Commit and Tree are names of objects in hex.
	Commit, Tree string
	// Time is that of the commit.
	Time time.Time
}

// git runs the git program on a repository. What could make it see another one, or other objects under the names of these, is left out of
// its environment (git(1), "The Git Repository"; git-replace(1)).
func git(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir, "-c", "core.fsmonitor=false"}, args...)...)
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.Contains([]string{
			"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_NAMESPACE",
			"GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE",
		}, name) {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, "LC_ALL=C", "GIT_NO_REPLACE_OBJECTS=1", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0")
	return cmd
}

func gitOutput(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := git(ctx, dir, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, errors.Join(ctx.Err(), fmt.Errorf("git %s: %w\n%s", args[0], err, strings.TrimSpace(stderr.String())))
	}
	return stdout.Bytes(), nil
}

// CleanRevision is the revision that is checked out in dir, which is the top of its checkout. One that was changed since, or has files that
// git does not track, is a *SourceError. Files that git ignores are left alone: [Export] leaves them out.
func CleanRevision(ctx context.Context, dir string) (string, error) {
	top, err := gitOutput(ctx, dir, "rev-parse", "--show-cdup")
	if err != nil {
		return "", err
	}
	if up := strings.TrimSpace(string(top)); up != "" {
		return "", &SourceError{dir, "expected the top folder of a Git checkout, got one below " + up}
	}
	status, err := gitOutput(ctx, dir, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--ignore-submodules=none")
	if err != nil {
		return "", err
	}
	if len(status) > 0 {
		changes := strings.Split(strings.TrimSuffix(string(status), "\x00"), "\x00")
		return "", &SourceError{dir, fmt.Sprintf("expected a clean checkout, without changes and untracked files, got %d: %q first", len(changes), changes[0])}
	}
	commit, err := gitOutput(ctx, dir, "rev-parse", "--verify", "--end-of-options", "HEAD^{commit}")
	return strings.TrimSpace(string(commit)), err
}

// Export writes the tree of a revision of the repository at dir to a folder that is there and empty, and to nothing else: no file that git
// does not track, no filter, no attribute. The name of every object is computed again from what git says is in it, so that the folder has
// what the revision's name commits to. What can not be written is a *SourceError.
func Export(ctx context.Context, dir, revision, to string) (r Revision, err error) {
	if !objectPattern.MatchString(revision) {
		return r, &SourceError{dir, fmt.Sprintf("expected the full name of a revision in lower-case hex, got %.80q", revision)}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := git(ctx, dir, "cat-file", "--batch")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return r, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := cmd.Start(); err != nil {
		return r, err
	}
	e := &exporter{dir: dir, in: in, out: bufio.NewReaderSize(out, 1<<16)}
	if r, err = e.revision(revision); err == nil {
		err = e.tree(r.Tree, to, 0)
	}
	err = errors.Join(err, in.Close())
	if err != nil {
		cancel() // it may be writing what nobody reads
	}
	if done := cmd.Wait(); done != nil && err == nil {
		err = fmt.Errorf("git cat-file: %w\n%s", done, strings.TrimSpace(stderr.String()))
	}
	return r, err
}

type exporter struct {
	dir     string
	in      io.Writer
	out     *bufio.Reader
	entries int
}

func (e *exporter) refuse(format string, args ...any) error {
	return &SourceError{e.dir, fmt.Sprintf(format, args...)}
}

// object reads an object of a kind, and computes its name again (git's Documentation/gitformat-pack.adoc, object names).
func (e *exporter) object(name, kind string) ([]byte, error) {
	if _, err := fmt.Fprintln(e.in, name); err != nil {
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	line, err := e.out.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	words := strings.Fields(line)
	if len(words) != 3 || words[0] != name || words[1] != kind {
		return nil, e.refuse("expected the %s %s, got %.200q", kind, name, strings.TrimSpace(line))
	}
	size, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil || size < 0 || size > maxObject {
		return nil, e.refuse("%s %s: expected at most %d bytes, got %.40q", kind, name, int64(maxObject), words[2])
	}
	data := make([]byte, size+1)
	if _, err := io.ReadFull(e.out, data); err != nil {
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	data = data[:size] // behind it is a line feed
	sum := newSum(name)
	fmt.Fprintf(sum, "%s %d\x00", kind, size)
	sum.Write(data)
	if got := hex.EncodeToString(sum.Sum(nil)); got != name {
		return nil, e.refuse("%s %s: expected content with that name, got %s", kind, name, got)
	}
	return data, nil
}

func newSum(name string) hash.Hash {
	if len(name) == 2*sha256.Size {
		return sha256.New()
	}
	return sha1.New() //nolint:gosec // as above
}

// revision reads a commit: headers of lines, the first of which is the tree.
func (e *exporter) revision(commit string) (Revision, error) {
	data, err := e.object(commit, "commit")
	if err != nil {
		return Revision{}, err
	}
	r := Revision{Commit: commit}
	headers, _, _ := strings.Cut(string(data), "\n\n")
	for line := range strings.Lines(headers) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch {
		case key == "tree" && r.Tree == "":
			r.Tree = value
		case key == "committer" && r.Time.IsZero():
			// NAME <ADDRESS> SECONDS ZONE
			words := strings.Fields(value[strings.LastIndexByte(value, '>')+1:])
			if len(words) == 2 {
				if seconds, err := strconv.ParseInt(words[0], 10, 64); err == nil {
					r.Time = time.Unix(seconds, 0).UTC()
				}
			}
		}
	}
	if !objectPattern.MatchString(r.Tree) || len(r.Tree) != len(commit) || r.Time.IsZero() || r.Time.Unix() < 0 || r.Time.Year() > 9999 {
		return Revision{}, e.refuse("commit %s: expected a tree and the time of a committer, got %.80q and %s", commit, r.Tree, r.Time)
	}
	return r, nil
}

// Modes of entries of a tree (git's Documentation/gitformat-index.adoc and object.h).
const (
	modeFolder     = "40000"
	modeFile       = "100644"
	modeExecutable = "100755"
	modeLink       = "120000"
)

// tree writes a tree: entries of mode, space, name, NUL, and the name of an object as bytes.
func (e *exporter) tree(name, to string, depth int) error {
	data, err := e.object(name, "tree")
	if err != nil {
		return err
	}
	if depth == maxDepth {
		return e.refuse("expected at most %d folders in each other, got more", maxDepth)
	}
	for len(data) > 0 {
		head, rest, ok := bytes.Cut(data, []byte{0})
		mode, file, _ := strings.Cut(string(head), " ")
		size := len(name) / 2
		if !ok || len(rest) < size {
			return e.refuse("tree %s: expected entries, got something else", name)
		}
		object := hex.EncodeToString(rest[:size])
		data = rest[size:]
		if e.entries++; e.entries > maxEntries {
			return e.refuse("expected at most %d files and folders, got more", maxEntries)
		}
		if file == "" || file == "." || file == ".." || strings.EqualFold(file, ".git") || strings.ContainsAny(file, "/\\") {
			return e.refuse("tree %s: expected the name of a file, got %.200q", name, file)
		}
		if err := e.entry(mode, object, filepath.Join(to, file), depth); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) entry(mode, object, place string, depth int) error {
	if mode == modeFolder {
		if err := os.Mkdir(place, 0o755); err != nil {
			return err
		}
		return e.tree(object, place, depth+1)
	}
	perm := os.FileMode(0o644)
	switch mode {
	case modeFile:
	case modeExecutable:
		perm = 0o755
	default:
		// A link could lead out of the tree, and a submodule is not in it.
		kind := "a submodule or another entry"
		if mode == modeLink {
			kind = "a symbolic link"
		}
		return e.refuse("%s: expected files and folders, got %s of mode %.20s", filepath.Base(place), kind, mode)
	}
	data, err := e.object(object, "blob")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(place, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Chmod(perm), f.Close())
}
