package releasetest

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/guestimage/guestimagetest"
	"github.com/boardroom-tee/boardroom/tools/oci"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/provenance/layout"
	"github.com/boardroom-tee/boardroom/tools/provenance/sbom"
	"github.com/boardroom-tee/boardroom/tools/release"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// What releases say of themselves if nothing else is asked for.
const (
	Name       = "board"
	Version    = "1.0.0"
	Repository = "registry.example/board"
	GoVersion  = "go1.26.8"
)

// Created is the time of the source revision.
var Created = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// Source is the source revision.
var Source = release.Source{
	Repository: "https://example.org/board", Revision: strings.Repeat("1a", 20), Tree: strings.Repeat("2b", 20),
}

// Options change what a release has.
type Options struct {
	// Version, if not empty, is the release's.
	Version string
	// Flavours are those of guest images; nil is a production image.
	Flavours []guestimage.Flavour
	// NoGuests makes a release without guest images.
	NoGuests bool
	// Change changes the parts before they are put together.
	Change func(*release.Parts)
}

// Fixture is a release with those who may sign it.
type Fixture struct {
	// Dir is the release, which is the test's own.
	Dir string
	// Builder and Rebuilder do the steps of the layout, Owner signs it, and nobody has asked Stranger.
	Builder, Rebuilder, Owner, Stranger *Signer
	// Layout is in-toto's, in its envelope, valid until 2100.
	Layout []byte
}

// New makes a release that nobody has signed yet.
func New(t testing.TB, options ...Options) *Fixture {
	t.Helper()
	var o Options
	if len(options) > 0 {
		o = options[0]
	}
	s, err := signers()
	if err != nil {
		t.Fatal(err)
	}
	f := &Fixture{Dir: filepath.Join(t.TempDir(), "release"), Builder: s[0], Rebuilder: s[1], Owner: s[2], Stranger: s[3]}
	if err := write(t, o, f.Dir); err != nil {
		t.Fatal(err)
	}
	l, err := release.NewLayout(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		release.Functionaries{Keys: []provenance.Key{f.Builder.Key()}, Threshold: 1}, release.Functionaries{Keys: []provenance.Key{f.Rebuilder.Key()}, Threshold: 1})
	if err != nil {
		t.Fatal(err)
	}
	if f.Layout, err = layout.SignLayout(t.Context(), l, f.Owner); err != nil {
		t.Fatal(err)
	}
	return f
}

var (
	made   = make(map[string]map[string][]byte) // files of releases by options that change nothing else
	making sync.Mutex
)

// write makes each release once; most of the time goes into waiting for the disk.
func write(t testing.TB, o Options, to string) error {
	if o.Change != nil {
		return assemble(t, o, to)
	}
	making.Lock()
	defer making.Unlock()
	key := fmt.Sprint(o.Version, o.Flavours, o.NoGuests)
	if files, found := made[key]; found {
		for name, data := range files {
			file := filepath.Join(to, filepath.FromSlash(name))
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, data, 0o600)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := assemble(t, o, to); err != nil {
		return err
	}
	files := make(map[string][]byte)
	err := fs.WalkDir(os.DirFS(to), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files[name], err = os.ReadFile(filepath.Join(to, filepath.FromSlash(name)))
		}
		return err
	})
	made[key] = files
	return err
}

func assemble(t testing.TB, o Options, to string) error {
	parts, err := Parts(t.TempDir(), o)
	if err != nil {
		return err
	}
	return release.Assemble(t.Context(), *parts, to)
}

// Sign lets builder and rebuilder sign, each with the link of the step.
func (f *Fixture) Sign(t testing.TB) {
	t.Helper()
	f.SignAs(t, f.Builder, release.BuildStep)
	f.SignAs(t, f.Rebuilder, release.RebuildStep)
}

// SignAs lets one sign.
func (f *Fixture) SignAs(t testing.TB, who *Signer, step string) {
	t.Helper()
	if _, err := release.Sign(t.Context(), f.Dir, release.SignOptions{Signer: who, Step: step}); err != nil {
		t.Fatal(err)
	}
}

// Open opens the release until the test ends.
func (f *Fixture) Open(t testing.TB) *release.Directory {
	t.Helper()
	d, err := release.Open(f.Dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Signer signs with a key that no file has.
type Signer struct{ *keyfile.Signer }

// NewSigner makes one with a new key.
func NewSigner() (*Signer, error) {
	s, err := keyfile.Generate()
	return &Signer{s}, err
}

// Certificate is nil.
func (s *Signer) Certificate() *x509.Certificate { return nil }

// SignStatement signs a statement.
func (s *Signer) SignStatement(ctx context.Context, statement provenance.Statement) (provenance.Bundle, error) {
	return provenance.SignStatement(ctx, s, statement)
}

var signers = sync.OnceValues(func() (all [4]*Signer, err error) {
	for i := range all {
		if all[i], err = NewSigner(); err != nil {
			return all, err
		}
	}
	return all, nil
})

// Parts are what the releases of [New] are put together from. Guest images are made in the folder work.
func Parts(work string, o Options) (*release.Parts, error) {
	p := &release.Parts{
		Name: Name, Version: Version, Created: Created, Source: Source, Builder: release.BuilderID,
		Machines: &release.Machines{Hosts: []release.Host{{Name: "qemu-9.2.1", QEMU: "9.2.1"}}},
	}
	if o.Version != "" {
		p.Version = o.Version
	}
	source, err := provenance.SourceResource(Source.Repository, Source.Revision, Source.Tree)
	if err != nil {
		return nil, err
	}
	for i, agent := range []string{"finance", "hub"} {
		image, err := Image(agent)
		if err != nil {
			return nil, err
		}
		digest, err := image.Digest()
		if err != nil {
			return nil, err
		}
		part := release.ImagePart{
			Name: agent + "-agent", Repository: Repository + "/" + agent + "-boardroom-tee", Version: "0.1.0", Image: image, Dependencies: []provenance.Resource{source},
		}
		p.Images = append(p.Images, part)
		compose := fmt.Sprintf("services:\n  %s:\n    image: %q\n    restart: \"always\"\n", part.Name, part.Repository+"@"+digest.String())
		p.Applications = append(p.Applications, release.ApplicationPart{
			Name: agent, Image: part.Name, VCPUs: 2, MemoryMB: 4096 * (i + 1),
			AppCompose: fmt.Appendf(nil, `{"allowed_envs":[],"docker_compose_file":%q,"gateway_enabled":true,"kms_enabled":true,"manifest_version":2,"name":%q,"public_logs":true,"public_sysinfo":false,"runner":"docker-compose"}`, compose, part.Name),
		})
	}
	if o.Flavours == nil && !o.NoGuests {
		o.Flavours = []guestimage.Flavour{guestimage.Production}
	}
	for _, flavour := range o.Flavours {
		part, err := guest(filepath.Join(work, string(flavour)), flavour)
		if err != nil {
			return nil, err
		}
		part.Dependencies = []provenance.Resource{source}
		p.Guests = append(p.Guests, *part)
	}
	if o.Change != nil {
		o.Change(p)
	}
	return p, nil
}

// Image is an agent's image of one layer with a tiny program.
func Image(agent string) (v1.Image, error) {
	epoch := time.Unix(0, 0).UTC()
	layer, err := oci.Layer([]oci.File{{Path: "/usr/bin/agent", Mode: 0o755, Content: Program(GoVersion, agent)}}, epoch)
	if err != nil {
		return nil, err
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err := mutate.ConfigFile(base, &v1.ConfigFile{
		Architecture: "amd64", OS: "linux", Created: v1.Time{Time: epoch}, RootFS: v1.RootFS{Type: "layers"}, Config: v1.Config{Entrypoint: []string{"/usr/bin/agent"}},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "boardroom"}})
}

// guest builds an image of package guestimagetest.
func guest(dir string, flavour guestimage.Flavour) (_ *release.GuestPart, err error) {
	vars, err := FirmwareVariables()
	if err != nil {
		return nil, err
	}
	source, err := guestimagetest.New(vars)
	if err != nil {
		return nil, err
	}
	if err := source.Write(dir); err != nil {
		return nil, err
	}
	d, in, err := guestimagetest.Open(context.Background(), dir, flavour)
	for _, tree := range []io.Closer{in.Packages, in.Firmware} {
		if err == nil {
			defer func() { err = errors.Join(err, tree.Close()) }()
		}
	}
	if err != nil {
		return nil, err
	}
	in.Program = Program(GoVersion, "guest")
	part := &release.GuestPart{Name: d.ImageName(flavour), Dir: filepath.Join(dir, "image"), Program: in.Program}
	if err := guestimage.Build(context.Background(), d, in, part.Dir); err != nil {
		return nil, err
	}
	if part.Image, err = guestimage.Inspect(part.Dir, guestimage.Options{}); err != nil {
		return nil, err
	}
	for _, p := range in.Lock.Packages {
		part.Packages = append(part.Packages, sbom.Package{
			Name: p.Name, Version: string(p.Version), Architecture: p.Architecture, Suite: p.Suite, SHA256: provenance.Digest(p.SHA256),
		})
	}
	// Packing is the matter of package guestimage.
	part.Archive = release.Archive{Name: part.Name + "-" + part.Image.Version + ".tar.gz", Digest: provenance.DigestOf([]byte(part.Name)), Size: 1}
	return part, nil
}

// FirmwareVariables is the variable store of Debian's firmware, from the test data of package tdx.
var FirmwareVariables = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for {
		f, err := os.Open(filepath.Join(dir, "tools", "tdx", "testdata", "firmware", "OVMF_VARS_4M.fd.gz"))
		if err == nil {
			return unpack(f)
		}
		if dir == filepath.Dir(dir) || !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		dir = filepath.Dir(dir)
	}
})

func unpack(f *os.File) (_ []byte, err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	r, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
