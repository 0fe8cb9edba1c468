//go:build acceptance

package registry_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
	"github.com/boardroom-tee/boardroom/tools/deb/mirror"
)

// program is one that others wrote, run in an empty folder.
type program struct {
	path, dir string
	env       []string
}

func (p program) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.path, args...)
	cmd.Dir = p.dir
	cmd.Env = append([]string{"HOME=" + p.dir, "PATH=/nowhere"}, p.env...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(exit.Stderr) + string(out), err
	}
	return string(out), err
}

func (p program) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.run(t, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(p.path), strings.Join(args, " "), err, out)
	}
	return out
}

func (p program) refuses(t *testing.T, args ...string) {
	t.Helper()
	if out, err := p.run(t, args...); err == nil {
		t.Errorf("%s %s is content:\n%s", filepath.Base(p.path), strings.Join(args, " "), out)
	}
}

func (p program) write(t *testing.T, name string, data []byte) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(p.dir, name), data, 0o600))
}

func (p program) read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(p.dir, name))
	check(t, err)
	return data
}

// installed is a program of this machine.
func installed(t *testing.T, name string) program {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("this test needs %s; install the Debian package of that name", name)
	}
	return program{path: path, dir: t.TempDir()}
}

// cosigns are the suites of Debian whose cosign is run. Neither needs more of a machine than an older libc has.
var cosigns = []string{"trixie", "forky"}

// noServices is a signing configuration of cosign 3: without one it asks the public services.
var noServices = []byte(`{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogConfig":{},"tsaConfig":{}}`)

// newCosign runs the cosign of a suite.
func newCosign(t *testing.T, suite string) program {
	t.Helper()
	if cosignOf[suite] == nil {
		cosignOf[suite] = downloadCosign(t, suite)
	}
	dir := t.TempDir()
	p := program{filepath.Join(dir, "cosign"), dir, []string{"COSIGN_PASSWORD=secret"}}
	check(t, os.WriteFile(p.path, cosignOf[suite], 0o755))
	// Without a trust root it asks for the public one; with an empty one it needs none.
	p.write(t, "root.json", []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`))
	return p
}

// cosignOf are programs by suite; the tests that use them do not run at the same time.
var cosignOf = make(map[string][]byte)

// downloadCosign downloads the package of a suite, and nothing that it depends on but libc.
func downloadCosign(t *testing.T, suite string) []byte {
	t.Helper()
	cache, err := os.UserCacheDir()
	check(t, err)
	c := &mirror.Client{Mirror: debtest.Mirror(t), Cache: filepath.Join(cache, "boardroom-test", "deb")}
	set, err := deb.ParseSet(fmt.Appendf(nil, `{"suites": [{"archive": "debian", "name": %q}], "include": ["cosign"], "files": {}}`, suite))
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
		t.Logf("cosign %s", p.Version)
	}
	_, err = c.Fetch(t.Context(), lock)
	check(t, err)
	tree, err := deb.Unpack(t.Context(), lock, c.File, deb.Options{})
	check(t, err)
	defer tree.Close()
	entry, found := tree.Find("usr/bin/cosign")
	if !found {
		t.Fatal("the package has no usr/bin/cosign")
	}
	data, err := io.ReadAll(tree.Open(entry))
	check(t, err)
	return data
}

// newCrane compiles crane in the version of the module that registries are spoken to with. What it needs beyond that is not in go.sum.
func newCrane(t *testing.T) program {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "github.com/google/go-containerregistry").Output()
	check(t, err)
	version := strings.TrimSpace(string(out))
	cache, err := os.UserCacheDir()
	check(t, err)
	bin := filepath.Join(cache, "boardroom-test", "crane-"+version)
	if _, err := os.Stat(filepath.Join(bin, "crane")); err != nil {
		cmd := exec.CommandContext(t.Context(), "go", "install", "github.com/google/go-containerregistry/cmd/crane@"+version)
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=", "CGO_ENABLED=0", "GOTOOLCHAIN=local")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go install crane@%s: %v\n%s", version, err, out)
		}
	}
	return program{path: filepath.Join(bin, "crane"), dir: t.TempDir()}
}

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)

// dockerRegistry starts an empty registry of Debian's package and returns its host. It has no referrers API.
func dockerRegistry(t *testing.T) string {
	t.Helper()
	registry, storage := installed(t, "docker-registry"), t.TempDir()
	registry.write(t, "config.yml", fmt.Appendf(nil, `
version: 0.1
storage:
  filesystem:
    rootdirectory: %s
http:
  addr: 127.0.0.1:0
`, storage))
	cmd := exec.CommandContext(context.Background(), registry.path, "serve", filepath.Join(registry.dir, "config.yml"))
	log, err := cmd.StderrPipe()
	check(t, err)
	check(t, cmd.Start())
	host, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				host <- m[1]
			}
		}
	}()
	t.Cleanup(func() {
		check(t, cmd.Process.Kill())
		<-ended
		_ = cmd.Wait() // it was killed
	})
	select {
	case h := <-host:
		return h
	case <-ended:
		t.Fatal("docker-registry ended before it listened")
	case <-time.After(time.Minute):
		t.Fatal("docker-registry does not listen")
	}
	return ""
}
