package deb

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
)

// Bounds of what is read, in bytes.
const (
	// MaxIndex bounds a Packages file, compressed or not; trixie's has 57 MB.
	MaxIndex = 256 << 20
	// MaxPackage bounds a package file; the largest of trixie has 2.6 GB, the largest that a guest needs 110 MB.
	MaxPackage = 1 << 30
)

// Package is a binary package as an index describes it.
type Package struct {
	Name         string
	Version      Version
	Architecture string
	// Priority is one of required, important, standard, optional, extra.
	Priority string
	// Path is relative to the archive's root, such as "pool/main/r/runc/runc_1.1.15+ds1-2+b4_amd64.deb".
	Path   string
	Size   int64
	SHA256 Digest
	// Suite is the codename of the suite whose index this is from.
	Suite string

	// The relationship fields, unparsed: an index has a million relations, a set needs a few hundred.
	depends, preDepends, conflicts, breaks, provides string
}

// ParsePackages reads a Packages index of a suite for an architecture. Every package has to be of that architecture or "all".
func ParsePackages(text, suite, architecture string) ([]Package, error) {
	if len(text) > MaxIndex {
		return nil, refuse(ErrIndex, "Packages of %s: larger than %d bytes", suite, MaxIndex)
	}
	var all []Package
	err := paragraphs(text, func(p paragraph) error {
		pkg, err := parsePackage(p, architecture)
		if err != nil {
			return fmt.Errorf("package %.80q: %w", p.get("Package"), err)
		}
		pkg.Suite = suite
		all = append(all, pkg)
		return nil
	})
	if err != nil {
		return nil, refuse(ErrIndex, "Packages of %s: %v", suite, err)
	}
	return all, nil
}

func parsePackage(p paragraph, architecture string) (Package, error) {
	pkg := Package{
		Name: p.get("Package"), Architecture: p.get("Architecture"), Priority: p.get("Priority"), Path: p.get("Filename"),
		depends: p.get("Depends"), preDepends: p.get("Pre-Depends"), conflicts: p.get("Conflicts"), breaks: p.get("Breaks"),
		provides: p.get("Provides"),
	}
	if !packageName(pkg.Name) {
		return pkg, errors.New("field Package: expected a name of letters, digits, +, - and dots")
	}
	var err error
	if pkg.Version, err = ParseVersion(p.get("Version")); err != nil {
		return pkg, err
	}
	if pkg.Architecture != architecture && pkg.Architecture != "all" {
		return pkg, fmt.Errorf("field Architecture: expected %s or all, got %.40q", architecture, pkg.Architecture)
	}
	if pkg.Size, err = parseSize(p.get("Size")); err != nil {
		return pkg, fmt.Errorf("field Size: %w", err)
	}
	if pkg.SHA256, err = ParseDigest(p.get("SHA256")); err != nil {
		return pkg, fmt.Errorf("field SHA256: %w", err)
	}
	if !poolPath(pkg.Path) {
		return pkg, fmt.Errorf("field Filename: expected a path in pool/ without . and .., got %.200q", pkg.Path)
	}
	return pkg, nil
}

func parseSize(s string) (int64, error) {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("expected a number of bytes, got %.40q", s)
	}
	return int64(n), nil
}

// poolPath holds for paths that stay below pool/ wherever they are appended, to a folder or to a URL.
func poolPath(s string) bool {
	if len(s) > 1024 || path.Clean(s) != s || !strings.HasPrefix(s, "pool/") || !strings.HasSuffix(s, ".deb") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !digit(c) && !letter(c) && strings.IndexByte("/.+-_~:", c) < 0 {
			return false
		}
	}
	return true
}
