package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/boardroom-tee/boardroom/tools/deflate"
)

// File is one file or folder of a layer.
type File struct {
	// Path is absolute and clean, as the container sees it.
	Path string
	// Dir makes a folder, and Content is not looked at.
	Dir bool
	// Mode holds the nine permission bits.
	Mode int64
	// UID and GID are the numeric owner.
	UID, GID int
	Content  []byte
}

// Layer packs files into a gzip-compressed layer. Folders that are not listed are made, owned by root with mode 0755. Every
// time is epoch. The order of files does not matter; two with one path are an error.
func Layer(files []File, epoch time.Time) (v1.Layer, error) {
	all, err := withParents(files)
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	var compressed bytes.Buffer
	diff, digest := sha256.New(), sha256.New()
	zw := deflate.NewWriter(io.MultiWriter(&compressed, digest))
	tw := tar.NewWriter(io.MultiWriter(zw, diff))
	for _, f := range all {
		if err := writeFile(tw, f, epoch); err != nil {
			return nil, fmt.Errorf("layer: %s: %w", f.Path, err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	if err := zw.Close(); err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	return &layer{compressed: compressed.Bytes(), digest: sum(digest), diffID: sum(diff)}, nil
}

func writeFile(tw *tar.Writer, f File, epoch time.Time) error {
	// USTAR has one encoding for a header; PAX records would have many. layer.md asks for tar as in ustar or pax.
	header := &tar.Header{
		Format:   tar.FormatUSTAR,
		Typeflag: tar.TypeReg,
		Name:     strings.TrimPrefix(f.Path, "/"),
		Mode:     f.Mode,
		Uid:      f.UID,
		Gid:      f.GID,
		Size:     int64(len(f.Content)),
		ModTime:  epoch,
	}
	if f.Dir {
		header.Typeflag, header.Size = tar.TypeDir, 0
		header.Name += "/"
	}
	if err := tw.WriteHeader(header); err != nil {
		return err
	}
	if f.Dir {
		return nil
	}
	_, err := tw.Write(f.Content)
	return err
}

// withParents adds the folders that are missing and sorts, so that a folder stands before what is in it.
func withParents(files []File) ([]File, error) {
	byPath := make(map[string]File, len(files))
	for _, f := range files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || f.Path == "/" {
			return nil, fmt.Errorf("path %q: expected an absolute path without . or .. or doubled slashes", f.Path)
		}
		if f.Mode&^0o777 != 0 {
			return nil, fmt.Errorf("%s: mode %#o: expected permission bits only", f.Path, f.Mode)
		}
		if _, twice := byPath[f.Path]; twice {
			return nil, fmt.Errorf("%s: stands twice", f.Path)
		}
		byPath[f.Path] = f
	}
	for _, f := range files {
		for parent := path.Dir(f.Path); parent != "/"; parent = path.Dir(parent) {
			known, ok := byPath[parent]
			if ok && !known.Dir {
				return nil, fmt.Errorf("%s: lies below %s, which is a file", f.Path, parent)
			}
			if !ok {
				byPath[parent] = File{Path: parent, Dir: true, Mode: 0o755}
			}
		}
	}
	all := make([]File, 0, len(byPath))
	for _, f := range byPath {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

func sum(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// layer is a v1.Layer held in memory with its digests known from when it was made.
type layer struct {
	compressed     []byte
	digest, diffID v1.Hash
}

func (l *layer) Digest() (v1.Hash, error) { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error) { return l.diffID, nil }
func (l *layer) Size() (int64, error)     { return int64(len(l.compressed)), nil }

func (l *layer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }

func (l *layer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.compressed)), nil
}

func (l *layer) Uncompressed() (io.ReadCloser, error) {
	return gzip.NewReader(bytes.NewReader(l.compressed))
}
