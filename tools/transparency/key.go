package transparency

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

// Signature types of c2sp.org/signed-note.
const (
	typeLog     = 0x01 // Ed25519 over the text
	typeWitness = 0x04 // Ed25519 over a time and the text (c2sp.org/tlog-cosignature)
)

// maxKeyName bounds the name of a key and the origin of a log, in bytes.
const maxKeyName = 255

// verifierKey is a key of a log or a witness.
type verifierKey struct {
	name   string
	hash   uint32
	kind   byte
	public ed25519.PublicKey
}

// validKeyName is the rule of c2sp.org/signed-note, with a bound, and without what a terminal could take for a command.
func validKeyName(name string) error {
	bad := func(r rune) bool { return unicode.IsSpace(r) || r == '+' || !unicode.IsPrint(r) }
	if name == "" || len(name) > maxKeyName || !utf8.ValidString(name) || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("expected 1 to %d bytes of printable text without spaces and plus signs, such as example.com/log, got %.80q", maxKeyName, name)
	}
	return nil
}

func keyHash(name string, kind byte, public ed25519.PublicKey) uint32 {
	sum := sha256.Sum256(append(append([]byte(name+"\n"), kind), public...))
	return binary.BigEndian.Uint32(sum[:])
}

// parseKey reads a verifier key: name, "+", key ID in hex, "+", type and public key in base64 (c2sp.org/signed-note, "Verifier keys").
func parseKey(text string, kind byte) (*verifierKey, error) {
	name, rest, _ := strings.Cut(text, "+")
	id, material, ok := strings.Cut(rest, "+")
	if !ok {
		return nil, errors.New("expected NAME+ID+KEY, got another form")
	}
	if err := validKeyName(name); err != nil {
		return nil, fmt.Errorf("name: %w", err)
	}
	key, err := decode64(material)
	if err != nil {
		return nil, err
	}
	if len(key) != 1+ed25519.PublicKeySize || key[0] != kind {
		return nil, fmt.Errorf("expected a key of type %d with %d bytes, got another", kind, ed25519.PublicKeySize)
	}
	k := newVerifierKey(name, kind, key[1:])
	if want := fmt.Sprintf("%08x", k.hash); id != want {
		return nil, fmt.Errorf("expected the key ID %s, got %.20q", want, id)
	}
	return k, nil
}

func newVerifierKey(name string, kind byte, public ed25519.PublicKey) *verifierKey {
	return &verifierKey{name, keyHash(name, kind, public), kind, public}
}

func (k *verifierKey) String() string {
	return fmt.Sprintf("%s+%08x+%s", k.name, k.hash, base64.StdEncoding.EncodeToString(append([]byte{k.kind}, k.public...)))
}

// Name, KeyHash and Verify make a note.Verifier.
func (k *verifierKey) Name() string    { return k.name }
func (k *verifierKey) KeyHash() uint32 { return k.hash }

func (k *verifierKey) Verify(text, signature []byte) bool {
	if k.kind == typeLog {
		return ed25519.Verify(k.public, text, signature)
	}
	at, signature, ok := splitCosignature(signature)
	return ok && ed25519.Verify(k.public, cosigned(at, text), signature)
}

// splitCosignature reads a timestamped_signature: the time in seconds since 1970, 8 bytes in big endian, and the signature.
func splitCosignature(data []byte) (at uint64, signature []byte, ok bool) {
	if len(data) != 8+ed25519.SignatureSize {
		return 0, nil, false
	}
	at = binary.BigEndian.Uint64(data)
	// A time of 0 says nothing about when, which is for subtrees only; the upper bound is the specification's.
	return at, data[8:], at > 0 && at <= 1<<63-1
}

// cosigned is what a witness signs (c2sp.org/tlog-cosignature, "Ed25519 signed message").
func cosigned(at uint64, text []byte) []byte {
	return append([]byte("cosignature/v1\ntime "+strconv.FormatUint(at, 10)+"\n"), text...)
}

// Signer signs checkpoints for a log, or cosigns them for a witness.
type Signer struct {
	key     *verifierKey
	private ed25519.PrivateKey
}

// NewLogSigner makes the signer of the log with an origin.
func NewLogSigner(origin string, private ed25519.PrivateKey) (*Signer, error) {
	return newSigner(origin, typeLog, private)
}

// NewWitnessSigner makes the signer of a witness.
func NewWitnessSigner(name string, private ed25519.PrivateKey) (*Signer, error) {
	return newSigner(name, typeWitness, private)
}

func newSigner(name string, kind byte, private ed25519.PrivateKey) (*Signer, error) {
	if err := validKeyName(name); err != nil {
		return nil, fmt.Errorf("name of the key: %w", err)
	}
	public, ok := private.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("private key: expected Ed25519, got another")
	}
	return &Signer{newVerifierKey(name, kind, public), private}, nil
}

// Name is the name of the key, and KeyHash its ID: what [note.Signer] asks for.
func (s *Signer) Name() string    { return s.key.name }
func (s *Signer) KeyHash() uint32 { return s.key.hash }

// Key is the verifier key in text.
func (s *Signer) Key() string { return s.key.String() }

// Sign signs the text of a checkpoint for a log.
func (s *Signer) Sign(text []byte) ([]byte, error) {
	if s.key.kind != typeLog {
		return nil, errors.New("expected the key of a log, got that of a witness")
	}
	return ed25519.Sign(s.private, text), nil
}

// Cosign returns a signature line, with its line end, that says that the witness saw the checkpoint at a time, as the largest of its log.
// That it is has to be checked before.
func (s *Signer) Cosign(checkpoint []byte, at time.Time) (string, error) {
	if s.key.kind != typeWitness {
		return "", errors.New("expected the key of a witness, got that of a log")
	}
	if at.Unix() <= 0 {
		return "", fmt.Errorf("expected a time after 1970, got %s", at.Format(time.RFC3339))
	}
	text, err := splitNote(checkpoint)
	if err != nil {
		return "", err
	}
	seconds := uint64(at.Unix())
	line := binary.BigEndian.AppendUint32(nil, s.key.hash)
	line = binary.BigEndian.AppendUint64(line, seconds)
	line = append(line, ed25519.Sign(s.private, cosigned(seconds, []byte(text)))...)
	return fmt.Sprintf("— %s %s\n", s.key.name, base64.StdEncoding.EncodeToString(line)), nil
}

// Format keeps the private key out of whatever is printed.
func (s *Signer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "signer "+s.Key()) }

var _ note.Signer = (*Signer)(nil)
