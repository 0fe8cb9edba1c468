package transparency

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

const (
	// EntryFormat is the version of the form of an [Entry].
	EntryFormat = 1

	// MaxEntry bounds an entry, in bytes: bundles of entries have its length in two (c2sp.org/tlog-tiles, "Log entries").
	MaxEntry = 1<<16 - 1

	maxEntryName = 256
	// maxSignature bounds a signature, in bytes. ECDSA on P-256 in DER has at most 72.
	maxSignature = 512
)

// Entry is what a log says about a release: which bytes it has, and who signed them with what. An entry that named less would vouch for
// signatures that nobody put into the log (CVE-2022-36056, CVE-2026-22703).
type Entry struct {
	// Format is [EntryFormat].
	Format int
	// Name and Version are those of the release.
	Name, Version string
	// Release is the digest of release.json.
	Release provenance.Digest
	// Statement is the digest of the release's statement, the payload of every signature's envelope.
	Statement provenance.Digest
	// Signatures are sorted by key; each key has one.
	Signatures []EntrySignature
}

// EntrySignature is a signature over the statement.
type EntrySignature struct {
	// Key is the SHA-256 of the key's SubjectPublicKeyInfo.
	Key provenance.Fingerprint
	// Signature is ASN.1 DER.
	Signature []byte
}

type entryJSON struct {
	Format     int                  `json:"format"`
	Name       string               `json:"name"`
	Version    string               `json:"version"`
	Release    provenance.Digest    `json:"release"`
	Statement  provenance.Digest    `json:"statement"`
	Signatures []entrySignatureJSON `json:"signatures"`
}

type entrySignatureJSON struct {
	Key       string `json:"key"`
	Signature string `json:"signature"`
}

// NewEntry makes the entry of a release that is signed by bundles of one and the same statement. The error is a [*Refusal].
func NewEntry(name, version string, release provenance.Digest, bundles ...provenance.Bundle) (Entry, error) {
	if len(bundles) == 0 {
		return Entry{}, refuse(CodeEntry, "log entry: expected a release with at least one signature over its statement, got one without")
	}
	e := Entry{Format: EntryFormat, Name: name, Version: version, Release: release}
	for i, b := range bundles {
		payload, signature, err := bundleSignature(b)
		if err != nil {
			return Entry{}, refuse(CodeEntry, "log entry: bundle %d: %v", i, err)
		}
		digest := provenance.DigestOf(payload)
		if i > 0 && digest != e.Statement {
			return Entry{}, refuse(CodeEntry, "log entry: bundle %d: expected a signature over the statement %s, got one over %s", i, e.Statement, digest)
		}
		e.Statement = digest
		e.Signatures = append(e.Signatures, signature)
	}
	slices.SortFunc(e.Signatures, func(a, b EntrySignature) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	if err := e.check(); err != nil {
		return Entry{}, err
	}
	return e, nil
}

// bundleSignature is what a bundle says: over which payload, with which key, which signature. The key is that of the certificate, or else
// that which the hint names; whether the signature is that key's is for those who verify the bundle.
func bundleSignature(b provenance.Bundle) ([]byte, EntrySignature, error) {
	if b.Envelope == nil || len(b.Envelope.Signatures) != 1 {
		return nil, EntrySignature{}, errBundle
	}
	s := EntrySignature{Signature: b.Envelope.Signatures[0].Bytes}
	if b.Certificate != nil {
		key, err := provenance.NewKey(b.Certificate.PublicKey)
		if err != nil {
			return nil, EntrySignature{}, err
		}
		s.Key = key.Fingerprint()
		return b.Envelope.Payload, s, nil
	}
	fingerprint, err := decode64(b.Hint)
	if err != nil || len(fingerprint) != len(s.Key) {
		return nil, EntrySignature{}, errHint
	}
	copy(s.Key[:], fingerprint)
	return b.Envelope.Payload, s, nil
}

// ParseEntry reads an entry, which has exactly the bytes that Encode makes. The error is a [*Refusal].
func ParseEntry(data []byte) (Entry, error) {
	if len(data) > MaxEntry {
		return Entry{}, refuse(CodeEntry, "log entry: expected at most %d bytes, got %d", MaxEntry, len(data))
	}
	var wire entryJSON
	if err := strictjson.Unmarshal(data, &wire); err != nil {
		return Entry{}, refuse(CodeEntry, "log entry: %v", err)
	}
	e := Entry{Format: wire.Format, Name: wire.Name, Version: wire.Version, Release: wire.Release, Statement: wire.Statement}
	for i, s := range wire.Signatures {
		var signature EntrySignature
		key, err := hex.DecodeString(s.Key)
		if err != nil || len(key) != len(signature.Key) {
			return Entry{}, refuse(CodeEntry, "log entry: signatures[%d].key: expected %d lower-case hexadecimal digits, got %.80q", i, 2*len(signature.Key), s.Key)
		}
		copy(signature.Key[:], key)
		if signature.Signature, err = decode64(s.Signature); err != nil {
			return Entry{}, refuse(CodeEntry, "log entry: signatures[%d].signature: %v", i, err)
		}
		e.Signatures = append(e.Signatures, signature)
	}
	if err := e.check(); err != nil {
		return Entry{}, err
	}
	if canonical := e.Encode(); !bytes.Equal(canonical, data) {
		return Entry{}, refuse(CodeEntry, "log entry: expected the canonical form of %d bytes, got another of %d that says the same", len(canonical), len(data))
	}
	return e, nil
}

// check returns a *Refusal or nil.
func (e Entry) check() error {
	if e.Format != EntryFormat {
		return refuse(CodeEntry, "log entry: format: expected %d, got %d", EntryFormat, e.Format)
	}
	for _, t := range []struct{ member, text string }{{"name", e.Name}, {"version", e.Version}} {
		if n := len(t.text); n == 0 || n > maxEntryName {
			return refuse(CodeEntry, "log entry: %s: expected 1 to %d bytes, got %d", t.member, maxEntryName, n)
		}
		if !utf8.ValidString(t.text) || strings.ContainsFunc(t.text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return refuse(CodeEntry, "log entry: %s: expected printable text, got %q", t.member, t.text)
		}
	}
	for _, d := range []struct {
		member string
		digest provenance.Digest
	}{{"release", e.Release}, {"statement", e.Statement}} {
		if d.digest == (provenance.Digest{}) {
			return refuse(CodeEntry, "log entry: %s: expected a digest, got none", d.member)
		}
	}
	if n := len(e.Signatures); n == 0 || n > provenance.MaxBundles {
		return refuse(CodeEntry, "log entry: signatures: expected 1 to %d, got %d", provenance.MaxBundles, n)
	}
	for i, s := range e.Signatures {
		if n := len(s.Signature); n == 0 || n > maxSignature {
			return refuse(CodeEntry, "log entry: signatures[%d].signature: expected 1 to %d bytes, got %d", i, maxSignature, n)
		}
		if i == 0 {
			continue
		}
		switch previous := e.Signatures[i-1].Key; bytes.Compare(s.Key[:], previous[:]) {
		case 0:
			return refuse(CodeEntry, "log entry: signatures[%d].key: expected each key once, got %s again", i, s.Key)
		case -1:
			return refuse(CodeEntry, "log entry: signatures[%d].key: expected a key after %s, got %s", i, previous, s.Key)
		}
	}
	return nil
}

// Encode returns the bytes that stand in the log: JSON in one line, members in the order of the specification, no line end.
func (e Entry) Encode() []byte {
	wire := entryJSON{e.Format, e.Name, e.Version, e.Release, e.Statement, make([]entrySignatureJSON, len(e.Signatures))}
	for i, s := range e.Signatures {
		wire.Signatures[i] = entrySignatureJSON{s.Key.String(), base64.StdEncoding.EncodeToString(s.Signature)}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(wire); err != nil {
		panic("transparency: " + err.Error()) // the type has nothing that could not be encoded
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// MatchBundles checks that the entry is about a release and its bundles: name, version and both digests are equal, and every signature is
// that of one of the bundles, with its key. Bundles that came later than the entry may have others. It returns the positions of the
// bundles whose signatures the entry has, in its order. Whose they are is for whoever verifies those bundles: a bundle names its key, and
// nothing here shows that it is right. The error is a [*Refusal].
func (e Entry) MatchBundles(name, version string, release provenance.Digest, bundles ...provenance.Bundle) ([]int, error) {
	for _, m := range []struct{ member, want, got string }{
		{"name", name, e.Name}, {"version", version, e.Version}, {"release", release.String(), e.Release.String()},
	} {
		if m.want != m.got {
			return nil, refuse(CodeEntry, "log entry: %s: expected %q, got %q: the entry is that of another release", m.member, m.want, m.got)
		}
	}
	signatures := make([]EntrySignature, len(bundles))
	for i, b := range bundles {
		payload, signature, err := bundleSignature(b)
		if err != nil {
			return nil, refuse(CodeEntry, "log entry: bundle %d: %v", i, err)
		}
		if got := provenance.DigestOf(payload); got != e.Statement {
			return nil, refuse(CodeEntry, "log entry: statement: expected %s, which bundle %d signs, got %s", got, i, e.Statement)
		}
		signatures[i] = signature
	}
	if len(e.Signatures) == 0 {
		return nil, refuse(CodeEntry, "log entry: signatures: expected at least one, got none")
	}
	positions := make([]int, len(e.Signatures))
	for i, s := range e.Signatures {
		positions[i] = slices.IndexFunc(signatures, func(b EntrySignature) bool { return b.Key == s.Key && bytes.Equal(b.Signature, s.Signature) })
		if positions[i] < 0 {
			return nil, refuse(CodeEntry, "log entry: signatures[%d]: expected the signature of one of the %d bundles, got another by key %s", i, len(bundles), s.Key)
		}
	}
	return positions, nil
}
