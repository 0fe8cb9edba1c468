package release

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// Description is what a release says of itself, and who seems to vouch for it. It is for people who look, not for whoever decides.
type Description struct {
	// Verified is false, always.
	Verified bool              `json:"verified"`
	Name     string            `json:"name"`
	Version  string            `json:"version"`
	Digest   provenance.Digest `json:"digest"`
	Created  time.Time         `json:"created"`
	Source   Source            `json:"source"`
	Images   []Image           `json:"images"`
	Guests   []Guest           `json:"guests"`
	// Applications have the id that each starts with when it is given none.
	Applications []DescribedApplication `json:"applications"`
	// Machines are the names of the shapes that there are reference values for.
	Machines []string `json:"machines"`
	// Dependencies is how many things the provenance of each artifact lists, by the artifact's name.
	Dependencies map[string]int `json:"dependencies"`
	// Files and Size are those of what release.json lists, in bytes.
	Files      int                  `json:"files"`
	Size       int64                `json:"size"`
	Signatures []DescribedSignature `json:"signatures"`
	Links      []string             `json:"links"`
	Proofs     []DescribedProof     `json:"proofs"`
}

// DescribedApplication is an application with its first id.
type DescribedApplication struct {
	Application
	AppID dstack.AppID `json:"app_id"`
}

// DescribedSignature is a bundle.
type DescribedSignature struct {
	File string `json:"file"`
	// About is the file of the statement, release.json for that about the release, and empty for one that is not of this release.
	About string `json:"about"`
	// Key is the fingerprint that the bundle names, or Issuer and Subject whom its certificate names.
	Key     string `json:"key,omitempty"`
	Issuer  string `json:"issuer,omitempty"`
	Subject string `json:"subject,omitempty"`
	// Timestamps and LogEntries are how many there are.
	Timestamps int `json:"timestamps"`
	LogEntries int `json:"log_entries"`
}

// DescribedProof is the proof of a log.
type DescribedProof struct {
	File   string `json:"file"`
	Origin string `json:"origin"`
	Index  uint64 `json:"index"`
}

// Describe reads what there is to say about a release. Listed files are compared with release.json where they are read; nothing else is
// checked.
func Describe(d *Directory) (*Description, error) {
	r := d.Release
	out := &Description{
		Name: r.Name, Version: r.Version, Digest: d.Digest, Created: r.Created, Source: r.Source, Images: r.Images, Guests: r.Guests,
		Applications: []DescribedApplication{}, Machines: []string{}, Dependencies: make(map[string]int), Files: len(r.Files),
		Signatures: []DescribedSignature{}, Links: []string{}, Proofs: []DescribedProof{},
	}
	for _, a := range r.Applications {
		out.Applications = append(out.Applications, DescribedApplication{a, a.ComposeHash.AppID()})
	}
	for _, f := range r.Files {
		out.Size += f.Size
	}
	provenances := make(map[string]string)
	for _, m := range r.Images {
		provenances[m.Name] = m.Provenance
	}
	for _, g := range r.Guests {
		provenances[g.Name] = g.Provenance
	}
	for name, file := range provenances {
		p, err := d.BuildProvenance(file)
		if err != nil {
			return nil, err
		}
		out.Dependencies[name] = len(p.BuildDefinition.ResolvedDependencies)
	}
	values, err := d.ReferenceValues()
	if err != nil {
		return nil, err
	}
	if values != nil {
		for _, m := range values.Machines {
			out.Machines = append(out.Machines, m.Name)
		}
	}
	if out.Signatures, err = d.signatures(); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(d.Links)) {
		out.Links = append(out.Links, path.Join(LinksFolder, name))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Proofs)) {
		if proof, err := transparency.ParseProof(d.Proofs[name]); err == nil {
			out.Proofs = append(out.Proofs, DescribedProof{path.Join(LogFolder, name), proof.Origin, proof.Index})
		}
	}
	return out, nil
}

func (d *Directory) signatures() ([]DescribedSignature, error) {
	about := make(map[string]string)
	for _, file := range append([]string{""}, d.Release.StatementFiles()...) {
		bundles, err := d.BundlesAbout(file)
		if err != nil {
			return nil, err
		}
		for name := range bundles {
			about[name] = file
			if file == "" {
				about[name] = ManifestFile
			}
		}
	}
	all := []DescribedSignature{}
	for _, name := range slices.Sorted(maps.Keys(d.Bundles)) {
		s := DescribedSignature{File: path.Join(BundlesFolder, name), About: about[name]}
		if b, err := provenance.ParseBundle(d.Bundles[name]); err == nil {
			s.Timestamps, s.LogEntries, s.Key = len(b.Timestamps), len(b.LogEntries), fingerprintOf(b.Hint)
			if b.Certificate != nil {
				if identity, err := provenance.IdentityOf(b.Certificate); err == nil {
					s.Issuer, s.Subject = identity.Issuer, identity.Subject
				}
			}
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b DescribedSignature) int { return strings.Compare(a.About, b.About) })
	return all, nil
}

// fingerprintOf turns a hint, which is a fingerprint in base64 if cosign's rule was kept, into the usual form.
func fingerprintOf(hint string) string {
	raw, err := base64.StdEncoding.DecodeString(hint)
	if err != nil || len(raw) != len(provenance.Fingerprint{}) {
		return hint
	}
	return hex.EncodeToString(raw)
}

// Print writes the description for people.
func (d *Description) Print(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("NOT VERIFIED: anyone can write a release that reads like this one; see boardroom release verify.\n\n")
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("release", "%s %s", d.Name, d.Version)
	line("digest", "%s", d.Digest)
	line("created", "%s", d.Created.Format(time.RFC3339))
	line("source", "%s", plain(d.Source.Repository))
	line("revision", "%s, tree %s", d.Source.Revision, d.Source.Tree)
	line("files", "%d, %.1f MiB", d.Files, float64(d.Size)/(1<<20))
	for _, m := range d.Images {
		line("image", "%s@%s, dependencies: %d", plain(m.Repository), m.Digest, d.Dependencies[m.Name])
	}
	for _, g := range d.Guests {
		flavour := "production"
		if g.Development {
			flavour = "DEVELOPMENT"
		}
		line("guest", "%s %s, %s, os_image_hash %s, dependencies: %d", g.Name, plain(g.Version), flavour, g.OSImageHash, d.Dependencies[g.Name])
		line("", "archive %s, %.1f MiB, %s", g.Archive.Name, float64(g.Archive.Size)/(1<<20), g.Archive.Digest)
	}
	for _, a := range d.Applications {
		line("application", "%s, compose hash %s, app id %s", a.Name, a.ComposeHash, a.AppID)
	}
	for _, m := range d.Machines {
		line("machine", "%s", plain(m))
	}
	b.WriteByte('\n')
	if len(d.Signatures) == 0 {
		b.WriteString("nobody has signed it\n")
	}
	for _, s := range d.Signatures {
		line("signature", "%s", s.describe())
	}
	for _, l := range d.Links {
		line("link", "%s", l)
	}
	for _, p := range d.Proofs {
		line("log", "%s, entry %d", plain(p.Origin), p.Index)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (s DescribedSignature) describe() string {
	who := "key " + plain(s.Key)
	switch {
	case s.Subject != "":
		who = plain(s.Subject) + " of " + plain(s.Issuer)
	case s.Key == "":
		return s.File + " can not be read"
	}
	about := s.About
	if about == "" {
		about = "something else"
	}
	text := fmt.Sprintf("of %s about %s", who, about)
	if s.Timestamps+s.LogEntries > 0 {
		text += fmt.Sprintf(", %d timestamps, %d log entries", s.Timestamps, s.LogEntries)
	}
	return text
}

// plain quotes a text that a terminal could take for something else than letters.
func plain(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.QuoteToASCII(text)
	}
	return text
}
