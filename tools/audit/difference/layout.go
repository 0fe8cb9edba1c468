package difference

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Layouts compares two OCI layouts of one image each: index, manifest, config, and layer by layer what is in them. An error is one of
// reading; a layout that is malformed is compared file by file.
func Layouts(name string, expected, got fs.FS) (List, error) {
	f := newFinder(name)
	e, err := readImage(expected)
	if err == nil {
		var g *image
		if g, err = readImage(got); err == nil {
			f.image(e, g)
			if f.found() > 0 {
				return *f.list, nil
			}
		}
	}
	if unread := (*fs.PathError)(nil); errors.As(err, &unread) && !errors.Is(err, fs.ErrNotExist) {
		return List{}, err
	}
	return Folders(name, expected, got)
}

type image struct {
	index, manifest, config []byte
	layers                  [][]byte
}

func readImage(layout fs.FS) (*image, error) {
	im := &image{}
	var err error
	if im.index, err = readFile(layout, ocispec.ImageIndexFile); err != nil {
		return nil, err
	}
	index, err := v1.ParseIndexManifest(bytes.NewReader(im.index))
	if err != nil {
		return nil, err
	}
	if n := len(index.Manifests); n != 1 {
		return nil, fmt.Errorf("expected a layout with 1 image, got %d", n)
	}
	if im.manifest, err = readBlob(layout, index.Manifests[0].Digest); err != nil {
		return nil, err
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(im.manifest))
	if err != nil {
		return nil, err
	}
	if im.config, err = readBlob(layout, manifest.Config.Digest); err != nil {
		return nil, err
	}
	for _, d := range manifest.Layers {
		layer, err := readBlob(layout, d.Digest)
		if err != nil {
			return nil, err
		}
		im.layers = append(im.layers, layer)
	}
	return im, nil
}

func readBlob(layout fs.FS, digest v1.Hash) ([]byte, error) {
	return readFile(layout, path.Join(ocispec.ImageBlobsDir, digest.Algorithm, digest.Hex))
}

func readFile(from fs.FS, name string) ([]byte, error) {
	file, err := from.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(file)
}

// image compares from the inside out, so that what caused a difference stands before what follows from it.
func (f finder) image(expected, got *image) {
	for i := range max(len(expected.layers), len(got.layers)) {
		in := f.in(fmt.Sprintf("layer %d", i+1))
		switch {
		case i >= len(got.layers):
			in.add(NoOffset, fmt.Sprintf("%d bytes", len(expected.layers[i])), "none")
		case i >= len(expected.layers):
			in.add(NoOffset, "none", fmt.Sprintf("%d bytes", len(got.layers[i])))
		case !bytes.Equal(expected.layers[i], got.layers[i]):
			before := f.found()
			in.gzip(expected.layers[i], got.layers[i], finder.tar)
			if f.found() == before {
				in.bytes(expected.layers[i], got.layers[i])
			}
		}
	}
	for _, part := range []struct {
		name          string
		expected, got []byte
	}{{"config", expected.config, got.config}, {"manifest", expected.manifest, got.manifest}, {"index", expected.index, got.index}} {
		f.in(part.name).file(part.expected, part.got)
	}
}

// Folders compares two folders file by file.
func Folders(name string, expected, got fs.FS) (List, error) {
	f := newFinder(name)
	e, err := files(expected)
	if err != nil {
		return List{}, err
	}
	g, err := files(got)
	if err != nil {
		return List{}, err
	}
	all := maps.Clone(e)
	maps.Copy(all, g)
	for _, file := range slices.Sorted(maps.Keys(all)) {
		in := f.in(file)
		switch {
		case !g[file]:
			in.add(NoOffset, "a file", "none")
		case !e[file]:
			in.add(NoOffset, "none", "a file")
		default:
			a, err := readFile(expected, file)
			if err != nil {
				return List{}, err
			}
			b, err := readFile(got, file)
			if err != nil {
				return List{}, err
			}
			in.file(a, b)
		}
	}
	return *f.list, nil
}

func files(folder fs.FS) (map[string]bool, error) {
	found := make(map[string]bool)
	err := fs.WalkDir(folder, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s: expected a file or a folder, got %s", name, entry.Type())
		}
		found[name] = true
		return nil
	})
	return found, err
}
