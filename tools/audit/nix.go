package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/audit/difference"
	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/oci"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/archive"
	"github.com/boardroom-tee/boardroom/tools/seed"
)

// settings are Nix's for an audit: nothing is substituted, the sandbox is not optional, and it builds as the caller.
//
//nolint:misspell // one of the words is Nix's own
const settings = `experimental-features = nix-command flakes
substituters =
build-users-group =
warn-dirty = false
sandbox = true
sandbox-fallback = false
max-jobs = auto
`

// nix is Nix with a store of its own.
type nix struct {
	a     *auditor
	store string
}

// physical is where a store path lies.
func (n nix) physical(path string) string { return filepath.Join(n.store, path) }

func (n nix) run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = n.a.Work
	cmd.Env = append(n.a.environment(), "NIX_CONFIG="+settings, "NIX_REMOTE=local?root="+n.store)
	var stdout, stderr bytes.Buffer
	cmd.Stdout = &stdout
	out := &lines{p: n.a.progress, who: string(Nix)}
	cmd.Stderr = &tee{&stderr, out}
	if err := cmd.Run(); err != nil {
		return "", errors.Join(ctx.Err(), fmt.Errorf("%s %s: %w: %s", name, args[0], err, strings.TrimSpace(stderr.String())))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// tee keeps the beginning of what a program says, and passes all of it on.
type tee struct {
	kept *bytes.Buffer
	to   *lines
}

func (t *tee) Write(b []byte) (int, error) {
	const most = 64 << 10
	if t.kept.Len() < most {
		t.kept.Write(b)
	}
	return t.to.Write(b)
}

// buildNix builds images and guest images by Nix, in an empty store, and compares.
func (a *auditor) buildNix(ctx context.Context) error {
	for _, name := range []string{"nix", "nix-store"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%s is not installed", name)
		}
	}
	n := nix{a, filepath.Join(a.Work, "nix")}
	if err := n.fill(ctx); err != nil {
		return err
	}
	var failed error
	// All at once first, so that what they share is built once and side by side; what fails is asked for alone, to learn which.
	flake := "path:" + a.export
	attributes := a.attributes()
	all := []string{"build", "--no-link", "--keep-going"}
	for _, t := range attributes {
		all = append(all, flake+"#"+t.attribute)
	}
	if _, err := n.run(ctx, "nix", all...); err != nil {
		if ctx.Err() != nil {
			return err
		}
		a.say(string(Nix), "not everything was built")
	}
	for _, t := range attributes {
		item := Item{Kind: t.kind, Name: t.name, Path: Nix, Expected: t.digest}
		out, err := n.run(ctx, "nix", "build", "--no-link", "--json", flake+"#"+t.attribute)
		if err == nil {
			err = n.compare(t, out, &item)
		}
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			item.Result, item.Reason = NotDone, oneLine(err)
			failed = fmt.Errorf("%s: %w", t.name, err)
		}
		a.add(item)
	}
	return failed
}

type attribute struct {
	target
	attribute string
}

// attributes are the flake's outputs for what is in the release: images under their names, guest images by their flavour.
func (a *auditor) attributes() []attribute {
	development := make(map[string]bool)
	for _, g := range a.release.Release.Guests {
		development[g.Name] = g.Development
	}
	var all []attribute
	for _, t := range targets(a.release) {
		switch {
		case t.kind == Image:
			all = append(all, attribute{t, t.name})
		case t.kind == Guest && development[t.name]:
			all = append(all, attribute{t, "guest-image-dev"})
		case t.kind == Guest:
			all = append(all, attribute{t, "guest-image"})
		}
	}
	return all
}

// compare holds what Nix made against the release.
func (n nix) compare(t attribute, printed string, item *Item) error {
	var built []struct {
		Outputs map[string]string `json:"outputs"`
	}
	if err := json.Unmarshal([]byte(printed), &built); err != nil || len(built) != 1 || !strings.HasPrefix(built[0].Outputs["out"], "/nix/store/") {
		return fmt.Errorf("nix build: expected one output, got %.200q", printed)
	}
	dir := n.physical(built[0].Outputs["out"])
	expected := os.DirFS(filepath.Join(n.a.folder, filepath.FromSlash(t.files)))
	switch t.kind {
	case Image:
		d, err := oci.DescribeLayout(dir)
		if err != nil {
			return err
		}
		// The image is what its digest names; how a layout's index calls it is the matter of whoever wrote the layout.
		if item.Got = d.Digest.String(); item.Got == item.Expected {
			break
		}
		if item.Found, err = difference.Layouts(t.name, expected, os.DirFS(dir)); err != nil {
			return err
		}
	default:
		im, err := guestimage.Inspect(dir, guestimage.Options{})
		if err != nil {
			return err
		}
		item.Got = im.Digest.String()
		if item.Found, err = n.guest(t.name, dir, im); err != nil {
			return err
		}
		n.a.roots(t.name, Nix, filepath.Join(dir, im.Root.File))
	}
	item.Result = Reproduced
	if item.Got != item.Expected || !item.Found.Equal() {
		item.Result = Differs
	}
	return nil
}

// guest compares a guest image with the release's, which has all but the root file system.
func (n nix) guest(name, dir string, im *guestimage.Image) (difference.List, error) {
	bundle := filepath.Join(n.a.Work, "bundle-"+name)
	if err := os.Mkdir(bundle, 0o755); err != nil {
		return difference.List{}, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return difference.List{}, err
	}
	for _, e := range entries {
		if e.Name() == im.Root.File {
			continue
		}
		if err := os.Link(filepath.Join(dir, e.Name()), filepath.Join(bundle, e.Name())); err != nil {
			return difference.List{}, err
		}
	}
	return difference.Folders(name, os.DirFS(filepath.Join(n.a.folder, release.GuestsFolder, name)), os.DirFS(bundle))
}

// fill puts into the store what there is already: the toolchain, and with an archive everything else that is fetched otherwise. Names are
// those that nix/*.nix of the checkout give; what has another name there is fetched, or could not be.
func (n nix) fill(ctx context.Context) error {
	source := n.a.source.Dir
	pin, err := seed.ReadPin(filepath.Join(source, filepath.FromSlash(seed.PinFile)))
	if err != nil {
		return err
	}
	if err := n.put(ctx, filepath.Join(n.a.Work, "cache", "seed", pin.Version)); err != nil {
		return err
	}
	if n.a.inputs == "" {
		return nil
	}
	modules, err := named(filepath.Join(source, "go.sum"), "go-modules")
	if err != nil {
		return err
	}
	if err := n.putAs(ctx, filepath.Join(n.a.inputs, archive.ModulesFolder), modules); err != nil {
		return err
	}
	if len(n.a.release.Release.Guests) == 0 {
		return nil
	}
	folder := filepath.Join(source, "images", "guest")
	d, err := guestimage.Load(filepath.Join(folder, guestimage.DefinitionFile))
	if err != nil {
		return err
	}
	packages, firmware, err := d.Locks()
	if err != nil {
		return err
	}
	for _, set := range []struct {
		lock       *deb.Lock
		file, name string
	}{{packages, d.Packages.Lock, "guest-packages"}, {firmware, d.Firmware.Lock, "guest-firmware"}} {
		name, err := named(filepath.Join(folder, set.file), set.name)
		if err != nil {
			return err
		}
		dir := filepath.Join(n.a.Work, "packages-"+set.name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		for _, p := range set.lock.Packages {
			if err := os.Link(filepath.Join(n.a.inputs, archive.PackagesFolder, p.SHA256.String()), filepath.Join(dir, p.SHA256.String())); err != nil {
				return err
			}
		}
		if err := n.putAs(ctx, dir, name); err != nil {
			return err
		}
	}
	return nil
}

// named is the name of a fixed output that carries the first 12 digits of a file's SHA-256.
func named(file, name string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return name + "-" + hex.EncodeToString(sum[:])[:12], nil
}

// putAs adds a folder under another name.
func (n nix) putAs(ctx context.Context, dir, name string) error {
	as := filepath.Join(n.a.Work, "named", name)
	if err := os.MkdirAll(filepath.Dir(as), 0o755); err != nil {
		return err
	}
	// Nix adds a link as a link.
	if err := os.CopyFS(as, os.DirFS(dir)); err != nil {
		return err
	}
	return n.put(ctx, as)
}

// put adds a folder as a fixed output.
func (n nix) put(ctx context.Context, dir string) error {
	_, err := n.run(ctx, "nix-store", "--add-fixed", "--recursive", "sha256", dir)
	return err
}
