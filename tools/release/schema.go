package release

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/boardroom-tee/boardroom/tools/compose"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

const (
	// Schema is the version of the schema of release.json.
	Schema = "https://boardroom-tee.github.io/release/v1"
	// StatementType is the predicate type of the statement about a whole release.
	StatementType = Schema
	// ManifestFile is the file of a [Release] in its directory.
	ManifestFile = "release.json"

	// MaxManifest bounds release.json, and MaxFile any other file of a release, in bytes.
	MaxManifest = 4 << 20
	MaxFile     = 256 << 20
	// MaxFiles bounds the list of files and MaxItems every other list.
	MaxFiles = 4096
	MaxItems = 256
)

// Folders of a release directory. The first four hold what release.json lists; the others hold what vouches for it.
const (
	ComposeFolder    = "compose"    // AGENT.json, app-composes as they are deployed
	ImagesFolder     = "images"     // NAME/, OCI layouts
	GuestsFolder     = "guests"     // NAME/, guest images without their root file systems
	StatementsFolder = "statements" // NAME.json, in-toto statements to be signed
	BundlesFolder    = "bundles"    // signatures, as Sigstore bundles
	LinksFolder      = "links"      // in-toto links
	LogFolder        = "log"        // proofs of transparency logs
)

// Release is release.json.
type Release struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
	// Version is a semantic version without a leading v; it decides which of two releases of one name is newer.
	Version string `json:"version"`
	// Created is the time of the source revision, in whole seconds of UTC: whoever builds the release again has the same.
	Created time.Time `json:"created"`
	Source  Source    `json:"source"`
	// Images, Guests and Applications are sorted by name.
	Images       []Image       `json:"images"`
	Guests       []Guest       `json:"guests"`
	Applications []Application `json:"applications"`
	// ReferenceValues is the file of the statement about what hardware reports; empty for a release without guests.
	ReferenceValues string `json:"reference_values,omitempty"`
	// Files are all files of the release that do not vouch for it, but for release.json, sorted by path.
	Files []File `json:"files"`
}

// Source is a revision of a Git repository. Repository is a URI; Revision and Tree are object names in hex.
type Source struct {
	Repository string `json:"repository"`
	Revision   string `json:"revision"`
	Tree       string `json:"tree"`
}

// Image is an OCI image, by the digest of its manifest.
type Image struct {
	Name string `json:"name"`
	// Repository is where it is published, and what app-composes call it.
	Repository string            `json:"repository"`
	Digest     provenance.Digest `json:"digest"`
	// Layout is the folder of its OCI layout; Provenance and SBOM are files: a statement of SLSA build provenance and one whose predicate
	// is the bill of materials.
	Layout     string `json:"layout"`
	Provenance string `json:"provenance"`
	SBOM       string `json:"sbom"`
}

// Guest is a dstack guest image.
type Guest struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Development holds for an image that accepts simulated hardware.
	Development bool `json:"development"`
	// OSImageHash is dstack's identity: the SHA-256 of sha256sum.txt, which covers every file of the image.
	OSImageHash dstack.ImageHash `json:"os_image_hash"`
	// Folder holds the image without its root file system, as much as measuring and verifying need.
	Folder string `json:"folder"`
	// Archive is the release archive of the whole image, which is published beside the release.
	Archive Archive `json:"archive"`
	// Provenance and SBOM are as for an [Image].
	Provenance string `json:"provenance"`
	SBOM       string `json:"sbom"`
}

// Archive is a file that is not in the release directory.
type Archive struct {
	Name   string            `json:"name"`
	Digest provenance.Digest `json:"digest"`
	Size   int64             `json:"size"`
}

// Application is what runs in a confidential VM: an app-compose.
type Application struct {
	// Name is that of the agent.
	Name string `json:"name"`
	// Image is the name of the agent's image in Images.
	Image string `json:"image"`
	// AppCompose is a file, and ComposeHash the SHA-256 of its bytes.
	AppCompose  string             `json:"app_compose"`
	ComposeHash dstack.ComposeHash `json:"compose_hash"`
}

// File is a file of the release directory. Path is relative, with slashes.
type File struct {
	Path   string            `json:"path"`
	Digest provenance.Digest `json:"digest"`
	Size   int64             `json:"size"`
}

// FieldError names the member of release.json that is malformed.
type FieldError struct {
	// Member is a path such as "images[0].digest".
	Member string
	// Reason says what was expected and what came.
	Reason string
}

func (e *FieldError) Error() string {
	if e.Member == "" {
		return ManifestFile + ": " + e.Reason
	}
	return ManifestFile + ": " + e.Member + ": " + e.Reason
}

var (
	namePattern   = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?$`)
	objectPattern = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
)

// ParseRelease reads release.json. It has exactly the bytes that Encode makes, so that one release has one digest. The error is a
// *FieldError.
func ParseRelease(data []byte) (*Release, error) {
	if len(data) > MaxManifest {
		return nil, &FieldError{"", fmt.Sprintf("expected at most %d bytes, got %d", MaxManifest, len(data))}
	}
	var schema struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(data, &schema); err == nil && schema.Schema != Schema {
		return nil, &FieldError{"schema", fmt.Sprintf("expected %s, got %q", Schema, schema.Schema)}
	}
	r := new(Release)
	if err := strictjson.Unmarshal(data, r); err != nil {
		return nil, &FieldError{"", err.Error()}
	}
	if err := r.Validate(); err != nil {
		return nil, err
	}
	again, err := r.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) {
		at := 0
		for at < len(data) && at < len(again) && data[at] == again[at] {
			at++
		}
		return nil, &FieldError{"", fmt.Sprintf("expected the canonical form, got another text from byte %d on", at)}
	}
	return r, nil
}

// Encode returns release.json: indented by two spaces, members in the order of the type, a line feed at the end. The error is a
// *FieldError.
func (r *Release) Encode() ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(r); err != nil {
		return nil, &FieldError{"", err.Error()}
	}
	return b.Bytes(), nil
}

// Validate checks everything that can be told without the files. The error is a *FieldError.
func (r *Release) Validate() error {
	fail := func(member, format string, args ...any) error {
		return &FieldError{member, fmt.Sprintf(format, args...)}
	}
	if r.Schema != Schema {
		return fail("schema", "expected %s, got %q", Schema, r.Schema)
	}
	if !namePattern.MatchString(r.Name) {
		return fail("name", "expected a name in lower case, got %q", r.Name)
	}
	if v := "v" + r.Version; !semver.IsValid(v) || semver.Canonical(v) != v {
		return fail("version", "expected a semantic version MAJOR.MINOR.PATCH, got %q", r.Version)
	}
	if r.Created.IsZero() || !r.Created.Equal(r.Created.Truncate(time.Second)) || r.Created.Location() != time.UTC {
		return fail("created", "expected a time in whole seconds of UTC, got %s", r.Created.Format(time.RFC3339Nano))
	}
	if r.Source.Repository == "" || strings.ContainsFunc(r.Source.Repository, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return fail("source.repository", "expected a URI of printable characters, got %q", r.Source.Repository)
	}
	for _, o := range []struct{ member, text string }{{"source.revision", r.Source.Revision}, {"source.tree", r.Source.Tree}} {
		if !objectPattern.MatchString(o.text) {
			return fail(o.member, "expected the name of a Git object in lower-case hex, got %q", o.text)
		}
	}
	if _, err := provenance.SourceResource(r.Source.Repository, r.Source.Revision, r.Source.Tree); err != nil {
		return fail("source", "%v", err)
	}
	listed, err := r.validateFiles()
	if err != nil {
		return err
	}
	has := func(member, folder, name string) error {
		if path.Dir(name) != folder || !listed[name] {
			return fail(member, "expected one of the files in %s, got %q", folder, name)
		}
		return nil
	}
	named := make(map[string]bool)
	item := func(list string, i int, name string, previous string) error {
		member := fmt.Sprintf("%s[%d].name", list, i)
		// The name is a subject of the statement about the release, as is release.json.
		if !namePattern.MatchString(name) || name == ManifestFile {
			return fail(member, "expected a name in lower case, got %q", name)
		}
		if i > 0 && name <= previous {
			return fail(member, "expected a name after %q, got %q", previous, name)
		}
		return nil
	}
	for _, list := range []struct {
		name string
		size int
		none bool
	}{{"images", len(r.Images), r.Images == nil}, {"guests", len(r.Guests), r.Guests == nil}, {"applications", len(r.Applications), r.Applications == nil}} {
		if list.none || list.size > MaxItems {
			return fail(list.name, "expected a list of at most %d, got %d or null", MaxItems, list.size)
		}
	}
	if len(r.Images)+len(r.Guests) == 0 {
		return fail("images", "expected at least one image or guest, got none")
	}
	for i, m := range r.Images {
		at := fmt.Sprintf("images[%d].", i)
		if err := item("images", i, m.Name, r.Images[max(i-1, 0)].Name); err != nil {
			return err
		}
		named[m.Name] = true
		if m.Digest == (provenance.Digest{}) {
			return fail(at+"digest", "expected the digest of a manifest, got none")
		}
		if _, err := compose.ParseReference(m.Repository + "@" + m.Digest.String()); err != nil {
			return fail(at+"repository", "expected a repository without tag or digest, got %q", m.Repository)
		}
		if want := ImagesFolder + "/" + m.Name; m.Layout != want {
			return fail(at+"layout", "expected %q, got %q", want, m.Layout)
		}
		if err := has(at+"provenance", StatementsFolder, m.Provenance); err != nil {
			return err
		}
		if err := has(at+"sbom", StatementsFolder, m.SBOM); err != nil {
			return err
		}
	}
	for i, g := range r.Guests {
		at := fmt.Sprintf("guests[%d].", i)
		if err := item("guests", i, g.Name, r.Guests[max(i-1, 0)].Name); err != nil {
			return err
		}
		if named[g.Name] {
			return fail(at+"name", "expected a name that no image has, got %q", g.Name)
		}
		if want := GuestsFolder + "/" + g.Name; g.Folder != want {
			return fail(at+"folder", "expected %q, got %q", want, g.Folder)
		}
		if g.OSImageHash == (dstack.ImageHash{}) {
			return fail(at+"os_image_hash", "expected a hash, got none")
		}
		if !fileName(g.Archive.Name) || g.Archive.Size <= 0 || g.Archive.Digest == (provenance.Digest{}) {
			return fail(at+"archive", "expected name, digest and size of a file, got %q of %d bytes", g.Archive.Name, g.Archive.Size)
		}
		if err := has(at+"provenance", StatementsFolder, g.Provenance); err != nil {
			return err
		}
		if err := has(at+"sbom", StatementsFolder, g.SBOM); err != nil {
			return err
		}
	}
	for i, a := range r.Applications {
		at := fmt.Sprintf("applications[%d].", i)
		if err := item("applications", i, a.Name, r.Applications[max(i-1, 0)].Name); err != nil {
			return err
		}
		if !named[a.Image] {
			return fail(at+"image", "expected the name of one of the images, got %q", a.Image)
		}
		if err := has(at+"app_compose", ComposeFolder, a.AppCompose); err != nil {
			return err
		}
		if n := slices.IndexFunc(r.Files, func(f File) bool { return f.Path == a.AppCompose }); [32]byte(r.Files[n].Digest) != [32]byte(a.ComposeHash) {
			return fail(at+"compose_hash", "expected the digest of %s, %s, got %s", a.AppCompose, hex.EncodeToString(r.Files[n].Digest[:]), a.ComposeHash)
		}
	}
	if (r.ReferenceValues != "") != (len(r.Guests) > 0) {
		return fail("reference_values", "expected a file if there are guests, and none without them, got %q", r.ReferenceValues)
	}
	if r.ReferenceValues != "" {
		if err := has("reference_values", StatementsFolder, r.ReferenceValues); err != nil {
			return err
		}
	}
	return r.validateUses()
}

// validateUses checks that every file belongs to one thing: what nothing refers to would be signed and never looked at.
func (r *Release) validateUses() error {
	type use struct{ member, file string }
	var uses []use
	var folders []string
	for i, m := range r.Images {
		at := fmt.Sprintf("images[%d].", i)
		uses, folders = append(uses, use{at + "provenance", m.Provenance}, use{at + "sbom", m.SBOM}), append(folders, m.Layout+"/")
	}
	for i, g := range r.Guests {
		at := fmt.Sprintf("guests[%d].", i)
		uses, folders = append(uses, use{at + "provenance", g.Provenance}, use{at + "sbom", g.SBOM}), append(folders, g.Folder+"/")
	}
	for i, a := range r.Applications {
		uses = append(uses, use{fmt.Sprintf("applications[%d].app_compose", i), a.AppCompose})
	}
	if r.ReferenceValues != "" {
		uses = append(uses, use{"reference_values", r.ReferenceValues})
	}
	used := make(map[string]string, len(uses))
	for _, u := range uses {
		if other, twice := used[u.file]; twice {
			return &FieldError{u.member, fmt.Sprintf("expected a file of its own, got %s, which %s has", u.file, other)}
		}
		used[u.file] = u.member
	}
	for i, f := range r.Files {
		if used[f.Path] == "" && !slices.ContainsFunc(folders, func(folder string) bool { return strings.HasPrefix(f.Path, folder) }) {
			return &FieldError{fmt.Sprintf("files[%d].path", i), fmt.Sprintf("expected a file of an image, a guest or an application, or a statement about one, got %q", f.Path)}
		}
	}
	return nil
}

func (r *Release) validateFiles() (listed map[string]bool, err error) {
	if len(r.Files) == 0 || len(r.Files) > MaxFiles {
		return nil, &FieldError{"files", fmt.Sprintf("expected 1 to %d files, got %d", MaxFiles, len(r.Files))}
	}
	listed = make(map[string]bool, len(r.Files))
	for i, f := range r.Files {
		at := fmt.Sprintf("files[%d].", i)
		if !listable(f.Path) {
			return nil, &FieldError{at + "path", fmt.Sprintf("expected a path in one of the folders of a release, got %q", f.Path)}
		}
		if i > 0 && f.Path <= r.Files[i-1].Path {
			return nil, &FieldError{at + "path", fmt.Sprintf("expected a path after %q, got %q", r.Files[i-1].Path, f.Path)}
		}
		if f.Size < 0 || f.Size > MaxFile {
			return nil, &FieldError{at + "size", fmt.Sprintf("expected 0 to %d bytes, got %d", int64(MaxFile), f.Size)}
		}
		listed[f.Path] = true
	}
	return listed, nil
}

// fileName holds for a plain name of a file: no folder, nothing that a shell, a terminal or another system reads in its own way.
var fileNamePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]{0,200}$`)

func fileName(name string) bool { return fileNamePattern.MatchString(name) }

// listable holds for a path that release.json may list.
func listable(name string) bool {
	elements := strings.Split(name, "/")
	if len(elements) < 2 || len(elements) > 6 || !slices.Contains([]string{ComposeFolder, ImagesFolder, GuestsFolder, StatementsFolder}, elements[0]) {
		return false
	}
	return !slices.ContainsFunc(elements, func(e string) bool { return !fileName(e) })
}

// Statement is what signers of a release sign: about release.json, every image by the digest of its manifest, and every guest by dstack's
// hash. It is a function of the release alone, so that everybody's is the same bytes.
func (r *Release) Statement() (provenance.Statement, error) {
	manifest, err := r.Encode()
	if err != nil {
		return provenance.Statement{}, err
	}
	subjects := []provenance.Subject{{Name: ManifestFile, Digest: provenance.DigestOf(manifest).Set()}}
	for _, m := range r.Images {
		subjects = append(subjects, provenance.Subject{Name: m.Name, Digest: m.Digest.Set()})
	}
	for _, g := range r.Guests {
		subjects = append(subjects, provenance.Subject{Name: g.Name, Digest: provenance.Digest(g.OSImageHash).Set()})
	}
	return provenance.NewStatement(subjects, StatementType, struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Source  Source `json:"source"`
	}{r.Name, r.Version, r.Source})
}

// Products are what a link of the release says that it made: every image by the digest of its manifest, every guest by dstack's hash,
// and release.json. Names are those of the rules of a layout.
func (r *Release) Products() (map[string]provenance.Digest, error) {
	manifest, err := r.Encode()
	if err != nil {
		return nil, err
	}
	products := map[string]provenance.Digest{ManifestFile: provenance.DigestOf(manifest)}
	for _, m := range r.Images {
		products[ImagesFolder+"/"+m.Name] = m.Digest
	}
	for _, g := range r.Guests {
		products[GuestsFolder+"/"+g.Name] = provenance.Digest(g.OSImageHash)
	}
	return products, nil
}

// SourceMaterial is the name of the one material of a link.
const SourceMaterial = "source"

// Materials are what a link of the release says that it used: the source, by the SHA-256 of the name of its Git tree, as text.
func (r *Release) Materials() map[string]provenance.Digest {
	return map[string]provenance.Digest{SourceMaterial: provenance.DigestOf([]byte(r.Source.Tree))}
}

// Steps of a layout: who makes a release, and who makes it again.
const (
	BuildStep   = "build"
	RebuildStep = "rebuild"
)

// StatementFiles are the files with statements that are signed beside that about the release, sorted.
func (r *Release) StatementFiles() []string {
	var files []string
	for _, f := range r.Files {
		if path.Dir(f.Path) == StatementsFolder {
			files = append(files, f.Path)
		}
	}
	return files
}
