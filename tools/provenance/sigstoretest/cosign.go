//go:build acceptance

package sigstoretest

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
	"github.com/boardroom-tee/boardroom/tools/deb/mirror"
)

// Suites are the releases of Debian whose cosign is run: version 2.5 and version 3.1.
var Suites = []string{"trixie", "forky"}

// Cosign is the program of a Debian package, run in an empty folder with no network that it needs.
type Cosign struct {
	Dir, Suite string
	// Environment is what the program finds beside a home, a path and a password.
	Environment []string
	program     string
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cosigns are the programs that this process has unpacked, by suite.
var (
	cosigns     = make(map[string]string)
	cosignsLock sync.Mutex
)

// NewCosign downloads the package of a suite, and nothing that it depends on but libc.
func NewCosign(t *testing.T, suite string) Cosign {
	t.Helper()
	cosignsLock.Lock()
	defer cosignsLock.Unlock()
	if cosigns[suite] == "" {
		cosigns[suite] = unpackCosign(t, suite)
	}
	return Cosign{Dir: t.TempDir(), Suite: suite, program: cosigns[suite]}
}

// unpackCosign writes the program into the cache, anew: which one it is, the archive says.
func unpackCosign(t *testing.T, suite string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	check(t, err)
	c := &mirror.Client{Mirror: debtest.Mirror(t), Cache: filepath.Join(cache, "boardroom-test", "deb")}
	set, err := deb.ParseSet([]byte(`{"suites": [{"archive": "debian", "name": "` + suite + `"}], "include": ["cosign"], "files": {}}`))
	check(t, err)
	ring, err := os.ReadFile("/usr/share/keyrings/debian-archive-keyring.gpg")
	check(t, err)
	keys, err := deb.ReadKeyring(ring)
	check(t, err)
	// Whether the mirror is behind is not what is tested.
	lock, err := c.Lock(t.Context(), set, mirror.LockOptions{Keyring: keys, Now: time.Now(), AcceptExpired: true})
	check(t, err)
	lock.Packages = slices.DeleteFunc(lock.Packages, func(p deb.LockedPackage) bool { return p.Name != "cosign" })
	for _, p := range lock.Packages {
		t.Logf("%s: cosign %s", suite, p.Version)
	}
	_, err = c.Fetch(t.Context(), lock)
	check(t, err)
	tree, err := deb.Unpack(t.Context(), lock, c.File, deb.Options{})
	check(t, err)
	defer func() { check(t, tree.Close()) }()
	entry, found := tree.Find("usr/bin/cosign")
	if !found {
		t.Fatal("the package has no usr/bin/cosign")
	}
	data, err := io.ReadAll(tree.Open(entry))
	check(t, err)
	dir := filepath.Join(cache, "boardroom-test", "sigstore")
	check(t, os.MkdirAll(dir, 0o755))
	path := filepath.Join(dir, "cosign-"+suite)
	file, err := os.CreateTemp(dir, ".cosign-*")
	check(t, err)
	_, err = file.Write(data)
	// Another process may run the one that is there; it keeps it.
	check(t, errors.Join(err, file.Chmod(0o755), file.Close(), os.Rename(file.Name(), path)))
	return path
}

// Path is the program, for who runs it in another way.
func (c Cosign) Path() string { return c.program }

// Write writes a file into the program's folder.
func (c Cosign) Write(t *testing.T, name string, data []byte) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(c.Dir, name), data, 0o600))
}

// Read reads a file of the program's folder.
func (c Cosign) Read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.Dir, name))
	check(t, err)
	return data
}

func (c Cosign) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.program, args...)
	cmd.Dir = c.Dir
	cmd.Env = []string{"HOME=" + c.Dir, "COSIGN_PASSWORD=secret", "PATH=/nowhere"}
	cmd.Env = append(cmd.Env, c.Environment...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Accepts runs a verification that has to succeed.
func (c Cosign) Accepts(t *testing.T, args ...string) {
	t.Helper()
	if out, err := c.run(t, args...); err != nil || !strings.Contains(out, "Verified OK") {
		t.Errorf("cosign of %s %s: %v\n%s", c.Suite, strings.Join(args, " "), err, out)
	}
}

// Refuses runs a verification that has to fail, and say so.
func (c Cosign) Refuses(t *testing.T, args ...string) {
	t.Helper()
	if out, err := c.run(t, args...); err == nil || strings.Contains(out, "Verified OK") {
		t.Errorf("cosign of %s %s is content:\n%s", c.Suite, strings.Join(args, " "), out)
	}
}

// Must runs anything that has to succeed.
func (c Cosign) Must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := c.run(t, args...)
	if err != nil {
		t.Fatalf("cosign of %s %s: %v\n%s", c.Suite, strings.Join(args, " "), err, out)
	}
	return out
}
