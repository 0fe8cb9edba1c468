package release

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/oci"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/sbom"
)

// Types of builds, which say how a [provenance.BuildDefinition] leads to an artifact. docs/release.md describes them.
const (
	ImageBuildType = "https://boardroom-tee.github.io/build/agent-image/v1"
	GuestBuildType = "https://boardroom-tee.github.io/build/guest-image/v1"
)

// Parts are what a release is put together from. All of it is taken as it is said: who calls [Assemble] has built it.
type Parts struct {
	Name, Version string
	// Created is the time of the source revision.
	Created time.Time
	Source  Source
	// Builder is a URI for who is to be trusted with the build, see [provenance.Builder].
	Builder      string
	Images       []ImagePart
	Guests       []GuestPart
	Applications []ApplicationPart
	// Machines are those that reference values are made for. Unused without guests.
	Machines *Machines
}

// ImagePart is an agent's image. Repository is where it is published, without tag or digest.
type ImagePart struct {
	Name, Repository, Version string
	Image                     v1.Image
	Dependencies              []provenance.Resource
}

// GuestPart is a guest image that [guestimage.Inspect] verified.
type GuestPart struct {
	Name string
	// Dir is the folder of the image, and Image what was found in it.
	Dir          string
	Image        *guestimage.Image
	Archive      Archive
	Dependencies []provenance.Resource
	// Packages are those that its files come from, and Program is the guest's own program, for its bill of materials.
	Packages []sbom.Package
	Program  []byte
}

// ApplicationPart is an app-compose, exactly as it is deployed, for the agent with that name.
type ApplicationPart struct {
	Name, Image string
	AppCompose  []byte
	// VCPUs and MemoryMB are of the machine that it runs on.
	VCPUs, MemoryMB int
}

// Assemble writes the release of the parts to the folder to. It is a function of them: the same parts give the same bytes. If that release
// is there already, nothing is changed; anything else there is a *PlaceError.
func Assemble(ctx context.Context, p Parts, to string) error {
	return WriteFolder(to, p.fill(ctx), sameRelease)
}

// fill returns what writes the release of the parts to a folder.
func (p Parts) fill(ctx context.Context) func(dir string) error {
	return func(dir string) error {
		a := assembler{Parts: p, dir: dir}
		return a.all(ctx)
	}
}

type assembler struct {
	Parts
	dir     string
	release Release
}

func (a *assembler) all(ctx context.Context) error {
	a.release = Release{
		Schema: Schema, Name: a.Name, Version: a.Version, Created: a.Created.UTC(), Source: a.Source,
		Images: []Image{}, Guests: []Guest{}, Applications: []Application{},
	}
	for _, folder := range []string{ImagesFolder, StatementsFolder} {
		if err := os.Mkdir(filepath.Join(a.dir, folder), 0o755); err != nil {
			return err
		}
	}
	for _, part := range a.Images {
		if err := errors.Join(ctx.Err(), a.image(part)); err != nil {
			return fmt.Errorf("image %s: %w", part.Name, err)
		}
	}
	for _, part := range a.Guests {
		if err := errors.Join(ctx.Err(), a.guest(part)); err != nil {
			return fmt.Errorf("guest %s: %w", part.Name, err)
		}
	}
	for _, part := range a.Applications {
		if err := a.application(part); err != nil {
			return fmt.Errorf("application %s: %w", part.Name, err)
		}
	}
	slices.SortFunc(a.release.Images, func(x, y Image) int { return strings.Compare(x.Name, y.Name) })
	slices.SortFunc(a.release.Guests, func(x, y Guest) int { return strings.Compare(x.Name, y.Name) })
	slices.SortFunc(a.release.Applications, func(x, y Application) int { return strings.Compare(x.Name, y.Name) })
	if len(a.Guests) > 0 {
		statement, err := a.referenceValues(ctx)
		if err != nil {
			return fmt.Errorf("reference values: %w", err)
		}
		if a.release.ReferenceValues, err = a.statement("reference-values", statement); err != nil {
			return err
		}
	}
	if err := a.list(); err != nil {
		return err
	}
	manifest, err := a.release.Encode()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(a.dir, ManifestFile), manifest, 0o644)
}

// statement writes a statement to be signed, and returns its file.
func (a *assembler) statement(name string, s provenance.Statement) (string, error) {
	data, err := s.Encode()
	if err != nil {
		return "", err
	}
	file := path.Join(StatementsFolder, name+".json")
	return file, os.WriteFile(filepath.Join(a.dir, filepath.FromSlash(file)), data, 0o644)
}

// statements writes those about one artifact.
func (a *assembler) statements(subject provenance.Subject, buildType string, parameters any, dependencies []provenance.Resource, bom []byte) (built, materials string, err error) {
	external, err := json.Marshal(parameters)
	if err != nil {
		return "", "", err
	}
	build, err := provenance.BuildStatement([]provenance.Subject{subject}, provenance.BuildProvenance{
		BuildDefinition: provenance.BuildDefinition{BuildType: buildType, ExternalParameters: external, ResolvedDependencies: dependencies},
		RunDetails:      provenance.RunDetails{Builder: provenance.Builder{ID: a.Builder}},
	})
	if err != nil {
		return "", "", err
	}
	contents, err := provenance.NewStatement([]provenance.Subject{subject}, sbom.PredicateType, json.RawMessage(bom))
	if err != nil {
		return "", "", err
	}
	if built, err = a.statement(subject.Name+".provenance", build); err != nil {
		return "", "", err
	}
	materials, err = a.statement(subject.Name+".sbom", contents)
	return built, materials, err
}

// buildParameters are the external parameters of a build. What is built of a revision follows from its name, or its flavour.
type buildParameters struct {
	Source  Source `json:"source"`
	Name    string `json:"name"`
	Version string `json:"version"`
	// Epoch is SOURCE_DATE_EPOCH, the time of every file.
	Epoch int64 `json:"source_date_epoch"`
}

func (a *assembler) image(part ImagePart) error {
	m := Image{Name: part.Name, Repository: part.Repository, Layout: path.Join(ImagesFolder, part.Name)}
	hash, err := part.Image.Digest()
	if err != nil {
		return err
	}
	if m.Digest, err = provenance.ParseDigest(hash.String()); err != nil {
		return err
	}
	if err := oci.WriteLayout(filepath.Join(a.dir, filepath.FromSlash(m.Layout)), part.Image, part.Repository); err != nil {
		return err
	}
	bom, err := sbom.OfImage(part.Image, sbom.Subject{Name: part.Name, Version: part.Version}, a.Created)
	if err != nil {
		return err
	}
	subject := provenance.Subject{Name: part.Name, Digest: m.Digest.Set()}
	m.Provenance, m.SBOM, err = a.statements(subject, ImageBuildType, buildParameters{a.Source, part.Name, part.Version, 0}, part.Dependencies, bom)
	a.release.Images = append(a.release.Images, m)
	return err
}

func (a *assembler) guest(part GuestPart) error {
	g := Guest{
		Name: part.Name, Version: part.Image.Version, Development: part.Image.IsDev, OSImageHash: part.Image.Digest,
		Folder: path.Join(GuestsFolder, part.Name), Archive: part.Archive,
	}
	if err := a.guestFolder(part, filepath.Join(a.dir, filepath.FromSlash(g.Folder))); err != nil {
		return err
	}
	contents := sbom.Guest{Digest: provenance.Digest(part.Image.Digest), Packages: part.Packages, Program: part.Program}
	for _, f := range part.Image.Files {
		contents.Files = append(contents.Files, sbom.File{Path: f.Name, SHA256: f.SHA256.String()})
	}
	if part.Image.Contents != nil {
		for _, x := range part.Image.Contents.Executables {
			if x.Target == "" {
				contents.Files = append(contents.Files, sbom.File{Path: "/" + x.Path, SHA256: x.SHA256.String()})
			}
		}
	}
	bom, err := sbom.OfGuest(contents, sbom.Subject{Name: part.Name, Version: g.Version}, a.Created)
	if err != nil {
		return err
	}
	subject := provenance.Subject{Name: part.Name, Digest: provenance.Digest(g.OSImageHash).Set()}
	g.Provenance, g.SBOM, err = a.statements(subject, GuestBuildType, buildParameters{a.Source, part.Name, g.Version, 0}, part.Dependencies, bom)
	a.release.Guests = append(a.release.Guests, g)
	return err
}

// guestFolder copies the image without its root file system, and verifies the copy.
func (a *assembler) guestFolder(part GuestPart, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(part.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if part.Image.Root != nil && e.Name() == part.Image.Root.File {
			continue
		}
		data, err := readFile(filepath.Join(part.Dir, e.Name()), MaxFile)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), data, 0o644); err != nil {
			return err
		}
	}
	_, err = guestimage.Inspect(to, guestimage.Options{Digest: &part.Image.Digest, MeasurementOnly: true})
	return err
}

// readFile reads a file of at most limit bytes.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &PlaceError{name, fmt.Sprintf("expected at most %d bytes, got more", limit)}
	}
	return data, nil
}

// hashFile returns digest and size of a file.
func hashFile(name string) (_ provenance.Digest, size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return provenance.Digest{}, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	size, err = io.Copy(sum, f)
	return provenance.Digest(sum.Sum(nil)), size, err
}

func (a *assembler) application(part ApplicationPart) error {
	app := Application{Name: part.Name, Image: part.Image, AppCompose: path.Join(ComposeFolder, part.Name+".json"), ComposeHash: dstack.ComposeHashOf(part.AppCompose)}
	file := filepath.Join(a.dir, filepath.FromSlash(app.AppCompose))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	a.release.Applications = append(a.release.Applications, app)
	return os.WriteFile(file, part.AppCompose, 0o644)
}

// list lists every file that was written.
func (a *assembler) list() error {
	err := fs.WalkDir(os.DirFS(a.dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := readFile(filepath.Join(a.dir, filepath.FromSlash(name)), MaxFile)
		if err != nil {
			return err
		}
		a.release.Files = append(a.release.Files, File{Path: name, Digest: provenance.DigestOf(data), Size: int64(len(data))})
		return nil
	})
	slices.SortFunc(a.release.Files, func(x, y File) int { return strings.Compare(x.Path, y.Path) })
	return err
}
