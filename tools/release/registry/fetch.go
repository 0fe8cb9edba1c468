package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
)

// maxTotal bounds the files of a release together, without archives, in bytes; maxArchive the archive of a guest image.
const (
	maxTotal   = 4 << 30
	maxArchive = 16 << 30
)

// FetchOptions of [Fetch].
type FetchOptions struct {
	Options
	// Archives is a folder for the archives of the guest images. Empty for none.
	Archives string
	// Check is called with the release before it is put in its place. What it refuses is not kept.
	Check func(d *release.Directory) error
}

// Fetched says what was fetched. Its JSON form is what "--output json" prints. Nothing about it was verified but that it is what the
// reference names.
type Fetched struct {
	// Reference is the release by digest.
	Reference string `json:"reference"`
	Name      string `json:"name"`
	Version   string `json:"version"`
	// Digest is that of release.json, which is what is signed.
	Digest provenance.Digest `json:"release_digest"`
	Path   string            `json:"path"`
	// Vouchers are the files of bundles/, links/ and log/, sorted.
	Vouchers []string `json:"vouchers"`
	// Archives are paths, in the order of the guests.
	Archives []string `json:"archives"`
}

// Print writes the result for people.
func (f *Fetched) Print(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "%s %s\nfrom      %s\ndigest    %s\nvouchers  %d\n", f.Name, f.Version, f.Reference, f.Digest, len(f.Vouchers)); err != nil {
		return err
	}
	for _, archive := range f.Archives {
		if _, err := fmt.Fprintf(w, "archive   %s\n", archive); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "at        %s\n", f.Path)
	return err
}

// fetching is one call of Fetch.
type fetching struct {
	FetchOptions
	*client
	// data is release.json, and subject describes the manifest of the release.
	data     []byte
	release  *release.Release
	subject  v1.Descriptor
	vouchers []voucher
}

// Fetch gets the release that a reference ("HOST/PATH:VERSION" or "HOST/PATH@sha256:…") names, with what vouches for it, and makes it the
// folder to. A folder with the same release gets the vouchers that it does not have; anything else that is there is left alone, with a
// *release.PlaceError. A verdict about what the registry gave is a *ContentError.
func Fetch(ctx context.Context, reference, to string, o FetchOptions) (*Fetched, error) {
	ref, err := name.ParseReference(reference, o.naming(name.StrictValidation)...)
	if err != nil {
		return nil, &ReferenceError{reference, "HOST/PATH:VERSION or HOST/PATH@sha256:DIGEST", err}
	}
	c, err := open(ctx, ref.Context(), transport.PullScope, o.Options)
	if err != nil {
		return nil, err
	}
	f := &fetching{FetchOptions: o, client: c}
	if err := f.find(ctx, ref.Identifier()); err != nil {
		return nil, explain("fetch "+reference, err)
	}
	if f.vouchers, err = c.vouchers(ctx, f.subject); err != nil {
		return nil, explain("fetch "+reference, err)
	}
	if err := checkVouchers(f.vouchers); err != nil {
		return nil, &ContentError{f.reference(f.subject.Digest.String()), err}
	}
	fill := func(dir string) error { return f.fill(ctx, dir) }
	if err := release.WriteFolder(to, fill, addVouchers); err != nil {
		return nil, err
	}
	out := &Fetched{
		Reference: f.reference(f.subject.Digest.String()), Name: f.release.Name, Version: f.release.Version,
		Digest: provenance.DigestOf(f.data), Path: to, Vouchers: []string{}, Archives: []string{},
	}
	for _, v := range f.vouchers {
		out.Vouchers = append(out.Vouchers, v.File)
	}
	if o.Archives != "" {
		out.Archives, err = f.fetchArchives(ctx)
	}
	return out, err
}

// find gets manifest and release.json, and compares the one with what the other asks for: titles, sizes and digests of the manifest are
// those that release.json, which is read strictly, has.
func (f *fetching) find(ctx context.Context, tagOrDigest string) error {
	manifest, mediaType, err := f.manifest(ctx, tagOrDigest)
	if err != nil {
		return err
	}
	refuse := func(err error) error { return &ContentError{f.reference(hashOf(manifest).String()), err} }
	if mediaType != string(types.OCIManifestSchema1) || artifactTypeOf(manifest) != ReleaseType {
		return refuse(fmt.Errorf("expected a release (%s), got %.80q of media type %.80q", ReleaseType, artifactTypeOf(manifest), mediaType))
	}
	parsed, err := v1.ParseManifest(bytes.NewReader(manifest))
	if err != nil {
		return refuse(err)
	}
	if len(parsed.Layers) == 0 || parsed.Layers[0].Annotations[ocispec.AnnotationTitle] != release.ManifestFile {
		return refuse(fmt.Errorf("expected %s as its first layer, got another one or none", release.ManifestFile))
	}
	digest, err := provenance.ParseDigest(parsed.Layers[0].Digest.String())
	if err != nil {
		return refuse(err)
	}
	size := parsed.Layers[0].Size
	if size < 0 || size > release.MaxManifest {
		return refuse(fmt.Errorf("%s: expected at most %d bytes, got %d", release.ManifestFile, release.MaxManifest, size))
	}
	var data bytes.Buffer
	if err := f.blob(ctx, digest, size, &data); err != nil {
		return err
	}
	f.data = data.Bytes()
	if f.release, err = release.ParseRelease(f.data); err != nil {
		return refuse(err)
	}
	again, err := Manifest(f.data)
	if err != nil {
		return refuse(err)
	}
	if !bytes.Equal(again, manifest) {
		return refuse(fmt.Errorf("expected the manifest %s, which is made of its %s, got another one", hashOf(again), release.ManifestFile))
	}
	var total int64
	for _, file := range f.release.Files {
		if total += file.Size; total > maxTotal {
			return refuse(fmt.Errorf("expected files of at most %d bytes together, got more", int64(maxTotal)))
		}
	}
	f.subject = describe(manifest)
	f.say("release %s %s is %s, %d files of %d bytes", f.release.Name, f.release.Version, f.reference(f.subject.Digest.String()), len(f.release.Files), total)
	return nil
}

// vouchers lists what vouches for a release in its repository, sorted by file. Who may write there decides what that is: nothing was verified.
func (c *client) vouchers(ctx context.Context, subject v1.Descriptor) ([]voucher, error) {
	all, _, err := c.referrers(ctx, subject.Digest)
	if err != nil {
		return nil, err
	}
	var lock sync.Mutex
	var found []voucher
	work := make([]func(context.Context) error, 0, len(all.referrers))
	for _, r := range all.referrers {
		work = append(work, func(ctx context.Context) error {
			manifest, _, err := c.manifest(ctx, r.descriptor.Digest.String())
			// What is listed and gone was deleted. What registries say the type is differs; the manifest is what counts.
			if absent(err) || (err == nil && artifactTypeOf(manifest) != VoucherType) {
				return nil
			}
			if err != nil {
				return err
			}
			v, err := parseVoucher(manifest, subject)
			if err != nil {
				return &ContentError{c.reference(r.descriptor.Digest.String()), err}
			}
			lock.Lock()
			defer lock.Unlock()
			found = append(found, v)
			return nil
		})
	}
	if err := parallel(ctx, work); err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b voucher) int {
		if n := strings.Compare(a.File, b.File); n != 0 {
			return n
		}
		return bytes.Compare(a.Digest[:], b.Digest[:])
	})
	return slices.CompactFunc(found, func(a, b voucher) bool { return bytes.Equal(a.Manifest, b.Manifest) }), nil
}

// checkVouchers refuses more than a release may have, and two with one name: which of them the publisher meant can not be told.
func checkVouchers(vouchers []voucher) error {
	count := make(map[string]int)
	var total int64
	for i, v := range vouchers {
		if i > 0 && vouchers[i-1].File == v.File {
			return fmt.Errorf("%s: expected one, got %s and %s; who publishes has to replace one", v.File, vouchers[i-1].Digest, v.Digest)
		}
		folder := path.Dir(v.File)
		if count[folder]++; count[folder] > release.MaxVouchers {
			return fmt.Errorf("%s: expected at most %d files, got more", folder, release.MaxVouchers)
		}
		if total += v.Size; total > release.MaxVouched {
			return fmt.Errorf("expected files that vouch for it of at most %d bytes together, got more", int64(release.MaxVouched))
		}
	}
	return nil
}

// fill writes the release to an empty folder and opens it, which refuses what is not a release.
func (f *fetching) fill(ctx context.Context, dir string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	if err := root.WriteFile(release.ManifestFile, f.data, 0o644); err != nil {
		return err
	}
	var work []func(context.Context) error
	want := func(file string, digest provenance.Digest, size int64) error {
		work = append(work, func(ctx context.Context) error { return f.write(ctx, root, file, digest, size) })
		return root.MkdirAll(path.Dir(file), 0o755)
	}
	for _, file := range f.release.Files {
		if err := want(file.Path, file.Digest, file.Size); err != nil {
			return err
		}
	}
	for _, v := range f.vouchers {
		if err := want(v.File, v.Digest, v.Size); err != nil {
			return err
		}
	}
	if err := parallel(ctx, work); err != nil {
		return explain("fetch "+f.repository.String(), err)
	}
	d, err := release.Open(dir)
	if err != nil {
		return &ContentError{f.reference(f.subject.Digest.String()), err}
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if f.Check != nil {
		return f.Check(d)
	}
	return nil
}

func (f *fetching) write(ctx context.Context, root *os.Root, file string, digest provenance.Digest, size int64) (err error) {
	w, err := root.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(f.blob(ctx, digest, size, w), w.Close())
}

// addVouchers lets a release that is there have what vouches for it and is new.
func addVouchers(made, there string) (_ bool, err error) {
	ours, err := release.Open(made)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	theirs, err := release.Open(there)
	var unread *fs.PathError
	switch {
	case errors.As(err, &unread):
		return false, nil // something that has no release.json is another thing
	case err != nil:
		return false, fmt.Errorf("%s: %w", there, err)
	}
	defer func() { err = errors.Join(err, theirs.Close()) }()
	if ours.Digest != theirs.Digest {
		return false, nil
	}
	for _, f := range theirs.Release.Files {
		if err := theirs.CheckFile(f.Path); err != nil {
			return false, fmt.Errorf("%s: %w", there, err)
		}
	}
	for _, folder := range []struct {
		name        string
		ours, there map[string][]byte
	}{{release.BundlesFolder, ours.Bundles, theirs.Bundles}, {release.LinksFolder, ours.Links, theirs.Links}, {release.LogFolder, ours.Proofs, theirs.Proofs}} {
		for file := range folder.ours {
			name := filepath.Join(folder.name, file)
			old, known := folder.there[file]
			switch {
			case known && !bytes.Equal(old, folder.ours[file]):
				return false, &release.PlaceError{Path: filepath.Join(there, name), Reason: "expected the file that the registry has, or none, and another one is there"}
			case known:
				continue
			}
			if err := os.MkdirAll(filepath.Join(there, folder.name), 0o755); err != nil {
				return false, err
			}
			// It is whole, and on the disk.
			if err := os.Rename(filepath.Join(made, name), filepath.Join(there, name)); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}
