package provenance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// maxCheckpoint bounds a checkpoint with the signatures of its witnesses, in bytes.
	maxCheckpoint = 64 << 10
	// noteKeyID is how many bytes of a key's identifier stand before a signature of a note.
	noteKeyID = 4
	// maxProof bounds an inclusion proof, in hashes; a tree has at most 2^63 leaves.
	maxProof = 64
)

// checkpoint is the head of a log's tree.
type checkpoint struct {
	size uint64
	root [sha256.Size]byte
}

// checkpoint reads a checkpoint (C2SP, tlog-checkpoint.md) and asks for the signature of the log among those that it has; others are those
// of witnesses.
func (l Log) checkpoint(note string) (c checkpoint, err error) {
	if len(note) > maxCheckpoint {
		return c, fmt.Errorf("expected at most %d bytes, got %d", maxCheckpoint, len(note))
	}
	text, signatures, ok := cutLast(note, "\n\n")
	if !ok || !strings.HasSuffix(signatures, "\n") {
		return c, errors.New("expected a signed note, got something else")
	}
	text += "\n"
	if !l.signed(text, signatures) {
		return c, errors.New("expected a signature by the log's key, got others or none")
	}
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) != 4 || lines[0] == "" {
		return c, errors.New("expected the log's name, a size and a hash, got something else")
	}
	if _, isRekor2 := l.Key.(ed25519.PublicKey); isRekor2 {
		if origin, err := l.origin(); err != nil || lines[0] != origin {
			return c, fmt.Errorf("expected one of %q, got one of %.80q", origin, lines[0])
		}
	}
	c.size, err = strconv.ParseUint(lines[1], 10, 63)
	if err != nil || strconv.FormatUint(c.size, 10) != lines[1] {
		return c, fmt.Errorf("expected the tree's size, got %.40q", lines[1])
	}
	var root bytes64
	if err := root.UnmarshalText([]byte(lines[2])); err != nil || len(root) != len(c.root) {
		return c, fmt.Errorf("expected the tree's hash as base64, got %.80q", lines[2])
	}
	copy(c.root[:], root)
	return c, nil
}

func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

// signed holds if one line of a note's signatures (C2SP, signed-note.md) is the log's over its text.
func (l Log) signed(text, signatures string) bool {
	id, err := l.ID()
	if err != nil {
		return false
	}
	for line := range strings.Lines(signatures) {
		rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "— ")
		name, encoded, spaced := strings.Cut(rest, " ")
		if !ok || !spaced {
			return false
		}
		decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil || len(decoded) <= noteKeyID || !bytes.Equal(decoded[:noteKeyID], id[:noteKeyID]) {
			continue
		}
		signature := decoded[noteKeyID:]
		switch key := l.Key.(type) {
		case ed25519.PublicKey:
			// The name is part of the identifier.
			if origin, err := l.origin(); err == nil && name == origin && ed25519.Verify(key, []byte(text), signature) {
				return true
			}
		case *ecdsa.PublicKey:
			if sum := sha256.Sum256([]byte(text)); ecdsa.VerifyASN1(key, sum[:], signature) {
				return true
			}
		}
	}
	return false
}

// includes verifies that the leaf with this content is number index of the tree (RFC 9162 section 2.1.3.2).
func (c checkpoint) includes(content []byte, index uint64, proof []bytes64) bool {
	if index >= c.size || len(proof) > maxProof {
		return false
	}
	node := sha256.Sum256(append([]byte{0}, content...))
	at, last := index, c.size-1
	for _, sibling := range proof {
		if last == 0 || len(sibling) != sha256.Size {
			return false
		}
		if at%2 == 1 || at == last {
			node = parent(sibling, node[:])
			for at%2 == 0 && at != 0 {
				at, last = at/2, last/2
			}
		} else {
			node = parent(node[:], sibling)
		}
		at, last = at/2, last/2
	}
	return last == 0 && node == c.root
}

func parent(left, right []byte) [sha256.Size]byte {
	return sha256.Sum256(append(append([]byte{1}, left...), right...))
}
