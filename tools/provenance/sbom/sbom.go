package sbom

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

const (
	// PredicateType is that of a statement whose predicate is a document (spec/predicates/cyclonedx.md of the attestation framework).
	PredicateType = "https://cyclonedx.org/bom"

	// sumProperty has a module's line of go.sum, which is no digest of a file and so has no place among the hashes.
	sumProperty = "boardroom:go.sum"

	// maxFile bounds one file of an image, in bytes, and maxFiles their number.
	maxFile  = 1 << 30
	maxFiles = 1 << 16
)

// Subject is the image as a release calls it.
type Subject struct {
	Name, Version string
}

// OfImage returns the document of an image. Layers that delete files of others are refused: what is deleted is still in the image.
func OfImage(image v1.Image, subject Subject, at time.Time) ([]byte, error) {
	digest, err := image.Digest()
	if err != nil {
		return nil, fmt.Errorf("sbom: %w", err)
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, fmt.Errorf("sbom: %w", err)
	}
	files := make(map[string]file)
	for i, layer := range layers {
		if err := readLayer(layer, files); err != nil {
			return nil, fmt.Errorf("sbom: layer %d: %w", i, err)
		}
	}
	return document(files, subject, digest, at)
}

// file is a regular file of an image.
type file struct {
	sha256 string
	// program is what the linker says, if it is a Go program.
	program *debug.BuildInfo
}

func readLayer(layer v1.Layer, files map[string]file) (err error) {
	content, err := layer.Uncompressed()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean("/" + header.Name)
		if strings.HasPrefix(path.Base(name), ".wh.") {
			return fmt.Errorf("%s: expected no file that deletes another, got one", name)
		}
		// What a layer puts in a file's place is the file from then on, whatever it is.
		delete(files, name)
		if header.Typeflag == tar.TypeLink {
			other, found := files[path.Clean("/"+header.Linkname)]
			if !found {
				return fmt.Errorf("%s: expected a link to a file before it, got one to %.200q", name, header.Linkname)
			}
			files[name] = other
			continue
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if header.Size > maxFile {
			return fmt.Errorf("%s: expected at most %d bytes, got %d", name, maxFile, header.Size)
		}
		if len(files) == maxFiles {
			return fmt.Errorf("expected at most %d files, got more", maxFiles)
		}
		if files[name], err = readFile(r); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
}

func readFile(r io.Reader) (file, error) {
	const magic = "\x7fELF"
	var head [len(magic)]byte
	n, err := io.ReadFull(r, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return file{}, err
	}
	hash := sha256.New()
	hash.Write(head[:n])
	if string(head[:n]) != magic {
		_, err := io.Copy(hash, r)
		return file{sha256: hex.EncodeToString(hash.Sum(nil))}, err
	}
	content := bytes.NewBuffer(head[:n:n])
	if _, err := io.Copy(io.MultiWriter(hash, content), r); err != nil {
		return file{}, err
	}
	f := file{sha256: hex.EncodeToString(hash.Sum(nil))}
	// Other programs have none; those are files like any other.
	if info, err := buildinfo.Read(bytes.NewReader(content.Bytes())); err == nil {
		f.program = info
	}
	return f, nil
}

func document(files map[string]file, subject Subject, digest v1.Hash, at time.Time) ([]byte, error) {
	root := "image:" + digest.String()
	var components []cyclonedx.Component
	var dependencies []cyclonedx.Dependency
	seen := make(map[string]bool)
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		ref := "file:" + name
		paths = append(paths, ref)
		f := files[name]
		components = append(components, cyclonedx.Component{
			BOMRef: ref, Type: cyclonedx.ComponentTypeFile, Name: name, Hashes: &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: f.sha256}},
		})
		if f.program == nil {
			continue
		}
		var linked []string
		for _, m := range modules(f.program) {
			if !slices.Contains(linked, m.BOMRef) {
				linked = append(linked, m.BOMRef)
			}
			if !seen[m.BOMRef] {
				seen[m.BOMRef] = true
				components = append(components, m)
			}
		}
		slices.Sort(linked)
		dependencies = append(dependencies, cyclonedx.Dependency{Ref: ref, Dependencies: &linked})
	}
	dependencies = append(dependencies, cyclonedx.Dependency{Ref: root, Dependencies: &paths})
	return finish(&cyclonedx.Component{
		BOMRef: root, Type: cyclonedx.ComponentTypeContainer, Name: subject.Name, Version: subject.Version,
		Hashes: &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: digest.Hex}},
	}, components, dependencies, at)
}

// finish puts the document together. Components and dependencies are sorted by their references.
func finish(about *cyclonedx.Component, components []cyclonedx.Component, dependencies []cyclonedx.Dependency, at time.Time) ([]byte, error) {
	slices.SortFunc(components, func(a, b cyclonedx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	slices.SortFunc(dependencies, func(a, b cyclonedx.Dependency) int { return strings.Compare(a.Ref, b.Ref) })
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Timestamp: at.UTC().Format(time.RFC3339), Component: about}
	bom.Components, bom.Dependencies = &components, &dependencies
	bom.SerialNumber = ""
	unnumbered, err := encode(bom)
	if err != nil {
		return nil, err
	}
	bom.SerialNumber = serialNumber(unnumbered)
	return encode(bom)
}

// modules are the modules of a program and the standard library, which is the toolchain's.
func modules(info *debug.BuildInfo) []cyclonedx.Component {
	version := strings.TrimPrefix(info.GoVersion, "go")
	list := []cyclonedx.Component{library("stdlib", version, "")}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		for m.Replace != nil {
			m = m.Replace
		}
		if m.Path != "" {
			list = append(list, library(m.Path, m.Version, m.Sum))
		}
	}
	return list
}

func library(name, version, sum string) cyclonedx.Component {
	purl := provenance.ModuleURL(name, version)
	c := cyclonedx.Component{BOMRef: purl, Type: cyclonedx.ComponentTypeLibrary, Name: name, Version: version, PackageURL: purl}
	if sum != "" {
		c.Properties = &[]cyclonedx.Property{{Name: sumProperty, Value: sum}}
	}
	return c
}

func encode(bom *cyclonedx.BOM) ([]byte, error) {
	var b bytes.Buffer
	if err := cyclonedx.NewBOMEncoder(&b, cyclonedx.BOMFileFormatJSON).SetEscapeHTML(false).EncodeVersion(bom, cyclonedx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("sbom: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// serialNumber is a UUID of version 8 with the first bits of the document's SHA-256.
func serialNumber(document []byte) string {
	sum := sha256.Sum256(document)
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
