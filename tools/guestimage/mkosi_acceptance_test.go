//go:build acceptance

package guestimage_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/guestimage/guestimagetest"
)

// mkosiRounds is how often each builds; the numbers are medians.
const mkosiRounds = 3

// mkosiSet is Debian's mkosi and what it calls to make a disk, with the essential packages that none of them says it depends on.
const mkosiSet = `{"suites": [{"archive": "debian", "name": "trixie"}], "files": {}, "include": [
	"mkosi", "apt", "bash", "coreutils", "cpio", "cryptsetup-bin", "dash", "debconf", "debian-archive-keyring", "diffutils", "dosfstools", "e2fsprogs", "findutils", "gpgv",
	"grep", "gzip", "hostname", "kmod", "libc-bin", "mawk", "mtools", "passwd", "perl-base", "sed", "squashfs-tools", "sqv", "systemd", "systemd-repart", "tar", "util-linux",
	"xz-utils", "zstd"]}`

// BenchmarkBuildAgainstMkosi builds a squashfs root with its dm-verity tree from the packages of images/guest, with "boardroom guest build"
// and with trixie's mkosi, in turns. Packages are in local caches for both, and so is what Go compiled.
//
// They do not do quite the same. mkosi runs maintainer scripts, and for that installs what those need; its image has no initramfs, and more
// is left out of it, because its patterns know no exceptions. Ours includes checking each package against the lock, compiling the guest's
// program and verifying the finished image.
func BenchmarkBuildAgainstMkosi(b *testing.B) {
	c := newContest(b)
	c.mkosi(b) // downloads
	c.boardroom(b)
	for b.Loop() {
		var theirs, ours []time.Duration
		for range mkosiRounds {
			theirs = append(theirs, c.mkosi(b, "--cache-only=always"))
			ours = append(ours, c.boardroom(b))
		}
		b.ReportMetric(median(theirs).Seconds(), "mkosi-s")
		b.ReportMetric(median(ours).Seconds(), "boardroom-s")
		b.ReportMetric(median(ours).Seconds()/median(theirs).Seconds(), "boardroom/mkosi")
		b.ReportMetric(0, "ns/op")
	}
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// contest has a source tree, the program under test, the root of a system with mkosi, and the folder of mkosi's settings.
type contest struct {
	dir, tree, program, system, settings string
	rounds                               int
}

func newContest(b *testing.B) *contest {
	b.Helper()
	dir := b.TempDir()
	c := &contest{
		dir: dir, tree: filepath.Join(dir, "tree"), program: filepath.Join(dir, "boardroom"), system: filepath.Join(dir, "system"), settings: filepath.Join(dir, "mkosi"),
	}
	guestimagetest.CopySource(b, "../..", c.tree)
	guestimagetest.FetchPackages(b, c.tree)
	c.timed(b, c.tree, "go", "build", "-buildvcs=false", "-o", c.program, "./tools/cmd/boardroom")
	c.unpackSystem(b)
	set, err := deb.ReadSet(filepath.Join(c.tree, "images", "guest", "packages.json"))
	if err != nil {
		b.Fatal(err)
	}
	c.configure(b, set)
	return c
}

// unpackSystem unpacks mkosi with what it needs. No maintainer script runs; two links are what some would have made.
func (c *contest) unpackSystem(b *testing.B) {
	b.Helper()
	set, err := deb.ParseSet([]byte(mkosiSet))
	if err != nil {
		b.Fatal(err)
	}
	client := guestimagetest.Client(b)
	tree, err := deb.Unpack(b.Context(), guestimagetest.Lock(b, client, set), client.File, deb.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer tree.Close()
	if err := tree.Write(c.system); err != nil {
		b.Fatal(err)
	}
	for name, target := range map[string]string{"sh": "dash", "awk": "mawk"} {
		name = filepath.Join(c.system, "usr", "bin", name)
		_ = os.Remove(name) // a package may have it
		if err := os.Symlink(target, name); err != nil {
			b.Fatal(err)
		}
	}
}

// configure writes mkosi's settings: the packages that the set includes, from its suites, less the folders that it leaves out as a whole.
func (c *contest) configure(b *testing.B, set *deb.Set) {
	b.Helper()
	var remove, sources strings.Builder
	for _, pattern := range set.Files.Exclude {
		fmt.Fprintf(&remove, "\t/%s\n", pattern)
	}
	place := strings.TrimSuffix(guestimagetest.Client(b).Mirror, "/debian")
	for _, suite := range set.Suites {
		fmt.Fprintf(&sources, "Types: deb\nURIs: %s/%s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n", place, suite.Archive, suite.Name)
	}
	const apt = "mkosi.sandbox/etc/apt/"
	for name, text := range map[string]string{
		"mkosi.conf": "[Distribution]\nDistribution=debian\nRelease=trixie\n[Output]\nFormat=disk\nOutput=guest\nOutputDirectory=out\n" +
			"[Build]\nBuildSources=\nPackageCacheDirectory=cache\nWorkspaceDirectory=work\n" +
			"[Content]\nBootable=no\nWithDocs=no\nPackages=" + strings.Join(set.Include, ",") + "\nRemoveFiles=\n" + remove.String(),
		"mkosi.repart/00-root.conf":   "[Partition]\nType=root\nFormat=squashfs\nCompression=zstd\nCopyFiles=/\nVerity=data\nVerityMatchKey=root\nMinimize=best\n",
		"mkosi.repart/10-verity.conf": "[Partition]\nType=root-verity\nVerity=hash\nVerityMatchKey=root\nMinimize=best\n",
		// It would write one of this name, with suites that a mirror need not have.
		apt + "sources.list.d/mkosi.sources": sources.String(),
		apt + "preferences.d/backports":      "Package: *\nPin: release n=trixie-backports\nPin-Priority: 900\n",
		// A mirror can be behind a suite's Valid-Until; the signature is checked all the same.
		apt + "apt.conf.d/99valid": "Acquire::Check-Valid-Until \"false\";\n",
	} {
		name = filepath.Join(c.settings, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for _, folder := range []string{"cache", "work", "out"} {
		if err := os.Mkdir(filepath.Join(c.settings, folder), 0o755); err != nil {
			b.Fatal(err)
		}
	}
}

func (c *contest) mkosi(b *testing.B, flags ...string) time.Duration {
	b.Helper()
	script, err := filepath.Abs("in-tree.sh")
	if err != nil {
		b.Fatal(err)
	}
	return c.timed(b, c.settings, append([]string{script, c.system, c.settings, "mkosi", "--force"}, append(flags, "build")...)...)
}

func (c *contest) boardroom(b *testing.B) time.Duration {
	b.Helper()
	c.rounds++
	to := filepath.Join(c.dir, fmt.Sprintf("image-%d", c.rounds))
	return c.timed(b, c.tree, c.program, "guest", "build", "--dev", "--to", to)
}

func (c *contest) timed(b *testing.B, dir string, words ...string) time.Duration {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), words[0], words[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_MIRROR="+guestimagetest.Client(b).Mirror)
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return time.Since(start)
}
