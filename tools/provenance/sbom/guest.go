package sbom

import (
	"bytes"
	"debug/buildinfo"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

// Guest is what is in a guest image, as far as somebody verified it.
type Guest struct {
	// Digest identifies the image.
	Digest provenance.Digest
	// Files are those of the image, by name, and those in its root file system, by absolute path.
	Files []File
	// Packages are those of Debian that the root file system and the firmware come from.
	Packages []Package
	// Program is the guest's own program, which is one of Files by its digest.
	Program []byte
}

// File is a file with its SHA-256 in lower-case hex.
type File struct {
	Path, SHA256 string
}

// Package is a binary package of Debian; SHA256 is that of its file.
type Package struct {
	Name, Version, Architecture, Suite string
	SHA256                             provenance.Digest
}

// OfGuest returns the document of a guest image.
func OfGuest(g Guest, subject Subject, at time.Time) ([]byte, error) {
	root := "guest:" + g.Digest.String()
	info, err := buildinfo.Read(bytes.NewReader(g.Program))
	if err != nil {
		return nil, fmt.Errorf("sbom: the guest's program: %w", err)
	}
	program := strings.TrimPrefix(provenance.DigestOf(g.Program).String(), provenance.SHA256+":")
	var components []cyclonedx.Component
	var dependencies []cyclonedx.Dependency
	var parts []string
	found := false
	for _, f := range g.Files {
		ref := "file:" + f.Path
		parts = append(parts, ref)
		components = append(components, cyclonedx.Component{
			BOMRef: ref, Type: cyclonedx.ComponentTypeFile, Name: f.Path, Hashes: &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: f.SHA256}},
		})
		if found || f.SHA256 != program {
			continue
		}
		found = true
		var linked []string
		for _, m := range modules(info) {
			linked = append(linked, m.BOMRef)
			components = append(components, m)
		}
		slices.Sort(linked)
		dependencies = append(dependencies, cyclonedx.Dependency{Ref: ref, Dependencies: &linked})
	}
	if !found {
		return nil, errors.New("sbom: expected the guest's program among the files of the image, got another")
	}
	for _, p := range g.Packages {
		purl := provenance.DebianURL(p.Name, p.Version, p.Architecture, p.Suite)
		parts = append(parts, purl)
		components = append(components, cyclonedx.Component{
			BOMRef: purl, Type: cyclonedx.ComponentTypeLibrary, Name: p.Name, Version: p.Version, PackageURL: purl,
			Hashes: &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: strings.TrimPrefix(p.SHA256.String(), provenance.SHA256+":")}},
		})
	}
	slices.Sort(parts)
	dependencies = append(dependencies, cyclonedx.Dependency{Ref: root, Dependencies: &parts})
	return finish(&cyclonedx.Component{
		BOMRef: root, Type: cyclonedx.ComponentTypeOS, Name: subject.Name, Version: subject.Version,
		Hashes: &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: strings.TrimPrefix(g.Digest.String(), provenance.SHA256+":")}},
	}, components, dependencies, at)
}
