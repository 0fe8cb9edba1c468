//go:build acceptance

package cpio_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/disk/cpio"
	"github.com/boardroom-tee/boardroom/tools/disk/disktest"
	"github.com/boardroom-tee/boardroom/tools/disk/disktest/listing"
)

// times are those of folders and links, which GNU cpio does not set, behind what else their lines have.
var times = regexp.MustCompile(`(?m)^(".*" (?:4\d{4}|120777) .* 0 )\d+ `)

// TestCpio unpacks an archive with GNU cpio. What the kernel makes of one is in TestKernel of package disk.
func TestCpio(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("owners and devices need root")
	}
	dir := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "cpio", "--extract", "--preserve-modification-time", "--quiet", "--make-directories")
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(write(t, cpio.Write, disktest.Entries()))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cpio: %v\n%s", err, out)
	}
	got, want := listing.Of(dir), listing.OfTree(disktest.Tree(t, owned()), epoch)
	if diff := listing.Diff(times.ReplaceAllString(got, "$1"), times.ReplaceAllString(want, "$1")); diff != "" {
		t.Errorf("got (+), want (-):\n%s", diff)
	}
}
