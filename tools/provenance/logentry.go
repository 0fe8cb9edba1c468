package provenance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// maxLogEntry bounds an entry of a log as JSON, in bytes. One of Rekor v1 repeats the signer's certificate.
const maxLogEntry = 1 << 20

// number is an int64 in JSON as the encoders of protocol buffers write it: a string, and left out for 0.
type number int64

func (n number) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(n), 10), nil }

func (n *number) UnmarshalText(text []byte) error {
	parsed, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || strconv.FormatInt(parsed, 10) != string(text) || parsed < 0 {
		return errors.New("expected a whole number, not negative, as a string")
	}
	*n = number(parsed)
	return nil
}

// The JSON form of the protocol buffers (protos/sigstore_rekor.proto, TransparencyLogEntry) as its encoders write it.
type logEntryJSON struct {
	LogIndex         number                `json:"logIndex"`
	LogID            *logIDJSON            `json:"logId"`
	KindVersion      *kindVersionJSON      `json:"kindVersion"`
	IntegratedTime   number                `json:"integratedTime,omitempty"`
	InclusionPromise *inclusionPromiseJSON `json:"inclusionPromise,omitempty"`
	InclusionProof   *inclusionProofJSON   `json:"inclusionProof,omitempty"`
	// CanonicalizedBody is what the log holds.
	CanonicalizedBody bytes64 `json:"canonicalizedBody"`
}

type kindVersionJSON struct {
	Kind    string `json:"kind"`
	Version string `json:"version"`
}

type inclusionPromiseJSON struct {
	SignedEntryTimestamp bytes64 `json:"signedEntryTimestamp"`
}

type inclusionProofJSON struct {
	LogIndex   number          `json:"logIndex"`
	RootHash   bytes64         `json:"rootHash"`
	TreeSize   number          `json:"treeSize"`
	Hashes     []bytes64       `json:"hashes,omitempty"`
	Checkpoint *checkpointJSON `json:"checkpoint"`
}

type checkpointJSON struct {
	Envelope string `json:"envelope"`
}

// The versions of entries: those of Rekor v1, whose promise has the time, and those of Rekor v2, which has neither promise nor time.
const (
	rekor1 = "0.0.1"
	rekor2 = "0.0.2"

	kindHashed = "hashedrekord"
	kindDSSE   = "dsse"
)

// bodyJSON is an entry as a log holds it (github.com/sigstore/rekor, pkg/types; github.com/sigstore/rekor-tiles, api/proto).
type bodyJSON[T any] struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       T      `json:"spec"`
}

type hashed1JSON struct {
	Data struct {
		Hash hash1JSON `json:"hash"`
	} `json:"data"`
	Signature struct {
		Content   bytes64 `json:"content"`
		PublicKey struct {
			Content bytes64 `json:"content"`
		} `json:"publicKey"`
	} `json:"signature"`
}

type hash1JSON struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"value"`
}

type dsse1JSON struct {
	// EnvelopeHash is over one JSON form of the envelope, which has many. The rest says the same about what was signed.
	EnvelopeHash hash1JSON `json:"envelopeHash"`
	PayloadHash  hash1JSON `json:"payloadHash"`
	Signatures   []struct {
		Signature bytes64 `json:"signature"`
		Verifier  bytes64 `json:"verifier"`
	} `json:"signatures"`
}

type hashed2JSON struct {
	HashedRekord *struct {
		Data      messageDigestJSON `json:"data"`
		Signature signature2JSON    `json:"signature"`
	} `json:"hashedRekordV002"`
}

type dsse2JSON struct {
	DSSE *struct {
		PayloadHash messageDigestJSON `json:"payloadHash"`
		Signatures  []signature2JSON  `json:"signatures"`
	} `json:"dsseV002"`
}

type signature2JSON struct {
	Content  bytes64       `json:"content"`
	Verifier verifier2JSON `json:"verifier"`
}

type verifier2JSON struct {
	KeyDetails  string           `json:"keyDetails"`
	Certificate *certificateJSON `json:"x509Certificate"`
	PublicKey   *certificateJSON `json:"publicKey"`
}

// recorded is what an entry says that somebody signed.
type recorded struct {
	// digest is that of the payload of an envelope if ofPayload holds, else that of what was signed.
	digest    []byte
	ofPayload bool
	signature []byte
	// verifier is a certificate or a SubjectPublicKeyInfo as DER.
	verifier      []byte
	isCertificate bool
}

// body reads what a log holds of an entry.
func (e *logEntryJSON) body() (recorded, error) {
	switch kind := *e.KindVersion; kind {
	case kindVersionJSON{kindHashed, rekor1}:
		var b bodyJSON[hashed1JSON]
		if err := e.unmarshalBody(&b, &b.APIVersion, &b.Kind); err != nil {
			return recorded{}, err
		}
		return recordedByRekor1(b.Spec.Data.Hash, b.Spec.Signature.Content, b.Spec.Signature.PublicKey.Content)
	case kindVersionJSON{kindDSSE, rekor1}:
		var b bodyJSON[dsse1JSON]
		if err := e.unmarshalBody(&b, &b.APIVersion, &b.Kind); err != nil {
			return recorded{}, err
		}
		if n := len(b.Spec.Signatures); n != 1 {
			return recorded{}, fmt.Errorf("expected one signature, got %d", n)
		}
		r, err := recordedByRekor1(b.Spec.PayloadHash, b.Spec.Signatures[0].Signature, b.Spec.Signatures[0].Verifier)
		r.ofPayload = true
		return r, err
	case kindVersionJSON{kindHashed, rekor2}:
		var b bodyJSON[hashed2JSON]
		if err := e.unmarshalBody(&b, &b.APIVersion, &b.Kind); err != nil {
			return recorded{}, err
		}
		if b.Spec.HashedRekord == nil {
			return recorded{}, errors.New("spec: expected hashedRekordV002, got none")
		}
		return recordedByRekor2(b.Spec.HashedRekord.Data, b.Spec.HashedRekord.Signature)
	case kindVersionJSON{kindDSSE, rekor2}:
		var b bodyJSON[dsse2JSON]
		if err := e.unmarshalBody(&b, &b.APIVersion, &b.Kind); err != nil {
			return recorded{}, err
		}
		if b.Spec.DSSE == nil || len(b.Spec.DSSE.Signatures) != 1 {
			return recorded{}, errors.New("spec: expected dsseV002 with one signature, got another one")
		}
		r, err := recordedByRekor2(b.Spec.DSSE.PayloadHash, b.Spec.DSSE.Signatures[0])
		r.ofPayload = true
		return r, err
	default:
		return recorded{}, fmt.Errorf("kindVersion: expected %s or %s of version %s or %s, got %.40q of version %.40q", kindHashed, kindDSSE, rekor1, rekor2, kind.Kind, kind.Version)
	}
}

func (e *logEntryJSON) unmarshalBody(body any, version, kind *string) error {
	if err := strictjson.Unmarshal(e.CanonicalizedBody, body); err != nil {
		return fmt.Errorf("canonicalizedBody: %w", err)
	}
	if *version != e.KindVersion.Version || *kind != e.KindVersion.Kind {
		return fmt.Errorf("canonicalizedBody: expected %s of version %s, got %.40q of version %.40q", e.KindVersion.Kind, e.KindVersion.Version, *kind, *version)
	}
	return nil
}

func recordedByRekor1(hash hash1JSON, signature, verifier []byte) (r recorded, err error) {
	if hash.Algorithm != SHA256 {
		return r, fmt.Errorf("hash: expected %s, got %.40q", SHA256, hash.Algorithm)
	}
	if err := checkHex(hash.Value, sha256.Size); err != nil {
		return r, fmt.Errorf("hash: %w", err)
	}
	if r.digest, err = hex.DecodeString(hash.Value); err != nil {
		return r, err
	}
	block, rest := pem.Decode(verifier)
	if block == nil || len(rest) > 0 || len(block.Headers) > 0 || (block.Type != "CERTIFICATE" && block.Type != publicKeyPEM) {
		return r, errors.New("verifier: expected one certificate or public key as PEM, got something else")
	}
	r.signature, r.verifier, r.isCertificate = signature, block.Bytes, block.Type != publicKeyPEM
	return r, nil
}

func recordedByRekor2(digest messageDigestJSON, s signature2JSON) (recorded, error) {
	if digest.Algorithm != hashAlgorithm {
		return recorded{}, fmt.Errorf("digest: expected %s, got %.40q", hashAlgorithm, digest.Algorithm)
	}
	if s.Verifier.KeyDetails != keyP256 || (s.Verifier.Certificate == nil) == (s.Verifier.PublicKey == nil) {
		return recorded{}, fmt.Errorf("verifier: expected a certificate or a public key of the kind %s, got %.40q", keyP256, s.Verifier.KeyDetails)
	}
	r := recorded{digest: digest.Digest, signature: s.Content, isCertificate: s.Verifier.Certificate != nil}
	if r.isCertificate {
		r.verifier = s.Verifier.Certificate.RawBytes
	} else {
		r.verifier = s.Verifier.PublicKey.RawBytes
	}
	return r, nil
}

// binds asks whether the entry is about this bundle's signature: same bytes signed, same signature, same certificate or key.
func (r recorded) binds(b Bundle, key Key) error {
	digest := b.Signed()
	if r.ofPayload {
		if b.Envelope == nil {
			return errors.New("expected an entry about a signature over a blob, got one about an envelope")
		}
		digest = DigestOf(b.Envelope.Payload)
	}
	switch {
	case !bytes.Equal(r.digest, digest[:]):
		return fmt.Errorf("expected an entry about %s, got one about %.64x", digest.hex(), r.digest)
	case !bytes.Equal(r.signature, b.Signature()):
		return errors.New("expected an entry about this signature, got one about another")
	case b.Certificate != nil && (!r.isCertificate || !bytes.Equal(r.verifier, b.Certificate.Raw)):
		return errors.New("expected an entry with the signer's certificate, got one with another or none")
	case b.Certificate == nil && (r.isCertificate || string(r.verifier) != key.der):
		return errors.New("expected an entry with the signer's key, got one with another or none")
	default:
		return nil
	}
}

// logEntry is one that was verified.
type logEntry struct {
	// log is the number of the log in the trust root.
	log   int
	index int64
	// at is when the log says it took the entry; zero if it says nothing.
	at time.Time
}

// parseLogEntry reads an entry as it stands in a bundle.
func parseLogEntry(raw json.RawMessage) (e logEntryJSON, _ error) {
	if len(raw) > maxLogEntry {
		return e, malformed(CodeLogEntry, "expected at most %d bytes, got %d", maxLogEntry, len(raw))
	}
	if err := strictjson.Unmarshal(raw, &e); err != nil {
		return e, &FormError{CodeLogEntry, err}
	}
	if e.LogID == nil || e.KindVersion == nil {
		return e, malformed(CodeLogEntry, "expected logId and kindVersion, got none")
	}
	return e, nil
}

// logEntry verifies that a log of the trust root has an entry about a bundle's signature. The error is a [*FormError]; it wraps errUnknown if
// the log is none of the trust root's.
func (r TrustRoot) logEntry(raw json.RawMessage, b Bundle, key Key) (logEntry, error) {
	e, err := parseLogEntry(raw)
	if err != nil {
		return logEntry{}, err
	}
	for i, l := range r.Logs {
		if id, err := l.ID(); err != nil || !bytes.Equal(e.LogID.KeyID, id[:]) {
			continue
		}
		body, err := e.body()
		if err != nil {
			return logEntry{}, &FormError{CodeLogEntry, err}
		}
		if err := body.binds(b, key); err != nil {
			return logEntry{}, &FormError{CodeLogSubject, err}
		}
		if err := e.included(l); err != nil {
			return logEntry{}, &FormError{CodeLogProof, err}
		}
		at, err := e.promised(l)
		if err != nil {
			return logEntry{}, &FormError{CodeLogProof, err}
		}
		return logEntry{i, int64(e.LogIndex), at}, nil
	}
	return logEntry{}, malformed(CodeLog, "expected a log of the trust root, got %.64x: %w", []byte(e.LogID.KeyID), errUnknown)
}

// included verifies the inclusion proof, which a bundle v0.3 has to have.
func (e *logEntryJSON) included(l Log) error {
	p := e.InclusionProof
	if p == nil || p.Checkpoint == nil {
		return errors.New("inclusionProof: expected one with a checkpoint, got none")
	}
	// Rekor v1 splits its tree, and counts from the beginning of all parts outside the proof.
	if e.KindVersion.Version == rekor2 && p.LogIndex != e.LogIndex {
		return fmt.Errorf("inclusionProof.logIndex: expected %d, got %d", e.LogIndex, p.LogIndex)
	}
	head, err := l.checkpoint(p.Checkpoint.Envelope)
	if err != nil {
		return fmt.Errorf("inclusionProof.checkpoint: %w", err)
	}
	if uint64(p.TreeSize) != head.size || !bytes.Equal(p.RootHash, head.root[:]) {
		return errors.New("inclusionProof: expected size and hash of the checkpoint's tree, got others")
	}
	if !head.includes(e.CanonicalizedBody, uint64(p.LogIndex), p.Hashes) {
		return errors.New("inclusionProof: expected hashes that lead to the checkpoint's, got others")
	}
	return nil
}

// promised verifies the promise of Rekor v1, and returns the time in it (github.com/sigstore/rekor, pkg/verify, VerifySET). A time without
// a promise is nobody's.
func (e *logEntryJSON) promised(l Log) (time.Time, error) {
	if e.InclusionPromise == nil {
		return time.Time{}, nil
	}
	key, ok := l.Key.(*ecdsa.PublicKey)
	if !ok || e.KindVersion.Version != rekor1 {
		return time.Time{}, errors.New("inclusionPromise: expected none of Rekor v2, got one")
	}
	// The canonical JSON (RFC 8785) of these four members.
	signed := fmt.Sprintf(`{"body":"%s","integratedTime":%d,"logID":"%x","logIndex":%d}`,
		base64.StdEncoding.EncodeToString(e.CanonicalizedBody), e.IntegratedTime, []byte(e.LogID.KeyID), e.LogIndex)
	if sum := sha256.Sum256([]byte(signed)); !ecdsa.VerifyASN1(key, sum[:], e.InclusionPromise.SignedEntryTimestamp) {
		return time.Time{}, errors.New("inclusionPromise: expected a signature by the log's key, got another one")
	}
	at := time.Unix(int64(e.IntegratedTime), 0).UTC()
	if !l.Validity.contains(at) {
		return time.Time{}, fmt.Errorf("integratedTime: expected a time at which the trust root believes the log, %s, got %s", l.Validity, at.Format(time.RFC3339))
	}
	return at, nil
}
