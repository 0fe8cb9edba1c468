package release

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/boardroom-tee/boardroom/tools/compose"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/sbom"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
)

const (
	// maxManifest bounds index, manifest and configuration of an image, in bytes (distribution-spec, "Pushing Manifests").
	maxManifest = 4 << 20
	// maxChecksums bounds the small files of a guest image, in bytes.
	maxChecksums = 64 << 10
)

// errGone: a file that was there when the directory was opened.
var errGone = fs.ErrNotExist

// checkFiles compares every file with its digest, as many at once as there are processors.
func (v *verification) checkFiles(f *findings) {
	for _, err := range v.d.faults {
		f.refusals = append(f.refusals, refusalOf(err))
	}
	files := slices.Clone(v.release.Files)
	// The longest first, so that none is left to one processor at the end.
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(b.Size, a.Size) })
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		wrong = make(map[string]error)
		queue = make(chan string)
		total int64
	)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for name := range queue {
				if err := v.d.CheckFile(name); err != nil {
					mu.Lock()
					wrong[name] = err
					mu.Unlock()
				}
			}
		})
	}
	for _, file := range files {
		total += file.Size
		queue <- file.Path
	}
	close(queue)
	wg.Wait()
	for _, file := range v.release.Files {
		err := wrong[file.Path]
		told := slices.ContainsFunc(v.d.faults, func(e error) bool { return faultPath(e) == file.Path })
		switch {
		case err == nil || told:
		case fault(err):
			if len(f.refusals) < maxRefusals {
				f.refusals = append(f.refusals, refusalOf(err))
			}
		case errors.Is(err, errGone):
			f.refuse(CodeFilesMissing, "%s: %s lists it, and it is not there", file.Path, ManifestFile)
		default:
			f.fault(err)
		}
	}
	f.detail = fmt.Sprintf("%d files, %d bytes, and nothing else", len(files), total)
}

// faultPath is the file that a fault of a directory is about.
func faultPath(err error) string {
	var unaccounted *UnaccountedError
	var changed *ChangedError
	switch {
	case errors.As(err, &unaccounted):
		return unaccounted.Path
	case errors.As(err, &changed):
		return changed.Path
	default:
		return ""
	}
}

func (v *verification) checkImages(f *findings) {
	for _, m := range v.release.Images {
		v.checkImage(f, m)
	}
	f.detail = fmt.Sprintf("%d images", len(v.release.Images))
	if f.outcome == NotChecked {
		f.detail = "a file of an image is not what " + ManifestFile + " says"
	}
}

// checkImage walks an OCI layout (image-spec, image-layout.md) from its index to the last blob.
func (v *verification) checkImage(f *findings, m Image) {
	marker, index := m.Layout+"/"+ocispec.ImageLayoutFile, m.Layout+"/"+ocispec.ImageIndexFile
	known := map[string]bool{marker: true, index: true}
	var version ocispec.ImageLayout
	var list ocispec.Index
	var manifest ocispec.Manifest
	if !v.readJSON(f, marker, &version) || !v.readJSON(f, index, &list) {
		return
	}
	if version.Version != ocispec.ImageLayoutVersion {
		f.refuse(CodeImageLayout, "%s: imageLayoutVersion: expected %s, got %.40q", marker, ocispec.ImageLayoutVersion, version.Version)
	}
	if list.SchemaVersion != 2 || len(list.Manifests) != 1 || list.Manifests[0].MediaType != ocispec.MediaTypeImageManifest {
		f.refuse(CodeImageLayout, "%s: expected one image, a manifest of type %s, got %d entries or another type", index, ocispec.MediaTypeImageManifest, len(list.Manifests))
		return
	}
	if got := list.Manifests[0].Digest.String(); got != m.Digest.String() {
		f.refuse(CodeImageDigest, "%s: expected the manifest %s, got %.80q", index, m.Digest, got)
		return
	}
	blob := func(what string, d ocispec.Descriptor) bool {
		name := m.Layout + "/" + ocispec.ImageBlobsDir + "/sha256/" + strings.TrimPrefix(d.Digest.String(), "sha256:")
		file, listed := v.d.files[name]
		known[name] = true
		switch {
		case !listed:
			f.refuse(CodeImageBlob, "%s: %s: expected the blob %.80q, got none", m.Layout, what, d.Digest)
		case file.Digest.String() != d.Digest.String():
			f.refuse(CodeImageBlob, "%s: %s: expected the blob %s to have the digest that is its name, got %s", m.Layout, what, d.Digest, file.Digest)
		case file.Size != d.Size:
			f.refuse(CodeImageBlob, "%s: %s: expected a blob of %d bytes, as its descriptor says, got %d", m.Layout, what, d.Size, file.Size)
		case len(d.URLs) > 0 || len(d.Data) > 0:
			f.refuse(CodeImageBlob, "%s: %s: expected a blob of the layout alone, got one that is said to be elsewhere, too", m.Layout, what)
		default:
			return true
		}
		return false
	}
	if !blob("manifest", list.Manifests[0]) || !v.readJSON(f, m.Layout+"/"+ocispec.ImageBlobsDir+"/sha256/"+hex.EncodeToString(m.Digest[:]), &manifest) {
		return
	}
	if manifest.SchemaVersion != 2 || manifest.MediaType != ocispec.MediaTypeImageManifest || manifest.Config.MediaType != ocispec.MediaTypeImageConfig || len(manifest.Layers) == 0 {
		f.refuse(CodeImageLayout, "%s: manifest: expected an image of OCI with a configuration and layers, got something else", m.Layout)
		return
	}
	sound := blob("configuration", manifest.Config)
	for i, layer := range manifest.Layers {
		if layer.MediaType != ocispec.MediaTypeImageLayerGzip {
			f.refuse(CodeImageLayout, "%s: layer %d: expected type %s, got %.80q", m.Layout, i, ocispec.MediaTypeImageLayerGzip, layer.MediaType)
		}
		blob(fmt.Sprintf("layer %d", i), layer)
	}
	if sound {
		v.checkConfiguration(f, m, &manifest)
	}
	for _, file := range v.release.Files {
		if strings.HasPrefix(file.Path, m.Layout+"/") && !known[file.Path] {
			f.refuse(CodeImageUnreferenced, "%s: expected only what the image refers to, got another file", file.Path)
		}
	}
}

// checkConfiguration asks that each layer has a diff id. Whether they are right is for whoever unpacks them: the signers' digest covers both.
func (v *verification) checkConfiguration(f *findings, m Image, manifest *ocispec.Manifest) {
	name := m.Layout + "/" + ocispec.ImageBlobsDir + "/sha256/" + manifest.Config.Digest.Encoded()
	var members map[string]json.RawMessage
	if !v.readJSON(f, name, &members) {
		return
	}
	var root ocispec.RootFS
	if err := strictjson.Unmarshal(members["rootfs"], &root); err != nil || root.Type != "layers" || len(root.DiffIDs) != len(manifest.Layers) {
		f.refuse(CodeImageLayout, "%s: configuration: rootfs: expected a diff id for each of %d layers, got something else", m.Layout, len(manifest.Layers))
	}
}

// readJSON reads a listed file strictly.
func (v *verification) readJSON(f *findings, name string, to any) bool {
	if _, listed := v.d.files[name]; !listed {
		f.refuse(CodeImageLayout, "%s: expected a file of the image, got none", name)
		return false
	}
	data, ok := f.read(name, maxManifest)
	if !ok {
		return false
	}
	if err := strictjson.Unmarshal(data, to); err != nil {
		f.refuse(CodeImageLayout, "%s: %v", name, err)
		return false
	}
	return true
}

func (v *verification) checkGuests(f *findings) {
	for _, g := range v.release.Guests {
		v.checkGuest(f, g)
	}
	f.detail = fmt.Sprintf("%d guest images", len(v.release.Guests))
	if f.outcome == NotChecked {
		f.detail = "a file of a guest image is not what " + ManifestFile + " says"
	}
}

// checkGuest follows dstack's chain: os_image_hash, sha256sum.txt, the files that it lists, and what metadata.json vouches for. The root
// file system, which the command line in metadata.json vouches for, is not in a release.
func (v *verification) checkGuest(f *findings, g Guest) {
	at := func(name string) string { return g.Folder + "/" + name }
	list, ok := v.readGuest(f, at(dstack.ChecksumFile), CodeGuestChecksums, maxChecksums)
	if !ok {
		return
	}
	if got := dstack.ImageHashOf(list); got != g.OSImageHash {
		f.refuse(CodeGuestHash, "%s: expected the os_image_hash %s, got %s", at(dstack.ChecksumFile), g.OSImageHash, got)
		return
	}
	sums, err := dstack.ParseChecksums(list)
	if err != nil {
		f.refuse(CodeGuestChecksums, "%s: %v", g.Folder, err)
		return
	}
	known := map[string]bool{at(dstack.ChecksumFile): true, at(dstack.DigestFile): true}
	listed := make(map[string]bool)
	for _, sum := range sums {
		name := at(sum.Name)
		file, there := v.d.files[name]
		if !there || [32]byte(file.Digest) != [32]byte(sum.Sum) {
			f.refuse(CodeGuestFile, "%s: expected the file with sha256 %s, as %s says, got another or none", name, sum.Sum, dstack.ChecksumFile)
		}
		known[name], listed[sum.Name] = true, true
	}
	if text, ok := v.readGuest(f, at(dstack.DigestFile), CodeGuestFile, maxChecksums); ok {
		if said, err := dstack.ParseDigestFile(text); err != nil || said != g.OSImageHash {
			f.refuse(CodeGuestFile, "%s: expected %s, got %.80q", at(dstack.DigestFile), g.OSImageHash, text)
		}
	}
	v.checkMetadata(f, g, listed, known)
	for _, file := range v.release.Files {
		if strings.HasPrefix(file.Path, g.Folder+"/") && !known[file.Path] {
			f.refuse(CodeGuestFile, "%s: expected only files that the guest image vouches for, got another", file.Path)
		}
	}
}

// checkMetadata reads metadata.json, which has to be among the files that the hash is about, as has everything that is measured.
func (v *verification) checkMetadata(f *findings, g Guest, listed, known map[string]bool) {
	name := g.Folder + "/" + image.MetadataFile
	data, ok := v.readGuest(f, name, CodeGuestMetadata, image.MaxMetadata)
	if !ok {
		return
	}
	m, err := image.ParseMetadata(data)
	if err != nil {
		f.refuse(CodeGuestMetadata, "%s: %v", name, err)
		return
	}
	for _, part := range []string{image.MetadataFile, m.Firmware, m.Kernel, m.Initrd} {
		if !listed[part] {
			f.refuse(CodeGuestMetadata, "%s: expected a line for %s in %s, got none", name, part, dstack.ChecksumFile)
		}
	}
	if m.IsDev != g.Development {
		f.refuse(CodeGuestDevelopment, "%s: is_dev: expected %t, as %s says, got %t", name, g.Development, ManifestFile, m.IsDev)
	}
	if m.Version != g.Version {
		f.refuse(CodeGuestMetadata, "%s: version: expected %q, as %s says, got %q", name, g.Version, ManifestFile, m.Version)
	}
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(data, &members); err != nil {
		f.fault(err) // it was read above
		return
	}
	v.checkVouched(f, g, members, known)
}

// Members of metadata.json beside those that are measured; package guestimage writes them.
const (
	memberContents = "guest_contents_sha256"
	memberSEV      = "bios-sev"
)

// checkVouched takes the files that metadata.json vouches for: the list of contents by its digest, and firmware for another platform,
// which the measurement for that one commits to.
func (v *verification) checkVouched(f *findings, g Guest, members map[string]json.RawMessage, known map[string]bool) {
	for member, take := range map[string]func(text string){
		memberContents: func(text string) {
			name := g.Folder + "/" + guestimage.ContentsFile
			file, there := v.d.files[name]
			if !there || hex.EncodeToString(file.Digest[:]) != text {
				f.refuse(CodeGuestFile, "%s: expected the file with sha256 %.80q, as %s says, got another or none", name, text, image.MetadataFile)
			}
			known[name] = true
		},
		memberSEV: func(text string) {
			if fileName(text) {
				known[g.Folder+"/"+text] = true
			}
		},
	} {
		value, there := members[member]
		if !there {
			continue
		}
		var text string
		if err := strictjson.Unmarshal(value, &text); err != nil {
			f.refuse(CodeGuestMetadata, "%s/%s: %s: %v", g.Folder, image.MetadataFile, member, err)
			continue
		}
		take(text)
	}
}

func (v *verification) readGuest(f *findings, name string, code Code, limit int64) ([]byte, bool) {
	if _, listed := v.d.files[name]; !listed {
		f.refuse(code, "%s: expected a file of the guest image, got none", name)
		return nil, false
	}
	return f.read(name, limit)
}

func (v *verification) checkApplications(f *findings) {
	allowed := make(map[string]string) // reference -> name of the image
	for _, m := range v.release.Images {
		allowed[m.Repository+"@"+m.Digest.String()] = m.Name
	}
	for _, a := range v.release.Applications {
		v.checkApplication(f, a, allowed)
	}
	f.detail = fmt.Sprintf("%d app-composes", len(v.release.Applications))
	if f.outcome == NotChecked {
		f.detail = "an app-compose is not what " + ManifestFile + " says"
	}
}

func (v *verification) checkApplication(f *findings, a Application, allowed map[string]string) {
	data, ok := f.read(a.AppCompose, dstack.MaxAppCompose)
	if !ok {
		return
	}
	// That compose_hash is the file's digest was a matter of release.json.
	parsed, err := dstack.ParseAppCompose(data)
	if err != nil {
		f.refuse(CodeAppCompose, "%s: %v", a.AppCompose, err)
		return
	}
	// A script could run what no image is, or pull what nobody signed.
	if parsed.Runner != dstack.RunnerDockerCompose || parsed.PreLaunchScript != "" || len(parsed.InitScripts) > 0 || parsed.BashScript != "" {
		f.refuse(CodeAppComposeRunner, "%s: expected the runner %s and no scripts, got %.40q or scripts", a.AppCompose, dstack.RunnerDockerCompose, parsed.Runner)
		return
	}
	references, err := compose.References(parsed.DockerComposeFile)
	if err != nil {
		f.refuse(CodeAppComposeImage, "%s: %v", a.AppCompose, err)
		return
	}
	own := false
	for _, reference := range references {
		name, known := allowed[reference.String()]
		if !known {
			f.refuse(CodeAppComposeImage, "%s: expected images of the release from their repositories, got %s", a.AppCompose, reference)
		}
		own = own || name == a.Image
	}
	if !own {
		f.refuse(CodeAppComposeImage, "%s: expected a service with the image %s, got none", a.AppCompose, a.Image)
	}
}

// statement is a statement that is to be signed.
type statement struct {
	file          string
	payload       []byte
	artifact      provenance.Digest
	predicateType string
}

// checkStatements reads the statements, and knows afterwards what may be signed.
func (v *verification) checkStatements(f *findings) {
	v.statements = make(map[string]statement)
	own, err := v.release.Statement()
	if err != nil {
		f.fault(err)
		return
	}
	payload, err := own.Encode()
	if err != nil {
		f.fault(err)
		return
	}
	v.statements[""] = statement{"", payload, v.d.Digest, StatementType}
	for _, m := range v.release.Images {
		subjects := []provenance.Subject{{Name: m.Name, Digest: m.Digest.Set()}}
		v.checkProvenance(f, m.Provenance, subjects, m.Digest)
		v.checkSBOM(f, m.SBOM, subjects, m.Digest)
	}
	guests := make([]provenance.Subject, 0, len(v.release.Guests))
	for _, g := range v.release.Guests {
		digest := provenance.Digest(g.OSImageHash)
		subjects := []provenance.Subject{{Name: g.Name, Digest: digest.Set()}}
		v.checkProvenance(f, g.Provenance, subjects, digest)
		v.checkSBOM(f, g.SBOM, subjects, digest)
		guests = append(guests, subjects[0])
	}
	if v.release.ReferenceValues != "" {
		v.checkReferenceValues(f, guests)
	}
	f.detail = fmt.Sprintf("%d statements", len(v.statements)-1)
	if f.outcome == NotChecked {
		f.detail = "a statement is not what " + ManifestFile + " says"
	}
}

// readStatement reads a statement of a kind about exactly the subjects.
func (v *verification) readStatement(f *findings, name, predicateType string, subjects []provenance.Subject, artifact provenance.Digest) (s provenance.Statement, ok bool) {
	data, ok := f.read(name, min(provenance.MaxStatement, MaxFile))
	if !ok {
		return s, false
	}
	s, err := provenance.ParseStatement(data)
	if err != nil {
		f.refuse(formCode(err, CodeStatement), "%s: %v", name, err)
		return s, false
	}
	if s.Type != provenance.StatementType {
		f.refuse(CodeStatementType, "%s: _type: expected %q, got %.80q", name, provenance.StatementType, s.Type)
		return s, false
	}
	if s.PredicateType != predicateType {
		f.refuse(CodePredicateType, "%s: predicateType: expected %q, got %.80q", name, predicateType, s.PredicateType)
		return s, false
	}
	if !sameSubjects(s.Subject, subjects) {
		f.refuse(CodeSubject, "%s: subject: expected exactly %s, got %s", name, subjectNames(subjects), subjectNames(s.Subject[:min(len(s.Subject), maxTold)]))
		return s, false
	}
	v.statements[name] = statement{name, data, artifact, predicateType}
	return s, true
}

// formCode is the code of an error of a parser of package provenance.
func formCode(err error, otherwise Code) Code {
	var form *provenance.FormError
	if errors.As(err, &form) {
		return Code(form.Code)
	}
	return otherwise
}

func sameSubjects(a, b []provenance.Subject) bool {
	if len(a) != len(b) {
		return false
	}
	for _, subject := range b {
		if !slices.ContainsFunc(a, func(s provenance.Subject) bool {
			return s.Name == subject.Name && len(s.Digest) == 1 && s.Digest[provenance.SHA256] == subject.Digest[provenance.SHA256]
		}) {
			return false
		}
	}
	return true
}

// maxTold is how many items of a list that differs are told.
const maxTold = 4

func subjectNames(subjects []provenance.Subject) string {
	names := make([]string, len(subjects))
	for i, s := range subjects {
		names[i] = fmt.Sprintf("%.80q with sha256 %s", s.Name, s.Digest[provenance.SHA256])
	}
	return strings.Join(names, ", ")
}

// checkProvenance asks that the artifact was built from the release's source, and from no other one.
func (v *verification) checkProvenance(f *findings, name string, subjects []provenance.Subject, artifact provenance.Digest) {
	s, ok := v.readStatement(f, name, provenance.BuildProvenanceType, subjects, artifact)
	if !ok {
		return
	}
	p, err := provenance.ReadBuildProvenance(s)
	if err != nil {
		f.refuse(CodePredicate, "%s: %v", name, err)
		return
	}
	want, err := provenance.SourceResource(v.release.Source.Repository, v.release.Source.Revision, v.release.Source.Tree)
	if err != nil {
		f.fault(err)
		return
	}
	var sources []provenance.Resource
	for _, r := range p.BuildDefinition.ResolvedDependencies {
		if r.Digest[provenance.GitCommit] != "" || r.Digest[provenance.GitTree] != "" || r.Name == want.Name {
			sources = append(sources, r)
		}
	}
	if len(sources) != 1 || sources[0].URI != want.URI || sources[0].Digest[provenance.GitCommit] != v.release.Source.Revision || sources[0].Digest[provenance.GitTree] != v.release.Source.Tree {
		f.refuse(CodeSource, "%s: resolvedDependencies: expected %s with the tree %s as the one source, got %s", name, want.URI, v.release.Source.Tree, sourceNames(sources))
	}
}

func sourceNames(sources []provenance.Resource) string {
	if len(sources) == 0 {
		return "none"
	}
	names := make([]string, 0, maxTold)
	for _, s := range sources[:min(len(sources), maxTold)] {
		names = append(names, fmt.Sprintf("%.200q with the tree %q", s.URI, s.Digest[provenance.GitTree]))
	}
	return strings.Join(names, ", ")
}

// checkSBOM asks that the bill of materials names the artifact itself, too: it is used without its statement.
func (v *verification) checkSBOM(f *findings, name string, subjects []provenance.Subject, artifact provenance.Digest) {
	s, ok := v.readStatement(f, name, sbom.PredicateType, subjects, artifact)
	if !ok {
		return
	}
	var document struct {
		Metadata struct {
			Component struct {
				Hashes []struct {
					Algorithm string `json:"alg"`
					Content   string `json:"content"`
				} `json:"hashes"`
			} `json:"component"`
		} `json:"metadata"`
	}
	// CycloneDX has more members than matter here; that none stands twice was checked with the statement.
	if err := json.Unmarshal(s.Predicate, &document); err != nil {
		f.refuse(CodePredicate, "%s: predicate: %v", name, err)
		return
	}
	hashes := document.Metadata.Component.Hashes
	if len(hashes) != 1 || hashes[0].Algorithm != "SHA-256" || hashes[0].Content != hex.EncodeToString(artifact[:]) {
		f.refuse(CodeSubject, "%s: metadata.component.hashes: expected the SHA-256 of the artifact, %s, got another", name, hex.EncodeToString(artifact[:]))
	}
}

// checkReferenceValues asks that the values are about the release's guests and applications. Whether they are right is for an audit, which
// measures again.
func (v *verification) checkReferenceValues(f *findings, guests []provenance.Subject) {
	name := v.release.ReferenceValues
	s, ok := v.readStatement(f, name, ReferenceValuesType, guests, provenance.Digest(v.release.Guests[0].OSImageHash))
	if !ok {
		return
	}
	var values ReferenceValues
	if err := s.DecodePredicate(ReferenceValuesType, &values); err != nil {
		f.refuse(CodePredicate, "%s: %v", name, err)
		return
	}
	if !slices.EqualFunc(v.release.Guests, values.Guests, func(g Guest, said GuestValues) bool {
		return g.Name == said.Name && g.OSImageHash == said.OSImageHash && g.Development == said.Development
	}) {
		f.refuse(CodeSubject, "%s: guests: expected those of the release, by name, os_image_hash and kind, got others", name)
	}
	if !slices.EqualFunc(v.release.Applications, values.Applications, func(a Application, said ApplicationReference) bool {
		return a.Name == said.Name && a.ComposeHash == said.ComposeHash
	}) {
		f.refuse(CodeSubject, "%s: applications: expected those of the release, by name and compose_hash, got others", name)
	}
}
