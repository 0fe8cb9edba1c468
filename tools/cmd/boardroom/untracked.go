package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// warnUntracked says which sources Nix would not see: a flake in a git checkout is made of the files that git tracks, so a
// new file that nobody added gives another digest there. Without git, or outside a checkout, there is nothing to say.
func warnUntracked(ctx context.Context, root string, w io.Writer) {
	cmd := exec.CommandContext(ctx, "git", "-C", root, "ls-files", "-z", "--others", "--exclude-standard", "--", "go.mod", "go.sum", "images", "nix", "tools")
	out, err := cmd.Output()
	if err != nil {
		return
	}
	if len(out) == 0 {
		return
	}
	files := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	const few = 5
	more := ""
	if len(files) > few {
		more = fmt.Sprintf(" and %d more", len(files)-few)
		files = files[:few]
	}
	fmt.Fprintf(w, "warning: git does not track %s%s; nix build will not see it (git add)\n", strings.Join(files, ", "), more)
}
