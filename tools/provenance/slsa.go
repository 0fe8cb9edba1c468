package provenance

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// BuildProvenanceType is the type of a [BuildProvenance]: SLSA v1 (slsa.dev/spec/v1.0/provenance).
const BuildProvenanceType = "https://slsa.dev/provenance/v1"

// BuildProvenance says who made an artifact, from what, and how. Times are left out: they would make each build's another one.
type BuildProvenance struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`
}

// BuildDefinition is what a build is given.
type BuildDefinition struct {
	// BuildType is a URI that says how the parameters lead to the artifact.
	BuildType string `json:"buildType"`
	// ExternalParameters are what somebody outside chose, an object.
	ExternalParameters json.RawMessage `json:"externalParameters"`
	// InternalParameters are what the builder chose, an object. Optional.
	InternalParameters json.RawMessage `json:"internalParameters,omitempty"`
	// ResolvedDependencies are everything else that the artifact depends on, sorted by URI.
	ResolvedDependencies []Resource `json:"resolvedDependencies"`
}

// RunDetails are about one run of a build.
type RunDetails struct {
	Builder Builder `json:"builder"`
	// Byproducts are what the run made beside the artifact, sorted by name. Optional.
	Byproducts []Resource `json:"byproducts,omitempty"`
}

// Builder is who is to be trusted with the build.
type Builder struct {
	// ID is a URI.
	ID string `json:"id"`
	// Version has versions of parts of the builder, by name. Optional.
	Version map[string]string `json:"version,omitempty"`
}

// Resource is a ResourceDescriptor (spec/v1/resource_descriptor.md of the attestation framework) with at least a digest.
type Resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      DigestSet         `json:"digest"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// SourceResource is a revision of a Git repository, with the tree that it has: whoever has the tree by other means can tell, too.
func SourceResource(repository, revision, tree string) (Resource, error) {
	r := Resource{Name: "source", URI: "git+" + repository + "@" + revision, Digest: DigestSet{GitCommit: revision, GitTree: tree}}
	return r, r.check()
}

// SeedResource is the toolchain: the archive that is published at address, and its tree as a NAR hash in Nix's form.
func SeedResource(version, address string, archive Digest, nar string) (Resource, error) {
	hash, ok := strings.CutPrefix(nar, "sha256-")
	if decoded, err := base64.StdEncoding.Strict().DecodeString(hash); !ok || err != nil || len(decoded) != len(archive) {
		return Resource{}, fmt.Errorf("seed: expected a NAR hash as sha256- and base64, got %.80q", nar)
	}
	r := Resource{Name: version, URI: address, Digest: archive.Set(), Annotations: map[string]string{"nar": nar}}
	return r, r.check()
}

// ModuleResource is a Go module with its line of go.sum, "h1:" and base64.
func ModuleResource(path, version, sum string) (Resource, error) {
	hash, ok := strings.CutPrefix(sum, "h1:")
	decoded, err := base64.StdEncoding.Strict().DecodeString(hash)
	if !ok || err != nil {
		return Resource{}, fmt.Errorf("module %s: expected a checksum as h1: and base64, got %.80q", path, sum)
	}
	r := Resource{URI: ModuleURL(path, version), Digest: DigestSet{DirHash: hex.EncodeToString(decoded)}}
	return r, r.check()
}

// ModuleURL is the package URL of a Go module (package-url/purl-spec, types/golang). The case of the path is kept, as it is all over Go.
func ModuleURL(path, version string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		parts[i] = escape(part)
	}
	return "pkg:golang/" + strings.Join(parts, "/") + "@" + escape(version)
}

// DebianResource is a binary package of Debian, by the digest of its file.
func DebianResource(name, version, architecture, suite string, file Digest) (Resource, error) {
	r := Resource{URI: DebianURL(name, version, architecture, suite), Digest: file.Set()}
	return r, r.check()
}

// DebianURL is the package URL of a binary package of Debian (package-url/purl-spec, types/deb).
func DebianURL(name, version, architecture, suite string) string {
	return fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=%s", escape(name), escape(version), escape(architecture), escape(suite))
}

// escape is the percent-encoding of package URLs: everything but letters, digits and .-_~: is escaped.
func escape(text string) string {
	return strings.NewReplacer("%3A", ":", "+", "%20").Replace(url.QueryEscape(text))
}

func (r Resource) check() error {
	if r.Name == "" && r.URI == "" {
		return errors.New("expected a name or a URI, got none")
	}
	if r.URI != "" {
		if err := checkTypeURI(r.URI); err != nil {
			return fmt.Errorf("uri: %w", err)
		}
	}
	if err := r.Digest.check(); err != nil {
		return fmt.Errorf("%s%s: digest: %w", r.Name, r.URI, err)
	}
	return nil
}

// BuildStatement makes the statement about artifacts; dependencies and byproducts are sorted.
func BuildStatement(artifacts []Subject, p BuildProvenance) (Statement, error) {
	p.BuildDefinition.ResolvedDependencies = slices.Clone(p.BuildDefinition.ResolvedDependencies)
	slices.SortFunc(p.BuildDefinition.ResolvedDependencies, compareResources)
	p.RunDetails.Byproducts = slices.Clone(p.RunDetails.Byproducts)
	slices.SortFunc(p.RunDetails.Byproducts, compareResources)
	if err := p.check(); err != nil {
		return Statement{}, err
	}
	return NewStatement(artifacts, BuildProvenanceType, p)
}

// ReadBuildProvenance reads a statement that [BuildStatement] made. SLSA lets builders add members; those of others are refused. The
// error is a [*FormError].
func ReadBuildProvenance(s Statement) (BuildProvenance, error) {
	var p BuildProvenance
	if err := s.DecodePredicate(BuildProvenanceType, &p); err != nil {
		return BuildProvenance{}, err
	}
	return p, p.check()
}

func (p BuildProvenance) check() error {
	d := p.BuildDefinition
	for _, uri := range []struct{ name, value string }{{"buildDefinition.buildType", d.BuildType}, {"runDetails.builder.id", p.RunDetails.Builder.ID}} {
		if err := checkTypeURI(uri.value); err != nil {
			return malformed(CodePredicate, "%s: %w", uri.name, err)
		}
	}
	if !bytes.HasPrefix(d.ExternalParameters, []byte("{")) {
		return malformed(CodePredicate, "buildDefinition.externalParameters: expected an object, got something else or none")
	}
	if d.InternalParameters != nil && !bytes.HasPrefix(d.InternalParameters, []byte("{")) {
		return malformed(CodePredicate, "buildDefinition.internalParameters: expected an object, got something else")
	}
	for _, list := range []struct {
		name      string
		resources []Resource
	}{{"buildDefinition.resolvedDependencies", d.ResolvedDependencies}, {"runDetails.byproducts", p.RunDetails.Byproducts}} {
		for i, r := range list.resources {
			if err := r.check(); err != nil {
				return malformed(CodePredicate, "%s[%d]: %w", list.name, i, err)
			}
			if i > 0 && compareResources(list.resources[i-1], r) >= 0 {
				return malformed(CodePredicate, "%s[%d]: expected them sorted and each once, got %q after %q", list.name, i, r.Name+r.URI, list.resources[i-1].Name+list.resources[i-1].URI)
			}
		}
	}
	return nil
}

func compareResources(a, b Resource) int {
	if n := strings.Compare(a.URI, b.URI); n != 0 {
		return n
	}
	return strings.Compare(a.Name, b.Name)
}
