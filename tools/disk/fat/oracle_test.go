//go:build acceptance

package fat_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/disk/fat"
)

// TestTools has dosfstools check and mtools read file systems, one with a folder of several clusters.
func TestTools(t *testing.T) {
	list := entries()
	for i := range 500 {
		list = append(list, file(fmt.Sprintf("MANY/%d", i), fmt.Sprint(i)))
	}
	for _, size := range []int64{fat.MinSize, 256 << 20, 300 << 20} {
		image := filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(image, write(t, list, options(size)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := run(t, "fsck.fat", "-n", "-v", image); strings.Contains(out, "Free cluster summary wrong") {
			t.Errorf("fsck.fat: %s", out)
		}
		if out := run(t, "mlabel", "-i", image, "-s", "::"); !strings.Contains(out, "DSTACKEFI") {
			t.Errorf("mlabel: %s", out)
		}
		dir := t.TempDir()
		run(t, "mcopy", "-i", image, "-s", "-m", "::*", dir)
		for _, e := range list {
			got, err := os.ReadFile(filepath.Join(dir, e.Path))
			if e.Open == nil {
				continue
			}
			var want strings.Builder
			if err := e.Copy(&want); err != nil {
				t.Fatal(err)
			}
			if err != nil || string(got) != want.String() {
				t.Errorf("%s: %d other bytes (%v)", e.Path, len(got), err)
			}
		}
		info, err := os.Stat(filepath.Join(dir, "EFI/BOOT/BOOTX64.EFI"))
		if err != nil || info.ModTime().Unix() != 1700000000 {
			t.Errorf("time %v (%v)", info.ModTime(), err)
		}
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}
