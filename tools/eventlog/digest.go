package eventlog

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
)

// Digest is a SHA-384 value: a measurement, or the content of a register.
type Digest [sha512.Size384]byte

// Sum returns the SHA-384 digest of the concatenated parts.
func Sum(parts ...[]byte) Digest {
	if len(parts) == 1 {
		return sha512.Sum384(parts[0])
	}
	h := sha512.New384()
	for _, p := range parts {
		h.Write(p)
	}
	var d Digest
	h.Sum(d[:0])
	return d
}

// ParseDigest reads 96 lower-case hexadecimal digits; anything else is an error.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if len(s) != hex.EncodedLen(len(d)) {
		return d, fmt.Errorf("SHA-384 digest: %d characters, want %d hexadecimal digits", len(s), hex.EncodedLen(len(d)))
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return d, fmt.Errorf("SHA-384 digest: %q at position %d, want a lower-case hexadecimal digit", c, i)
		}
	}
	_, err := hex.Decode(d[:], []byte(s))
	return d, err
}

// Extend returns the register content after d was extended into a register that held r: SHA-384(r || d).
func (r Digest) Extend(d Digest) Digest { return Sum(r[:], d[:]) }

// IsZero reports whether all 48 bytes are zero, the content of an RTMR that nothing was extended into.
func (r Digest) IsZero() bool { return r == Digest{} }

// String returns 96 lower-case hexadecimal digits.
func (r Digest) String() string { return hex.EncodeToString(r[:]) }

// MarshalText returns the form that [ParseDigest] reads.
func (r Digest) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is [ParseDigest].
func (r *Digest) UnmarshalText(text []byte) error {
	d, err := ParseDigest(string(text))
	if err != nil {
		return err
	}
	*r = d
	return nil
}
