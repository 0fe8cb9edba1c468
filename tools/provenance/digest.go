package provenance

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Digest is the SHA-256 of an artifact. Text is "sha256:" and lower-case hex.
type Digest [sha256.Size]byte

const digestPrefix = "sha256:"

// ParseDigest reads the text form.
func ParseDigest(text string) (Digest, error) {
	hexadecimal, ok := strings.CutPrefix(text, digestPrefix)
	if !ok {
		return Digest{}, fmt.Errorf("digest: expected %s and 64 hexadecimal digits, got %.80q", digestPrefix, text)
	}
	return parseHex(hexadecimal)
}

func parseHex(text string) (d Digest, _ error) {
	if err := checkHex(text, len(d)); err != nil {
		return d, fmt.Errorf("digest: %w", err)
	}
	_, err := hex.Decode(d[:], []byte(text))
	return d, err
}

func (d Digest) String() string { return digestPrefix + d.hex() }

func (d Digest) hex() string { return hex.EncodeToString(d[:]) }

// MarshalText returns the text form.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the text form.
func (d *Digest) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDigest(string(text))
	return err
}

func checkHex(text string, size int) error {
	if len(text) != 2*size || strings.Trim(text, "0123456789abcdef") != "" {
		return fmt.Errorf("expected %d lower-case hexadecimal digits, got %.80q", 2*size, text)
	}
	return nil
}

// The algorithms of a [DigestSet] that are used here; names are those of the attestation framework (spec/v1/digest_set.md).
const (
	SHA256    = "sha256"
	GitCommit = "gitCommit"
	GitTree   = "gitTree"
	// DirHash is golang.org/x/mod/sumdb/dirhash.Hash1 in hex.
	DirHash = "dirHash"
)

// algorithms are those that are read, with their size in bytes. Git's are SHA-1, or SHA-256 in repositories of that kind.
var algorithms = map[string][]int{
	SHA256: {32}, "sha384": {48}, "sha512": {64}, GitCommit: {20, 32}, GitTree: {20, 32}, DirHash: {32},
}

// DigestSet has one or more digests of one artifact, by algorithm, in lower-case hex.
type DigestSet map[string]string

// Set is the set of one SHA-256.
func (d Digest) Set() DigestSet { return DigestSet{SHA256: d.hex()} }

func (s DigestSet) check() error {
	if len(s) == 0 {
		return errors.New("expected at least one digest, got none")
	}
	names := make([]string, 0, len(s))
	for name := range s {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		sizes := algorithms[name]
		if sizes == nil {
			return fmt.Errorf("expected a known algorithm, got %.40q", name)
		}
		if slices.ContainsFunc(sizes, func(size int) bool { return checkHex(s[name], size) == nil }) {
			continue
		}
		return fmt.Errorf("%s: %w", name, checkHex(s[name], sizes[0]))
	}
	return nil
}

// DigestOf is the digest of an artifact.
func DigestOf(artifact []byte) Digest { return sha256.Sum256(artifact) }
