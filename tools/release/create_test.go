package release_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/compose"
	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/guestimage/guestimagetest"
	"github.com/boardroom-tee/boardroom/tools/oci"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
	"github.com/boardroom-tee/boardroom/tools/tdx/image/imagetest"
)

// checkout is a Git checkout of a source tree with two agents, one of them deployed, and a guest image.
type checkout struct {
	t   *testing.T
	dir string
}

// newCheckout makes one with a single commit that is the same in every run.
func newCheckout(t *testing.T) *checkout {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed, without which there is no checkout to make a release of")
	}
	// The settings of whoever runs the tests stay out of it.
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+who+"_NAME", "nobody")
		t.Setenv("GIT_"+who+"_EMAIL", "nobody@example.test")
		t.Setenv("GIT_"+who+"_DATE", "1763640000 +0100")
	}
	c := &checkout{t, filepath.Join(t.TempDir(), "source")}
	if err := os.CopyFS(c.dir, os.DirFS("../cmd/boardroom/testdata/tree")); err != nil {
		t.Fatal(err)
	}
	c.write("nix/seed.json", fmt.Sprintf(`{"version": %q, "nar": "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"tarball": {"url": "https://go.dev/dl/%[1]s.linux-amd64.tar.gz", "sha256": "%064d"},
		"module": {"path": "golang.org/toolchain", "version": "v0.0.1-%[1]s.linux-amd64", "sum": "h1:pinned"}}`, releasetest.GoVersion, 1))
	c.write("compose/machines.json", `{"hosts": [{"name": "nine", "qemu_version": "9.2.1"}, {"name": "eight", "qemu_version": "8.2.2"}], "sizes": [{"vcpus": 1, "memory_mb": 2048}]}`)
	vars, err := releasetest.FirmwareVariables()
	if err != nil {
		t.Fatal(err)
	}
	source, err := guestimagetest.New(vars)
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Write(filepath.Join(c.dir, "images", "guest")); err != nil {
		t.Fatal(err)
	}
	c.write(".gitignore", "ignored\ndebian/\n")
	c.write("ignored", "is not of the revision\n")
	c.git("init", "--quiet", "--initial-branch=main")
	c.commit()
	return c
}

func (c *checkout) git(args ...string) string {
	c.t.Helper()
	out, err := exec.Command("git", append([]string{"-C", c.dir}, args...)...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("git %s: %v\n%s", args[0], err, out)
	}
	return strings.TrimSpace(string(out))
}

func (c *checkout) commit() {
	c.t.Helper()
	c.git("add", "--all")
	c.git("commit", "--quiet", "--message", "a revision")
}

func (c *checkout) write(name, text string) {
	c.t.Helper()
	file := filepath.Join(c.dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		c.t.Fatal(err)
	}
}

// guest builds the guest image of the checkout around a program.
func (c *checkout) guest(flavour guestimage.Flavour, program []byte) string {
	c.t.Helper()
	return c.guestOf(flavour, program, 0)
}

func (c *checkout) guestOf(flavour guestimage.Flavour, program []byte, epoch int64) string {
	c.t.Helper()
	d, in, err := guestimagetest.Open(c.t.Context(), filepath.Join(c.dir, "images", "guest"), flavour)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := errors.Join(in.Packages.Close(), in.Firmware.Close()); err != nil {
			c.t.Error(err)
		}
	})
	in.Program, in.Epoch = program, epoch
	to := filepath.Join(c.t.TempDir(), "guest")
	if err := guestimage.Build(c.t.Context(), d, in, to); err != nil {
		c.t.Fatal(err)
	}
	return to
}

// options are those of most tests: programs come from [programOf].
func (c *checkout) options(guests ...string) release.CreateOptions {
	return release.CreateOptions{
		Source: c.dir, Name: "board", Version: "1.2.3", Repository: "registry.example/board", Guests: guests,
		Compiler: func(_ context.Context, tree string) (release.Compiler, error) { return compiler(tree), nil },
	}
}

// compiler makes programs of the names of their folders.
type compiler string

func (c compiler) Program(_ context.Context, pkg string, tags ...string) ([]byte, error) {
	if _, err := os.Stat(filepath.Join(string(c), "ignored")); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the tree has a file that git ignores: %w", err)
	}
	return programOf(pkg, tags...), nil
}

// fixed is a compiler that makes one program of everything.
type fixed []byte

func (f fixed) Program(context.Context, string, ...string) ([]byte, error) { return f, nil }

func programOf(pkg string, tags ...string) []byte {
	return releasetest.Program(releasetest.GoVersion, path.Join(append([]string{pkg}, tags...)...))
}

func create(t *testing.T, o release.CreateOptions) (*release.Directory, string) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "release")
	d, err := release.Create(t.Context(), o, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, to
}

// contents are the files of a folder with their modes.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		all[name] = info.Mode().String()
		if entry.IsDir() {
			return nil
		}
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		all[name] += string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func differences(a, b map[string]string) []string {
	var names []string
	for name := range a {
		if b[name] != a[name] {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, found := a[name]; !found {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestCreate(t *testing.T) {
	c := newCheckout(t)
	production, development := c.guest(guestimage.Production, programOf("guest")), c.guest(guestimage.Development, programOf("guest", "simtee"))
	o := c.options(production, development)
	o.Archives = filepath.Join(t.TempDir(), "archives")
	// What a run that was killed left behind.
	if err := os.MkdirAll(filepath.Join(filepath.Dir(o.Archives), ".archives.partial", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	d, to := create(t, o)
	if got := names(t, filepath.Dir(o.Archives)); !slices.Equal(got, []string{"archives"}) {
		t.Errorf("%v is left", got)
	}
	if got := names(t, o.Archives); len(got) != 4 {
		t.Errorf("got the archives %v, want 2 for each guest", got)
	}
	r := d.Release
	if want := time.Unix(1763640000, 0).UTC(); !r.Created.Equal(want) || r.Name != "board" || r.Version != "1.2.3" {
		t.Errorf("got %s %s of %s, want board 1.2.3 of %s", r.Name, r.Version, r.Created, want)
	}
	want := release.Source{Repository: "https://example.test/boardroom", Revision: c.git("rev-parse", "HEAD"), Tree: c.git("rev-parse", "HEAD^{tree}")}
	if r.Source != want {
		t.Errorf("source: got %+v, want %+v", r.Source, want)
	}
	for _, f := range r.Files {
		if err := d.CheckFile(f.Path); err != nil {
			t.Error(err)
		}
	}

	t.Run("images", func(t *testing.T) {
		var names []string
		for _, m := range r.Images {
			names = append(names, m.Name)
			img, err := oci.ReadLayout(filepath.Join(to, m.Layout))
			if err != nil {
				t.Fatal(err)
			}
			if digest, err := img.Digest(); err != nil || digest.String() != m.Digest.String() {
				t.Errorf("%s: release.json says %s, the layout has %s, %v", m.Name, m.Digest, digest, err)
			}
		}
		if want := []string{"finance-agent", "hub"}; !slices.Equal(names, want) {
			t.Errorf("got %v, want %v", names, want)
		}
	})
	t.Run("application", func(t *testing.T) {
		if len(r.Applications) != 1 || r.Applications[0].Name != "finance" || r.Applications[0].Image != "finance-agent" {
			t.Fatalf("got %+v", r.Applications)
		}
		data, err := d.ReadFile(r.Applications[0].AppCompose, release.MaxFile)
		if err != nil {
			t.Fatal(err)
		}
		if image := "registry.example/board/finance-boardroom-tee@" + r.Images[0].Digest.String(); !strings.Contains(string(data), image) {
			t.Errorf("the app-compose does not name %s: %s", image, data)
		}
	})
	t.Run("guests", func(t *testing.T) {
		if len(r.Guests) != 2 || r.Guests[0].Name != "test-guest" || r.Guests[0].Development || r.Guests[1].Name != "test-guest-dev" || !r.Guests[1].Development {
			t.Fatalf("got %+v", r.Guests)
		}
		for _, g := range r.Guests {
			if _, err := guestimage.Inspect(filepath.Join(to, g.Folder), guestimage.Options{Digest: &g.OSImageHash, MeasurementOnly: true}); err != nil {
				t.Errorf("%s: %v", g.Name, err)
			}
			data, err := os.ReadFile(filepath.Join(o.Archives, g.Archive.Name))
			if err != nil {
				t.Fatal(err)
			}
			if provenance.DigestOf(data) != g.Archive.Digest || int64(len(data)) != g.Archive.Size {
				t.Errorf("%s: the archive is another one than release.json says", g.Name)
			}
			if _, err := guestimage.Import(filepath.Join(o.Archives, g.Archive.Name), guestimage.Options{Digest: &g.OSImageHash}, filepath.Join(t.TempDir(), "guest")); err != nil {
				t.Errorf("%s: %v", g.Name, err)
			}
		}
	})
	t.Run("provenance", func(t *testing.T) {
		for name, file := range map[string]string{"hub": r.Images[1].Provenance, "guest": r.Guests[0].Provenance} {
			p, err := d.BuildProvenance(file)
			if err != nil {
				t.Fatal(err)
			}
			var uris []string
			for _, dependency := range p.BuildDefinition.ResolvedDependencies {
				uris = append(uris, dependency.URI)
			}
			want := []string{"git+" + r.Source.Repository + "@" + r.Source.Revision, "https://go.dev/dl/" + releasetest.GoVersion + ".linux-amd64.tar.gz", "pkg:golang/golang.org/x/mod@v0.30.0"}
			if name == "guest" {
				want = append(want, "pkg:deb/debian/guest@1.0-1?arch=amd64&distro=trixie", "pkg:deb/debian/ovmf@2025.02-1?arch=all&distro=trixie")
			}
			slices.Sort(want)
			if !slices.Equal(uris, want) {
				t.Errorf("%s: got %q, want %q", name, uris, want)
			}
			if p.RunDetails.Builder.ID != release.BuilderID {
				t.Errorf("%s: builder %s", name, p.RunDetails.Builder.ID)
			}
		}
	})
	t.Run("bill of materials", func(t *testing.T) {
		data, err := d.ReadFile(r.Guests[0].SBOM, release.MaxFile)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{
			`"bom-ref":"file:/usr/sbin/init"`, `"bom-ref":"file:bzImage"`, `"bom-ref":"pkg:deb/debian/guest@1.0-1?arch=amd64&distro=trixie"`,
			`"bom-ref":"pkg:deb/debian/ovmf@2025.02-1?arch=all&distro=trixie"`, `"bom-ref":"pkg:golang/golang.org/x/mod@v0.30.0"`, r.Guests[0].OSImageHash.String(),
		} {
			if !strings.Contains(string(data), part) {
				t.Errorf("expected %s in it, got %s", part, data)
			}
		}
	})
	t.Run("reference values", func(t *testing.T) {
		v, err := d.ReferenceValues()
		if err != nil {
			t.Fatal(err)
		}
		var machines []string
		for _, m := range v.Machines {
			machines = append(machines, m.Name)
		}
		if want := []string{"nine-1cpu-2048mb", "nine-4cpu-12288mb", "eight-1cpu-2048mb", "eight-4cpu-12288mb"}; !slices.Equal(machines, want) {
			t.Errorf("machines: got %v, want %v", machines, want)
		}
		if want := []string{"nine-4cpu-12288mb", "eight-4cpu-12288mb"}; len(v.Applications) != 1 || !slices.Equal(v.Applications[0].Machines, want) {
			t.Errorf("applications: got %+v, want one on %v", v.Applications, want)
		}
		for i, g := range v.Guests {
			again, err := release.Measure([]string{production, development}[i], v.Machines)
			if err != nil {
				t.Fatal(err)
			}
			again.Name, again.OSImageHash = g.Name, g.OSImageHash
			if fmt.Sprint(*again) != fmt.Sprint(g) {
				t.Errorf("%s: got %+v, want %+v", g.Name, g, *again)
			}
			for j := range g.Values[1:] {
				if g.Values[j].RTMR0 == g.Values[j+1].RTMR0 {
					t.Errorf("%s: %s and %s have one RTMR0", g.Name, g.Values[j].Machine, g.Values[j+1].Machine)
				}
			}
		}
		data, err := d.ReadFile(r.ReferenceValues, appraisal.MaxExpectation)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := appraisal.ParseExpectation(data); err != nil {
			t.Error(err)
		}
	})
	t.Run("options", func(t *testing.T) {
		again, err := release.OptionsOf(d)
		if err != nil {
			t.Fatal(err)
		}
		again.Source, again.Guests, again.Compiler = o.Source, o.Guests, o.Compiler
		other, _ := create(t, again)
		if other.Digest != d.Digest {
			t.Errorf("made again with the options of the release, it is %s, want %s", other.Digest, d.Digest)
		}
	})
}

// TestCreateIsDeterministic makes a release twice: in other folders, of another clone, with another umask, time zone and user.
func TestCreateIsDeterministic(t *testing.T) {
	c := newCheckout(t)
	o := c.options(c.guest(guestimage.Production, programOf("guest")))
	_, first := create(t, o)

	clone := filepath.Join(t.TempDir(), "clone")
	if out, err := exec.Command("git", "clone", "--quiet", "--depth", "1", "file://"+c.dir, clone).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	t.Setenv("TZ", "Asia/Tokyo")
	t.Setenv("HOME", t.TempDir())
	t.Setenv("USER", "somebody")
	t.Setenv("LC_ALL", "tr_TR.UTF-8")
	t.Setenv("SOURCE_DATE_EPOCH", "1234567890")
	defer syscall.Umask(syscall.Umask(0o077))
	o.Source = clone
	_, second := create(t, o)
	if names := differences(contents(t, first), contents(t, second)); len(names) > 0 {
		t.Errorf("two runs differ in %v", names)
	}
}

// TestCreateAgain: the same release stays, another one is not written over.
func TestCreateAgain(t *testing.T) {
	c := newCheckout(t)
	o := c.options()
	_, to := create(t, o)
	before := contents(t, to)
	again, err := release.Create(t.Context(), o, to)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	o.Version = "1.2.4"
	var place *release.PlaceError
	if _, err := release.Create(t.Context(), o, to); !errors.As(err, &place) {
		t.Errorf("another release over one: got %v, want a PlaceError", err)
	}
	if names := differences(before, contents(t, to)); len(names) > 0 {
		t.Errorf("%v changed", names)
	}
	o.Version = "1.2.3"
	if err := os.WriteFile(filepath.Join(to, "images", "hub", "index.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	var changed *release.ChangedError
	if _, err := release.Create(t.Context(), o, to); !errors.As(err, &changed) {
		t.Errorf("a release that was changed: got %v, want a ChangedError", err)
	}
	if got := names(t, filepath.Dir(to)); len(got) != 1 {
		t.Errorf("got %v beside the release", got)
	}
	o.Version = "1.2.5"
	if _, err := release.Create(t.Context(), o, filepath.Join(t.TempDir(), "none", "release")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no folder: got %v", err)
	}
}

func TestCreateRefuses(t *testing.T) {
	other := programOf("another")
	for name, tt := range map[string]struct {
		change func(c *checkout, o *release.CreateOptions)
		want   string
		as     any
	}{
		"changed file":   {func(c *checkout, _ *release.CreateOptions) { c.write("nix/go-build.json", "{}") }, `expected a clean checkout, without changes and untracked files, got 1: " M nix/go-build.json" first`, new(*release.SourceError)},
		"staged file":    {func(c *checkout, _ *release.CreateOptions) { c.write("new.go", "package x"); c.git("add", "new.go") }, `"A  new.go"`, new(*release.SourceError)},
		"untracked file": {func(c *checkout, _ *release.CreateOptions) { c.write("images/new/x", "") }, `"?? images/new/x"`, new(*release.SourceError)},
		"removed file":   {func(c *checkout, _ *release.CreateOptions) { os.Remove(filepath.Join(c.dir, ".gitignore")) }, `got `, new(*release.SourceError)},
		"folder of it":   {func(c *checkout, o *release.CreateOptions) { o.Source = filepath.Join(c.dir, "nix") }, "expected the top folder of a Git checkout, got one below ../", new(*release.SourceError)},
		"symbolic link": {func(c *checkout, _ *release.CreateOptions) {
			os.Symlink("/etc/passwd", filepath.Join(c.dir, "nix", "x"))
			c.commit()
		}, "x: expected files and folders, got a symbolic link", new(*release.SourceError)},
		"no repository":     {func(_ *checkout, o *release.CreateOptions) { o.Repository = "" }, "repository: expected where images are published", new(*release.OptionsError)},
		"tagged repository": {func(_ *checkout, o *release.CreateOptions) { o.Repository = "registry.example/board:1" }, "repository: ", new(*release.OptionsError)},
		"version":           {func(_ *checkout, o *release.CreateOptions) { o.Version = "v1" }, `version: expected a semantic version MAJOR.MINOR.PATCH, got "v1"`, new(*release.OptionsError)},
		"name":              {func(_ *checkout, o *release.CreateOptions) { o.Name = "../x" }, "name: expected a name in lower case", new(*release.OptionsError)},
		"two sources": {func(c *checkout, _ *release.CreateOptions) {
			file := filepath.Join(c.dir, "images", "agents", "hub", "image.json")
			data, _ := os.ReadFile(file)
			os.WriteFile(file, bytes.Replace(data, []byte("example.test/boardroom"), []byte("example.test/other"), 1), 0o644)
			c.commit()
		}, "source repository: expected one", new(*release.OptionsError)},
		"no machines": {func(c *checkout, o *release.CreateOptions) {
			o.Guests = []string{c.guest(guestimage.Production, programOf("guest"))}
			c.git("rm", "--quiet", "compose/machines.json")
			c.commit()
		}, "machines.json: no such file", nil},
		"machines": {func(c *checkout, o *release.CreateOptions) {
			o.Guests = []string{c.guest(guestimage.Production, programOf("guest"))}
			c.write("compose/machines.json", `{"hosts": [{"name": "old", "qemu_version": "7.2.0"}]}`)
			c.commit()
		}, "compose/machines.json: hosts[0]: machine: QEMU: expected a release that dstack supports", new(*release.MachinesError)},
		"another toolchain": {func(_ *checkout, o *release.CreateOptions) {
			o.Compiler = func(context.Context, string) (release.Compiler, error) {
				return fixed(releasetest.Program("go1.26.7", "x")), nil
			}
		}, "modules: expected a program of " + releasetest.GoVersion + ", the seed, got one of go1.26.7", new(*release.ProgramError)},
		"no Go program": {func(_ *checkout, o *release.CreateOptions) {
			o.Compiler = func(context.Context, string) (release.Compiler, error) { return fixed("#!/bin/sh\n"), nil }
		}, "modules: ", new(*release.ProgramError)},
		"replaced module": {func(_ *checkout, o *release.CreateOptions) {
			program := bytes.Replace(programOf("x"), []byte("h1:fDEXFVZ/fmCKProc/yAXXUijritrDzahmwwefnjoPFk="), []byte("\n=>\texample.org/y\tv1.0.0\th1:AAAAAAAAAAAAAAAAAA="), 1)
			o.Compiler = func(context.Context, string) (release.Compiler, error) { return fixed(program), nil }
		}, "modules: golang.org/x/mod: expected the module itself, got example.org/y in its place", new(*release.ProgramError)},
		"other program": {func(c *checkout, o *release.CreateOptions) {
			o.Guests = []string{c.guest(guestimage.Production, other)}
		}, "guest-contents.json: executables: expected usr/sbin/init with sha256:", new(*guestimage.RefusedError)},
		"other time": {func(c *checkout, o *release.CreateOptions) {
			o.Guests = []string{c.guestOf(guestimage.Production, programOf("guest"), 7)}
		}, "rootfs.img.parted.verity: expected a file system made for SOURCE_DATE_EPOCH 0, got one for 7", new(*guestimage.RefusedError)},
		"other packages": {func(c *checkout, o *release.CreateOptions) {
			o.Guests = []string{c.guest(guestimage.Production, programOf("guest"))}
			file := filepath.Join(c.dir, "images", "guest", "packages.lock.json")
			data, _ := os.ReadFile(file)
			os.WriteFile(file, bytes.Replace(data, []byte("1.0-1"), []byte("1.0-2"), 1), 0o644)
			c.commit()
		}, "guest-contents.json: packages: expected those of the source's lock", new(*guestimage.RefusedError)},
		"other definition": {func(c *checkout, o *release.CreateOptions) {
			o.Guests = []string{c.guest(guestimage.Production, programOf("guest"))}
			file := filepath.Join(c.dir, "images", "guest", "image.json")
			data, _ := os.ReadFile(file)
			os.WriteFile(file, bytes.Replace(data, []byte(`"test-guest"`), []byte(`"other-guest"`), 1), 0o644)
			c.commit()
		}, "expected image other-guest of version 0.5.11, as the source defines it, got test-guest of 0.5.11", new(*guestimage.RefusedError)},
		"image without contents": {func(c *checkout, o *release.CreateOptions) {
			vars, _ := releasetest.FirmwareVariables()
			o.Guests = []string{filepath.Join(c.t.TempDir(), "guest")}
			if err := imagetest.Write(o.Guests[0], vars); err != nil {
				c.t.Fatal(err)
			}
		}, "expected a file, got none", new(*guestimage.RefusedError)},
		"altered guest": {func(c *checkout, o *release.CreateOptions) {
			o.Guests = []string{c.guest(guestimage.Production, programOf("guest"))}
			os.WriteFile(filepath.Join(o.Guests[0], "bzImage"), []byte("x"), 0o644)
		}, "bzImage: expected sha256", new(*guestimage.RefusedError)},
		"compose": {func(c *checkout, _ *release.CreateOptions) {
			c.write("compose/finance/docker-compose.yaml", "services: {x: {image: nobody, restart: always}}\n")
			c.commit()
		}, `image "nobody" has no digest`, new(*compose.RefusedError)},
		"lock": {func(c *checkout, o *release.CreateOptions) {
			o.Guests = []string{c.guest(guestimage.Production, programOf("guest"))}
			c.write("images/guest/firmware.lock.json", "{}")
			c.commit()
		}, "firmware.lock.json: format: expected 1, got 0", new(*deb.DocumentError)},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCheckout(t)
			o := c.options()
			tt.change(c, &o)
			to := filepath.Join(t.TempDir(), "release")
			_, err := release.Create(t.Context(), o, to)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q in it", err, tt.want)
			}
			if tt.as != nil && !errors.As(err, tt.as) {
				t.Errorf("got %T, want %T", err, tt.as)
			}
			if left := names(t, filepath.Dir(to)); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}

// TestExport holds what is written to what the revision's name commits to, for both kinds of names.
func TestExport(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			t.Setenv("GIT_DEFAULT_HASH", format)
			testExport(t, map[string]int{"sha1": 40, "sha256": 64}[format])
		})
	}
}

func testExport(t *testing.T, digits int) {
	c := newCheckout(t)
	c.write("run", "#!/bin/sh\n")
	c.write("text", "one\r\ntwo\n$Id$\n")
	c.write(".gitattributes", "text text ident export-subst\nhidden export-ignore\n")
	c.write("hidden", "x")
	if err := os.Chmod(filepath.Join(c.dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.commit()
	head := c.git("rev-parse", "HEAD")
	if len(head) != digits {
		t.Fatalf("git made a revision %s, want %d digits", head, digits)
	}
	to := t.TempDir()
	r, err := release.Export(t.Context(), c.dir, head, to)
	if err != nil {
		t.Fatal(err)
	}
	if r.Commit != head || r.Tree != c.git("rev-parse", "HEAD^{tree}") || !r.Time.Equal(time.Unix(1763640000, 0)) {
		t.Errorf("got %+v", r)
	}
	got := contents(t, to)
	var names []string
	for name, content := range got {
		if !strings.HasPrefix(content, "d") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if want := strings.Split(c.git("-c", "core.quotePath=false", "ls-files"), "\n"); !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	if blob := c.git("cat-file", "blob", "HEAD:text"); strings.TrimSpace(got["text"]) != "-rw-r--r--"+blob {
		t.Errorf("a filter changed a file: got %q, want %q", got["text"], blob)
	}
	if !strings.HasPrefix(got["run"], "-rwxr-xr-x#!") {
		t.Errorf("run: got %q", got["run"])
	}
	for _, revision := range []string{"HEAD", "main", head[:39], strings.Repeat("0", digits), r.Tree} {
		var source *release.SourceError
		if _, err := release.Export(t.Context(), c.dir, revision, t.TempDir()); !errors.As(err, &source) {
			t.Errorf("%s: got %v, want a SourceError", revision, err)
		}
	}
}

// TestExportIgnoresReplacements: git can be told to show other objects under the names of these.
func TestExportIgnoresReplacements(t *testing.T) {
	c := newCheckout(t)
	head := c.git("rev-parse", "HEAD")
	blob := c.git("rev-parse", "HEAD:nix/seed.json")
	file := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(file, []byte("other\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.git("replace", blob, c.git("hash-object", "-w", file))
	to := t.TempDir()
	if _, err := release.Export(t.Context(), c.dir, head, to); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(to, "nix", "seed.json"))
	if err != nil {
		t.Fatal(err)
	}
	if string(data) == "other\n" {
		t.Error("the replacement was exported")
	}
}

// TestExportNoticesOtherContent: the database of objects is believed only as far as names commit to it.
func TestExportNoticesOtherContent(t *testing.T) {
	c := newCheckout(t)
	blob := c.git("rev-parse", "HEAD:nix/seed.json")
	other := c.git("rev-parse", "HEAD:.gitignore")
	object := func(name string) string { return filepath.Join(c.dir, ".git", "objects", name[:2], name[2:]) }
	data, err := os.ReadFile(object(other))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(object(blob)), os.WriteFile(object(blob), data, 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := release.Export(t.Context(), c.dir, c.git("rev-parse", "HEAD"), t.TempDir()); err == nil {
		t.Error("another object was exported under the name of one")
	}
}
