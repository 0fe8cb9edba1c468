package gobuild

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"
)

// ModuleError says that a module is not what go.sum vouches for.
type ModuleError struct {
	Path, Version    string
	Expected, Actual string
}

func (e *ModuleError) Error() string {
	return fmt.Sprintf("module %s@%s: expected %s, got %s", e.Path, e.Version, e.Expected, e.Actual)
}

// RefusedError says that a program imports a module that no hash vouches for: one that go.sum does not know, that go.mod
// replaces by something else, or that came from a proxy with other content.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// ErrNotInSum is returned, in a [*RefusedError], for a module that go.sum does not know.
var ErrNotInSum = errors.New("go.sum has no hash for it")

// refusals are what the go command says when it refuses a module (cmd/go/internal/modfetch/fetch.go, checkModSum, and
// cmd/go/internal/modload/import.go, ImportMissingError and sumMissingError).
var refusals = []string{"checksum mismatch", "SECURITY ERROR", "missing go.sum entry"}

type module struct {
	Path, Version, Dir string
	Main               bool
	Replace            *struct{ Path string }
}

// verifyModules hashes the folders of the modules that pkg imports. The go command compares a module with go.sum when it
// unpacks it; what happened to the folder since, only this notices.
func (b *Builder) verifyModules(ctx context.Context, pkg string, tags []string) error {
	args := append([]string{"list", "-mod=readonly", "-deps", "-json=Module"}, tagArgs(tags)...)
	out, err := b.run(ctx, append(args, "./"+filepath.ToSlash(pkg))...)
	if err != nil {
		err = fmt.Errorf("modules of %s: %w", pkg, err)
		if slices.ContainsFunc(refusals, func(r string) bool { return strings.Contains(err.Error(), r) }) {
			return &RefusedError{err}
		}
		return err
	}
	sums, err := readSums(filepath.Join(b.root, "go.sum"))
	if err != nil {
		return fmt.Errorf("modules of %s: %w", pkg, err)
	}
	verified := make(map[string]bool)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var listed struct{ Module *module }
		if err := dec.Decode(&listed); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("modules of %s: go list: %w", pkg, err)
		}
		m := listed.Module
		if m == nil || m.Main || verified[m.Path] {
			continue
		}
		if err := m.verify(sums); err != nil {
			return err
		}
		verified[m.Path] = true
	}
}

func (m *module) verify(sums map[string]string) error {
	id := m.Path + "@" + m.Version
	if m.Replace != nil {
		return &RefusedError{fmt.Errorf("module %s: go.mod replaces it by %s, which no hash vouches for", id, m.Replace.Path)}
	}
	expected, ok := sums[id]
	if !ok {
		return &RefusedError{fmt.Errorf("module %s: %w", id, ErrNotInSum)}
	}
	actual, err := dirhash.HashDir(m.Dir, id, dirhash.Hash1)
	if err != nil {
		return fmt.Errorf("module %s: %w", id, err)
	}
	if actual != expected {
		return &ModuleError{Path: m.Path, Version: m.Version, Expected: expected, Actual: actual}
	}
	return nil
}

// readSums reads the hashes of module content, by "path@version" (go.dev/ref/mod, "go.sum files"). Lines for go.mod files
// alone are left to the go command. An absent file has no hashes.
func readSums(file string) (map[string]string, error) {
	sums := make(map[string]string)
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return sums, nil
	}
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 3 {
			return nil, fmt.Errorf("%s:%d: expected module, version and hash, got %q", filepath.Base(file), i+1, line)
		}
		if !strings.HasSuffix(fields[1], "/go.mod") {
			sums[fields[0]+"@"+fields[1]] = fields[2]
		}
	}
	return sums, nil
}
