package release

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/layout"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// StatementSigner signs statements into finished bundles (package signer).
type StatementSigner interface {
	provenance.Signer
	// Certificate is nil for a signer whose key is its identity.
	Certificate() *x509.Certificate
	SignStatement(ctx context.Context, s provenance.Statement) (provenance.Bundle, error)
}

// SignOptions say who signs a release, and as what.
type SignOptions struct {
	Signer StatementSigner
	// Step is what the signer did: BuildStep, RebuildStep or NoStep. A builder signs every statement of the release, everybody else the one about it.
	// Who has a certificate makes no link of it.
	Step string
	// Renew signs again what the signer has signed already.
	Renew bool
	// Log, unless it is nil, takes an entry with all signatures about the release, and its proof goes into the release.
	Log Log
}

// Log is an append-only log that is open for writing (package tilelog).
type Log interface {
	// Vouch adds an entry, unless it is there already, and writes its proof to a file, with a consistency proof beside it
	// ([transparency.ConsistencyFile]) if the log has earlier heads.
	Vouch(ctx context.Context, entry []byte, proofFile string) (proof transparency.Proof, added bool, err error)
}

// Signed says what [Sign] did, by files of the release.
type Signed struct {
	// Written are new or were replaced; Kept were there already and are the signer's.
	Written []string `json:"written"`
	Kept    []string `json:"kept"`
}

// Sign adds the signatures of one signer to the release in dir, and the link of the step. Each file is written whole or not at all, so that
// a run that was killed is finished by the next; what the signer has signed is left as it is.
func Sign(ctx context.Context, dir string, o SignOptions) (_ *Signed, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	d, err := Open(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if o.Step != BuildStep && o.Step != RebuildStep && o.Step != NoStep {
		return nil, &OptionsError{"step", fmt.Sprintf("expected %s, %s or %s, got %q", BuildStep, RebuildStep, NoStep, o.Step)}
	}
	// Nobody signs what is not there as release.json says.
	for _, f := range d.Release.Files {
		if err := errors.Join(ctx.Err(), d.CheckFile(f.Path)); err != nil {
			return nil, err
		}
	}
	w, err := openWorkshop(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	s := &signing{SignOptions: o, d: d, dir: dir, workshop: w, done: &Signed{Written: []string{}, Kept: []string{}}}
	if err := s.all(ctx); err != nil {
		return nil, err
	}
	return s.done, s.settle()
}

// signing is one run of Sign.
type signing struct {
	SignOptions
	d        *Directory
	dir      string
	workshop *workshop
	done     *Signed
}

func (s *signing) all(ctx context.Context) error {
	if s.Step == BuildStep {
		for _, file := range s.d.Release.StatementFiles() {
			if err := s.file(ctx, file); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	statement, err := s.d.Release.Statement()
	if err != nil {
		return err
	}
	if err := s.statement(ctx, releaseBundle, statement); err != nil {
		return err
	}
	// No layout can name the key of a certificate, which lives for minutes.
	if s.Step != NoStep && s.Signer.Certificate() == nil {
		if err := s.link(ctx); err != nil {
			return err
		}
	}
	if s.Log != nil {
		return s.log(ctx)
	}
	return nil
}

// log puts the signatures about the release into the log, those of others too, so that one proof has them all.
func (s *signing) log(ctx context.Context) error {
	signed, err := s.d.BundlesAbout("")
	if err != nil {
		return err
	}
	var bundles []provenance.Bundle
	for _, name := range slices.Sorted(maps.Keys(signed)) {
		bundles = append(bundles, signed[name])
	}
	entry, err := transparency.NewEntry(s.d.Release.Name, s.d.Release.Version, s.d.Digest, bundles...)
	if err != nil {
		return err
	}
	file := filepath.Join(s.workshop.dir, "log"+ProofSuffix)
	proof, _, err := s.Log.Vouch(ctx, entry.Encode(), file)
	if err != nil {
		return err
	}
	name := transparency.ProofFile(proof.Origin)
	// The consistency proof comes first: a release with a proof never lacks what shows that the log was continued.
	data, err := os.ReadFile(transparency.ConsistencyFile(file))
	if err == nil {
		err = s.put(LogFolder, transparency.ConsistencyFile(name), data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.put(LogFolder, name, proof.Encode())
}

// file signs the statement in a file. What is signed is what stands there, byte for byte.
func (s *signing) file(ctx context.Context, file string) error {
	data, err := s.d.ReadFile(file, provenance.MaxStatement)
	if err != nil {
		return err
	}
	statement, err := provenance.ParseStatement(data)
	if err != nil {
		return err
	}
	again, err := statement.Encode()
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return &UnaccountedError{file, "expected a statement in the one form that is signed, got another", CodeStatement}
	}
	return s.statement(ctx, statementBundle(data), statement)
}

func (s *signing) statement(ctx context.Context, about string, statement provenance.Statement) error {
	signer, err := SignerName(s.Signer.Key(), s.Signer.Certificate())
	if err != nil {
		return err
	}
	name := about + "-" + signer + bundleSuffix
	payload, err := statement.Encode()
	if err != nil {
		return err
	}
	if s.signed(s.d.Bundles[name], payload) && !s.Renew {
		s.done.Kept = append(s.done.Kept, path.Join(BundlesFolder, name))
		return nil
	}
	bundle, err := s.Signer.SignStatement(ctx, statement)
	if err != nil {
		return err
	}
	data, err := bundle.Encode()
	if err != nil {
		return err
	}
	return s.put(BundlesFolder, name, data)
}

// signed holds for a bundle of the signer's about the payload. That of a certificate is one whose own key verifies it: who issued it is for
// the verifier to ask, and the name of the file has whom it names.
func (s *signing) signed(bundle, payload []byte) bool {
	b, err := provenance.ParseBundle(bundle)
	if err != nil || b.Envelope == nil || !bytes.Equal(b.Envelope.Payload, payload) || b.Envelope.PayloadType != provenance.PayloadType {
		return false
	}
	key := s.Signer.Key()
	if (b.Certificate == nil) != (s.Signer.Certificate() == nil) {
		return false
	}
	if b.Certificate != nil {
		if key, err = provenance.NewKey(b.Certificate.PublicKey); err != nil {
			return false
		}
	}
	_, err = b.Envelope.Verify([]provenance.Key{key}, 1)
	return err == nil
}

func (s *signing) link(ctx context.Context) error {
	link, err := s.d.Release.Link(s.Step)
	if err != nil {
		return err
	}
	name, err := layout.FileName(s.Step, s.Signer.Key())
	if err != nil {
		return err
	}
	payload, err := json.Marshal(link)
	if err != nil {
		return err
	}
	if e, err := provenance.ParseEnvelope(s.d.Links[name]); err == nil && !s.Renew && bytes.Equal(e.Payload, payload) && e.PayloadType == provenance.PayloadType {
		if _, err := e.Verify([]provenance.Key{s.Signer.Key()}, 1); err == nil {
			s.done.Kept = append(s.done.Kept, path.Join(LinksFolder, name))
			return nil
		}
	}
	data, err := layout.SignLink(ctx, link, s.Signer)
	if err != nil {
		return err
	}
	return s.put(LinksFolder, name, data)
}

// put writes a file that vouches for the release, unless it is there already.
func (s *signing) put(folder, name string, data []byte) error {
	have := map[string]map[string][]byte{BundlesFolder: s.d.Bundles, LinksFolder: s.d.Links, LogFolder: s.d.Proofs}[folder]
	if bytes.Equal(have[name], data) {
		s.done.Kept = append(s.done.Kept, path.Join(folder, name))
		return nil
	}
	if err := makeFolder(filepath.Join(s.dir, folder)); err != nil {
		return err
	}
	if err := s.workshop.put(filepath.Join(s.dir, folder, name), data); err != nil {
		return err
	}
	have[name] = data
	s.done.Written = append(s.done.Written, path.Join(folder, name))
	return nil
}

// settle waits until the names of what was written are on the disk.
func (s *signing) settle() error {
	for _, folder := range []string{BundlesFolder, LinksFolder, LogFolder} {
		if slices.ContainsFunc(s.done.Written, func(file string) bool { return path.Dir(file) == folder }) {
			if err := syncPath(filepath.Join(s.dir, folder)); err != nil {
				return err
			}
		}
	}
	return nil
}

func makeFolder(name string) error {
	if err := os.Mkdir(name, 0o755); err != nil {
		if errors.Is(err, os.ErrExist) {
			return nil
		}
		return err
	}
	return errors.Join(os.Chmod(name, 0o755), syncPath(filepath.Dir(name)))
}

// Names of bundles.
const (
	bundleSuffix  = ".sigstore.json"
	releaseBundle = "release"
	// nameDigits is how many hex digits of a digest stand in a name.
	nameDigits = 16
)

// statementBundle begins the names of bundles about a statement in a file: the first half of half of its SHA-256 in hex.
func statementBundle(statement []byte) string {
	sum := provenance.DigestOf(statement)
	return hex.EncodeToString(sum[:])[:nameDigits]
}

// SignerName stands for a signer in the names of bundles: the first 16 hex digits of the key's fingerprint, or, with a certificate, whose key
// is another one each time, of the SHA-256 of issuer, NUL and subject.
func SignerName(key provenance.Key, certificate *x509.Certificate) (string, error) {
	sum := [32]byte(key.Fingerprint())
	if certificate != nil {
		identity, err := provenance.IdentityOf(certificate)
		if err != nil {
			return "", err
		}
		sum = provenance.DigestOf([]byte(identity.Issuer + "\x00" + identity.Subject))
	}
	return hex.EncodeToString(sum[:])[:nameDigits], nil
}

// BundlesAbout are the bundles of a release about one of its statements, by name: that of a file, or with an empty name that about the
// release. They are found by their payload, whatever their files are called. Nothing about their signatures was checked.
func (d *Directory) BundlesAbout(file string) (map[string]provenance.Bundle, error) {
	var payload []byte
	var err error
	if file == "" {
		var statement provenance.Statement
		if statement, err = d.Release.Statement(); err == nil {
			payload, err = statement.Encode()
		}
	} else {
		payload, err = d.ReadFile(file, provenance.MaxStatement)
	}
	if err != nil {
		return nil, err
	}
	found := make(map[string]provenance.Bundle)
	for name, data := range d.Bundles {
		if b, err := provenance.ParseBundle(data); err == nil && b.Envelope != nil && bytes.Equal(b.Envelope.Payload, payload) {
			found[name] = b
		}
	}
	return found, nil
}
