package registrytest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// patience is how long the registry may take to listen.
const patience = time.Minute

var listening = regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)

// New starts an empty registry that ends with the test, and returns its host and port.
func New(t testing.TB) (host string) {
	t.Helper()
	host, stop, err := Serve(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return host
}

// Serve starts an empty registry that keeps its files in dir, and returns its host and port and what ends it.
func Serve(dir string) (host string, stop func(), err error) {
	config := filepath.Join(dir, "registry.yml")
	text := fmt.Appendf(nil, "version: 0.1\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: 127.0.0.1:0}\n", filepath.Join(dir, "registry"))
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return "", nil, err
	}
	cmd := exec.Command("docker-registry", "serve", config) //nolint:noctx // stop ends it
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := cmd.StderrPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("%w; install the Debian package docker-registry", err)
	}
	found, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	stop = func() {
		_ = cmd.Process.Kill() // it may have ended
		<-ended
		_ = cmd.Wait() // it was killed
	}
	select {
	case host = <-found:
		return host, stop, nil
	case <-ended:
		err = errors.New("docker-registry ended before it listened")
	case <-time.After(patience):
		err = errors.New("docker-registry does not listen")
	}
	stop()
	return "", nil, err
}
