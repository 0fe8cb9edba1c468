//go:build acceptance && linux

package main

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
)

// runWithoutNetwork runs boardroom in a network namespace of its own, which has no interface that is up.
func runWithoutNetwork(t *testing.T, program string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), complaints.String()
}

// Verifying with collateral from files, and showing, need no network: they do the same where there is none. That there is none is
// shown by collateral from a service of this very machine, which answers outside.
func TestVerifyWithoutNetwork(t *testing.T) {
	if interfaces, err := net.Interfaces(); err != nil || len(interfaces) == 0 {
		t.Fatalf("this machine has no network interface to be without (%v)", err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "boardroom")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	folder := filepath.Join(dir, "case")
	if err := writeCase(func(path string) ([]byte, error) { return os.ReadFile(filepath.Join("..", "..", path)) }, "dstack-v4-1d0342e3-202604-uptodate", folder); err != nil {
		t.Fatal(err)
	}
	asked := false
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked = true
		w.WriteHeader(http.StatusNotFound)
	}))
	defer service.Close()
	file, at := filepath.Join(folder, "quote.bin"), "2026-04-15T01:50:58Z"
	log := filepath.Join("..", "..", "appraisal", "testdata", "event-logs", "dstack-v4-1d0342e3-202604-uptodate.json")
	tests := []struct {
		args   []string
		code   int
		stdout string
	}{
		{[]string{"quote", "verify", file, "--collateral", folder, "--at", at, "--event-log", log}, cmdline.ExitDone, "ACCEPTED"},
		{[]string{"quote", "verify", file, "--collateral", folder, "--at", at, "--offline", "--nonce", "01"}, cmdline.ExitRefused, "REFUSED"},
		{[]string{"quote", "show", file}, cmdline.ExitDone, "NOT VERIFIED"},
		{[]string{"quote", "verify", file, "--collateral", service.URL, "--at", at}, cmdline.ExitUnknown, ""},
	}
	for _, tt := range tests {
		code, stdout, stderr := runWithoutNetwork(t, program, tt.args...)
		if code != tt.code || !strings.HasPrefix(stdout, tt.stdout) {
			t.Errorf("%q: exit code is %d, want %d; stdout begins with %.40q, want %q; stderr %q", tt.args, code, tt.code, stdout, tt.stdout, stderr)
		}
	}
	if asked {
		t.Error("a request came out of a namespace without network")
	}
	if out, err := exec.Command(program, tests[3].args...).CombinedOutput(); err == nil || !asked {
		t.Errorf("with a network the service was asked: %v; %s", asked, out)
	}
}
