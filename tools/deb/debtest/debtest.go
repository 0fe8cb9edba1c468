package debtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Epoch is the time of everything that is made here.
var Epoch = time.Date(2025, 11, 1, 0, 0, 0, 0, time.UTC)

// Member is a member of an ar archive.
type Member struct {
	Name string
	Data []byte
}

// Ar writes an ar archive.
func Ar(members ...Member) []byte {
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range members {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", m.Name, 0, 0, 0, "100644", len(m.Data), m.Data)
		if len(m.Data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// Entry is a header of a tar archive with what follows it.
type Entry struct {
	tar.Header
	Data string
}

// Folder, File, Link and Hard are entries as Debian's packages have them.
func Folder(name string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}}
}

// File is a regular file with mode 0644.
func File(name, data string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, Data: data}
}

// Link is a symbolic link.
func Link(name, target string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}}
}

// Hard is a hard link.
func Hard(name, target string) Entry {
	return Entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target, Mode: 0o644}}
}

// Tar writes a tar archive in GNU format, or in the format that a header asks for.
func Tar(entries ...Entry) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		e.Size = int64(len(e.Data))
		if e.Format == tar.FormatUnknown {
			e.Format = tar.FormatGNU
		}
		must(w.WriteHeader(&e.Header))
		_, err := w.Write([]byte(e.Data))
		must(err)
	}
	must(w.Close())
	return b.Bytes()
}

// Gzip compresses data.
func Gzip(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	must(err)
	must(w.Close())
	return b.Bytes()
}

// Control is control.tar of a package.
func Control(name, version, architecture string) []byte {
	return Tar(Folder("./"), File("./control", fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nDescription: a test\n", name, version, architecture)))
}

// Package is a package of an archive.
type Package struct {
	Name, Version string
	// Architecture is amd64 where it is empty.
	Architecture string
	// Fields are further lines of its paragraph in the index, such as "Depends: b".
	Fields []string
	// Entries are what is in it.
	Entries []Entry
}

func (p Package) architecture() string {
	if p.Architecture == "" {
		return "amd64"
	}
	return p.Architecture
}

// Path is where the package is in its archive.
func (p Package) Path() string {
	return fmt.Sprintf("pool/main/%s/%s/%s_%s_%s.deb", p.Name[:1], p.Name, p.Name, p.Version, p.architecture())
}

// Bytes is the package file.
func (p Package) Bytes() []byte {
	return Ar(Member{"debian-binary", []byte("2.0\n")}, Member{"control.tar.gz", Gzip(Control(p.Name, p.Version, p.architecture()))},
		Member{"data.tar", Tar(p.Entries...)})
}

// Paragraph is the package's paragraph in an index.
func (p Package) Paragraph() string {
	data := p.Bytes()
	lines := []string{"Package: " + p.Name, "Version: " + p.Version, "Architecture: " + p.architecture(), "Filename: " + p.Path(),
		fmt.Sprintf("Size: %d", len(data)), fmt.Sprintf("SHA256: %x", sha256.Sum256(data))}
	return strings.Join(append(lines, p.Fields...), "\n") + "\n\n"
}

// Index is a Packages file.
func Index(packages ...Package) string {
	var b strings.Builder
	for _, p := range packages {
		b.WriteString(p.Paragraph())
	}
	return b.String()
}

// Key makes a new key, valid from Epoch on.
var Key = sync.OnceValue(NewKey)

// NewKey makes a key that is not [Key].
func NewKey() *openpgp.Entity {
	key, err := openpgp.NewEntity("Test Archive", "", "archive@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return Epoch.Add(-time.Hour) },
	})
	must(err)
	return key
}

// Keyring is a key's public part.
func Keyring(key *openpgp.Entity) []byte {
	var b bytes.Buffer
	must(key.Serialize(&b))
	return b.Bytes()
}

// Sign clear-signs a text at a time.
func Sign(text string, at time.Time, keys ...*openpgp.Entity) []byte {
	var private []*packet.PrivateKey
	for _, k := range keys {
		private = append(private, k.PrivateKey)
	}
	var b bytes.Buffer
	w, err := clearsign.EncodeMulti(&b, private, &packet.Config{Time: func() time.Time { return at }})
	must(err)
	_, err = w.Write([]byte(text))
	must(err)
	must(w.Close())
	b.WriteByte('\n')
	return b.Bytes()
}

// Release is the text of a suite with one index, that of main for amd64.
func Release(codename string, date time.Time, index []byte, fields ...string) string {
	const form = "Mon, 02 Jan 2006 15:04:05 UTC"
	lines := []string{"Origin: Debian", "Codename: " + codename, "Date: " + date.UTC().Format(form), "Architectures: all amd64", "Components: main"}
	lines = append(lines, fields...)
	lines = append(lines, "SHA256:", fmt.Sprintf(" %x %d main/binary-amd64/Packages.gz", sha256.Sum256(index), len(index)))
	return strings.Join(lines, "\n") + "\n"
}

// Archive is an archive of one suite.
type Archive struct {
	// Folder is "debian" or "debian-security".
	Folder   string
	Codename string
	Date     time.Time
	// Fields are further lines of Release.
	Fields   []string
	Packages []Package
}

// Write writes an archive as mirrors have it below dir, and dir/keyring.gpg.
func (a Archive) Write(dir string) error {
	suite := filepath.Join(a.Folder, "dists", a.Codename)
	index := Gzip([]byte(Index(a.Packages...)))
	files := map[string][]byte{
		"keyring.gpg":                     Keyring(Key()),
		filepath.Join(suite, "InRelease"): Sign(Release(a.Codename, a.Date, index, a.Fields...), a.Date, Key()),
		filepath.Join(suite, "main", "binary-amd64", "Packages.gz"): index,
	}
	for _, p := range a.Packages {
		files[filepath.Join(a.Folder, p.Path())] = p.Bytes()
	}
	for name, data := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
