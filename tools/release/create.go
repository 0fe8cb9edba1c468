package release

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agentimage"
	"github.com/boardroom-tee/boardroom/tools/compose"
	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/gobuild"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/provenance"
)

// BuilderID is the builder that provenance names where nobody names another: whoever runs [Create] on a machine of theirs. It does not say
// who that is; the signatures do.
const BuilderID = "https://boardroom-tee.github.io/builder/release-create/v1"

// CreateOptions say what to make a release of.
type CreateOptions struct {
	// Source is the top folder of a clean Git checkout. A release is made of the revision, not of the files there.
	Source string
	// Name and Version are the release's.
	Name, Version string
	// SourceRepository is where the source is published, a URI. If empty, it is what all definitions of images say.
	SourceRepository string
	// Repository is where images are published, without their own names, such as registry.example/board.
	Repository string
	// Builder is a URI; if empty, it is BuilderID.
	Builder string
	// Guests are folders of guest images that were built from the same revision.
	Guests []string
	// Archives is a folder for the archives of guest images, which is made; if empty, they are only hashed.
	Archives string
	// Cache is a folder for toolchain, modules and compiled packages.
	Cache string
	// Progress takes lines for people; nil drops them.
	Progress io.Writer
	// Compiler returns what compiles the programs of a source tree; nil is package gobuild.
	Compiler func(ctx context.Context, tree string) (Compiler, error)
}

// Compiler compiles the main package in a folder of a source tree, see [gobuild.Builder].
type Compiler interface {
	Program(ctx context.Context, pkg string, tags ...string) ([]byte, error)
}

// OptionsError says that an option is malformed, or does not go with the source.
type OptionsError struct {
	Option string
	Reason string
}

func (e *OptionsError) Error() string { return e.Option + ": " + e.Reason }

// OptionsOf are the options that a release was made with, as far as it depends on them: Create makes the same release again, given a
// checkout of its source and its guest images.
func OptionsOf(d *Directory) (CreateOptions, error) {
	r := d.Release
	o := CreateOptions{Name: r.Name, Version: r.Version, SourceRepository: r.Source.Repository}
	files := make([]string, 0, len(r.Images)+len(r.Guests))
	for _, m := range r.Images {
		prefix := path.Dir(m.Repository)
		if o.Repository != "" && prefix != o.Repository {
			return CreateOptions{}, &OptionsError{"repository", fmt.Sprintf("expected all images in %s, got %s", o.Repository, m.Repository)}
		}
		o.Repository = prefix
		files = append(files, m.Provenance)
	}
	for _, g := range r.Guests {
		files = append(files, g.Provenance)
	}
	for _, file := range files {
		p, err := d.BuildProvenance(file)
		if err != nil {
			return CreateOptions{}, err
		}
		if id := p.RunDetails.Builder.ID; o.Builder != "" && o.Builder != id {
			return CreateOptions{}, &OptionsError{"builder", fmt.Sprintf("expected one for everything, got %s and %s", o.Builder, id)}
		}
		o.Builder = p.RunDetails.Builder.ID
	}
	return o, nil
}

// BuildProvenance reads a statement of build provenance.
func (d *Directory) BuildProvenance(file string) (provenance.BuildProvenance, error) {
	data, err := d.ReadFile(file, provenance.MaxStatement)
	if err != nil {
		return provenance.BuildProvenance{}, err
	}
	s, err := provenance.ParseStatement(data)
	if err != nil {
		return provenance.BuildProvenance{}, fmt.Errorf("%s: %w", file, err)
	}
	p, err := provenance.ReadBuildProvenance(s)
	if err != nil {
		return provenance.BuildProvenance{}, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

// Create makes a release in the folder to: it compiles the agents, assembles their images, renders their app-composes, takes the guest
// images, and says what all of it is made from. The same revision and options give the same bytes, whoever calls it, where and when. If
// that release is there already, nothing is changed; anything else there is a *PlaceError. A run that is killed leaves nothing in the way
// of the next.
func Create(ctx context.Context, o CreateOptions, to string) (_ *Directory, err error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := checkPlace(to); err != nil {
		return nil, err
	}
	revision, err := CleanRevision(ctx, o.Source)
	if err != nil {
		return nil, err
	}
	if to, err = filepath.Abs(to); err != nil {
		return nil, err
	}
	// Everything is made beside the release, so that the next run finds what a killed one left.
	w, err := openWorkshop(to)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	c := &creator{CreateOptions: o, tree: filepath.Join(w.dir, "source"), work: w.dir}
	if err := os.Mkdir(c.tree, 0o755); err != nil {
		return nil, err
	}
	found, err := Export(ctx, o.Source, revision, c.tree)
	if err != nil {
		return nil, err
	}
	parts, err := c.parts(ctx, found)
	if err != nil {
		return nil, err
	}
	if err := w.folder(to, parts.fill(ctx), sameRelease); err != nil {
		return nil, err
	}
	return Open(to)
}

// complete checks the options and fills in what has a default.
func (o *CreateOptions) complete() error {
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Builder == "" {
		o.Builder = BuilderID
	}
	if o.Compiler == nil {
		o.Compiler = func(ctx context.Context, tree string) (Compiler, error) {
			return gobuild.New(ctx, tree, o.Cache, o.Progress)
		}
	}
	if o.Repository == "" {
		return &OptionsError{"repository", "expected where images are published, such as registry.example/board, got none"}
	}
	for _, dir := range o.Guests {
		if _, err := os.Stat(dir); err != nil {
			return err
		}
	}
	probe := Release{Schema: Schema, Name: o.Name, Version: o.Version, Created: time.Unix(0, 0).UTC(), Source: Source{Repository: "x", Revision: strings.Repeat("0", 40)}}
	var field *FieldError
	if err := probe.Validate(); errors.As(err, &field) && (field.Member == "name" || field.Member == "version") {
		return &OptionsError{field.Member, field.Reason}
	}
	return nil
}

// checkPlace tells early whether there is something that can not be the release, so that nobody compiles for minutes to learn it.
func checkPlace(to string) error {
	if _, err := os.Stat(filepath.Dir(filepath.Clean(to))); err != nil {
		return err
	}
	entries, err := os.ReadDir(to)
	if errors.Is(err, os.ErrNotExist) || err == nil && (len(entries) == 0 || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == ManifestFile })) {
		return nil
	}
	if info, found := os.Stat(to); err != nil && (found != nil || info.IsDir()) {
		return err
	}
	return &PlaceError{to, "expected a folder that does not exist, and something else is there"}
}

// creator makes the parts of one release from a tree.
type creator struct {
	CreateOptions
	tree, work string
	compiler   Compiler
	source     Source
	// programs are by folder and tags.
	programs map[string][]byte
}

func (c *creator) parts(ctx context.Context, r Revision) (*Parts, error) {
	images, err := agentimage.LoadAll(filepath.Join(c.tree, "images", "agents"))
	if err != nil {
		return nil, err
	}
	if c.SourceRepository == "" {
		for _, d := range images {
			if c.SourceRepository != "" && c.SourceRepository != d.Source {
				return nil, &OptionsError{"source repository", fmt.Sprintf("expected one, as the images name %s and %s, got none", c.SourceRepository, d.Source)}
			}
			c.SourceRepository = d.Source
		}
	}
	c.source = Source{Repository: c.SourceRepository, Revision: r.Commit, Tree: r.Tree}
	c.programs = make(map[string][]byte)
	if c.compiler, err = c.Compiler(ctx, c.tree); err != nil {
		return nil, err
	}
	p := &Parts{Name: c.Name, Version: c.Version, Created: r.Time, Source: c.source, Builder: c.Builder}
	if len(c.Guests) > 0 {
		if p.Machines, err = LoadMachines(c.tree); err != nil {
			return nil, err
		}
	}
	bundle, err := agentimage.LoadCABundle(filepath.Join(c.tree, "images", "ca-certificates"))
	if err != nil {
		return nil, err
	}
	pins := make(compose.Images)
	for _, d := range images {
		part, err := c.image(ctx, d, bundle)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", d.Name, err)
		}
		digest, err := part.Image.Digest()
		if err != nil {
			return nil, err
		}
		if pins[d.Name], err = compose.ParseReference(part.Repository + "@" + digest.String()); err != nil {
			return nil, &OptionsError{"repository", err.Error()}
		}
		p.Images = append(p.Images, *part)
	}
	if p.Applications, err = c.applications(images, pins); err != nil {
		return nil, err
	}
	for _, dir := range c.Guests {
		part, err := c.guest(ctx, dir)
		if err != nil {
			return nil, fmt.Errorf("guest %s: %w", dir, err)
		}
		p.Guests = append(p.Guests, *part)
	}
	return p, nil
}

// program compiles each program once.
func (c *creator) program(ctx context.Context, pkg string, tags ...string) ([]byte, error) {
	key := strings.Join(append([]string{pkg}, tags...), " ")
	if program, made := c.programs[key]; made {
		return program, nil
	}
	fmt.Fprintf(c.Progress, "compiling %s\n", key)
	start := time.Now()
	program, err := c.compiler.Program(ctx, pkg, tags...)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c.Progress, "compiled in %.1f s\n", time.Since(start).Seconds())
	c.programs[key] = program
	return program, nil
}

func (c *creator) image(ctx context.Context, d *agentimage.Definition, bundle []byte) (*ImagePart, error) {
	program, err := c.program(ctx, d.Program)
	if err != nil {
		return nil, err
	}
	dependencies, err := ImageDependencies(c.source, c.tree, program)
	if err != nil {
		return nil, err
	}
	// The time of every file is 1970, as in what "nix build" makes.
	image, err := agentimage.Assemble(d, agentimage.Inputs{Program: program, CABundle: bundle, Epoch: time.Unix(0, 0)})
	if err != nil {
		return nil, err
	}
	return &ImagePart{Name: d.Name, Repository: c.Repository + "/" + d.Repository, Version: d.Version, Image: image, Dependencies: dependencies}, nil
}

// applications renders the app-compose of every folder of compose.
func (c *creator) applications(images []*agentimage.Definition, pins compose.Images) ([]ApplicationPart, error) {
	dir := filepath.Join(c.tree, "compose")
	folders, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var parts []ApplicationPart
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		agent, err := compose.Load(filepath.Join(dir, folder.Name()))
		if err != nil {
			return nil, err
		}
		d, err := agentimage.Named(images, agent.Settings.Image)
		if err != nil {
			return nil, err
		}
		named := make(compose.Images)
		for _, name := range agent.ImageNames() {
			if pin, ours := pins[name]; ours {
				named[name] = pin
			}
		}
		app, err := agent.Render(compose.Definition{
			Name: d.Name, Repository: d.Repository, Type: d.Type, Model: d.Model, MemoryLimitMB: d.MemoryLimitMB,
			APIPort: d.Ports.API, AttestationPort: d.Ports.Attestation, Volumes: d.Volumes,
		}, named)
		if err != nil {
			return nil, err
		}
		parts = append(parts, ApplicationPart{
			Name: folder.Name(), Image: d.Name, AppCompose: app.Raw(), VCPUs: agent.Settings.Machine.VCPUs, MemoryMB: agent.Settings.Machine.MemoryMB,
		})
	}
	return parts, nil
}

// guestProgramPath is where a guest image has the guest's program (package guestimage).
const guestProgramPath = "usr/sbin/init"

// guest takes a guest image. That it was built from this revision is not taken on trust as far as its own list of contents can tell: name,
// version, packages, and the program, which is compiled again. The rest is for whoever rebuilds the image.
func (c *creator) guest(ctx context.Context, dir string) (*GuestPart, error) {
	fmt.Fprintf(c.Progress, "verifying the guest image in %s\n", dir)
	im, err := guestimage.Inspect(dir, guestimage.Options{})
	if err != nil {
		return nil, err
	}
	refuse := func(format string, args ...any) error {
		return &guestimage.RefusedError{What: guestimage.ContentsFile, Err: fmt.Errorf(format, args...)}
	}
	if im.Contents == nil {
		return nil, refuse("expected the list of contents of an image that was built here, got none")
	}
	if err := checkEpoch(dir, im.Root); err != nil {
		return nil, err
	}
	d, err := guestDefinition(c.tree)
	if err != nil {
		return nil, err
	}
	if want := d.ImageName(im.Contents.Flavour); im.Contents.Image != want || im.Version != d.Version {
		return nil, refuse("expected image %s of version %s, as the source defines it, got %s of %s", want, d.Version, im.Contents.Image, im.Version)
	}
	lock, _, err := d.Locks()
	if err != nil {
		return nil, err
	}
	if !slices.EqualFunc(lock.Packages, im.Contents.Packages, func(l deb.LockedPackage, p guestimage.Package) bool {
		return l.Name == p.Name && l.Version == p.Version
	}) {
		return nil, refuse("packages: expected those of the source's lock, got others")
	}
	program, err := c.program(ctx, d.Program, im.Contents.Flavour.Tags()...)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(im.Contents.Executables, func(x guestimage.Executable) bool {
		return x.Path == guestProgramPath && provenance.Digest(x.SHA256) == provenance.DigestOf(program)
	}) {
		return nil, refuse("executables: expected %s with %s, as the source compiles to, got another", guestProgramPath, provenance.DigestOf(program))
	}
	part := &GuestPart{Name: im.Contents.Image, Dir: dir, Image: im, Program: program}
	if part.Dependencies, err = GuestDependencies(c.source, c.tree, program); err != nil {
		return nil, err
	}
	if part.Packages, err = lockedPackages(c.tree); err != nil {
		return nil, err
	}
	part.Archive, err = c.archive(dir)
	return part, err
}

// archive packs the whole image, which is published beside the release.
func (c *creator) archive(dir string) (_ Archive, err error) {
	fmt.Fprintf(c.Progress, "packing the guest image in %s\n", dir)
	if c.Archives == "" {
		return pack(dir, c.work)
	}
	to, err := filepath.Abs(c.Archives)
	if err != nil {
		return Archive{}, err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return Archive{}, err
	}
	w, err := openWorkshop(to)
	if err != nil {
		return Archive{}, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	a, err := pack(dir, w.dir)
	if err != nil {
		return Archive{}, err
	}
	made, err := os.ReadDir(w.dir)
	if err != nil {
		return Archive{}, err
	}
	for _, f := range made {
		from := filepath.Join(w.dir, f.Name())
		if err := errors.Join(syncPath(from), os.Rename(from, filepath.Join(to, f.Name()))); err != nil {
			return Archive{}, err
		}
	}
	return a, syncPath(to)
}

// pack writes the archives of an image to a folder, and describes the one of the whole image.
func pack(dir, to string) (Archive, error) {
	packed, err := guestimage.Pack(dir, "", to)
	if err != nil {
		return Archive{}, err
	}
	a := Archive{Name: filepath.Base(packed.Release)}
	a.Digest, a.Size, err = hashFile(packed.Release)
	return a, err
}

// checkEpoch refuses an image with other times than those that its provenance says. The file system, which is squashfs, has one in its
// superblock: magic, number of inodes, and seconds since 1970, each of 32 bits, little-endian (kernel.org, squashfs.rst and squashfs_fs.h).
func checkEpoch(dir string, root *guestimage.Root) error {
	f, err := os.Open(filepath.Join(dir, root.File))
	if err != nil {
		return err
	}
	var superblock [12]byte
	_, err = f.ReadAt(superblock[:], root.Offset)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if epoch := binary.LittleEndian.Uint32(superblock[8:]); string(superblock[:4]) != "hsqs" || epoch != 0 {
		return &guestimage.RefusedError{What: root.File, Err: fmt.Errorf("expected a file system made for SOURCE_DATE_EPOCH 0, got one for %d, or another", epoch)}
	}
	return nil
}
