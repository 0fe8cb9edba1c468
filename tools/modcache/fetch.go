package modcache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Request says what to collect.
type Request struct {
	// Go is the path of the go command.
	Go string
	// Source is the folder of the main module.
	Source string
	// Proxies is a GOPROXY list; empty stands for the go command's default.
	Proxies string
	// Scratch is an empty folder for the module cache of this run.
	Scratch string
	// Progress takes the go command's messages; nil drops them.
	Progress io.Writer
}

// Fetch writes the modules to dir, which must not exist. Content that go.sum does not vouch for is refused by the go
// command, whose message, with expected and actual hash, is in the error.
func Fetch(ctx context.Context, r Request, dir string) error {
	env := slices.Concat(os.Environ(), []string{"GOENV=off", "GOTOOLCHAIN=local", "GOWORK=off", "GOSUMDB=off", "GOTELEMETRY=off", "CGO_ENABLED=0",
		"GOOS=linux", "GOARCH=amd64", "GOVCS=*:off", "GO111MODULE=on",
		// Values that would stop the go command, or make it another one.
		"GODEBUG=", "GOEXPERIMENT=", "GOFIPS140=off", "GOROOT=",
		// The loopback proxy stands for all others, so nothing may be fetched past it.
		"GOPRIVATE=", "GONOPROXY=none", "GOINSECURE=",
		"GOFLAGS=-modcacherw", "GOMODCACHE=" + r.Scratch, "GOCACHE=" + filepath.Join(r.Scratch, "build"), "HOME=" + r.Scratch})
	list := r.Proxies
	if list == "" {
		var err error
		if list, err = defaultProxies(ctx, r.Go, env); err != nil {
			return err
		}
	}
	proxies, err := parseProxies(list)
	if err != nil {
		return err
	}
	proxy, err := serve(ctx, proxies)
	if err != nil {
		return err
	}
	defer proxy.close()

	cmd := exec.CommandContext(ctx, r.Go, "list", "-mod=readonly", "-deps", "-test", "./...")
	cmd.Dir = r.Source
	cmd.Env = slices.Concat(env, []string{"GOPROXY=" + proxy.url})
	var messages bytes.Buffer
	cmd.Stderr = &messages
	if r.Progress != nil {
		cmd.Stderr = io.MultiWriter(&messages, r.Progress)
	}
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("fetch modules: go list: %w\n%s", err, strings.TrimSpace(messages.String())), proxy.failure())
	}
	if err := collect(filepath.Join(r.Scratch, "cache", "download"), dir); err != nil {
		return fmt.Errorf("fetch modules: %w", err)
	}
	return nil
}

func defaultProxies(ctx context.Context, goCommand string, env []string) (string, error) {
	cmd := exec.CommandContext(ctx, goCommand, "env", "GOPROXY")
	cmd.Env = slices.Concat(env, []string{"GOPROXY="})
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("fetch modules: go env GOPROXY: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// collect copies what go.sum fixes from a download cache to dir.
func collect(cache, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(cache); errors.Is(err, fs.ErrNotExist) {
		return nil // a module that imports nothing
	}
	return filepath.WalkDir(cache, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if ext := filepath.Ext(path); ext != ".mod" && ext != ".zip" {
			return nil
		}
		rel, err := filepath.Rel(cache, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return copyFile(path, to)
	})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	return out.Close()
}
