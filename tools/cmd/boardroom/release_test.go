package main

import (
	"context"
	"errors"
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
)

// released writes a small release that nobody has signed: released DIR [VERSION].
func released(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: released DIR [VERSION]")
	}
	var o releasetest.Options
	if len(args) == 2 {
		o.Version = args[1]
	}
	work, err := os.MkdirTemp(ts.MkAbs("."), "parts-")
	ts.Check(err)
	parts, err := releasetest.Parts(work, o)
	ts.Check(err)
	ts.Check(release.Assemble(context.Background(), *parts, ts.MkAbs(args[0])))
	ts.Check(os.RemoveAll(work))
}

// checkedOut makes a Git checkout of a folder, with everything in it committed: checkedout DIR.
func checkedOut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: checkedout DIR")
	}
	dir := ts.MkAbs(args[0])
	for name, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "nobody", "GIT_AUTHOR_EMAIL": "nobody@example.test",
		"GIT_AUTHOR_DATE": "1763640000 +0000", "GIT_COMMITTER_NAME": "nobody", "GIT_COMMITTER_EMAIL": "nobody@example.test", "GIT_COMMITTER_DATE": "1763640000 +0000",
	} {
		ts.Setenv(name, value)
	}
	ts.Check(errors.Join(
		ts.Exec("git", "-C", dir, "init", "--quiet"), ts.Exec("git", "-C", dir, "add", "--all"), ts.Exec("git", "-C", dir, "commit", "--quiet", "--message", "a revision"),
	))
}
