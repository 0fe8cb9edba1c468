package registry

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// Types of artifacts, each of one manifest. Their layers carry the path of the file in the release, or its name, as their title.
const (
	// ReleaseType is a release. Its first layer is release.json, of the same media type.
	ReleaseType = "application/vnd.boardroom.release.v1+json"
	// VoucherType is a file of a release's bundles/, links/ or log/. It refers to the release.
	VoucherType = "application/vnd.boardroom.release.voucher.v1"
	// ArchiveType is the archive of a guest image. It refers to the release.
	ArchiveType = "application/vnd.boardroom.guest.archive.v1"

	// fileType is the media type of everything that is named by its digest and needs no further type.
	fileType = "application/octet-stream"
)

// Annotations of the manifest of a Sigstore bundle (cosign, specs/BUNDLE_SPEC.md, "OCI Attachment").
const (
	bundleContent   = "dev.sigstore.bundle.content"
	bundlePredicate = "dev.sigstore.bundle.predicateType"
	dsseContent     = "dsse-envelope"
)

// emptyConfig is what a manifest without a configuration has (image-spec, manifest.md, "Guidance for an Empty Descriptor").
var emptyConfig = []byte("{}")

func artifact(artifactType string, layers []v1.Descriptor, subject *v1.Descriptor, annotations map[string]string) ([]byte, error) {
	return json.Marshal(v1.Manifest{
		SchemaVersion: 2,
		MediaType:     types.OCIManifestSchema1,
		ArtifactType:  artifactType,
		Config:        v1.Descriptor{MediaType: ocispec.MediaTypeEmptyJSON, Digest: hashOf(emptyConfig), Size: int64(len(emptyConfig))},
		Layers:        layers,
		Subject:       subject,
		Annotations:   annotations,
	})
}

func layerOf(title, mediaType string, digest provenance.Digest, size int64) v1.Descriptor {
	return v1.Descriptor{
		MediaType: types.MediaType(mediaType), Digest: hash(digest), Size: size,
		Annotations: map[string]string{ocispec.AnnotationTitle: title},
	}
}

// Manifest is the manifest of a release, given release.json: its bytes depend on nothing else.
func Manifest(releaseJSON []byte) ([]byte, error) {
	r, err := release.ParseRelease(releaseJSON)
	if err != nil {
		return nil, err
	}
	layers := []v1.Descriptor{layerOf(release.ManifestFile, ReleaseType, provenance.DigestOf(releaseJSON), int64(len(releaseJSON)))}
	for _, f := range r.Files {
		layers = append(layers, layerOf(f.Path, fileType, f.Digest, f.Size))
	}
	data, err := artifact(ReleaseType, layers, nil, map[string]string{
		ocispec.AnnotationTitle:    r.Name,
		ocispec.AnnotationVersion:  r.Version,
		ocispec.AnnotationCreated:  r.Created.Format(time.RFC3339),
		ocispec.AnnotationSource:   r.Source.Repository,
		ocispec.AnnotationRevision: r.Source.Revision,
	})
	if err == nil && len(data) > maxManifest {
		err = fmt.Errorf("manifest of the release: expected at most %d bytes, which registries take, got %d", maxManifest, len(data))
	}
	return data, err
}

// voucherManifest is that of a file of bundles/, links/ or log/.
func voucherManifest(file string, digest provenance.Digest, size int64, subject v1.Descriptor) ([]byte, error) {
	return artifact(VoucherType, []v1.Descriptor{layerOf(file, fileType, digest, size)}, &subject, map[string]string{ocispec.AnnotationTitle: file})
}

func archiveManifest(a release.Archive, subject v1.Descriptor) ([]byte, error) {
	return artifact(ArchiveType, []v1.Descriptor{layerOf(a.Name, fileType, a.Digest, a.Size)}, &subject, map[string]string{ocispec.AnnotationTitle: a.Name})
}

// bundleManifest is that of a Sigstore bundle with a statement about an image, as cosign attest makes it. The time that cosign adds is left
// out, so that one bundle is one artifact.
func bundleManifest(bundle []byte, predicateType string, image v1.Descriptor) ([]byte, error) {
	layer := v1.Descriptor{MediaType: provenance.BundleType, Digest: hashOf(bundle), Size: int64(len(bundle))}
	return artifact(provenance.BundleType, []v1.Descriptor{layer}, &image, map[string]string{bundleContent: dsseContent, bundlePredicate: predicateType})
}

func describe(manifest []byte) v1.Descriptor {
	return v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: hashOf(manifest), Size: int64(len(manifest))}
}

// voucher is a file that vouches for a release, as an artifact.
type voucher struct {
	// File is the path in the release.
	File string
	// Digest and Size are those of the file.
	Digest   provenance.Digest
	Size     int64
	Manifest []byte
	// data is the file, for one that is to be published.
	data []byte
}

func newVoucher(file string, data []byte, subject v1.Descriptor) (voucher, error) {
	v := voucher{File: file, Digest: provenance.DigestOf(data), Size: int64(len(data)), data: data}
	var err error
	v.Manifest, err = voucherManifest(file, v.Digest, v.Size, subject)
	return v, err
}

// parseVoucher reads the manifest of a voucher for a subject. Only the bytes that newVoucher makes will do.
func parseVoucher(manifest []byte, subject v1.Descriptor) (voucher, error) {
	var m v1.Manifest
	if err := strictjson.Unmarshal(manifest, &m); err != nil {
		return voucher{}, err
	}
	if len(m.Layers) != 1 {
		return voucher{}, fmt.Errorf("expected 1 layer, got %d", len(m.Layers))
	}
	layer := m.Layers[0]
	v := voucher{File: layer.Annotations[ocispec.AnnotationTitle], Size: layer.Size, Manifest: manifest}
	switch folder := path.Dir(v.File); {
	case folder != release.BundlesFolder && folder != release.LinksFolder && folder != release.LogFolder,
		path.Clean(v.File) != v.File, strings.HasPrefix(path.Base(v.File), "."):
		return voucher{}, fmt.Errorf("expected a file of %s, %s or %s, got %.200q", release.BundlesFolder, release.LinksFolder, release.LogFolder, v.File)
	case v.Size < 0 || v.Size > release.MaxVoucher:
		return voucher{}, fmt.Errorf("%s: expected at most %d bytes, got %d", v.File, release.MaxVoucher, v.Size)
	}
	var err error
	if v.Digest, err = provenance.ParseDigest(layer.Digest.String()); err != nil {
		return voucher{}, fmt.Errorf("%s: %w", v.File, err)
	}
	again, err := voucherManifest(v.File, v.Digest, v.Size, subject)
	if err != nil {
		return voucher{}, err
	}
	if string(again) != string(manifest) {
		return voucher{}, fmt.Errorf("%s: expected the manifest %s, which is made for it, got %s", v.File, hashOf(again), hashOf(manifest))
	}
	return v, nil
}

// artifactTypeOf is that of a manifest (image-spec, manifest.md, "artifactType"), and empty for what is none.
func artifactTypeOf(manifest []byte) string {
	var m struct {
		ArtifactType string `json:"artifactType"`
	}
	if json.Unmarshal(manifest, &m) != nil {
		return ""
	}
	return m.ArtifactType
}
