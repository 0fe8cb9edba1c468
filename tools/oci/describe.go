package oci

import (
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Description is what people ask of an image in a layout. Its JSON form is what "--output json" prints.
type Description struct {
	// Image is the name that the layout's index gives it.
	Image string `json:"image"`
	// Digest is the manifest's; MediaType is the manifest's too.
	Digest    v1.Hash `json:"digest"`
	MediaType string  `json:"media_type"`
	// Size is the sum of manifest, config and compressed layers, in bytes.
	Size   int64              `json:"size"`
	Layers []LayerDescription `json:"layers"`
	Path   string             `json:"path"`
}

// LayerDescription is one layer, the lowest first.
type LayerDescription struct {
	Digest  v1.Hash `json:"digest"`
	Size    int64   `json:"size"`
	Comment string  `json:"comment,omitempty"`
}

// DescribeLayout reads and verifies the layout in dir, as [ReadLayout] does.
func DescribeLayout(dir string) (*Description, error) {
	img, err := ReadLayout(dir)
	if err != nil {
		return nil, err
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	manifests, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	manifest, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	desc := manifests.Manifests[0]
	d := &Description{
		Image:     desc.Annotations[ocispec.AnnotationRefName],
		Digest:    desc.Digest,
		MediaType: string(desc.MediaType),
		Size:      desc.Size + manifest.Config.Size,
		Path:      dir,
	}
	var comments []string
	for _, h := range config.History {
		if !h.EmptyLayer {
			comments = append(comments, h.Comment)
		}
	}
	for i, l := range manifest.Layers {
		described := LayerDescription{Digest: l.Digest, Size: l.Size}
		if len(comments) == len(manifest.Layers) {
			described.Comment = comments[i]
		}
		d.Layers = append(d.Layers, described)
		d.Size += l.Size
	}
	return d, nil
}

// Describe prints the description of a layout for people.
func Describe(w io.Writer, dir string) error {
	d, err := DescribeLayout(dir)
	if err != nil {
		return err
	}
	return d.Print(w)
}

// Print writes the description for people.
func (d *Description) Print(w io.Writer) error {
	if _, err := fmt.Fprintf(w, "image   %s\ndigest  %s\nsize    %s\nlayers  %d\n", d.Image, d.Digest, mebibytes(d.Size), len(d.Layers)); err != nil {
		return err
	}
	for _, l := range d.Layers {
		if _, err := fmt.Fprintf(w, "        %s  %s  %s\n", l.Digest, mebibytes(l.Size), l.Comment); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "at      %s\n", d.Path)
	return err
}

func mebibytes(n int64) string {
	return fmt.Sprintf("%.2f MiB", float64(n)/(1<<20))
}
