package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
)

// jobs is how many blobs are sent, or manifests asked for, at a time.
const jobs = 4

// PublishOptions of [Publish].
type PublishOptions struct {
	Options
	// MoveTag lets tags that name other content be moved.
	MoveTag bool
	// Replace lets a signature, link or proof take the place of one with the same name and other content.
	Replace bool
	// Mirror publishes images below the prefix whatever repository the release names for them: each keeps the last element of its name.
	Mirror bool
	// Archives is a folder with the archives of the guest images, to be published, too. Empty for none.
	Archives string
}

// Published says what the registry has. Its JSON form is what "--output json" prints.
type Published struct {
	// Reference is the release by digest, and Tag by version.
	Reference string `json:"reference"`
	Tag       string `json:"tag"`
	// Images are the images by digest, by name.
	Images map[string]string `json:"images"`
	// Vouchers are the files of bundles/, links/ and log/ that refer to the release, sorted.
	Vouchers []string `json:"vouchers"`
	// Attached is how many Sigstore bundles refer to an image.
	Attached int `json:"attached"`
	// Archives are the names of the guest archives, sorted.
	Archives []string `json:"archives"`
	// Sent is how many blobs had to be sent; the others were there.
	Sent int64 `json:"sent"`
}

// Print writes the result for people.
func (p *Published) Print(w io.Writer) error {
	lines := []string{p.Reference}
	for _, image := range slices.Sorted(maps.Keys(p.Images)) {
		lines = append(lines, "image     "+p.Images[image])
	}
	lines = append(lines, fmt.Sprintf("vouchers  %d for the release, %d at images", len(p.Vouchers), p.Attached))
	for _, archive := range p.Archives {
		lines = append(lines, "archive   "+archive)
	}
	_, err := fmt.Fprintf(w, "%s\ntag       %s\n", strings.Join(lines, "\n"), p.Tag)
	return err
}

// repositoryOf is where a release with a name is published, below a prefix such as "registry.example/boardroom".
func repositoryOf(prefix, releaseName string) string { return prefix + "/" + releaseName + "-release" }

// image of a release with where it goes.
type image struct {
	release.Image
	client   *client
	manifest []byte
	layers   []*blob
	attached []attachment
}

// attachment is a bundle about an image, and the manifest by which it refers to the image.
type attachment struct{ bundle, manifest []byte }

func (i *image) referring() [][]byte {
	var all [][]byte
	for _, a := range i.attached {
		all = append(all, a.manifest)
	}
	return all
}

// publication is one call of Publish.
type publication struct {
	PublishOptions
	d       *release.Directory
	release *client
	images  []*image
	// manifest is that of the release, and subject describes it.
	manifest []byte
	subject  v1.Descriptor
	vouchers []voucher
	archives [][]byte
	sent     atomic.Int64
}

// Publish pushes a release and its images below a prefix ("HOST/PATH"). What is there already is not sent again, so that a push that broke
// off is finished by calling it again, and doing it twice changes nothing. Errors that are verdicts are a *TakenError, a *RepositoryError
// and those of package release about a file.
func Publish(ctx context.Context, d *release.Directory, prefix string, o PublishOptions) (*Published, error) {
	p := &publication{PublishOptions: o, d: d}
	if err := p.prepare(ctx, strings.TrimSuffix(prefix, "/")); err != nil {
		return nil, err
	}
	tag := d.Release.Version
	if err := p.checkTags(ctx, tag); err != nil {
		return nil, err
	}
	for _, step := range []func(context.Context) error{p.pushImages, p.pushRelease, p.pushArchives, p.pushVouchers, p.attach} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	// Others may have written the same lists since, see refer.
	if err := p.relist(ctx); err != nil {
		return nil, err
	}
	if err := p.putTags(ctx, tag); err != nil {
		return nil, err
	}
	return p.result(tag), nil
}

// prepare reads everything that is to be published and finds out where it goes, before anything is sent.
func (p *publication) prepare(ctx context.Context, prefix string) error {
	r := p.d.Release
	for _, f := range r.Files {
		if err := errors.Join(ctx.Err(), p.d.CheckFile(f.Path)); err != nil {
			return err
		}
	}
	data, err := r.Encode()
	if err != nil {
		return err
	}
	if p.manifest, err = Manifest(data); err != nil {
		return err
	}
	p.subject = describe(p.manifest)
	home, err := p.repository(repositoryOf(prefix, r.Name))
	if err != nil {
		return err
	}
	if _, err := name.NewTag(home.String()+":"+r.Version, p.naming(name.StrictValidation)...); err != nil {
		return &ReferenceError{r.Version, "a version that can be a tag", err}
	}
	places, err := p.places(prefix, home)
	if err != nil {
		return err
	}
	for i, m := range r.Images {
		img, err := p.readImage(m)
		if err != nil {
			return fmt.Errorf("image %s: %w", m.Name, err)
		}
		if img.client, err = open(ctx, places[i], transport.PushScope, p.Options); err != nil {
			return err
		}
		p.images = append(p.images, img)
	}
	if p.release, err = open(ctx, home, transport.PushScope, p.Options); err != nil {
		return err
	}
	return p.readVouchers()
}

func (p *publication) repository(text string) (name.Repository, error) {
	repository, err := name.NewRepository(text, p.naming(name.StrictValidation)...)
	if err != nil {
		return name.Repository{}, &ReferenceError{text, "HOST/PATH", err}
	}
	return repository, nil
}

// places are the repositories of the images.
func (p *publication) places(prefix string, home name.Repository) ([]name.Repository, error) {
	root := strings.TrimSuffix(home.Name(), path.Base(home.Name()))
	var all []name.Repository
	for _, m := range p.d.Release.Images {
		named := m.Repository
		if p.Mirror {
			named = prefix + "/" + path.Base(m.Repository)
		}
		// What the release calls it is read as everybody reads the name of an image, with the default registry.
		place, err := name.NewRepository(named, p.naming(name.WeakValidation)...)
		if err != nil {
			return nil, &ReferenceError{named, "a repository", err}
		}
		if !strings.HasPrefix(place.Name(), root) || place.Name() == home.Name() {
			return nil, &RepositoryError{m.Name, m.Repository, prefix}
		}
		all = append(all, place)
	}
	return all, nil
}

// blob is a file of the release, or elsewhere, that is named by its digest. It is a v1.Layer that says when it is sent.
type blob struct {
	digest provenance.Digest
	size   int64
	open   func() (io.ReadCloser, error)
	sent   *atomic.Int64
}

func (b *blob) Digest() (v1.Hash, error)             { return hash(b.digest), nil }
func (b *blob) DiffID() (v1.Hash, error)             { return v1.Hash{}, errors.ErrUnsupported }
func (b *blob) Uncompressed() (io.ReadCloser, error) { return nil, errors.ErrUnsupported }
func (b *blob) Size() (int64, error)                 { return b.size, nil }
func (b *blob) MediaType() (types.MediaType, error)  { return fileType, nil }
func (b *blob) Compressed() (io.ReadCloser, error) {
	b.sent.Add(1)
	return b.open()
}

func (p *publication) file(f release.File) *blob {
	return &blob{f.Digest, f.Size, func() (io.ReadCloser, error) {
		data, err := p.d.ReadFile(f.Path, release.MaxFile)
		return io.NopCloser(bytes.NewReader(data)), err
	}, &p.sent}
}

func (p *publication) bytes(data []byte) *blob {
	return &blob{provenance.DigestOf(data), int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, &p.sent}
}

// readImage finds the blobs of an image among the files of the release.
func (p *publication) readImage(m release.Image) (*image, error) {
	files := make(map[provenance.Digest]release.File)
	for _, f := range p.d.Release.Files {
		if strings.HasPrefix(f.Path, m.Layout+"/") {
			files[f.Digest] = f
		}
	}
	f, there := files[m.Digest]
	if !there {
		return nil, &release.UnaccountedError{Path: m.Layout, Reason: fmt.Sprintf("expected the manifest %s among its files, got none", m.Digest)}
	}
	img := &image{Image: m}
	var err error
	if img.manifest, err = p.d.ReadFile(f.Path, maxManifest); err != nil {
		return nil, err
	}
	parsed, err := v1.ParseManifest(bytes.NewReader(img.manifest))
	if err != nil {
		return nil, &release.UnaccountedError{Path: f.Path, Reason: fmt.Sprintf("expected the manifest of an image: %v", err)}
	}
	for _, part := range append([]v1.Descriptor{parsed.Config}, parsed.Layers...) {
		digest, err := provenance.ParseDigest(part.Digest.String())
		if err != nil {
			return nil, &release.UnaccountedError{Path: f.Path, Reason: err.Error()}
		}
		content, there := files[digest]
		if !there || content.Size != part.Size {
			return nil, &release.UnaccountedError{Path: m.Layout, Reason: fmt.Sprintf("expected %s of %d bytes among its files, got none", digest, part.Size)}
		}
		img.layers = append(img.layers, p.file(content))
	}
	return img, nil
}

// readVouchers finds out what the files of bundles/, links/ and log/ are about.
func (p *publication) readVouchers() error {
	for _, of := range []struct {
		folder string
		files  map[string][]byte
	}{{release.BundlesFolder, p.d.Bundles}, {release.LinksFolder, p.d.Links}, {release.LogFolder, p.d.Proofs}} {
		for _, file := range slices.Sorted(maps.Keys(of.files)) {
			v, err := newVoucher(of.folder+"/"+file, of.files[file], p.subject)
			if err != nil {
				return err
			}
			p.vouchers = append(p.vouchers, v)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(p.d.Bundles)) {
		if err := p.readBundle(release.BundlesFolder+"/"+file, p.d.Bundles[file]); err != nil {
			return err
		}
	}
	return nil
}

// readBundle makes the artifacts that refer to the images that a statement is about.
func (p *publication) readBundle(file string, data []byte) error {
	bundle, err := provenance.ParseBundle(data)
	if err != nil {
		return &release.UnaccountedError{Path: file, Reason: err.Error()}
	}
	if bundle.Envelope == nil || bundle.Envelope.PayloadType != provenance.PayloadType {
		return nil
	}
	statement, err := provenance.ParseStatement(bundle.Envelope.Payload)
	if err != nil {
		return &release.UnaccountedError{Path: file, Reason: err.Error()}
	}
	for _, img := range p.images {
		if !statement.About(img.Digest) {
			continue
		}
		manifest, err := bundleManifest(data, statement.PredicateType, describe(img.manifest))
		if err != nil {
			return err
		}
		img.attached = append(img.attached, attachment{data, manifest})
	}
	return nil
}

// checkTags refuses before anything is sent what could not be finished.
func (p *publication) checkTags(ctx context.Context, tag string) error {
	for _, c := range p.clients() {
		if err := p.checkTag(ctx, c.client, tag, c.digest); err != nil {
			return err
		}
	}
	return nil
}

// tagged is a repository with what the tag of the release is to name in it.
type tagged struct {
	client *client
	digest v1.Hash
	data   []byte
}

// clients are all repositories, that of the release last.
func (p *publication) clients() []tagged {
	var all []tagged
	for _, img := range p.images {
		all = append(all, tagged{img.client, hash(img.Digest), img.manifest})
	}
	return append(all, tagged{p.release, p.subject.Digest, p.manifest})
}

func (p *publication) checkTag(ctx context.Context, c *client, tag string, ours v1.Hash) error {
	present, err := c.present(ctx, tag)
	if err != nil {
		return explain(c.reference(tag), err)
	}
	if present != (v1.Hash{}) && present != ours && !p.MoveTag {
		return &TakenError{c.reference(tag), present, ours}
	}
	return nil
}

func (p *publication) putTags(ctx context.Context, tag string) error {
	for _, c := range p.clients() {
		present, err := c.client.present(ctx, tag)
		if err != nil {
			return explain(c.client.reference(tag), err)
		}
		if present == c.digest {
			continue
		}
		if err := p.checkTag(ctx, c.client, tag, c.digest); err != nil {
			return err
		}
		if err := c.client.putManifest(ctx, tag, string(types.OCIManifestSchema1), c.data); err != nil {
			return explain(c.client.reference(tag), err)
		}
		p.say("tag %s names %s", c.client.reference(tag), c.digest)
	}
	return nil
}

// push sends the blobs that are not there. Those of from, which may be nil, can be taken over by the registry from another repository.
func (c *client) push(ctx context.Context, blobs []*blob, from map[provenance.Digest]name.Repository) error {
	work := make([]func(context.Context) error, 0, len(blobs))
	seen := make(map[provenance.Digest]bool)
	for _, b := range blobs {
		if seen[b.digest] {
			continue
		}
		seen[b.digest] = true
		var layer v1.Layer = b
		if other, known := from[b.digest]; known {
			layer = &remote.MountableLayer{Layer: b, Reference: other.Digest(b.digest.String())}
		}
		work = append(work, func(ctx context.Context) error { return c.uploads.Upload(ctx, c.repository, layer) })
	}
	return explained("push to "+c.repository.String(), parallel(ctx, work))
}

func explained(what string, err error) error {
	if err == nil {
		return nil
	}
	return explain(what, err)
}

// parallel does some of the work at a time, and no more after an error.
func parallel(ctx context.Context, work []func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	next := make(chan func(context.Context) error)
	for range min(jobs, len(work)) {
		group.Go(func() {
			for do := range next {
				if err := do(ctx); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, do := range work {
		if ctx.Err() != nil {
			break
		}
		next <- do
	}
	close(next)
	group.Wait()
	return context.Cause(ctx)
}

func (p *publication) pushImages(ctx context.Context) error {
	for _, img := range p.images {
		before := p.sent.Load()
		if err := img.client.push(ctx, img.layers, nil); err != nil {
			return err
		}
		digest, err := img.client.ensureManifest(ctx, img.manifest)
		if err != nil {
			return explain("push image "+img.Name, err)
		}
		p.say("image %s is %s, %d of %d blobs sent", img.Name, img.client.reference(digest.String()), p.sent.Load()-before, len(img.layers))
	}
	return nil
}

func (p *publication) pushRelease(ctx context.Context) error {
	before, from := p.sent.Load(), make(map[provenance.Digest]name.Repository)
	for _, img := range p.images {
		for _, l := range img.layers {
			from[l.digest] = img.client.repository
		}
	}
	data, err := p.d.Release.Encode()
	if err != nil {
		return err
	}
	blobs := []*blob{p.bytes(emptyConfig), p.bytes(data)}
	for _, f := range p.d.Release.Files {
		blobs = append(blobs, p.file(f))
	}
	if err := p.release.push(ctx, blobs, from); err != nil {
		return err
	}
	digest, err := p.release.ensureManifest(ctx, p.manifest)
	if err != nil {
		return explain("push the release", err)
	}
	p.say("release is %s, %d of %d blobs sent", p.release.reference(digest.String()), p.sent.Load()-before, len(blobs))
	return nil
}

// pushArchives pushes the archives of the guest images.
func (p *publication) pushArchives(ctx context.Context) error {
	if p.Archives == "" {
		return nil
	}
	for _, g := range p.d.Release.Guests {
		file := filepath.Join(p.Archives, g.Archive.Name)
		if err := checkArchive(ctx, file, g.Archive); err != nil {
			return err
		}
		content := &blob{g.Archive.Digest, g.Archive.Size, func() (io.ReadCloser, error) { return os.Open(file) }, &p.sent}
		if err := p.release.push(ctx, []*blob{content}, nil); err != nil {
			return err
		}
		manifest, err := archiveManifest(g.Archive, p.subject)
		if err != nil {
			return err
		}
		if _, err := p.release.ensureManifest(ctx, manifest); err != nil {
			return explain("push archive "+g.Archive.Name, err)
		}
		p.archives = append(p.archives, manifest)
		p.say("archive %s is %s", g.Archive.Name, p.release.reference(g.Archive.Digest.String()))
	}
	return nil
}

// pushVouchers pushes what vouches for the release.
func (p *publication) pushVouchers(ctx context.Context) error {
	there, err := p.release.vouchers(ctx, p.subject)
	if err != nil {
		return explain("what vouches for the release", err)
	}
	drop, err := p.replaced(there)
	if err != nil {
		return err
	}
	var blobs []*blob
	for _, v := range p.vouchers {
		blobs = append(blobs, p.bytes(v.data))
	}
	if err := p.release.push(ctx, blobs, nil); err != nil {
		return err
	}
	for _, v := range p.vouchers {
		if _, err := p.release.ensureManifest(ctx, v.Manifest); err != nil {
			return explain("push "+v.File, err)
		}
	}
	if err := p.release.refer(ctx, p.subject.Digest, p.referring(), drop); err != nil {
		return explain("list what refers to the release", err)
	}
	p.say("%d files vouch for the release", len(p.vouchers))
	return nil
}

// replaced are the vouchers in the registry that have the name of one of ours and other content.
func (p *publication) replaced(there []voucher) ([]v1.Hash, error) {
	var drop []v1.Hash
	for _, ours := range p.vouchers {
		for _, other := range there {
			if other.File != ours.File || other.Digest == ours.Digest {
				continue
			}
			if !p.Replace {
				return nil, &TakenError{ours.File, hash(other.Digest), hash(ours.Digest)}
			}
			drop = append(drop, hashOf(other.Manifest))
		}
	}
	return drop, nil
}

// referring are the manifests that refer to the release.
func (p *publication) referring() [][]byte {
	all := slices.Clone(p.archives)
	for _, v := range p.vouchers {
		all = append(all, v.Manifest)
	}
	return all
}

// attach pushes the bundles about images.
func (p *publication) attach(ctx context.Context) error {
	for _, img := range p.images {
		if len(img.attached) == 0 {
			continue
		}
		blobs := []*blob{p.bytes(emptyConfig)}
		for _, a := range img.attached {
			blobs = append(blobs, p.bytes(a.bundle))
		}
		if err := img.client.push(ctx, blobs, nil); err != nil {
			return err
		}
		for _, a := range img.attached {
			if _, err := img.client.ensureManifest(ctx, a.manifest); err != nil {
				return explain("attach a signature to image "+img.Name, err)
			}
		}
		if err := img.client.refer(ctx, hash(img.Digest), img.referring(), nil); err != nil {
			return explain("list what refers to image "+img.Name, err)
		}
		p.say("%d signatures refer to image %s", len(img.attached), img.Name)
	}
	return nil
}

func (p *publication) relist(ctx context.Context) error {
	for _, img := range p.images {
		if err := img.client.refer(ctx, hash(img.Digest), img.referring(), nil); err != nil {
			return explain("list what refers to image "+img.Name, err)
		}
	}
	return explained("list what refers to the release", p.release.refer(ctx, p.subject.Digest, p.referring(), nil))
}

func (p *publication) result(tag string) *Published {
	out := &Published{
		Reference: p.release.reference(p.subject.Digest.String()), Tag: p.release.reference(tag),
		Images: make(map[string]string), Vouchers: []string{}, Archives: []string{}, Sent: p.sent.Load(),
	}
	for _, img := range p.images {
		out.Images[img.Name] = img.client.reference(img.Digest.String())
		out.Attached += len(img.attached)
	}
	for _, v := range p.vouchers {
		out.Vouchers = append(out.Vouchers, v.File)
	}
	if p.Archives != "" {
		for _, g := range p.d.Release.Guests {
			out.Archives = append(out.Archives, g.Archive.Name)
		}
	}
	return out
}
