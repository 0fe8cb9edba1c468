package release

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"path/filepath"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/sbom"
	"github.com/boardroom-tee/boardroom/tools/seed"
)

// ProgramError says that a program is not one whose dependencies are known.
type ProgramError struct{ Reason string }

func (e *ProgramError) Error() string { return "modules: " + e.Reason }

// ImageDependencies are what an agent's image is made from, as its provenance lists them: the source, the seed, and the modules that the
// linker put into the program, each with its line of go.sum. Tree is the folder of the source tree.
func ImageDependencies(source Source, tree string, program []byte) ([]provenance.Resource, error) {
	revision, err := provenance.SourceResource(source.Repository, source.Revision, source.Tree)
	if err != nil {
		return nil, err
	}
	pin, err := seed.ReadPin(filepath.Join(tree, filepath.FromSlash(seed.PinFile)))
	if err != nil {
		return nil, err
	}
	archive, err := provenance.ParseDigest(provenance.SHA256 + ":" + pin.Tarball.SHA256)
	if err != nil {
		return nil, &seed.PinError{File: seed.PinFile, Err: fmt.Errorf("tarball.sha256: %w", err)}
	}
	toolchain, err := provenance.SeedResource(pin.Version, pin.Tarball.URL, archive, pin.NAR)
	if err != nil {
		return nil, &seed.PinError{File: seed.PinFile, Err: err}
	}
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return nil, &ProgramError{err.Error()}
	}
	if info.GoVersion != pin.Version {
		return nil, &ProgramError{fmt.Sprintf("expected a program of %s, the seed, got one of %s", pin.Version, info.GoVersion)}
	}
	resources := []provenance.Resource{revision, toolchain}
	for _, m := range info.Deps {
		if m.Replace != nil {
			return nil, &ProgramError{fmt.Sprintf("%s: expected the module itself, got %s in its place", m.Path, m.Replace.Path)}
		}
		r, err := provenance.ModuleResource(m.Path, m.Version, m.Sum)
		if err != nil {
			return nil, err
		}
		resources = append(resources, r)
	}
	return resources, nil
}

// GuestDependencies are those of a guest image: what [ImageDependencies] lists for its program, and the Debian packages of both locks.
func GuestDependencies(source Source, tree string, program []byte) ([]provenance.Resource, error) {
	resources, err := ImageDependencies(source, tree, program)
	if err != nil {
		return nil, err
	}
	packages, err := lockedPackages(tree)
	if err != nil {
		return nil, err
	}
	for _, p := range packages {
		r, err := provenance.DebianResource(p.Name, p.Version, p.Architecture, p.Suite, p.SHA256)
		if err != nil {
			return nil, err
		}
		resources = append(resources, r)
	}
	return resources, nil
}

// lockedPackages are the packages of the root file system and of the firmware, each once.
func lockedPackages(tree string) ([]sbom.Package, error) {
	d, err := guestDefinition(tree)
	if err != nil {
		return nil, err
	}
	packages, firmware, err := d.Locks()
	if err != nil {
		return nil, err
	}
	var all []sbom.Package
	seen := make(map[sbom.Package]bool)
	for _, lock := range []*deb.Lock{packages, firmware} {
		for _, p := range lock.Packages {
			one := sbom.Package{Name: p.Name, Version: string(p.Version), Architecture: p.Architecture, Suite: p.Suite, SHA256: provenance.Digest(p.SHA256)}
			if !seen[one] {
				seen[one] = true
				all = append(all, one)
			}
		}
	}
	return all, nil
}

func guestDefinition(tree string) (*guestimage.Definition, error) {
	return guestimage.Load(filepath.Join(tree, "images", "guest", guestimage.DefinitionFile))
}
