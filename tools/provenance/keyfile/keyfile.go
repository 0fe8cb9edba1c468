package keyfile

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

const (
	// pemType is what cosign writes; it reads the older one, too.
	pemType      = "ENCRYPTED SIGSTORE PRIVATE KEY"
	olderPEMType = "ENCRYPTED COSIGN PRIVATE KEY"

	// MaxFile bounds a key file, in bytes; one of P-256 has about 650.
	MaxFile = 16 << 10

	maxSalt   = 64
	nonceSize = 24
	// maxCiphertext bounds a PKCS #8 key with the 16 bytes that secretbox adds.
	maxCiphertext = 8 << 10
)

// ErrPassword: the password does not open the file. Which of the two is wrong can not be told.
var ErrPassword = errors.New("private key: expected the password that it was encrypted with, got another one, or the file was altered")

// Signer signs with a key from a file. Printing it shows the public key's fingerprint and no more.
type Signer struct {
	private *ecdsa.PrivateKey
	public  provenance.Key
}

// Generate makes a key.
func Generate() (*Signer, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return newSigner(private)
}

func newSigner(private *ecdsa.PrivateKey) (*Signer, error) {
	public, err := provenance.NewKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	return &Signer{private, public}, nil
}

// container is the JSON in the PEM, which is checked before scrypt is run with what it says.
type container struct {
	KDF struct {
		Name   string `json:"name"`
		Params struct {
			N int `json:"N"`
			R int `json:"r"`
			P int `json:"p"`
		} `json:"params"`
		Salt []byte `json:"salt"`
	} `json:"kdf"`
	Cipher struct {
		Name  string `json:"name"`
		Nonce []byte `json:"nonce"`
	} `json:"cipher"`
	Ciphertext []byte `json:"ciphertext"`
}

func (c *container) check() error {
	if c.KDF.Name != "scrypt" || c.Cipher.Name != "nacl/secretbox" {
		return fmt.Errorf("private key: expected scrypt and nacl/secretbox, got %.40q and %.40q", c.KDF.Name, c.Cipher.Name)
	}
	if p := c.KDF.Params; (p.N != 1<<15 && p.N != 1<<16 && p.N != 1<<17) || p.R != 8 || p.P != 1 {
		return fmt.Errorf("private key: expected scrypt with N 32768, 65536 or 131072, r 8 and p 1, got %d, %d and %d", p.N, p.R, p.P)
	}
	if n := len(c.KDF.Salt); n == 0 || n > maxSalt {
		return fmt.Errorf("private key: kdf.salt: expected 1 to %d bytes, got %d", maxSalt, n)
	}
	if n := len(c.Cipher.Nonce); n != nonceSize {
		return fmt.Errorf("private key: cipher.nonce: expected %d bytes, got %d", nonceSize, n)
	}
	if n := len(c.Ciphertext); n == 0 || n > maxCiphertext {
		return fmt.Errorf("private key: ciphertext: expected 1 to %d bytes, got %d", maxCiphertext, n)
	}
	return nil
}

// Sealed holds if text is an encrypted private key by its first line, and not, say, a public key.
func Sealed(text []byte) bool {
	block, _ := pem.Decode(text)
	return block != nil && (block.Type == pemType || block.Type == olderPEMType)
}

// unwrap returns the JSON in a file after it has been checked.
func unwrap(file []byte) ([]byte, error) {
	if len(file) > MaxFile {
		return nil, fmt.Errorf("private key: expected at most %d bytes, got %d", MaxFile, len(file))
	}
	block, rest := pem.Decode(file)
	if block == nil || !bytes.HasPrefix(bytes.TrimLeft(file, " \t\r\n"), []byte("-----BEGIN ")) {
		return nil, fmt.Errorf("private key: expected PEM of type %s, got something else", pemType)
	}
	if (block.Type != pemType && block.Type != olderPEMType) || len(block.Headers) > 0 {
		return nil, fmt.Errorf("private key: expected PEM of type %s without headers, got %.40q with %d", pemType, block.Type, len(block.Headers))
	}
	if n := len(bytes.TrimSpace(rest)); n > 0 {
		return nil, fmt.Errorf("private key: expected nothing behind the key, got %d bytes", n)
	}
	var c container
	if err := strictjson.Unmarshal(block.Bytes, &c); err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return block.Bytes, c.check()
}

// Open decrypts a file. A password that does not open it gives [ErrPassword].
func Open(file, password []byte) (*Signer, error) {
	sealed, err := unwrap(file)
	if err != nil {
		return nil, err
	}
	der, err := encrypted.Decrypt(sealed, password)
	if err != nil {
		return nil, ErrPassword
	}
	defer clear(der)
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		// What the parser says about a private key is nobody's business.
		return nil, errors.New("private key: expected PKCS #8 inside, got something else")
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("private key: expected ECDSA on P-256, got %T", parsed)
	}
	return newSigner(private)
}

// Seal encrypts the key with a password, which may not be empty.
func (s *Signer) Seal(password []byte) ([]byte, error) {
	if len(password) == 0 {
		return nil, errEmpty
	}
	der, err := x509.MarshalPKCS8PrivateKey(s.private)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	defer clear(der)
	sealed, err := encrypted.EncryptWithCustomKDFParameters(der, password, encrypted.OWASP)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: sealed}), nil
}

// Key is the public key.
func (s *Signer) Key() provenance.Key { return s.public }

// Sign signs the SHA-256 of message, as [provenance.Signer] asks.
func (s *Signer) Sign(_ context.Context, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	return ecdsa.SignASN1(rand.Reader, s.private, digest[:])
}

// Format keeps the private key out of whatever is printed.
func (s *Signer) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "signer "+s.public.Fingerprint().String())
}
