package seed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Obtain returns the folder of a verified seed tree below cache, named for the pin's version. A tree that is there is hashed
// again; a changed one is refused with a [*MismatchError] and left for inspection. Otherwise the tree is copied from the
// toolchain of the go command in PATH, if that is the seed, or from the toolchain's module, fetched as the go command is set
// up to. Progress takes one line for each step that takes seconds; nil drops them.
func Obtain(ctx context.Context, pin Pin, cache string, progress io.Writer) (tree string, err error) {
	if progress == nil {
		progress = io.Discard
	}
	parent := filepath.Join(cache, "seed")
	dir := filepath.Join(parent, pin.Version)
	switch err := Verify(dir, pin); {
	case err == nil:
		return dir, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", fmt.Errorf("obtain seed: %w", err)
	}
	work, err := os.MkdirTemp(parent, ".new-")
	if err != nil {
		return "", fmt.Errorf("obtain seed: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	published, err := find(ctx, pin, work, progress)
	if err != nil {
		return "", fmt.Errorf("obtain seed: %w", err)
	}
	fresh := filepath.Join(work, pin.Version)
	if err := Copy(published, fresh); err != nil {
		return "", fmt.Errorf("obtain seed: %w", err)
	}
	if err := Verify(fresh, pin); err != nil {
		return "", fmt.Errorf("obtain seed: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("obtain seed: %w", err)
	}
	return dir, Verify(dir, pin)
}

// find returns a published form of the toolchain that has been verified.
func find(ctx context.Context, pin Pin, work string, progress io.Writer) (string, error) {
	goroot, err := output(ctx, work, "go", "env", "GOROOT")
	if err != nil {
		return "", err
	}
	if local := strings.TrimSpace(string(goroot)); Verify(local, pin) == nil {
		return local, nil
	}
	fmt.Fprintf(progress, "seed: %s differs from %s; fetching %s@%s\n",
		strings.TrimSpace(string(goroot)), pin.Version, pin.Module.Path, pin.Module.Version)
	out, err := output(ctx, work, "go", "mod", "download", "-json", pin.Module.Path+"@"+pin.Module.Version)
	if err != nil {
		return "", err
	}
	var module struct{ Dir, Sum string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", fmt.Errorf("go mod download: %w", err)
	}
	if module.Sum != pin.Module.Sum {
		return "", &SumError{Module: pin.Module, Actual: module.Sum}
	}
	return module.Dir, Verify(module.Dir, pin)
}

// SumError says that the toolchain's module has another hash than the pin. No proxy can bring that about, as the go command
// compares it with the checksum database; a pin that was changed can.
type SumError struct {
	Module Module
	Actual string
}

func (e *SumError) Error() string {
	return fmt.Sprintf("module %s@%s: expected %s, got %s", e.Module.Path, e.Module.Version, e.Module.Sum, e.Actual)
}

// output runs a command with the user's settings for fetching modules, and with none that could make the go command refuse to
// run or answer for another toolchain.
func output(ctx context.Context, work, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(),
		"GO111MODULE=", "GODEBUG=", "GOEXPERIMENT=", "GOFIPS140=", "GOROOT=", "GOTOOLCHAIN=local", "GOWORK=off",
		// The module cache of this run is removed with the rest, which its usual read-only folders would prevent.
		"GOFLAGS=-modcacherw", "GOMODCACHE="+filepath.Join(work, "modules"))
	cmd.Dir = os.TempDir() // outside of any module, whose go.mod could ask for another toolchain
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()+stdout.String()))
	}
	return stdout.Bytes(), nil
}
