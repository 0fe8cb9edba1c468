//go:build simtee

package simtee

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
)

// Seed is what all keys and serial numbers of a platform follow from.
type Seed [32]byte

// NewSeed is a random seed.
func NewSeed() Seed {
	var s Seed
	rand.Read(s[:])
	return s
}

// ParseSeed reads 64 lower-case hex digits.
func ParseSeed(text string) (Seed, error) {
	var s Seed
	data, err := hex.DecodeString(text)
	if err != nil || len(data) != len(s) || hex.EncodeToString(data) != text {
		return Seed{}, fmt.Errorf("seed: expected %d lower-case hex digits, got %.80q", 2*len(s), text)
	}
	return Seed(data), nil
}

func (s Seed) String() string { return hex.EncodeToString(s[:]) }

// Key names a P-256 key of a platform. Platforms of one seed have the same key under the same name, so one root vouches for
// platforms that differ in all else.
type Key string

// The keys that a platform has by itself; any other name gives another key.
const (
	KeyRoot        Key = "root"
	KeyPlatformCA  Key = "pck-platform-ca"
	KeyProcessorCA Key = "pck-processor-ca"
	KeyPCK         Key = "pck"
	KeyTCBSigning  Key = "tcb-signing"
	KeyAttestation Key = "attestation"
)

// bytes derives n bytes that only the purpose decides.
func (s Seed) bytes(purpose string, n int) []byte {
	out, err := hkdf.Key(sha256.New, s[:], []byte("boardroom simtee"), purpose, n)
	if err != nil {
		panic(err) // only for more than 255 hashes
	}
	return out
}

// Private returns a key. It is a signer whose signatures are the same each time.
func (s Seed) Private(k Key) *ecdsa.PrivateKey {
	for i := 0; ; i++ {
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), s.bytes(fmt.Sprintf("key %s %d", k, i), 32))
		if err == nil { // else not below the order of the group: one in 2^32
			return key
		}
	}
}

// Public returns a key as x ‖ y, 32 bytes each, big endian, as quotes carry it.
func (s Seed) Public(k Key) [64]byte { return rawPublic(&s.Private(k).PublicKey) }

func rawPublic(key *ecdsa.PublicKey) [64]byte {
	point, err := key.Bytes()
	if err != nil {
		panic(err) // only for keys that are not on their curve
	}
	return [64]byte(point[1:])
}

// signer signs as RFC 6979 says, whatever source of randomness is offered.
type signer struct{ key *ecdsa.PrivateKey }

func (s signer) Public() crypto.PublicKey { return s.key.Public() }

func (s signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(nil, digest, opts)
}

// Sign signs the SHA-256 of a message. The signature is r ‖ s, 32 bytes each, big endian, as quotes and collateral carry it.
func (s Seed) Sign(k Key, message []byte) [64]byte { return rawSign(s.Private(k), message) }

func rawSign(key *ecdsa.PrivateKey, message []byte) (raw [64]byte) {
	digest := sha256.Sum256(message)
	der, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		panic(err) // only for digests of another length
	}
	var signature struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &signature); err != nil {
		panic(err)
	}
	signature.R.FillBytes(raw[:32])
	signature.S.FillBytes(raw[32:])
	return raw
}

// serial is a certificate's serial number: 20 bytes whose first is not zero and has its top bit clear.
func (s Seed) serial(of string) *big.Int {
	b := bytes.Clone(s.bytes("serial "+of, 20))
	b[0] = b[0]&0x3f | 0x40
	return new(big.Int).SetBytes(b)
}
