package oci

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// maxManifest bounds index, manifest and config; it is what registries commonly take for a manifest
	// (distribution-spec, "Pushing Manifests": at least 4 megabytes).
	maxManifest = 4 << 20
	// maxLayer bounds an unpacked layer.
	maxLayer = 16 << 30
)

// InvalidError is a verdict about content: a blob that differs from its digest, a layout without exactly one image. It is
// not used for files that could not be read.
type InvalidError struct {
	Path string
	Err  error
}

func (e *InvalidError) Error() string { return fmt.Sprintf("image %s: %v", e.Path, e.Err) }
func (e *InvalidError) Unwrap() error { return e.Err }

// ReadLayout reads the one image of the OCI layout in dir. Index, manifest, config and every layer are compared with the
// digests and sizes that name them, and every unpacked layer with its diff id, before the image is returned. What does not
// hold is an [*InvalidError].
//
// The check is our own: go-containerregistry takes the digest of a manifest in a layout from the manifest itself, not from
// the descriptor that asked for it.
func ReadLayout(dir string) (v1.Image, error) {
	img, err := readLayout(dir)
	if err == nil {
		return img, nil
	}
	var unread *fs.PathError
	if errors.As(err, &unread) {
		return nil, fmt.Errorf("image %s: %w", dir, err)
	}
	return nil, &InvalidError{Path: dir, Err: err}
}

func readLayout(dir string) (v1.Image, error) {
	raw, err := readBounded(filepath.Join(dir, ocispec.ImageLayoutFile))
	if err != nil {
		return nil, err
	}
	var version ocispec.ImageLayout
	if err := json.Unmarshal(raw, &version); err != nil || version.Version != ocispec.ImageLayoutVersion {
		return nil, fmt.Errorf("%s: expected imageLayoutVersion %s, got %q", ocispec.ImageLayoutFile, ocispec.ImageLayoutVersion, version.Version)
	}
	raw, err = readBounded(filepath.Join(dir, ocispec.ImageIndexFile))
	if err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ocispec.ImageIndexFile, err)
	}
	if n := len(index.Manifests); n != 1 {
		return nil, fmt.Errorf("expected a layout with 1 image, got %d", n)
	}
	desc := index.Manifests[0]
	if desc.MediaType != types.OCIManifestSchema1 {
		return nil, fmt.Errorf("expected an image manifest (%s), got %s", types.OCIManifestSchema1, desc.MediaType)
	}
	manifest, err := checkManifest(dir, desc)
	if err != nil {
		return nil, err
	}
	if err := checkLayers(dir, manifest); err != nil {
		return nil, err
	}
	return layout.Path(dir).Image(desc.Digest)
}

func checkManifest(dir string, desc v1.Descriptor) (*v1.Manifest, error) {
	raw, err := readBlob(dir, "manifest", desc)
	if err != nil {
		return nil, err
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return manifest, nil
}

func checkLayers(dir string, manifest *v1.Manifest) error {
	raw, err := readBlob(dir, "config", manifest.Config)
	if err != nil {
		return err
	}
	config, err := v1.ParseConfigFile(bytes.NewReader(raw))
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if len(config.RootFS.DiffIDs) != len(manifest.Layers) {
		return fmt.Errorf("config has %d diff ids for %d layers", len(config.RootFS.DiffIDs), len(manifest.Layers))
	}
	for i, desc := range manifest.Layers {
		if err := checkLayer(dir, desc, config.RootFS.DiffIDs[i]); err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	return nil
}

func checkLayer(dir string, desc v1.Descriptor, want v1.Hash) error {
	if desc.MediaType != types.OCILayer {
		return fmt.Errorf("expected media type %s, got %s", types.OCILayer, desc.MediaType)
	}
	f, err := openBlob(dir, desc)
	if err != nil {
		return err
	}
	defer f.Close()
	digest := sha256.New()
	n, err := io.Copy(digest, f)
	if err != nil {
		return err
	}
	if err := compare(desc, n, sum(digest)); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	zr, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w", desc.Digest, err)
	}
	diff := sha256.New()
	if n, err := io.Copy(diff, io.LimitReader(zr, maxLayer+1)); err != nil {
		return fmt.Errorf("%s: %w", desc.Digest, err)
	} else if n > maxLayer {
		return fmt.Errorf("%s: unpacks to more than %d bytes", desc.Digest, int64(maxLayer))
	}
	if got := sum(diff); got != want {
		return fmt.Errorf("expected diff id %s, got %s", want, got)
	}
	return nil
}

func readBlob(dir, what string, desc v1.Descriptor) ([]byte, error) {
	f, err := openBlob(dir, desc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if len(raw) > maxManifest {
		return nil, fmt.Errorf("%s: larger than %d bytes", what, maxManifest)
	}
	digest := sha256.New()
	digest.Write(raw)
	if err := compare(desc, int64(len(raw)), sum(digest)); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return raw, nil
}

func openBlob(dir string, desc v1.Descriptor) (*os.File, error) {
	// v1.Hash takes only hex of the algorithm's length, so the name can not leave the folder.
	if desc.Digest.Algorithm != "sha256" {
		return nil, fmt.Errorf("digest %s: expected sha256", desc.Digest)
	}
	return os.Open(filepath.Join(dir, ocispec.ImageBlobsDir, "sha256", desc.Digest.Hex))
}

func compare(desc v1.Descriptor, size int64, digest v1.Hash) error {
	if digest != desc.Digest {
		return fmt.Errorf("expected digest %s, got %s", desc.Digest, digest)
	}
	if size != desc.Size {
		return fmt.Errorf("%s: expected %d bytes, got %d", desc.Digest, desc.Size, size)
	}
	return nil
}

func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxManifest {
		return nil, fmt.Errorf("%s: larger than %d bytes", filepath.Base(file), maxManifest)
	}
	return raw, nil
}
