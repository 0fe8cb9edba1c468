package gobuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/seed"
)

// Builder compiles the programs of one source tree.
type Builder struct {
	root     string
	cache    string
	goroot   string
	settings settings
	proxies  string
	progress io.Writer
}

// New readies a builder for the source tree root: it reads the pins and makes sure of a verified seed in cache, a folder of
// its own that is also used for compiled packages and modules. Progress takes lines for people; nil drops them.
func New(ctx context.Context, root, cache string, progress io.Writer) (*Builder, error) {
	if progress == nil {
		progress = io.Discard
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if cache, err = filepath.Abs(cache); err != nil {
		return nil, err
	}
	if err := checkPlaces(root, cache); err != nil {
		return nil, err
	}
	s, err := readSettings(root)
	if err != nil {
		return nil, err
	}
	pin, err := seed.ReadPin(filepath.Join(root, filepath.FromSlash(seed.PinFile)))
	if err != nil {
		return nil, err
	}
	goroot, err := seed.Obtain(ctx, pin, cache, progress)
	if err != nil {
		return nil, err
	}
	b := &Builder{root: root, cache: cache, goroot: goroot, settings: s, progress: progress}
	b.proxies, err = b.userProxies(ctx)
	return b, err
}

// userProxies asks the go command where its user fetches modules from. It is the one setting of the user's that is taken
// over, because it can not change what is built: every module is compared with go.sum.
func (b *Builder) userProxies(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.goroot, "bin", "go"), "env", "GOPROXY")
	cmd.Env = append(os.Environ(), "GODEBUG=", "GOEXPERIMENT=", "GOFIPS140=", "GOROOT="+b.goroot, "GOTOOLCHAIN=local", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go env GOPROXY: %w\n%s", err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// Program compiles the main package in the folder pkg of the source tree, with the given build tags, and returns the static binary.
func (b *Builder) Program(ctx context.Context, pkg string, tags ...string) (program []byte, err error) {
	if err := b.verifyModules(ctx, pkg, tags); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "gobuild-")
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", pkg, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	binary := filepath.Join(work, "program")
	args := append([]string{"build"}, b.settings.Args...)
	if _, err := b.run(ctx, append(append(args, tagArgs(tags)...), "-o", binary, "./"+filepath.ToSlash(pkg))...); err != nil {
		return nil, fmt.Errorf("build %s: %w", pkg, err)
	}
	return os.ReadFile(binary)
}

// tagArgs are the go command's arguments for build tags, as nix/go.nix has them.
func tagArgs(tags []string) []string {
	if len(tags) == 0 {
		return nil
	}
	return []string{"-tags", strings.Join(tags, ",")}
}

// run calls the seed's go in the source tree with nothing of the caller's environment but the place for temporary files
// and the proxies for HTTP.
func (b *Builder) run(ctx context.Context, args ...string) ([]byte, error) {
	env := maps.Clone(b.settings.Env)
	env["HOME"] = b.cache
	env["GOCACHE"] = filepath.Join(b.cache, "packages")
	env["GOMODCACHE"] = filepath.Join(b.cache, "modules")
	env["GOPROXY"] = b.proxies
	env["GOROOT"] = b.goroot
	for _, name := range []string{"TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env[name] = value
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.goroot, "bin", "go"), args...)
	cmd.Dir = b.root
	for _, name := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, name+"="+env[name])
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, io.MultiWriter(&stderr, &downloads{to: b.progress})
	if err := cmd.Run(); err != nil {
		// A cancelled command says "signal: killed", which is not why.
		return nil, errors.Join(ctx.Err(), fmt.Errorf("go %s: %w\n%s", args[0], err, strings.TrimSpace(stderr.String())))
	}
	return stdout.Bytes(), nil
}

// downloads passes on what the go command says while it fetches modules. The rest of its messages are in the error.
type downloads struct {
	to   io.Writer
	line []byte
}

func (d *downloads) Write(p []byte) (int, error) {
	for _, c := range p {
		if d.line = append(d.line, c); c != '\n' {
			continue
		}
		if bytes.HasPrefix(d.line, []byte("go: downloading ")) {
			if _, err := d.to.Write(d.line); err != nil {
				return 0, err
			}
		}
		d.line = d.line[:0]
	}
	return len(p), nil
}

// Toolchain is the folder of the verified seed.
func (b *Builder) Toolchain() string {
	return b.goroot
}
