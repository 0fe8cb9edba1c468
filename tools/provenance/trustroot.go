package provenance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

const (
	// TrustRootType is the media type of a trust root v0.1, which is what cosign writes, up to 3.1.
	TrustRootType = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"

	// MaxTrustRoot bounds a trust root as JSON, in bytes; that of Sigstore's public instance has about 10 KiB.
	MaxTrustRoot = 1 << 20

	maxAuthorities = 64
	maxChain       = 8
	minRSA         = 2048
)

// TrustRoot holds whose word is taken about signers that have no key of their own: who they are, and when they signed. Without any, only
// keys count.
type TrustRoot struct {
	// Authorities issue the certificates of signers.
	Authorities []Authority
	// CertificateLogs are logs of certificates (RFC 6962). If there is any, certificates without the promise of one are refused.
	CertificateLogs []Log
	// Logs are transparency logs of signatures: Rekor v1, with keys on P-256, and Rekor v2, with keys of Ed25519.
	Logs []Log
	// TimestampAuthorities sign times (RFC 3161).
	TimestampAuthorities []Authority
}

// Authority is one that issues certificates.
type Authority struct {
	// URI is where it is, for people.
	URI string
	// Chain ends with the certificate that is trusted, and each one before is issued by the next. It begins with what issues certificates of
	// signers; that of a timestamp authority may begin with the one that signs, and then no other one does.
	Chain []*x509.Certificate
	// Validity is when the authority is to be believed.
	Validity Validity
	// Operator is who runs it, if that is known. What timestamp authorities of one operator say counts once.
	Operator string
}

// Log is a log that signs what it says.
type Log struct {
	// URL is where it is. Its host is what a log of Rekor v2 calls itself in its checkpoints.
	URL string
	// Key is an [*ecdsa.PublicKey] on P-256, an [ed25519.PublicKey] for Rekor v2, or an [*rsa.PublicKey] for certificates.
	Key crypto.PublicKey
	// Validity is when the log is to be believed.
	Validity Validity
	// Operator is who runs it, if that is known. What logs of one operator say counts once.
	Operator string
}

// Validity is a time from NotBefore to NotAfter, which belong to it. A zero time is no bound.
type Validity struct {
	NotBefore, NotAfter time.Time
}

func (v Validity) contains(t time.Time) bool {
	return !t.Before(v.NotBefore) && (v.NotAfter.IsZero() || !t.After(v.NotAfter))
}

func (v Validity) String() string {
	from, to := "from ever", "for ever"
	if !v.NotBefore.IsZero() {
		from = "from " + v.NotBefore.UTC().Format(time.RFC3339)
	}
	if !v.NotAfter.IsZero() {
		to = "to " + v.NotAfter.UTC().Format(time.RFC3339)
	}
	return from + " " + to
}

// The JSON form of the protocol buffers (protos/sigstore_trustroot.proto) as its encoders write it.
type trustRootJSON struct {
	MediaType              string          `json:"mediaType"`
	Logs                   []logJSON       `json:"tlogs,omitempty"`
	CertificateAuthorities []authorityJSON `json:"certificateAuthorities,omitempty"`
	CertificateLogs        []logJSON       `json:"ctlogs,omitempty"`
	TimestampAuthorities   []authorityJSON `json:"timestampAuthorities,omitempty"`
}

type authorityJSON struct {
	Subject   *subjectJSON  `json:"subject,omitempty"`
	URI       string        `json:"uri,omitempty"`
	CertChain *chainJSON    `json:"certChain"`
	ValidFor  *validityJSON `json:"validFor"`
	Operator  string        `json:"operator,omitempty"`
}

// subjectJSON repeats what stands in the certificates.
type subjectJSON struct {
	Organization string `json:"organization,omitempty"`
	CommonName   string `json:"commonName,omitempty"`
}

type chainJSON struct {
	Certificates []certificateJSON `json:"certificates"`
}

type validityJSON struct {
	Start string `json:"start"`
	End   string `json:"end,omitempty"`
}

type logJSON struct {
	BaseURL       string      `json:"baseUrl"`
	HashAlgorithm string      `json:"hashAlgorithm"`
	PublicKey     *logKeyJSON `json:"publicKey"`
	LogID         *logIDJSON  `json:"logId"`
	// CheckpointKeyID repeats the beginning of LogID.
	CheckpointKeyID *logIDJSON `json:"checkpointKeyId,omitempty"`
	Operator        string     `json:"operator,omitempty"`
}

type logKeyJSON struct {
	RawBytes   bytes64       `json:"rawBytes"`
	KeyDetails string        `json:"keyDetails"`
	ValidFor   *validityJSON `json:"validFor"`
}

type logIDJSON struct {
	KeyID bytes64 `json:"keyId"`
}

// The kinds of keys that are known (protos/sigstore_common.proto, PublicKeyDetails).
const (
	keyP256    = "PKIX_ECDSA_P256_SHA_256"
	keyEd25519 = "PKIX_ED25519"
	keyRSA2048 = "PKIX_RSA_PKCS1V15_2048_SHA256"
	keyRSA3072 = "PKIX_RSA_PKCS1V15_3072_SHA256"
	keyRSA4096 = "PKIX_RSA_PKCS1V15_4096_SHA256"
	keyRSA     = "PKCS1_RSA_PKCS1V5"
)

// ParseTrustRoot reads a trust root (trusted_root.json) of at most [MaxTrustRoot] bytes. Whatever is in it has to be understood, so that
// nothing that somebody trusts is left out without a word. The error is a [*FormError].
func ParseTrustRoot(data []byte) (TrustRoot, error) {
	if len(data) > MaxTrustRoot {
		return TrustRoot{}, malformed(CodeTrustRoot, "expected at most %d bytes, got %d", MaxTrustRoot, len(data))
	}
	var wire trustRootJSON
	if err := strictjson.Unmarshal(data, &wire); err != nil {
		return TrustRoot{}, &FormError{CodeTrustRoot, err}
	}
	if wire.MediaType != TrustRootType {
		return TrustRoot{}, malformed(CodeTrustRoot, "mediaType: expected %q, got %.80q", TrustRootType, wire.MediaType)
	}
	var r TrustRoot
	for _, list := range []struct {
		name string
		in   []authorityJSON
		out  *[]Authority
		leaf bool
	}{{"certificateAuthorities", wire.CertificateAuthorities, &r.Authorities, false}, {"timestampAuthorities", wire.TimestampAuthorities, &r.TimestampAuthorities, true}} {
		if len(list.in) > maxAuthorities {
			return TrustRoot{}, malformed(CodeTrustRoot, "%s: expected at most %d, got %d", list.name, maxAuthorities, len(list.in))
		}
		for i, entry := range list.in {
			a, err := entry.authority(list.leaf)
			if err != nil {
				return TrustRoot{}, malformed(CodeTrustRoot, "%s[%d].%w", list.name, i, err)
			}
			*list.out = append(*list.out, a)
		}
	}
	for _, list := range []struct {
		name string
		in   []logJSON
		out  *[]Log
	}{{"ctlogs", wire.CertificateLogs, &r.CertificateLogs}, {"tlogs", wire.Logs, &r.Logs}} {
		if len(list.in) > maxAuthorities {
			return TrustRoot{}, malformed(CodeTrustRoot, "%s: expected at most %d, got %d", list.name, maxAuthorities, len(list.in))
		}
		for i, entry := range list.in {
			l, err := entry.log()
			if err != nil {
				return TrustRoot{}, malformed(CodeTrustRoot, "%s[%d].%w", list.name, i, err)
			}
			*list.out = append(*list.out, l)
		}
	}
	if err := r.check(); err != nil {
		return TrustRoot{}, &FormError{CodeTrustRoot, err}
	}
	return r, nil
}

func (w authorityJSON) authority(leaf bool) (a Authority, err error) {
	if w.CertChain == nil || len(w.CertChain.Certificates) == 0 || len(w.CertChain.Certificates) > maxChain {
		return a, fmt.Errorf("certChain: expected 1 to %d certificates, got more or none", maxChain)
	}
	a.URI, a.Operator = w.URI, w.Operator
	for i, c := range w.CertChain.Certificates {
		certificate, err := x509.ParseCertificate(c.RawBytes)
		if err != nil {
			return a, fmt.Errorf("certChain.certificates[%d]: expected X.509, got something else: %w", i, err)
		}
		a.Chain = append(a.Chain, certificate)
	}
	if err := errors.Join(a.check(leaf), a.checkIssued()); err != nil {
		return a, fmt.Errorf("certChain: %w", err)
	}
	if a.Validity, err = w.ValidFor.validity(); err != nil {
		return a, fmt.Errorf("validFor: %w", err)
	}
	return a, nil
}

// check asks for the certificates of authorities. Only a timestamp authority's leaf is none.
func (a Authority) check(leaf bool) error {
	if len(a.Chain) == 0 {
		return errors.New("expected at least one certificate, got none")
	}
	for i, c := range a.Chain {
		if last := i == len(a.Chain)-1; !c.IsCA && (!leaf || i > 0 || last) {
			return fmt.Errorf("expected the certificates of authorities, got that of a signer as number %d", i)
		}
	}
	return nil
}

// checkIssued tells whoever wrote a chain that it is none. Whether a certificate counts does not depend on it.
func (a Authority) checkIssued() error {
	for i, c := range a.Chain[1:] {
		if a.Chain[i].CheckSignatureFrom(c) != nil {
			return fmt.Errorf("expected each certificate to be issued by the next, got number %d issued by another one", i)
		}
	}
	return nil
}

func (w *validityJSON) validity() (v Validity, err error) {
	if w == nil || w.Start == "" {
		return v, errors.New("expected a start, got none")
	}
	if v.NotBefore, err = parseTime(w.Start); err != nil {
		return v, fmt.Errorf("start: %w", err)
	}
	if w.End == "" {
		return v, nil
	}
	if v.NotAfter, err = parseTime(w.End); err != nil {
		return v, fmt.Errorf("end: %w", err)
	}
	if v.NotAfter.Before(v.NotBefore) {
		return v, fmt.Errorf("expected an end after the start, got %s", w.End)
	}
	return v, nil
}

// parseTime reads a time as protocol buffers write it in JSON (google/protobuf/timestamp.proto): in UTC.
func parseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if _, offset := t.Zone(); err != nil || offset != 0 {
		return time.Time{}, fmt.Errorf("expected a time in UTC as in 2026-04-24T02:37:51Z, got %.40q", text)
	}
	return t.UTC(), nil
}

func (w logJSON) log() (l Log, err error) {
	if w.HashAlgorithm != hashAlgorithm {
		return l, fmt.Errorf("hashAlgorithm: expected %s, got %.40q", hashAlgorithm, w.HashAlgorithm)
	}
	if w.PublicKey == nil {
		return l, errors.New("publicKey: expected one, got none")
	}
	l.URL, l.Operator = w.BaseURL, w.Operator
	if l.Key, err = parseLogKey(w.PublicKey.RawBytes, w.PublicKey.KeyDetails); err != nil {
		return l, fmt.Errorf("publicKey: %w", err)
	}
	if l.Validity, err = w.PublicKey.ValidFor.validity(); err != nil {
		return l, fmt.Errorf("publicKey.validFor: %w", err)
	}
	id, err := l.ID()
	if err != nil {
		return l, err
	}
	if w.LogID == nil || !bytes.Equal(w.LogID.KeyID, id[:]) {
		return l, fmt.Errorf("logId: expected that of the key, %x, got another one or none", id)
	}
	if w.CheckpointKeyID != nil && !bytes.Equal(w.CheckpointKeyID.KeyID, id[:noteKeyID]) {
		return l, fmt.Errorf("checkpointKeyId: expected that of the key, %x, got another one", id[:noteKeyID])
	}
	return l, nil
}

func parseLogKey(raw []byte, details string) (crypto.PublicKey, error) {
	if details == keyRSA {
		key, err := x509.ParsePKCS1PublicKey(raw)
		if err != nil {
			return nil, fmt.Errorf("rawBytes: expected an RSAPublicKey, got something else: %w", err)
		}
		return key, nil
	}
	parsed, err := x509.ParsePKIXPublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("rawBytes: expected a SubjectPublicKeyInfo, got something else: %w", err)
	}
	var fits bool
	switch details {
	case keyP256:
		_, fits = parsed.(*ecdsa.PublicKey)
	case keyEd25519:
		_, fits = parsed.(ed25519.PublicKey)
	case keyRSA2048, keyRSA3072, keyRSA4096:
		_, fits = parsed.(*rsa.PublicKey)
	default:
		return nil, fmt.Errorf("keyDetails: expected %s, %s or RSA with PKCS #1 v1.5 and SHA-256, got %.40q", keyP256, keyEd25519, details)
	}
	if !fits {
		return nil, fmt.Errorf("rawBytes: expected a key of the kind %s, got %T", details, parsed)
	}
	return parsed, nil
}

// details names the kind of a log's key.
func (l Log) details() (string, error) {
	switch key := l.Key.(type) {
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			return keyP256, nil
		}
	case ed25519.PublicKey:
		return keyEd25519, nil
	case *rsa.PublicKey:
		switch size := key.N.BitLen(); {
		case size == 3072:
			return keyRSA3072, nil
		case size == 4096:
			return keyRSA4096, nil
		case size >= minRSA:
			return keyRSA2048, nil
		}
	}
	return "", fmt.Errorf("public key: expected ECDSA on P-256, Ed25519 or RSA with %d bits or more, got %T", minRSA, l.Key)
}

// origin is what a log of Rekor v2 calls itself.
func (l Log) origin() (string, error) {
	u, err := url.Parse(l.URL)
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("baseUrl: expected an address with a host, which is the log's name, got %.200q", l.URL)
	}
	return u.Hostname(), nil
}

// ID is how entries and certificates name the log: the SHA-256 of its key (RFC 6962 section 3.2), and for Ed25519 that of name and key
// (C2SP, signed-note.md, "Signatures", not cut off).
func (l Log) ID() ([sha256.Size]byte, error) {
	if _, err := l.details(); err != nil {
		return [sha256.Size]byte{}, err
	}
	if key, ok := l.Key.(ed25519.PublicKey); ok {
		origin, err := l.origin()
		if err != nil {
			return [sha256.Size]byte{}, err
		}
		return sha256.Sum256(append([]byte(origin+"\n\x01"), key...)), nil
	}
	der, err := x509.MarshalPKIXPublicKey(l.Key)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	return sha256.Sum256(der), nil
}

// operators counts services by who runs them, a string; one of nobody known counts by its number.
type operators map[any]bool

func (o operators) add(operator string, service int) {
	if operator == "" {
		o[service] = true
	} else {
		o[operator] = true
	}
}

func operatorsOf(logs []Log) operators {
	o := make(operators)
	for i, l := range logs {
		o.add(l.Operator, i)
	}
	return o
}

// check refuses what could never decide anything, and what would count for two.
func (r TrustRoot) check() error {
	for i, a := range r.Authorities {
		if err := a.check(false); err != nil {
			return fmt.Errorf("certificate authority %d: %w", i, err)
		}
	}
	signers := make(map[string]int)
	for i, a := range r.TimestampAuthorities {
		if err := a.check(true); err != nil {
			return fmt.Errorf("timestamp authority %d: %w", i, err)
		}
		key := string(a.Chain[0].RawSubjectPublicKeyInfo)
		if other, ok := signers[key]; ok {
			return fmt.Errorf("timestamp authority %d: expected each once, got the key of number %d again", i, other)
		}
		signers[key] = i
	}
	for _, list := range []struct {
		name   string
		logs   []Log
		others string
	}{{"certificate log", r.CertificateLogs, "RSA"}, {"log", r.Logs, "Ed25519"}} {
		seen := make(map[[sha256.Size]byte]int)
		for i, l := range list.logs {
			_, isRSA := l.Key.(*rsa.PublicKey)
			_, isEd25519 := l.Key.(ed25519.PublicKey)
			if (isRSA && list.others != "RSA") || (isEd25519 && list.others != "Ed25519") {
				return fmt.Errorf("%s %d: expected a key of ECDSA on P-256 or %s, got %T", list.name, i, list.others, l.Key)
			}
			id, err := l.ID()
			if err != nil {
				return fmt.Errorf("%s %d: %w", list.name, i, err)
			}
			if other, ok := seen[id]; ok {
				return fmt.Errorf("%s %d: expected each once, got number %d again", list.name, i, other)
			}
			seen[id] = i
		}
	}
	return nil
}

// Encode returns the JSON form v0.1 in one line. Each validity has to have a beginning.
func (r TrustRoot) Encode() ([]byte, error) {
	wire := trustRootJSON{MediaType: TrustRootType}
	for _, list := range []struct {
		in  []Authority
		out *[]authorityJSON
	}{{r.Authorities, &wire.CertificateAuthorities}, {r.TimestampAuthorities, &wire.TimestampAuthorities}} {
		for _, a := range list.in {
			*list.out = append(*list.out, a.wire())
		}
	}
	for _, list := range []struct {
		in  []Log
		out *[]logJSON
	}{{r.CertificateLogs, &wire.CertificateLogs}, {r.Logs, &wire.Logs}} {
		for _, l := range list.in {
			entry, err := l.wire()
			if err != nil {
				return nil, fmt.Errorf("trust root: %w", err)
			}
			*list.out = append(*list.out, entry)
		}
	}
	data, err := encode(wire)
	if err != nil {
		return nil, fmt.Errorf("trust root: %w", err)
	}
	if _, err := ParseTrustRoot(data); err != nil {
		return nil, err
	}
	return data, nil
}

func (a Authority) wire() authorityJSON {
	w := authorityJSON{URI: a.URI, Operator: a.Operator, CertChain: new(chainJSON), ValidFor: a.Validity.wire()}
	for _, c := range a.Chain {
		w.CertChain.Certificates = append(w.CertChain.Certificates, certificateJSON{c.Raw})
	}
	if len(a.Chain) > 0 {
		subject := a.Chain[0].Subject
		w.Subject = &subjectJSON{CommonName: subject.CommonName}
		if len(subject.Organization) > 0 {
			w.Subject.Organization = subject.Organization[0]
		}
	}
	return w
}

func (l Log) wire() (logJSON, error) {
	details, err := l.details()
	if err != nil {
		return logJSON{}, err
	}
	id, err := l.ID()
	if err != nil {
		return logJSON{}, err
	}
	der, err := x509.MarshalPKIXPublicKey(l.Key)
	if err != nil {
		return logJSON{}, err
	}
	return logJSON{
		BaseURL: l.URL, Operator: l.Operator, HashAlgorithm: hashAlgorithm, LogID: &logIDJSON{id[:]},
		PublicKey: &logKeyJSON{RawBytes: der, KeyDetails: details, ValidFor: l.Validity.wire()},
	}, nil
}

func (v Validity) wire() *validityJSON {
	w := new(validityJSON)
	if !v.NotBefore.IsZero() {
		w.Start = v.NotBefore.UTC().Format(time.RFC3339Nano)
	}
	if !v.NotAfter.IsZero() {
		w.End = v.NotAfter.UTC().Format(time.RFC3339Nano)
	}
	return w
}
