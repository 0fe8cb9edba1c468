//go:build acceptance

package squashfs_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/disk"
	"github.com/boardroom-tee/boardroom/tools/disk/disktest"
	"github.com/boardroom-tee/boardroom/tools/disk/disktest/listing"
	"github.com/boardroom-tee/boardroom/tools/disk/squashfs"
)

// create writes an image into a file.
func create(t testing.TB, tree *disk.Tree, o squashfs.Options) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := squashfs.Write(f, tree, o)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != size {
		t.Fatalf("the image has %d bytes (%v), want %d", info.Size(), err, size)
	}
	return name
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestUnsquashfs unpacks images with Debian's tool and compares everything.
func TestUnsquashfs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("owners and devices need root")
	}
	for _, size := range []int{4 << 10, 128 << 10, 1 << 20} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			tree := disktest.Tree(t, disktest.Entries())
			image := create(t, tree, squashfs.Options{Epoch: epoch, BlockSize: size, Level: squashfs.Fast})
			dir := filepath.Join(t.TempDir(), "root")
			run(t, "unsquashfs", "-quiet", "-no-progress", "-dest", dir, image)
			if diff := listing.Diff(listing.Of(dir), listing.OfTree(tree, epoch)); diff != "" {
				t.Errorf("got (+), want (-):\n%s", diff)
			}
		})
	}
}

// BenchmarkMksquashfs compares with Debian's tool on the tree that BOARDROOM_BENCH_TREE names, by default that of the Go toolchain.
// time%, cpu% and size% are ours of theirs. They take turns and write to the same file system; cpu% is about user and system time,
// which other work on the machine disturbs less.
func BenchmarkMksquashfs(b *testing.B) {
	dir := os.Getenv("BOARDROOM_BENCH_TREE")
	if dir == "" {
		dir = strings.TrimSpace(run(b, "go", "env", "GOROOT"))
	}
	tree := disktest.Tree(b, disktest.Folder(b, dir))
	var total int64
	for _, e := range tree.Entries() {
		if e.Open != nil {
			total += e.Size
			if err := e.Copy(io.Discard); err != nil { // into the page cache
				b.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		level  squashfs.Level
		theirs int
	}{{squashfs.Fast, 3}, {squashfs.Better, 7}, {squashfs.Best, 11}, {squashfs.Best, 15}} {
		b.Run(fmt.Sprintf("zstd-%d", tt.theirs), func(b *testing.B) {
			var wall, cpu [2]time.Duration
			var sizes [2]int64
			for b.Loop() {
				for i, f := range []func() string{
					func() string { return create(b, tree, squashfs.Options{Level: tt.level}) },
					func() string {
						out := filepath.Join(b.TempDir(), "theirs")
						run(b, "mksquashfs", dir, out, "-comp", "zstd", "-Xcompression-level", strconv.Itoa(tt.theirs), "-b", "131072", "-no-xattrs",
							"-no-progress", "-quiet", "-mkfs-time", "0", "-all-time", "0", "-noappend")
						return out
					},
				} {
					start, before := time.Now(), used(b)
					name := f()
					wall[i] += time.Since(start)
					cpu[i] += used(b) - before
					info, err := os.Stat(name)
					if err != nil {
						b.Fatal(err)
					}
					sizes[i] = info.Size()
				}
			}
			b.ReportMetric(float64(total)/1e6, "MB")
			b.ReportMetric(wall[0].Seconds()/float64(b.N), "ours-s")
			b.ReportMetric(wall[1].Seconds()/float64(b.N), "theirs-s")
			b.ReportMetric(100*wall[0].Seconds()/wall[1].Seconds(), "time%")
			b.ReportMetric(100*cpu[0].Seconds()/cpu[1].Seconds(), "cpu%")
			b.ReportMetric(float64(sizes[0])/1e6, "ours-MB")
			b.ReportMetric(100*float64(sizes[0])/float64(sizes[1]), "size%")
		})
	}
}

// used is the processor time of this process and of those it has waited for.
func used(t testing.TB) time.Duration {
	t.Helper()
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}
