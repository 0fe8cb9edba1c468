package keys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/sha3"

	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
	"github.com/boardroom-tee/boardroom/tools/guest/secp256k1"
)

// Application is the keys of an application.
type Application struct {
	authority   *ecdsa.PrivateKey
	certificate *x509.Certificate
	k256        *secp256k1.PrivateKey
	k256Secret  []byte
}

// Validity of certificates where a request does not say: the defaults of rcgen, dstack's certificate library.
var (
	notBefore = time.Date(1975, 1, 1, 0, 0, 0, 0, time.UTC)
	notAfter  = time.Date(4096, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Generate makes the keys of an application with key provider none, new ones each time.
func Generate() (*Application, error) {
	seed := make([]byte, 32)
	rand.Read(seed)
	return fromSeed(seed)
}

func fromSeed(seed []byte) (*Application, error) {
	scalar, err := derive(seed, "app-key")
	if err != nil {
		return nil, err
	}
	a := &Application{}
	// Out of range is one seed of 2^32, which is refused, as dstack does.
	if a.authority, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar); err != nil {
		return nil, fmt.Errorf("application's P-256 key: %w", err)
	}
	if a.k256Secret, err = derive(seed, "app-k256-key"); err != nil {
		return nil, err
	}
	if a.k256, err = secp256k1.NewPrivateKey([32]byte(a.k256Secret)); err != nil {
		return nil, err
	}
	root := &x509.Certificate{
		Subject: pkix.Name{CommonName: "App Root Cert"}, SerialNumber: serial(), NotBefore: notBefore, NotAfter: notAfter,
		BasicConstraintsValid: true, IsCA: true, MaxPathLen: 1,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &a.authority.PublicKey, a.authority)
	if err != nil {
		return nil, fmt.Errorf("application's root certificate: %w", err)
	}
	a.certificate, err = x509.ParseCertificate(der)
	return a, err
}

// derive is HKDF-SHA256 with the salt "RATLS".
func derive(secret []byte, context string) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, []byte("RATLS"), context, 32)
}

// serial is a positive number of at most 16 bytes.
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] = b[0]&0x7f | 1
	return new(big.Int).SetBytes(b)
}

func keccak256(text string) (digest [32]byte) {
	h := sha3.NewLegacyKeccak256()
	h.Write([]byte(text))
	return [32]byte(h.Sum(nil))
}

// Key derives a key from its path, and signs for it. Nobody signs for the application's own key where there is no KMS.
func (a *Application) Key(r agentapi.KeyRequest) (agentapi.Key, error) {
	key, err := derive(a.k256Secret, r.Path)
	if err != nil {
		return agentapi.Key{}, err
	}
	var public []byte
	if r.Algorithm == "ed25519" {
		public = ed25519.NewKeyFromSeed(key)[ed25519.SeedSize:]
	} else {
		k256, err := secp256k1.NewPrivateKey([32]byte(key))
		if err != nil {
			return agentapi.Key{}, err
		}
		compressed := k256.PublicKey()
		public = compressed[:]
	}
	signed := a.k256.Sign(keccak256(r.Purpose + ":" + hex.EncodeToString(public)))
	return agentapi.Key{Key: key, Chain: [2][]byte{signed[:], {}}}, nil
}

// TLSKey makes a key and a certificate for it. The extensions may depend on the public key, given as DER SubjectPublicKeyInfo.
func (a *Application) TLSKey(r agentapi.TLSRequest, extensions func(publicKey []byte) ([]pkix.Extension, error)) (agentapi.TLSKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return agentapi.TLSKey{}, err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return agentapi.TLSKey{}, err
	}
	leaf := &x509.Certificate{
		Subject: pkix.Name{CommonName: r.Subject}, DNSNames: r.AltNames, NotBefore: r.NotBefore, NotAfter: r.NotAfter, SerialNumber: serial(),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if leaf.NotBefore.IsZero() {
		leaf.NotBefore = notBefore
	}
	if leaf.NotAfter.IsZero() {
		leaf.NotAfter = notAfter
	}
	if leaf.NotAfter.Before(leaf.NotBefore) {
		return agentapi.TLSKey{}, fmt.Errorf("not_after: expected %s, which is not_before, or later, got %s", leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339))
	}
	if leaf.ExtraExtensions, err = extensions(spki); err != nil {
		return agentapi.TLSKey{}, err
	}
	if r.ServerAuth {
		leaf.ExtKeyUsage = append(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if r.ClientAuth {
		leaf.ExtKeyUsage = append(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.certificate, &key.PublicKey, a.authority)
	if err != nil {
		return agentapi.TLSKey{}, fmt.Errorf("certificate: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return agentapi.TLSKey{}, err
	}
	return agentapi.TLSKey{
		Key:   encode("PRIVATE KEY", private),
		Chain: []string{encode("CERTIFICATE", der), encode("CERTIFICATE", a.certificate.Raw)},
	}, nil
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
