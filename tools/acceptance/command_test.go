//go:build acceptance

package acceptance

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// debianPackage has the programs that tests call.
var debianPackage = map[string]string{
	"docker-registry": "docker-registry",
	"git":             "git",
	"go":              "golang-go, or go.dev/dl",
	"hostname":        "hostname",
	"nix":             "nix-bin",
	"nix-store":       "nix-bin",
	"runc":            "runc",
	"setpriv":         "util-linux",
	"skopeo":          "skopeo",
	"taskset":         "util-linux",
	"umoci":           "umoci",
	"unshare":         "util-linux",
}

// need fails the test where a program is not installed.
func need(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("this test needs %s; install the Debian package %s", name, debianPackage[name])
		}
	}
}

// at is where a program runs, and what its environment has besides this process's.
type at struct {
	dir string
	env []string
}

type outcome struct {
	command        string
	code           int
	stdout, stderr string
}

// try runs a program to its end, whatever that is.
func (a at) try(t testing.TB, words ...string) outcome {
	t.Helper()
	need(t, words[0])
	// Clean-ups run programs too, when the test's context has ended.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), words[0], words[1:]...)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), a.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", strings.Join(words, " "), err)
	}
	return outcome{strings.Join(words, " "), cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must runs a program that has to succeed and returns what it printed.
func (a at) must(t testing.TB, words ...string) string {
	t.Helper()
	o := a.try(t, words...)
	if o.code != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", o.command, o.code, o.stdout, o.stderr)
	}
	return strings.TrimSpace(o.stdout)
}

// ended checks an exit code, and that stderr says all of want.
func (o outcome) ended(t testing.TB, code int, want ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("%s: exit code %d, want %d\n%s", o.command, o.code, code, o.stderr)
	}
	o.says(t, want...)
}

// failed checks that a program did not succeed, and that stderr says all of want.
func (o outcome) failed(t testing.TB, want ...string) {
	t.Helper()
	if o.code == 0 {
		t.Errorf("%s: succeeded", o.command)
	}
	o.says(t, want...)
}

func (o outcome) says(t testing.TB, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(o.stderr, w) {
			t.Errorf("%s: stderr has no %q:\n%s", o.command, w, o.stderr)
		}
	}
}
