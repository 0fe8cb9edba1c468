package gitobject_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/audit/gitobject"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The names are those that git 2.39 gave, with --object-format sha1 and sha256.
func TestTree(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []struct {
		name, content string
		mode          os.FileMode
	}{{"a/b", "one\n", 0o644}, {"a.b", "two\n", 0o755}, {"a0", "", 0o600}, {".git/config", "not counted", 0o644}, {"z/.gitignore", "x\n", 0o664}} {
		check(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, f.name)), 0o755))
		check(t, os.WriteFile(filepath.Join(dir, f.name), []byte(f.content), f.mode))
	}
	check(t, os.MkdirAll(filepath.Join(dir, "empty", "too"), 0o755))
	check(t, os.Symlink("a/b", filepath.Join(dir, "link")))
	for _, want := range []string{treeSHA1, treeSHA256} {
		algorithm, err := gitobject.AlgorithmOf(want)
		check(t, err)
		got, err := algorithm.Tree(dir)
		check(t, err)
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	algorithm, err := gitobject.AlgorithmOf(treeSHA1)
	check(t, err)
	check(t, os.Chmod(filepath.Join(dir, "a0"), 0o700))
	if got, err := algorithm.Tree(dir); err != nil || got == treeSHA1 {
		t.Errorf("an executable bit changes nothing (%v)", err)
	}
}

const (
	treeSHA1   = "20e5c8a3117a9b16b1bcb04943b62d4b091e6d43"
	treeSHA256 = "e3db7b252f7538e9a37f5d019766360e77adf9755796350cec730cc51ea74915"
	commitName = "6e7682ffb0249268736eb7b2eea0c1a5135be1b5"
)

const commit = `tree 20e5c8a3117a9b16b1bcb04943b62d4b091e6d43
parent 0123456789012345678901234567890123456789
author A U Thor <author@example.com> 1700000000 +0100
committer C O Mitter <committer@example.com> 1700000060 -0530
gpgsig -----BEGIN PGP SIGNATURE-----
 tree of no meaning

A message

tree of no meaning either
`

func TestCommit(t *testing.T) {
	algorithm, err := gitobject.AlgorithmOf(treeSHA1)
	check(t, err)
	if got := algorithm.Name("commit", []byte(commit)); got != commitName {
		t.Errorf("got %s, want %s", got, commitName)
	}
	c, err := gitobject.ParseCommit([]byte(commit))
	check(t, err)
	if c.Tree != treeSHA1 || len(c.Parents) != 1 || !c.Time.Equal(time.Date(2023, 11, 14, 22, 14, 20, 0, time.UTC)) {
		t.Errorf("got %+v", c)
	}
}

func TestMalformed(t *testing.T) {
	const id = "tree 0123456789012345678901234567890123456789\n"
	for _, text := range []string{
		"", id, "tree 01\ncommitter a <> 1 +0000\n\n", "parent 0123456789012345678901234567890123456789\n" + id + "committer a <> 1 +0000\n\n",
		id + id + "committer a <> 1 +0000\n\n", id + "\n", id + "committer a <> +0000\n\n", id + "committer a <> -1 +0000\n\n", id + "committer a <> 1\n\n",
		id + "parent x\ncommitter a <> 1 +0000\n\n", id + string(make([]byte, gitobject.MaxCommit)),
	} {
		if c, err := gitobject.ParseCommit([]byte(text)); err == nil {
			t.Errorf("%.80q: got %+v", text, c)
		}
	}
	for _, name := range []string{"", "01", "0123456789012345678901234567890123456789012345", "ABCDEF7890123456789012345678901234567890", "g123456789012345678901234567890123456789"} {
		if _, err := gitobject.AlgorithmOf(name); err == nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
}

func FuzzParseCommit(f *testing.F) {
	f.Add([]byte(commit))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := gitobject.ParseCommit(text)
		if err == nil && (c.Tree == "" || c.Time.Before(time.Unix(0, 0))) {
			t.Errorf("got %+v", c)
		}
	})
}
