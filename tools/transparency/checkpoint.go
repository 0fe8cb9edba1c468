package transparency

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a SHA-256 of a Merkle tree; text is base64.
type Hash = tlog.Hash

const (
	// MaxCheckpoint bounds a checkpoint with its signatures, in bytes.
	MaxCheckpoint = 64 << 10
	// MaxWitnesses bounds the witnesses of a policy.
	MaxWitnesses = 32
	// MaxSize bounds the size of a tree.
	MaxSize = math.MaxInt64
)

// emptyRoot is the root of a tree without entries: the SHA-256 of nothing (RFC 6962 section 2.1).
var emptyRoot = Hash{
	0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
	0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
}

// Checkpoint is the head of a log: what the log was with Size entries.
type Checkpoint struct {
	Origin string `json:"origin"`
	Size   uint64 `json:"size"`
	Root   Hash   `json:"root"`
}

// Policy says which log is believed, and how many of which witnesses have to have seen what it shows.
type Policy struct {
	// Origin names the log, which is also the name of its key.
	Origin string `json:"origin"`
	// Key is the log's verifier key, Ed25519 (c2sp.org/signed-note, "Verifier keys").
	Key string `json:"key"`
	// Witnesses are those whose cosignatures count. A witness counts once, by its public key.
	Witnesses []Witness `json:"witnesses"`
	// WitnessThreshold is how many of them have to have cosigned.
	WitnessThreshold int `json:"witness_threshold"`
}

// Witness is a witness under the name that the policy gives it. Key is its verifier key for cosignatures/v1: type 4, Ed25519.
type Witness struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// Witnessed is a cosignature that counts.
type Witnessed struct {
	// Name is that of the policy.
	Name string `json:"name"`
	// At is when the witness says that it saw the checkpoint.
	At time.Time `json:"at"`
}

// compiled is a policy whose keys were read.
type compiled struct {
	Policy
	log       *verifierKey
	witnesses []*verifierKey
}

// Check checks that the policy can decide something. The error is a [*PolicyError].
func (p Policy) Check() error {
	_, err := p.compile()
	return err
}

func (p Policy) compile() (*compiled, error) {
	fail := func(format string, args ...any) (*compiled, error) {
		return nil, &PolicyError{fmt.Sprintf(format, args...)}
	}
	if err := validKeyName(p.Origin); err != nil {
		return fail("origin: %v", err)
	}
	log, err := parseKey(p.Key, typeLog)
	if err != nil {
		return fail("key: %v", err)
	}
	if log.name != p.Origin {
		return fail("key: expected the name %q, that of the origin, got %q", p.Origin, log.name)
	}
	if len(p.Witnesses) > MaxWitnesses {
		return fail("witnesses: expected at most %d, got %d", MaxWitnesses, len(p.Witnesses))
	}
	if p.WitnessThreshold < 0 || p.WitnessThreshold > len(p.Witnesses) {
		return fail("witness_threshold: expected 0 to %d, the number of witnesses, got %d", len(p.Witnesses), p.WitnessThreshold)
	}
	c := &compiled{Policy: p, log: log}
	names, keys := make(map[string]bool), map[string]string{string(log.public): "the log"}
	for i, w := range p.Witnesses {
		key, err := parseKey(w.Key, typeWitness)
		if err != nil {
			return fail("witnesses[%d].key: %v", i, err)
		}
		if w.Name == "" || len(w.Name) > maxKeyName || names[w.Name] {
			return fail("witnesses[%d].name: expected a name that no other witness has, got %.80q", i, w.Name)
		}
		if other := keys[string(key.public)]; other != "" {
			return fail("witnesses[%d].key: expected a public key of its own, got that of %s", i, other)
		}
		names[w.Name], keys[string(key.public)] = true, "the witness "+w.Name
		c.witnesses = append(c.witnesses, key)
	}
	return c, nil
}

// Verifier finds keys for note.Open.
func (c *compiled) Verifier(name string, hash uint32) (note.Verifier, error) {
	for _, key := range append([]*verifierKey{c.log}, c.witnesses...) {
		if key.name == name && key.hash == hash {
			return key, nil
		}
	}
	return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
}

// Open verifies a checkpoint of the policy's log, with the cosignatures that the policy asks for. Errors are a [*Refusal] or a
// [*PolicyError].
func (p Policy) Open(checkpoint []byte) (Checkpoint, []Witnessed, error) {
	c, err := p.compile()
	if err != nil {
		return Checkpoint{}, nil, err
	}
	return c.open(checkpoint)
}

func (c *compiled) open(checkpoint []byte) (Checkpoint, []Witnessed, error) {
	text, err := splitNote(checkpoint)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	head, err := parseText(text)
	if err != nil {
		return Checkpoint{}, nil, err
	}
	if head.Origin != c.Origin {
		return Checkpoint{}, nil, refuse(CodeOrigin, "checkpoint: origin: expected %s, got %.80q", c.Origin, head.Origin)
	}
	signed, err := note.Open(checkpoint, c)
	var (
		invalid    *note.InvalidSignatureError
		unverified *note.UnverifiedNoteError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Name == c.log.name && invalid.Hash == c.log.hash:
		return Checkpoint{}, nil, refuse(CodeSignature, "checkpoint: expected a signature of the log's key %s+%08x that verifies, got one that does not", c.log.name, c.log.hash)
	case errors.As(err, &invalid):
		return Checkpoint{}, nil, refuse(CodeWitness, "checkpoint: expected a cosignature of %s+%08x that verifies, got one that does not", invalid.Name, invalid.Hash)
	case errors.As(err, &unverified):
		return Checkpoint{}, nil, c.unsigned()
	case err != nil:
		return Checkpoint{}, nil, refuse(CodeCheckpoint, "checkpoint: expected a signed note, got %v", err)
	}
	ofLog, witnessed := false, []Witnessed(nil)
	for _, s := range signed.Sigs {
		if s.Name == c.log.name && s.Hash == c.log.hash {
			ofLog = true
		}
	}
	if !ofLog {
		return Checkpoint{}, nil, c.unsigned()
	}
	for i, key := range c.witnesses {
		for _, s := range signed.Sigs {
			if s.Name != key.name || s.Hash != key.hash {
				continue
			}
			// note.Open has decoded and verified it.
			raw, err := base64.StdEncoding.DecodeString(s.Base64)
			if err != nil || len(raw) < 12 {
				return Checkpoint{}, nil, refuse(CodeCheckpoint, "checkpoint: expected a cosignature in base64, got something else")
			}
			witnessed = append(witnessed, Witnessed{c.Witnesses[i].Name, time.Unix(int64(binary.BigEndian.Uint64(raw[4:])), 0).UTC()})
		}
	}
	if len(witnessed) < c.WitnessThreshold {
		return Checkpoint{}, nil, refuse(CodeWitness, "checkpoint: expected cosignatures of %d of the %d witnesses, got %d", c.WitnessThreshold, len(c.witnesses), len(witnessed))
	}
	return head, witnessed, nil
}

func (c *compiled) unsigned() *Refusal {
	return refuse(CodeKey, "checkpoint: expected a signature of the log's key %s+%08x, got only those of other keys", c.log.name, c.log.hash)
}

// splitNote returns the text of a note, with its line end. The error is a *Refusal.
func splitNote(data []byte) (text string, err error) {
	if len(data) > MaxCheckpoint {
		return "", refuse(CodeCheckpoint, "checkpoint: expected at most %d bytes, got %d", MaxCheckpoint, len(data))
	}
	whole := string(data)
	i := strings.LastIndex(whole, "\n\n")
	if i < 0 || !strings.HasPrefix(whole[i+2:], "— ") || !strings.HasSuffix(whole, "\n") {
		return "", refuse(CodeCheckpoint, "checkpoint: expected a text, an empty line and lines with signatures, got something else")
	}
	return whole[:i+1], nil
}

// parseText reads the text of a checkpoint (c2sp.org/tlog-checkpoint, "Note text"). Extension lines are left alone.
func parseText(text string) (Checkpoint, error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 3 {
		return Checkpoint{}, refuse(CodeCheckpoint, "checkpoint: expected lines with origin, size and root hash, got %d lines", len(lines))
	}
	for i, line := range lines {
		if line == "" {
			return Checkpoint{}, refuse(CodeCheckpoint, "checkpoint: line %d: expected text, got nothing", i+1)
		}
	}
	size, err := parseDecimal(lines[1])
	if err != nil {
		return Checkpoint{}, refuse(CodeCheckpoint, "checkpoint: tree size: %v", err)
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return Checkpoint{}, refuse(CodeCheckpoint, "checkpoint: root hash: %v", err)
	}
	if size == 0 && root != emptyRoot {
		return Checkpoint{}, refuse(CodeCheckpoint, "checkpoint: root hash: expected %s, that of a tree without entries, got %s", emptyRoot, root)
	}
	return Checkpoint{lines[0], size, root}, nil
}

// parseDecimal reads a number without leading zeroes, of at most MaxSize.
func parseDecimal(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || strconv.FormatUint(n, 10) != text {
		return 0, fmt.Errorf("expected a decimal number below 2^63 without leading zeroes, got %.40q", text)
	}
	return n, nil
}

// Text is what a log signs: the lines with origin, size and root hash.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + c.Root.String() + "\n"
}
