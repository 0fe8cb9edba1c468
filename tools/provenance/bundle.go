package provenance

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

const (
	// BundleType is the media type of a Sigstore bundle v0.3.
	BundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

	// MaxBundle bounds a bundle as JSON, in bytes: an envelope and what verifies it.
	MaxBundle = MaxEnvelope + 1<<20

	// hashAlgorithm is the name of SHA-256 in protos/sigstore_common.proto, HashAlgorithm.
	hashAlgorithm = "SHA2_256"

	maxHint        = 256
	maxCertificate = 64 << 10
	maxLogEntries  = 16
	maxTimestamps  = 16
)

// Bundle is one signature with what verifies it. Exactly one of Envelope and Blob is set, and at most one of Hint and Certificate.
type Bundle struct {
	// Hint names the key that verifies the signature, see [Key.Hint].
	Hint string
	// Certificate is that of a key that lived for one signature.
	Certificate *x509.Certificate
	// LogEntries are entries of transparency logs and Timestamps those of RFC 3161, as they stand in the bundle.
	LogEntries, Timestamps []json.RawMessage

	// Envelope is a statement with exactly one signature.
	Envelope *Envelope
	// Blob is a signature over an artifact.
	Blob *BlobSignature
}

// BlobSignature is a signature over the bytes whose SHA-256 is Digest.
type BlobSignature struct {
	Digest    Digest
	Signature []byte
}

// The JSON form of the protocol buffers (protos/sigstore_bundle.proto) as its encoders write it.
type bundleJSON struct {
	MediaType            string                `json:"mediaType"`
	VerificationMaterial *materialJSON         `json:"verificationMaterial"`
	MessageSignature     *messageSignatureJSON `json:"messageSignature,omitempty"`
	DSSEEnvelope         *envelopeJSON         `json:"dsseEnvelope,omitempty"`
}

type materialJSON struct {
	PublicKey                 *publicKeyJSON    `json:"publicKey,omitempty"`
	Certificate               *certificateJSON  `json:"certificate,omitempty"`
	TlogEntries               []json.RawMessage `json:"tlogEntries,omitempty"`
	TimestampVerificationData *timestampsJSON   `json:"timestampVerificationData,omitempty"`
}

type publicKeyJSON struct {
	Hint string `json:"hint,omitempty"`
}

type certificateJSON struct {
	RawBytes bytes64 `json:"rawBytes"`
}

type timestampsJSON struct {
	RFC3161Timestamps []json.RawMessage `json:"rfc3161Timestamps,omitempty"`
}

type timestampJSON struct {
	SignedTimestamp bytes64 `json:"signedTimestamp"`
}

type messageSignatureJSON struct {
	MessageDigest *messageDigestJSON `json:"messageDigest"`
	Signature     bytes64            `json:"signature"`
}

type messageDigestJSON struct {
	Algorithm string  `json:"algorithm"`
	Digest    bytes64 `json:"digest"`
}

// SignStatement signs a statement alone, with the certificate of a signer that has the method Certificate; whoever else vouches for it makes a bundle of the same bytes.
func SignStatement(ctx context.Context, signer Signer, statement Statement) (Bundle, error) {
	payload, err := statement.Encode()
	if err != nil {
		return Bundle{}, err
	}
	// What the reader would refuse is not signed: a predicate may come from elsewhere.
	if _, err := ParseStatement(payload); err != nil {
		return Bundle{}, err
	}
	e := Envelope{PayloadType: PayloadType, Payload: payload}
	if err := e.Sign(ctx, signer); err != nil {
		return Bundle{}, err
	}
	b := newBundle(signer)
	b.Envelope = &e
	return b, nil
}

// SignBlob signs the bytes of an artifact.
func SignBlob(ctx context.Context, signer Signer, artifact []byte) (Bundle, error) {
	signature, err := sign(ctx, signer, artifact)
	if err != nil {
		return Bundle{}, err
	}
	b := newBundle(signer)
	b.Blob = &BlobSignature{DigestOf(artifact), signature}
	return b, nil
}

// newBundle says what verifies a signer's signatures: its certificate if it has one, else its key.
func newBundle(signer Signer) Bundle {
	if certified, ok := signer.(interface{ Certificate() *x509.Certificate }); ok && certified.Certificate() != nil {
		return Bundle{Certificate: certified.Certificate()}
	}
	return Bundle{Hint: signer.Key().Hint()}
}

// Signed is the digest of the bytes that are signed: of an artifact, or of an envelope's PAE.
func (b Bundle) Signed() Digest {
	if b.Envelope != nil {
		return DigestOf(PAE(b.Envelope.PayloadType, b.Envelope.Payload))
	}
	if b.Blob != nil {
		return b.Blob.Digest
	}
	return Digest{}
}

// Signature is the one signature, or nil.
func (b Bundle) Signature() []byte {
	switch {
	case b.Envelope != nil && len(b.Envelope.Signatures) == 1:
		return b.Envelope.Signatures[0].Bytes
	case b.Blob != nil:
		return b.Blob.Signature
	default:
		return nil
	}
}

// AddTimestamp adds the response of a timestamp authority over the signature.
func (b *Bundle) AddTimestamp(response []byte) error {
	t, err := ParseTimestamp(response)
	if err != nil {
		return err
	}
	if !t.Covers(b.Signature()) {
		return malformed(CodeTimestampSubject, "expected one of the signature, got one of something else")
	}
	raw, err := encode(timestampJSON{response})
	if err != nil {
		return err
	}
	b.Timestamps = append(b.Timestamps, raw)
	return nil
}

// AddLogEntry adds an entry of a transparency log about the signature by the key, which is that of the certificate if the bundle has one.
func (b *Bundle) AddLogEntry(entry []byte, key Key) error {
	e, err := parseLogEntry(entry)
	if err != nil {
		return err
	}
	body, err := e.body()
	if err != nil {
		return &FormError{CodeLogEntry, err}
	}
	if err := body.binds(*b, key); err != nil {
		return &FormError{CodeLogSubject, err}
	}
	// A log may answer with members that say nothing, such as null.
	raw, err := encode(e)
	if err != nil {
		return err
	}
	b.LogEntries = append(b.LogEntries, raw)
	return nil
}

// ParseBundle reads a bundle of at most [MaxBundle] bytes. Log entries and timestamps are objects, and not looked into. The error is
// a [*FormError].
func ParseBundle(data []byte) (Bundle, error) {
	if len(data) > MaxBundle {
		return Bundle{}, malformed(CodeBundle, "expected at most %d bytes, got %d", MaxBundle, len(data))
	}
	var wire bundleJSON
	if err := strictjson.Unmarshal(data, &wire); err != nil {
		return Bundle{}, &FormError{CodeBundle, err}
	}
	if wire.MediaType != BundleType {
		return Bundle{}, malformed(CodeBundle, "mediaType: expected %q, got %.80q", BundleType, wire.MediaType)
	}
	if wire.VerificationMaterial == nil {
		return Bundle{}, malformed(CodeBundle, "verificationMaterial: expected an object, got none")
	}
	var b Bundle
	if err := b.readMaterial(wire.VerificationMaterial); err != nil {
		return Bundle{}, err
	}
	switch {
	case wire.DSSEEnvelope != nil && wire.MessageSignature == nil:
		return b, b.readEnvelope(wire.DSSEEnvelope)
	case wire.MessageSignature != nil && wire.DSSEEnvelope == nil:
		return b, b.readBlob(wire.MessageSignature)
	default:
		return Bundle{}, malformed(CodeBundle, "expected either dsseEnvelope or messageSignature, got both or none")
	}
}

func (b *Bundle) readMaterial(m *materialJSON) error {
	switch {
	case m.PublicKey != nil && m.Certificate == nil:
		if len(m.PublicKey.Hint) > maxHint {
			return malformed(CodeBundle, "verificationMaterial.publicKey.hint: expected at most %d bytes, got %d", maxHint, len(m.PublicKey.Hint))
		}
		b.Hint = m.PublicKey.Hint
	case m.Certificate != nil && m.PublicKey == nil:
		if n := len(m.Certificate.RawBytes); n == 0 || n > maxCertificate {
			return malformed(CodeBundle, "verificationMaterial.certificate.rawBytes: expected 1 to %d bytes, got %d", maxCertificate, n)
		}
		certificate, err := x509.ParseCertificate(m.Certificate.RawBytes)
		if err != nil {
			return malformed(CodeCertificate, "verificationMaterial.certificate: expected X.509, got something else: %w", err)
		}
		b.Certificate = certificate
	default:
		return malformed(CodeBundle, "verificationMaterial: expected either publicKey or certificate, got both or none")
	}
	b.LogEntries = m.TlogEntries
	if m.TimestampVerificationData != nil {
		b.Timestamps = m.TimestampVerificationData.RFC3161Timestamps
	}
	for _, list := range []struct {
		name    string
		entries []json.RawMessage
		most    int
	}{{"tlogEntries", b.LogEntries, maxLogEntries}, {"timestampVerificationData.rfc3161Timestamps", b.Timestamps, maxTimestamps}} {
		if len(list.entries) > list.most {
			return malformed(CodeBundle, "verificationMaterial.%s: expected at most %d, got %d", list.name, list.most, len(list.entries))
		}
		for i, entry := range list.entries {
			if !bytes.HasPrefix(entry, []byte("{")) {
				return malformed(CodeBundle, "verificationMaterial.%s[%d]: expected an object, got something else", list.name, i)
			}
		}
	}
	return nil
}

func (b *Bundle) readEnvelope(w *envelopeJSON) error {
	e, err := w.envelope()
	if err != nil {
		return err
	}
	if len(e.Signatures) != 1 || e.Signatures[0].KeyID != "" {
		return malformed(CodeBundle, "dsseEnvelope.signatures: expected exactly one, without a keyid, as bundles v0.3 have it, got another form")
	}
	b.Envelope = &e
	return nil
}

func (b *Bundle) readBlob(w *messageSignatureJSON) error {
	if w.MessageDigest == nil || w.MessageDigest.Algorithm != hashAlgorithm {
		return malformed(CodeBundle, "messageSignature.messageDigest.algorithm: expected %s, got another one or none", hashAlgorithm)
	}
	if n := len(w.Signature); n == 0 || n > maxSignature {
		return malformed(CodeBundle, "messageSignature.signature: expected 1 to %d bytes, got %d", maxSignature, n)
	}
	blob := BlobSignature{Signature: w.Signature}
	if n := len(w.MessageDigest.Digest); n != len(blob.Digest) {
		return malformed(CodeBundle, "messageSignature.messageDigest.digest: expected %d bytes, got %d", len(blob.Digest), n)
	}
	copy(blob.Digest[:], w.MessageDigest.Digest)
	b.Blob = &blob
	return nil
}

// Encode returns the JSON form in one line.
func (b Bundle) Encode() ([]byte, error) {
	wire := bundleJSON{MediaType: BundleType, VerificationMaterial: &materialJSON{TlogEntries: b.LogEntries}}
	if b.Certificate != nil {
		wire.VerificationMaterial.Certificate = &certificateJSON{b.Certificate.Raw}
	} else {
		wire.VerificationMaterial.PublicKey = &publicKeyJSON{b.Hint}
	}
	if len(b.Timestamps) > 0 {
		wire.VerificationMaterial.TimestampVerificationData = &timestampsJSON{b.Timestamps}
	}
	if b.Envelope != nil {
		e := b.Envelope.wire()
		wire.DSSEEnvelope = &e
	}
	if b.Blob != nil {
		wire.MessageSignature = &messageSignatureJSON{&messageDigestJSON{hashAlgorithm, b.Blob.Digest[:]}, b.Blob.Signature}
	}
	data, err := encode(wire)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if _, err := ParseBundle(data); err != nil {
		return nil, err
	}
	return data, nil
}
