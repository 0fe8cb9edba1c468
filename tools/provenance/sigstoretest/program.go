//go:build acceptance

package sigstoretest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// program is one of a module.
type program struct{ pkg, version, name string }

// The last releases that Go 1.26 compiles, on 2026-11-23.
var (
	fulcioProgram    = program{"github.com/sigstore/fulcio", "v1.8.8", "fulcio"}
	timestampProgram = program{"github.com/sigstore/timestamp-authority/v2/cmd/timestamp-server", "v2.1.3", "timestamp-server"}
	rekorProgram     = program{"github.com/sigstore/rekor-tiles/v2/cmd/rekor-server/posix", "v2.3.0", "posix"}
)

// compile returns the path of the program in the cache, where it is once for all.
func (p program) compile(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	check(t, err)
	dir := filepath.Join(cache, "boardroom-test", "sigstore")
	path := filepath.Join(dir, p.name+"@"+p.version)
	if _, err := os.Stat(path); err == nil {
		return path
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	check(t, os.MkdirAll(dir, 0o755))
	bin, err := os.MkdirTemp(dir, ".compile-*")
	check(t, err)
	defer func() { check(t, os.RemoveAll(bin)) }()
	began := time.Now()
	cmd := exec.CommandContext(t.Context(), "go", "install", p.pkg+"@"+p.version)
	cmd.Dir = bin
	cmd.Env = append(os.Environ(), "GOBIN="+bin, "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN=local", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go install %s@%s: %v\n%s", p.pkg, p.version, err, out)
	}
	t.Logf("compiled %s@%s in %s", p.pkg, p.version, time.Since(began).Round(time.Second))
	check(t, os.Rename(filepath.Join(bin, p.name), path))
	return path
}

// output is what a program says, for when something is wrong.
type output struct {
	mutex sync.Mutex
	buf   bytes.Buffer
}

func (o *output) Write(data []byte) (int, error) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.buf.Write(data)
}

func (o *output) String() string {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.buf.String()
}

// start runs a program until the test ends, and returns when it listens on the port.
func start(t *testing.T, path string, port int, args ...string) {
	t.Helper()
	said := new(output)
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"HOME=" + cmd.Dir, "PATH=/nowhere"}
	cmd.Stdout, cmd.Stderr = said, said
	check(t, cmd.Start())
	var result error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		result = cmd.Wait()
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(path), said)
		}
	})
	patience, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(patience, "tcp", address(port))
		if err == nil {
			check(t, conn.Close())
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %v\n%s", filepath.Base(path), result, said)
		case <-patience.Done():
			t.Fatalf("%s does not listen\n%s", filepath.Base(path), said)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// port is one that nobody listens on.
func port(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	check(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
