package evidence

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"time"
)

// reportDataTag separates report data from every other digest; a change of the rule changes the tag.
const reportDataTag = "boardroom-attestation-v1"

// Bounds of a nonce, in bytes. 16 bytes make a guess or an accidental repeat hopeless; 64 is what REPORTDATA itself holds.
const (
	MinNonce = 16
	MaxNonce = 64
)

// Claims is the agent's data: what REPORTDATA commits to. The package comment gives the alphabet of each member.
type Claims struct {
	AgentID   string `json:"agent_id"`
	AgentType string `json:"agent_type"`
	PublicKey string `json:"public_key"`
	Nonce     string `json:"nonce"`
	Timestamp string `json:"timestamp"`
}

// ClaimError says which member of the claims is not of its form.
type ClaimError struct {
	Member string // JSON name
	Want   string
	Got    string
}

func (e *ClaimError) Error() string {
	return fmt.Sprintf("agent data: %s: want %s, got %s", e.Member, e.Want, shown(e.Got))
}

// NewClaims spells the claims of an agent that holds key, at the time now. It returns a [*ClaimError] for a value that
// has no valid spelling.
func NewClaims(id, kind string, key ed25519.PublicKey, nonce string, now time.Time) (Claims, error) {
	c := Claims{
		AgentID:   id,
		AgentType: kind,
		PublicKey: EncodeKey(key),
		Nonce:     nonce,
		Timestamp: now.UTC().Format(time.RFC3339),
	}
	return c, c.Validate()
}

// EncodeKey spells an Ed25519 public key as claims do.
func EncodeKey(key ed25519.PublicKey) string { return base64.RawURLEncoding.EncodeToString(key) }

// Validate returns a [*ClaimError] for the first member that is missing or not in its one accepted spelling.
func (c Claims) Validate() error {
	if err := CheckAgentID(c.AgentID); err != nil {
		return err
	}
	if err := CheckAgentType(c.AgentType); err != nil {
		return err
	}
	if err := CheckNonce(c.Nonce); err != nil {
		return err
	}
	if _, err := c.Key(); err != nil {
		return err
	}
	_, err := c.Time()
	return err
}

// CheckAgentID returns a [*ClaimError] unless s has the form of an agent id.
func CheckAgentID(s string) error {
	ok := len(s) <= 63 && consistsOf(s, func(c byte) bool { return isTagByte(c) || c == '.' || c == '_' })
	if !ok || !isLower(s[0]) && !isDigit(s[0]) {
		return &ClaimError{Member: "agent_id", Want: "1 to 63 of a-z 0-9 . _ - starting with a letter or digit", Got: s}
	}
	return nil
}

// CheckAgentType returns a [*ClaimError] unless s has the form of an agent type.
func CheckAgentType(s string) error {
	if len(s) > 32 || !consistsOf(s, isTagByte) || !isLower(s[0]) {
		return &ClaimError{Member: "agent_type", Want: "1 to 32 of a-z 0-9 - starting with a letter", Got: s}
	}
	return nil
}

// CheckNonce returns a [*ClaimError] unless s has the form of a nonce.
func CheckNonce(s string) error {
	if len(s) < 2*MinNonce || len(s) > 2*MaxNonce || len(s)%2 != 0 || !consistsOf(s, isHexByte) {
		return &ClaimError{
			Member: "nonce",
			Want:   fmt.Sprintf("%d to %d bytes as lower-case hex", MinNonce, MaxNonce),
			Got:    s,
		}
	}
	return nil
}

// Key returns the agent's public key, or a [*ClaimError].
func (c Claims) Key() (ed25519.PublicKey, error) {
	// Strict refuses set trailing bits; the comparison refuses the line breaks that Go's decoder skips.
	key, err := base64.RawURLEncoding.Strict().DecodeString(c.PublicKey)
	if err != nil || len(key) != ed25519.PublicKeySize || EncodeKey(key) != c.PublicKey {
		return nil, &ClaimError{
			Member: "public_key",
			Want:   "the 32 bytes of an Ed25519 public key in base64url without padding",
			Got:    c.PublicKey,
		}
	}
	return key, nil
}

// Time returns when the agent says it spoke, or a [*ClaimError].
func (c Claims) Time() (time.Time, error) {
	t, err := time.Parse(time.RFC3339, c.Timestamp)
	// Formatting back refuses fractions, zone offsets and everything else that time.Parse lets through.
	if err != nil || t.UTC().Format(time.RFC3339) != c.Timestamp {
		return time.Time{}, &ClaimError{
			Member: "timestamp",
			Want:   "RFC 3339 in UTC with whole seconds, such as 2006-01-02T15:04:05Z",
			Got:    c.Timestamp,
		}
	}
	return t.UTC(), nil
}

// Members returns the claims by JSON name, for [Digest].
func (c Claims) Members() map[string]string {
	return map[string]string{
		"agent_id":   c.AgentID,
		"agent_type": c.AgentType,
		"nonce":      c.Nonce,
		"public_key": c.PublicKey,
		"timestamp":  c.Timestamp,
	}
}

// ReportData returns the 64 bytes that a quote over these claims carries. The package comment defines them. The error is a
// [*ClaimError] when a member is missing or misspelled.
func ReportData(c Claims) ([64]byte, error) {
	if err := c.Validate(); err != nil {
		return [64]byte{}, err
	}
	return Digest(reportDataTag, c.Members())
}
