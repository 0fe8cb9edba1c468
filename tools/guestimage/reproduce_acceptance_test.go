//go:build acceptance

package guestimage_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
)

// TestPlacesDoNotMatter builds the development image twice, from two copies of the tree at other places, with all else that a machine can
// have different: user's folders, umask, time zone, language, processors, and order of the files on disk. The packages are downloaded once.
func TestPlacesDoNotMatter(t *testing.T) {
	mirror := debtest.Mirror(t)
	program := filepath.Join(t.TempDir(), "boardroom")
	run(t, "../..", nil, "go", "build", "-o", program, "./tools/cmd/boardroom")
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	common := []string{"DEBIAN_MIRROR=" + mirror, "BOARDROOM_CACHE=" + filepath.Join(cache, "boardroom")}
	var images []string
	for i, other := range [][]string{
		{"TZ=UTC", "LC_ALL=C"},
		{"TZ=Asia/Kathmandu", "LC_ALL=tr_TR.UTF-8", "GOMAXPROCS=1", "GOFLAGS=-mod=mod", "HOME=/nonexistent"},
	} {
		dir := t.TempDir()
		tree := filepath.Join(dir, strings.Repeat("deep/", i*3)+"tree")
		if err := os.CopyFS(tree, os.DirFS("../..")); err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, "image")
		old := syscall.Umask([]int{0o022, 0o077}[i])
		run(t, dir, append(other, common...), program, "guest", "build", "--dev", "--source", tree, "--to", to)
		syscall.Umask(old)
		images = append(images, to)
	}
	first, second := contents(t, images[0]), contents(t, images[1])
	for name := range first {
		if first[name] != second[name] {
			t.Errorf("%s differs", name)
		}
	}
	if !maps.Equal(first, second) {
		t.Error("the images differ")
	}
	im, err := guestimage.Inspect(images[0], guestimage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if im.Root.DataSize > guestimage.MaxRoot {
		t.Errorf("the root file system has %d bytes, at most %d", im.Root.DataSize, guestimage.MaxRoot)
	}
	if _, err := exec.LookPath("nix"); err != nil {
		t.Log("no nix here: the two build paths are not compared")
		return
	}
	out := filepath.Join(t.TempDir(), "result")
	run(t, "../..", common, "nix", "build", ".#guest-image-dev", "-o", out)
	other, err := guestimage.Inspect(out, guestimage.Options{Digest: &im.Digest})
	if err != nil {
		t.Fatalf("the image that Nix builds: %v", err)
	}
	if other.Contents.RootHash != im.Contents.RootHash {
		t.Errorf("nix: root hash %s, want %s", other.Contents.RootHash, im.Contents.RootHash)
	}
}

func run(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}
