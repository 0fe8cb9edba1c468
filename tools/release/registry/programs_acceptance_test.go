//go:build acceptance

package registry_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/provenance/sigstoretest"
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

// noServices is a signing configuration of cosign 3: without one it asks the public services.
var noServices = []byte(`{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogConfig":{},"tsaConfig":{}}`)

// newCosign runs the cosign of a suite.
func newCosign(t *testing.T, suite string) program {
	t.Helper()
	p := program{sigstoretest.NewCosign(t, suite).Path(), t.TempDir(), []string{"COSIGN_PASSWORD=secret"}}
	// Without a trust root it asks for the public one; with an empty one it needs none.
	p.write(t, "root.json", []byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`))
	return p
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
