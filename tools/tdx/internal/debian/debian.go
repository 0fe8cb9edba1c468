//go:build acceptance

package debian

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Suite is a release of Debian.
type Suite string

// The suites that packages are taken from.
const (
	Bookworm Suite = "bookworm"
	Trixie   Suite = "trixie"
	Forky    Suite = "forky"
)

// Package is a package that has been unpacked.
type Package struct {
	// Version is that of the package, with its epoch if it has one.
	Version string
	// Root is the folder that stands for the root of the file system.
	Root string
}

// ErrGone: the archive does not have a package, or not in the version asked for. It keeps the newest version of a suite only.
var ErrGone = errors.New("not in the archive")

// Unpack downloads the newest version of a package and unpacks it. Downloads are kept in BOARDROOM_CACHE.
func Unpack(t testing.TB, suite Suite, name string) Package {
	t.Helper()
	p, err := unpack(t.Context(), suite, name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// UnpackVersion downloads a version of a package. The error is [ErrGone] where the archive has another one.
func UnpackVersion(t testing.TB, suite Suite, name, version string) (Package, error) {
	t.Helper()
	p, err := unpack(t.Context(), suite, name+"="+version)
	if err != nil && !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
	return p, err
}

// Kernel downloads the newest kernel for virtual machines of a suite, and returns the path of its image.
func Kernel(t testing.TB, suite Suite) string {
	t.Helper()
	const meta = "linux-image-cloud-amd64"
	var name string
	if err := with(t.Context(), suite, func(a *archive) error {
		out, err := a.run(t.Context(), "", "apt-cache", "show", "--no-all-versions", meta)
		if err != nil {
			return fmt.Errorf("%w%s", err, a.stale())
		}
		for line := range strings.Lines(out) {
			if list, ok := strings.CutPrefix(line, "Depends: "); ok {
				name, _, _ = strings.Cut(strings.TrimSpace(list), " ")
				return nil
			}
		}
		return fmt.Errorf("%s of %s depends on no kernel:\n%s", meta, suite, out)
	}); err != nil {
		t.Fatal(err)
	}
	images, err := filepath.Glob(filepath.Join(Unpack(t, suite, name).Root, "boot/vmlinuz-*"))
	if err != nil || len(images) != 1 {
		t.Fatalf("%s of %s has %d kernels (%v), expected 1", name, suite, len(images), err)
	}
	return images[0]
}

// with calls f with the archive of a suite, up to date and not in use by another process.
func with(ctx context.Context, suite Suite, f func(*archive) error) error {
	a, err := archiveOf(ctx, suite)
	if err != nil {
		return err
	}
	// The lock ends with the file.
	lock, err := os.OpenFile(filepath.Join(a.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	a.once.Do(func() { _, a.outdated = a.run(ctx, "", "apt-get", "update") })
	return f(a)
}

func unpack(ctx context.Context, suite Suite, pkg string) (p Package, err error) {
	return p, with(ctx, suite, func(a *archive) error {
		p, err = a.unpack(ctx, pkg)
		if err != nil {
			return fmt.Errorf("package %s of %s: %w%s", pkg, suite, err, a.stale())
		}
		return nil
	})
}

func (a *archive) unpack(ctx context.Context, pkg string) (_ Package, err error) {
	// One line: 'URI' NAME_VERSION_ARCHITECTURE.deb SIZE HASH.
	line, err := a.run(ctx, "", "apt-get", "download", "--print-uris", pkg)
	switch {
	case err != nil && a.outdated != nil:
		return Package{}, err
	case err != nil:
		return Package{}, fmt.Errorf("%w: %w", ErrGone, err)
	}
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return Package{}, fmt.Errorf("apt-get download --print-uris: expected URI and file name, got %q", line)
	}
	deb := fields[1]
	parts := strings.Split(deb, "_")
	if len(parts) != 3 {
		return Package{}, fmt.Errorf("expected a file NAME_VERSION_ARCHITECTURE.deb, got %q", deb)
	}
	version, err := url.PathUnescape(parts[1])
	if err != nil {
		return Package{}, err
	}
	p := Package{Version: version, Root: filepath.Join(a.dir, strings.TrimSuffix(deb, ".deb"))}
	if _, err := os.Stat(p.Root); err == nil {
		return p, nil
	}
	work, err := os.MkdirTemp(a.dir, "download")
	if err != nil {
		return Package{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	if _, err := a.run(ctx, work, "apt-get", "download", pkg); err != nil {
		return Package{}, err
	}
	root := filepath.Join(work, "root")
	if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", filepath.Join(work, deb), root).CombinedOutput(); err != nil {
		return Package{}, fmt.Errorf("dpkg-deb -x %s: %w\n%s", deb, err, out)
	}
	return p, os.Rename(root, p.Root)
}

// archive is what apt knows about one suite, apart from what it knows about the system.
type archive struct {
	dir     string
	options []string
	once    sync.Once
	// outdated says why the lists could not be read again; those of an earlier run are used then.
	outdated error
}

var (
	archives   = map[Suite]*archive{}
	archivesMu sync.Mutex
)

// archiveOf gives apt its own lists, so that the suites of the system do not matter and nothing of it changes.
func archiveOf(ctx context.Context, suite Suite) (*archive, error) {
	archivesMu.Lock()
	defer archivesMu.Unlock()
	if a := archives[suite]; a != nil {
		return a, nil
	}
	cache := os.Getenv("BOARDROOM_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		cache = filepath.Join(user, "boardroom")
	}
	a := &archive{dir: filepath.Join(cache, "debian", string(suite))}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	main, security, err := mirrors(ctx)
	if err != nil {
		return nil, err
	}
	const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
	text := fmt.Sprintf("deb [signed-by=%s] %s %s main\n", keyring, main, suite)
	if suite != Forky && security != "" {
		text += fmt.Sprintf("deb [signed-by=%s] %s %s-security main\n", keyring, security, suite)
	}
	list := filepath.Join(a.dir, "sources.list")
	if err := os.WriteFile(list, []byte(text), 0o644); err != nil {
		return nil, err
	}
	a.options = []string{
		"-q", "-o", "Dir::State=" + filepath.Join(a.dir, "state"), "-o", "Dir::State::status=/dev/null", "-o", "Dir::Cache=" + filepath.Join(a.dir, "cache"),
		"-o", "Dir::Etc::sourcelist=" + list, "-o", "Dir::Etc::sourceparts=-", "-o", "APT::Sandbox::User=root", "-o", "APT::Architecture=amd64",
		"-o", "Acquire::Retries=3", "-o", "APT::Update::Error-Mode=any",
	}
	archives[suite] = a
	return a, nil
}

// stale is a remark for errors that lists of an earlier run may cause.
func (a *archive) stale() string {
	if a.outdated == nil {
		return ""
	}
	return fmt.Sprintf("\nits lists could not be read again: %v", a.outdated)
}

// run runs a program of apt and returns its standard output.
func (a *archive) run(ctx context.Context, dir, name string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, name, append(a.options[:len(a.options):len(a.options)], args...)...)
	command.Dir = dir
	command.Env = append(os.Environ(), "LC_ALL=C")
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return stdout.String(), nil
}

// mirrors returns where this machine's apt gets Debian and its security updates from. Which hosts those are is the machine's
// affair; all suites lie side by side on them.
func mirrors(ctx context.Context) (archive, security string, err error) {
	out, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME)",
		"Created-By: Packages", "Component: main", "Origin: Debian").Output()
	if err != nil {
		return "", "", fmt.Errorf("apt-get indextargets: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		uri, codename, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case strings.HasSuffix(codename, "-security"):
			security = uri
		case archive == "" && !strings.Contains(codename, "-"):
			archive = uri
		}
	}
	if archive == "" {
		return "", "", errors.New("apt knows no Debian archive; run apt-get update")
	}
	return archive, security, nil
}
