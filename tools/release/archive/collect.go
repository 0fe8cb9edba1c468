package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/boardroom-tee/boardroom/tools/audit/checkout"
	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/mirror"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/modcache"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/seed"
)

// CollectOptions say where the inputs of a release come from.
type CollectOptions struct {
	// Source is a Git repository that has the release's revision.
	Source string
	// Cache is a folder for the toolchain and Debian packages, whose content is verified before it is used.
	Cache string
	// Proxies is a GOPROXY list; empty stands for the go command's default. Mirror is that of [mirror.Client].
	Proxies, Mirror string
	// Progress takes lines for people; nil drops them.
	Progress io.Writer
}

// Collect gathers everything that a release is built from, below dir, which must exist and be empty.
func Collect(ctx context.Context, d *release.Directory, o CollectOptions, dir string) (*Inputs, error) {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	r := d.Release
	fmt.Fprintf(o.Progress, "source: revision %s\n", r.Source.Revision)
	c, err := checkout.FromRepository(ctx, o.Source, r.Source.Revision, r.Source.Tree, filepath.Join(dir, "checkout"))
	if err != nil {
		return nil, err
	}
	in := &Inputs{Commit: c.Commit, Folders: make(map[string]string)}
	at := func(folder string) string {
		in.Folders[folder] = filepath.Join(dir, folder)
		return in.Folders[folder]
	}
	if err := c.Export(at(SourceFolder)); err != nil {
		return nil, err
	}
	pin, err := seed.ReadPin(filepath.Join(c.Dir, filepath.FromSlash(seed.PinFile)))
	if err != nil {
		return nil, err
	}
	in.Index = Index{Name: r.Name, Version: r.Version, Release: d.Digest, Source: r.Source, Toolchain: pin}
	fmt.Fprintf(o.Progress, "toolchain: %s\n", pin.Version)
	if in.Folders[ToolchainFolder], err = seed.Obtain(ctx, pin, o.Cache, o.Progress); err != nil {
		return nil, err
	}
	fmt.Fprintln(o.Progress, "modules")
	scratch := filepath.Join(dir, "scratch")
	if err := os.Mkdir(scratch, 0o755); err != nil {
		return nil, err
	}
	request := modcache.Request{Go: filepath.Join(in.Folders[ToolchainFolder], "bin", "go"), Source: c.Dir, Proxies: o.Proxies, Scratch: scratch}
	if err := modcache.Fetch(ctx, request, at(ModulesFolder)); err != nil {
		return nil, err
	}
	if len(r.Guests) == 0 {
		return in, nil
	}
	return in, collectPackages(ctx, c.Dir, o, at(PackagesFolder))
}

// collectPackages copies the packages of the guest's locks, each under its digest.
func collectPackages(ctx context.Context, source string, o CollectOptions, dir string) error {
	d, err := guestimage.Load(filepath.Join(source, "images", "guest", guestimage.DefinitionFile))
	if err != nil {
		return err
	}
	packages, firmware, err := d.Locks()
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	client := &mirror.Client{Mirror: o.Mirror, Cache: filepath.Join(o.Cache, "deb"), Progress: o.Progress}
	for _, lock := range []*deb.Lock{packages, firmware} {
		fmt.Fprintf(o.Progress, "packages: %d, %.1f MiB\n", len(lock.Packages), float64(lock.Size())/(1<<20))
		if _, err := client.Fetch(ctx, lock); err != nil {
			return err
		}
		for _, p := range lock.Packages {
			if err := copyFile(client.File(p), filepath.Join(dir, p.SHA256.String())); err != nil {
				return err
			}
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
