//go:build acceptance

package mirror

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
)

const archiveKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// realClient downloads from this machine's mirror into the user's cache.
func realClient(t *testing.T) *Client {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	return &Client{Mirror: debtest.Mirror(t), Cache: filepath.Join(cache, "boardroom-test", "deb")}
}

func realSet(t *testing.T, document string) *deb.Set {
	t.Helper()
	set, err := deb.ParseSet([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func realOptions(t *testing.T) LockOptions {
	t.Helper()
	data, err := os.ReadFile(archiveKeyring)
	if err != nil {
		t.Skip(err)
	}
	keys, err := deb.ReadKeyring(data)
	if err != nil {
		t.Fatal(err)
	}
	// Whether the mirror is behind is not what is tested.
	return LockOptions{Keyring: keys, Now: time.Now(), AcceptExpired: true}
}

func realLock(t *testing.T, c *Client, document string) *deb.Lock {
	t.Helper()
	lock, err := c.Lock(t.Context(), realSet(t, document), realOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

// Trixie's own packages, locked, fetched and unpacked twice, and against what dpkg-deb makes of them.
func TestRealPackages(t *testing.T) {
	c := realClient(t)
	lock := realLock(t, c, `{"include": ["runc", "busybox-static", "ca-certificates", "nftables"], "files": {}}`)
	first, err := lock.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	again, err := realLock(t, c, `{"include": ["runc", "busybox-static", "ca-certificates", "nftables"], "files": {}}`).Bytes()
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("another lock (%v)", err)
	}
	if _, err := c.Fetch(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	var trees [2]*deb.Tree
	for i := range trees {
		if trees[i], err = deb.Unpack(t.Context(), lock, c.File, deb.Options{}); err != nil {
			t.Fatal(err)
		}
		defer trees[i].Close()
	}
	if trees[0].Digest() != trees[1].Digest() {
		t.Error("two trees of one lock differ")
	}
	dir := filepath.Join(t.TempDir(), "ours")
	if err := trees[0].Write(dir); err != nil {
		t.Fatal(err)
	}
	theirs := t.TempDir()
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.MkdirAll(filepath.Join(theirs, "usr", name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("usr/"+name, filepath.Join(theirs, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range lock.Packages {
		unpack := exec.CommandContext(t.Context(), "tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", theirs)
		stream := exec.CommandContext(t.Context(), "dpkg-deb", "--fsys-tarfile", c.File(p))
		if unpack.Stdin, err = stream.StdoutPipe(); err != nil {
			t.Fatal(err)
		}
		if err := stream.Start(); err != nil {
			t.Fatal(err)
		}
		if out, err := unpack.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", p, err, out)
		}
		if err := stream.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	ours, want := contents(t, dir), contents(t, theirs)
	for name, content := range want {
		if ours[name] != content {
			t.Errorf("%s: got %.100q, want %.100q", name, ours[name], content)
		}
	}
	for name := range ours {
		if _, found := want[name]; !found {
			t.Errorf("%s: dpkg-deb has none", name)
		}
	}
}

// contents reads a folder: types, permissions, targets and content, by path.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		switch {
		case rel == "." || rel == "usr/lib64" || rel == "usr/sbin" || rel == "usr/bin" || rel == "usr/lib" || rel == "lib64" || rel == "usr":
			return nil
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(name)
			all[rel] = "-> " + target
			return err
		case d.IsDir():
			all[rel] = info.Mode().Perm().String()
			return nil
		}
		content, err := os.ReadFile(name)
		all[rel] = info.Mode().Perm().String() + string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The closure of a few sets against apt's, over the same suite: every package that apt would install is in ours, and the other way
// round.
func TestResolveAgainstApt(t *testing.T) {
	c := realClient(t)
	apt := newApt(t, c.Mirror)
	trixie := realSet(t, `{"suites": [{"archive": "debian", "name": "trixie"}], "include": ["runc"], "files": {}}`)
	_, packages, err := c.suite(t.Context(), trixie, trixie.Suites[0], realOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, include := range [][]string{
		{"busybox-static"}, {"runc"}, {"containerd"}, {"docker.io"}, {"docker.io", "containerd", "runc"}, {"linux-image-amd64"}, {"cryptsetup-bin"}, {"e2fsprogs"},
		{"wireguard-tools"}, {"nftables", "iproute2"}, {"ca-certificates"}, {"ovmf"}, {"openssh-server"}, {"systemd"}, {"git"}, {"python3"}, {"curl"}, {"qemu-system-x86"}, {"golang-go"},
	} {
		t.Run(strings.Join(include, "+"), func(t *testing.T) {
			set := *trixie
			set.Include = include
			chosen, _, err := deb.Resolve(&set, packages)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range chosen {
				got = append(got, p.Name+" "+string(p.Version))
			}
			want := apt.closure(t, include)
			slices.Sort(got)
			slices.Sort(want)
			for _, p := range want {
				if !slices.Contains(got, p) {
					t.Errorf("apt installs %s, which we do not have", p)
				}
			}
			for _, p := range got {
				if !slices.Contains(want, p) {
					t.Errorf("we have %s, which apt does not install", p)
				}
			}
		})
	}
}

type apt []string

func newApt(t *testing.T, mirror string) apt {
	t.Helper()
	root := t.TempDir()
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	list := filepath.Join(root, "sources.list")
	if err := os.WriteFile(list, []byte("deb [signed-by="+archiveKeyring+"] "+mirror+" trixie main\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := apt{
		"-q", "-o", "Dir::State=" + filepath.Join(root, "state"), "-o", "Dir::State::status=/dev/null", "-o", "Dir::Cache=" + filepath.Join(root, "cache"),
		"-o", "Dir::Etc::sourcelist=" + list, "-o", "Dir::Etc::sourceparts=-", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Check-Valid-Until=false",
	}
	if out, err := exec.CommandContext(t.Context(), "apt-get", append(slices.Clone(a), "update")...).CombinedOutput(); err != nil {
		t.Skipf("apt-get update: %v\n%s", err, out)
	}
	return a
}

// closure asks apt what it would install.
func (a apt) closure(t *testing.T, include []string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "apt-get", slices.Concat(a, []string{"-s", "--no-install-recommends", "install"}, include)...).CombinedOutput()
	if err != nil {
		t.Fatalf("apt-get: %v\n%s", err, out)
	}
	var all []string
	for line := range strings.Lines(string(out)) {
		// Inst runc (1.1.15+ds1-2+b4 Debian:13.7/stable [amd64])
		f := strings.Fields(line)
		if len(f) > 2 && f[0] == "Inst" {
			all = append(all, f[1]+" "+strings.TrimPrefix(f[2], "("))
		}
	}
	return all
}

// Every version of trixie's index against its neighbours, and random ones, as dpkg compares them.
func TestVersionsAgainstDpkg(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const alphabet = "0019a~+.-bZ"
	version := func() string {
		for {
			b := []byte{"0123456789"[random.IntN(10)]}
			for range random.IntN(10) {
				b = append(b, alphabet[random.IntN(len(alphabet))])
			}
			text := string(b)
			if random.IntN(4) == 0 {
				text = fmt.Sprint(random.IntN(3)) + ":" + text
			}
			if _, err := deb.ParseVersion(text); err == nil {
				return text
			}
		}
	}
	// One shell for all comparisons: a process each would take minutes.
	shell := exec.CommandContext(t.Context(), "sh", "-c", `while read a b; do
		if dpkg --compare-versions "$a" lt "$b"; then echo -1; elif dpkg --compare-versions "$a" eq "$b"; then echo 0; else echo 1; fi
	done`)
	in, err := shell.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := shell.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := shell.Start(); err != nil {
		t.Skip(err)
	}
	var pairs [][2]string
	for range 3000 {
		a := version()
		b := version()
		// Versions that are nearly the same are where comparing goes wrong.
		if random.IntN(2) == 0 {
			if near := a + string(alphabet[random.IntN(len(alphabet))]); random.IntN(2) == 0 {
				if _, err := deb.ParseVersion(near); err == nil {
					b = near
				}
			}
		}
		pairs = append(pairs, [2]string{a, b})
	}
	go func() {
		for _, p := range pairs {
			_, _ = io.WriteString(in, p[0]+" "+p[1]+"\n")
		}
		_ = in.Close()
	}()
	answers := bufio.NewScanner(out)
	for _, p := range pairs {
		if !answers.Scan() {
			t.Fatalf("dpkg stopped at %v", p)
		}
		if got := fmt.Sprint(deb.Version(p[0]).Compare(deb.Version(p[1]))); got != answers.Text() {
			t.Errorf("%s against %s: got %s, dpkg says %s", p[0], p[1], got, answers.Text())
		}
	}
	if err := shell.Wait(); err != nil {
		t.Error(err)
	}
}
