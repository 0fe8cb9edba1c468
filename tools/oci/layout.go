package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrOccupied is returned for a place that holds something other than an OCI layout.
var ErrOccupied = errors.New("there is something else than an OCI layout at this place")

// WriteLayout makes dir an OCI layout with the one image img, named name in the index. A layout that is already there is
// replaced; anything else, save an empty folder, is left alone with [ErrOccupied]. The layout is made beside dir and renamed, so
// that dir is never half-written.
func WriteLayout(dir string, img v1.Image, name string) (err error) {
	if err := CheckPlace(dir); err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	work, err := os.MkdirTemp(parent, ".oci-")
	if err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	fresh, old := filepath.Join(work, "new"), filepath.Join(work, "old")
	if err := fill(fresh, img, name); err != nil {
		return fmt.Errorf("write layout %s: %w", dir, err)
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write layout: %w", err)
	}
	if err := os.Rename(fresh, dir); err != nil {
		// Put back what was there; if that fails too, both errors are told.
		if back := os.Rename(old, dir); back != nil && !errors.Is(back, fs.ErrNotExist) {
			err = errors.Join(err, back)
		}
		return fmt.Errorf("write layout: %w", err)
	}
	return nil
}

// CheckPlace tells whether [WriteLayout] would write to dir, with [ErrOccupied] if not, so that nobody compiles for minutes to
// learn it.
func CheckPlace(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(entries) == 0) {
		return nil
	}
	if err == nil {
		_, err = os.Lstat(filepath.Join(dir, ocispec.ImageLayoutFile))
	}
	if err != nil {
		return fmt.Errorf("write layout %s: %w (%w)", dir, ErrOccupied, err)
	}
	return nil
}

func fill(dir string, img v1.Image, name string) error {
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	err = path.AppendImage(img,
		layout.WithAnnotations(map[string]string{ocispec.AnnotationRefName: name}),
		layout.WithPlatform(v1.Platform{OS: config.OS, Architecture: config.Architecture}))
	if err != nil {
		return err
	}
	return plainModes(dir)
}

// plainModes takes the umask, and the executable bits that package layout sets on everything, out of the tree.
func plainModes(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return os.Chmod(path, 0o755)
		default:
			return os.Chmod(path, 0o644)
		}
	})
}
