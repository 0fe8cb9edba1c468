package notekey

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

const (
	pemType = "ENCRYPTED BOARDROOM NOTE KEY"
	// MaxFile bounds a key file, in bytes; one has about 600.
	MaxFile = 16 << 10

	prefix = "PRIVATE+KEY+"
	// Signature types of c2sp.org/signed-note.
	typeLog     = 0x01
	typeWitness = 0x04
)

// Kind says what a key signs.
type Kind byte

// The kinds of keys.
const (
	Log     Kind = typeLog
	Witness Kind = typeWitness
)

func (k Kind) String() string {
	if k == Witness {
		return "witness"
	}
	return "log"
}

// Generate makes a key with a name and encrypts it with a password, which may not be empty.
func Generate(kind Kind, name string, password []byte) (signer *transparency.Signer, file []byte, err error) {
	if len(password) == 0 {
		return nil, nil, errors.New("password: expected one that is not empty, got an empty one")
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	defer clear(private)
	if signer, err = newSigner(kind, name, private.Seed()); err != nil {
		return nil, nil, err
	}
	// The name and the ID are the first parts of the verifier key.
	parts := strings.Split(signer.Key(), "+")
	secret := []byte(prefix + parts[0] + "+" + parts[1] + "+" + base64.StdEncoding.EncodeToString(append([]byte{byte(kind)}, private.Seed()...)))
	defer clear(secret)
	sealed, err := encrypted.EncryptWithCustomKDFParameters(secret, password, encrypted.OWASP)
	if err != nil {
		return nil, nil, fmt.Errorf("private key: %w", err)
	}
	return signer, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: sealed}), nil
}

func newSigner(kind Kind, name string, seed []byte) (*transparency.Signer, error) {
	private := ed25519.NewKeyFromSeed(seed)
	if kind == Witness {
		return transparency.NewWitnessSigner(name, private)
	}
	return transparency.NewLogSigner(name, private)
}

// Open decrypts a file with a key of the kind that is expected. A password that does not open it gives [keyfile.ErrPassword].
func Open(kind Kind, file, password []byte) (*transparency.Signer, error) {
	if len(file) > MaxFile {
		return nil, fmt.Errorf("private key: expected at most %d bytes, got more", MaxFile)
	}
	block, rest := pem.Decode(file)
	if block == nil || block.Type != pemType || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("private key: expected PEM of type %s and nothing else, got something else", pemType)
	}
	secret, err := encrypted.Decrypt(block.Bytes, password)
	if err != nil {
		return nil, keyfile.ErrPassword
	}
	defer clear(secret)
	// What is wrong with a private key is nobody's business.
	malformed := errors.New("private key: expected the key of a log or a witness inside, got something else")
	parts := strings.Split(strings.TrimPrefix(string(secret), prefix), "+")
	if len(parts) < 3 {
		return nil, malformed
	}
	// Base64 may have plus signs, and a name has none.
	key, err := base64.StdEncoding.Strict().DecodeString(strings.Join(parts[2:], "+"))
	defer clear(key)
	if err != nil || len(key) != 1+ed25519.SeedSize {
		return nil, malformed
	}
	if got := Kind(key[0]); got != kind {
		return nil, fmt.Errorf("private key: expected the key of a %s, got another", kind)
	}
	signer, err := newSigner(kind, parts[0], key[1:])
	if err != nil || !strings.HasPrefix(signer.Key(), parts[0]+"+"+parts[1]+"+") {
		return nil, malformed
	}
	return signer, nil
}

// PublicFile is the file with the public key.
func PublicFile(signer *transparency.Signer) []byte { return []byte(signer.Key() + "\n") }

// ParsePublic reads a file with a public key, a verifier key in one line. What kind of key it is shows when it is used.
func ParsePublic(file []byte) (name, key string, err error) {
	line := strings.TrimSuffix(string(file), "\n")
	name, rest, found := strings.Cut(line, "+")
	if len(line) > 1024 || !found || strings.ContainsAny(rest, " \t\r\n") {
		return "", "", errors.New("public key: expected one line NAME+ID+KEY, got something else")
	}
	return name, line, nil
}
