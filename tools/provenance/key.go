package provenance

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

const (
	publicKeyPEM = "PUBLIC KEY" // RFC 7468 section 13
	// maxKeyPEM bounds a public key's file, in bytes; one of P-256 has 178.
	maxKeyPEM = 4 << 10
)

// Fingerprint is the SHA-256 of a key's SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) in DER. Text is lower-case hex.
type Fingerprint [sha256.Size]byte

func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// MarshalText returns the text form.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// Key is a public key for ECDSA on P-256. The zero Key verifies nothing.
type Key struct {
	public *ecdsa.PublicKey
	der    string
}

// ParseKey reads a public key as PEM, which is what cosign.pub is.
func ParseKey(text []byte) (Key, error) {
	if len(text) > maxKeyPEM {
		return Key{}, fmt.Errorf("public key: expected at most %d bytes, got %d", maxKeyPEM, len(text))
	}
	block, rest := pem.Decode(text)
	switch {
	case block == nil || !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("-----BEGIN ")):
		return Key{}, fmt.Errorf("public key: expected PEM of type %s, got something else", publicKeyPEM)
	case block.Type != publicKeyPEM || len(block.Headers) > 0:
		return Key{}, fmt.Errorf("public key: expected PEM of type %s without headers, got %.40q with %d", publicKeyPEM, block.Type, len(block.Headers))
	case len(bytes.TrimSpace(rest)) > 0:
		return Key{}, fmt.Errorf("public key: expected nothing behind the key, got %d bytes", len(rest))
	}
	return parseSPKI(block.Bytes)
}

func parseSPKI(der []byte) (Key, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return Key{}, fmt.Errorf("public key: expected a SubjectPublicKeyInfo, got something else: %w", err)
	}
	key, err := NewKey(parsed)
	if err != nil {
		return Key{}, err
	}
	// A key that has two forms would have two fingerprints.
	if key.der != string(der) {
		return Key{}, errors.New("public key: expected a named curve, an uncompressed point and DER, got another form")
	}
	return key, nil
}

// NewKey takes the public key of a signer or of a certificate, which has to be an [*ecdsa.PublicKey] on P-256.
func NewKey(public any) (Key, error) {
	key, ok := public.(*ecdsa.PublicKey)
	if !ok || key == nil {
		return Key{}, fmt.Errorf("public key: expected ECDSA on P-256, got %T", public)
	}
	if key.Curve != elliptic.P256() {
		return Key{}, errors.New("public key: expected the curve P-256, got another one")
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Key{}, fmt.Errorf("public key: %w", err)
	}
	return Key{key, string(der)}, nil
}

// Fingerprint identifies the key.
func (k Key) Fingerprint() Fingerprint { return sha256.Sum256([]byte(k.der)) }

// Hint is how cosign calls the key in a bundle: its fingerprint in base64. It helps to find a key and proves nothing.
func (k Key) Hint() string {
	f := k.Fingerprint()
	return base64.StdEncoding.EncodeToString(f[:])
}

// PEM is the form that [ParseKey] reads.
func (k Key) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: publicKeyPEM, Bytes: []byte(k.der)})
}

// IsZero holds for a Key that nobody made.
func (k Key) IsZero() bool { return k.public == nil }

// Verify holds if signature, in ASN.1 DER (RFC 3279 section 2.2.3), is the key's over message.
func (k Key) Verify(message, signature []byte) bool {
	return k.verifies(sha256.Sum256(message), signature)
}

func (k Key) verifies(digest Digest, signature []byte) bool {
	return k.public != nil && ecdsa.VerifyASN1(k.public, digest[:], signature)
}

// Signer holds a private key, wherever that is.
type Signer interface {
	Key() Key
	// Sign signs the SHA-256 of message and returns ASN.1 DER.
	Sign(ctx context.Context, message []byte) ([]byte, error)
}

// sign asks a signer, and believes it only if its own key verifies what it made.
func sign(ctx context.Context, signer Signer, message []byte) ([]byte, error) {
	signature, err := signer.Sign(ctx, message)
	if err != nil {
		return nil, fmt.Errorf("sign with key %s: %w", signer.Key().Fingerprint(), err)
	}
	if !signer.Key().Verify(message, signature) {
		return nil, fmt.Errorf("sign with key %s: expected a signature that this key verifies, got another one", signer.Key().Fingerprint())
	}
	return signature, nil
}
