package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/archive"
)

// program is the folder of the checkout's program that makes releases.
const program = "tools/cmd/boardroom"

// guestRoot is the root file system of a guest image that is built here (package guestimage).
const guestRoot = "rootfs.img.parted.verity"

// environment is what programs of the checkout, and Nix, are started with: where things are fetched from, and nothing else of the caller's.
func (a *auditor) environment() []string {
	home := filepath.Join(a.Work, "home")
	env := []string{"HOME=" + home, "LC_ALL=C", "TZ=UTC", "GOTOOLCHAIN=local", "NO_COLOR=1"}
	for _, name := range []string{
		"PATH", "TMPDIR", "DEBIAN_MIRROR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
	} {
		if value, set := os.LookupEnv(name); set {
			env = append(env, name+"="+value)
		}
	}
	if a.Mirror != "" {
		// The last of two settings counts.
		env = append(env, "DEBIAN_MIRROR="+a.Mirror)
	}
	return append(env, "GOPROXY="+a.builder.Proxies())
}

// buildGo makes the release again by plain Go, and compares.
func (a *auditor) buildGo(ctx context.Context) (err error) {
	out := &lines{p: a.progress, who: string(Go)}
	cache := filepath.Join(a.Work, "cache")
	if err := a.packages(cache); err != nil {
		return err
	}
	a.say(string(Go), "compiling the checkout's own %s with nothing compiled before", program)
	start := time.Now()
	binary, err := a.builder.Program(ctx, program)
	if err != nil {
		return err
	}
	a.say(string(Go), "compiled in %.0f s", time.Since(start).Seconds())
	boardroom := filepath.Join(a.Work, "boardroom")
	if err := os.WriteFile(boardroom, binary, 0o755); err != nil {
		return err
	}
	run := func(args ...string) error {
		cmd := exec.CommandContext(ctx, boardroom, append(args, "--source", a.source.Dir, "--cache", cache)...)
		cmd.Dir, cmd.Env, cmd.Stderr = a.Work, a.environment(), out
		if err := cmd.Run(); err != nil {
			return errors.Join(ctx.Err(), fmt.Errorf("the checkout's boardroom %s %s: %w; its messages are in the progress", args[0], args[1], err))
		}
		return nil
	}
	folder := filepath.Join(a.Work, "rebuilt")
	args, err := a.createArgs(folder)
	if err != nil {
		return err
	}
	without := ""
	for _, g := range a.release.Release.Guests {
		dir := filepath.Join(a.Work, "guests", g.Name)
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return err
		}
		build := []string{"guest", "build", "--to", dir}
		if g.Development {
			build = append(build, "--dev")
		}
		a.say(string(Go), "building the guest image %s", g.Name)
		if err := run(build...); err != nil {
			if ctx.Err() != nil {
				return err
			}
			without = fmt.Sprintf("guest image %s was not built: %s", g.Name, oneLine(err))
			break
		}
		a.roots(g.Name, Go, filepath.Join(dir, guestRoot))
		args = append(args, "--guest", dir)
	}
	if without != "" {
		a.say(string(Go), "going on without guest images: %s", without)
		if args, err = a.createArgs(folder); err != nil {
			return err
		}
	}
	a.say(string(Go), "making the release again")
	if err := run(args...); err != nil {
		return err
	}
	built, err := openWhole(folder)
	if err != nil {
		return fmt.Errorf("what the checkout's boardroom made: %w", err)
	}
	defer func() { err = errors.Join(err, built.Close()) }()
	if err := a.source.Verify(); err != nil {
		return fmt.Errorf("after the build: %w", err)
	}
	a.say(string(Go), "comparing")
	if err := a.compare(built, folder, without); err != nil {
		return err
	}
	if err := a.measure(built, folder); err != nil {
		return err
	}
	if without != "" {
		return errors.New(without)
	}
	return nil
}

// createArgs are what the release was made with, without its guests.
func (a *auditor) createArgs(to string) ([]string, error) {
	o, err := release.OptionsOf(a.release)
	if err != nil {
		return nil, err
	}
	return []string{
		"release", "create", "--to", to, "--name", o.Name, "--version", o.Version, "--repository", o.Repository,
		"--source-repository", o.SourceRepository, "--builder", o.Builder,
	}, nil
}

// packages shows the audit's cache the Debian packages that there are. Each is hashed when it is unpacked.
func (a *auditor) packages(cache string) error {
	if len(a.release.Release.Guests) == 0 {
		return nil
	}
	to := filepath.Join(cache, "deb")
	if a.inputs != "" {
		if err := os.Mkdir(to, 0o755); err != nil {
			return err
		}
		return os.Symlink(filepath.Join(a.inputs, archive.PackagesFolder), filepath.Join(to, "sha256"))
	}
	from, err := filepath.Abs(filepath.Join(a.Cache, "deb"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(from, 0o755); err != nil {
		return err
	}
	return os.Symlink(from, to)
}
