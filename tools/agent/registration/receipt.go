package registration

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// receiptTag keeps receipts apart from everything else that a hub's key signs.
const receiptTag = "boardroom-receipt-v1"

// ErrReceipt means that a receipt is not of the hub that the agent appraised, or not for the agent's message.
var ErrReceipt = errors.New("the receipt is not signed by the hub's key over this registration")

// Receipt is the hub's answer to an accepted POST /v1/agents.
type Receipt struct {
	AgentID      string `json:"agent_id"`
	Verified     bool   `json:"verified"`   // whether a verifier judged the evidence
	Simulated    bool   `json:"simulated"`  // and did so under a root that is not Intel's
	ExpiresAt    string `json:"expires_at"` // RFC 3339
	TTLSeconds   int    `json:"ttl_seconds"`
	HubPublicKey string `json:"hub_public_key"` // spelled as in claims
	Signature    string `json:"signature"`      // base64url without padding
}

// digest returns what the hub signs: the receipt, and the digest that the agent signed.
func (r Receipt) digest(m Message) ([64]byte, error) {
	return evidence.Digest(receiptTag, map[string]string{
		"agent_id":       r.AgentID,
		"expires_at":     r.ExpiresAt,
		"hub_public_key": r.HubPublicKey,
		"registration":   hex.EncodeToString(m.digest[:]),
		"simulated":      strconv.FormatBool(r.Simulated),
		"ttl_seconds":    strconv.Itoa(r.TTLSeconds),
		"verified":       strconv.FormatBool(r.Verified),
	})
}

// Sign completes a receipt for a message with the hub's key.
func (r Receipt) Sign(m Message, key ed25519.PublicKey, sign func([]byte) []byte) (Receipt, error) {
	r.HubPublicKey = evidence.EncodeKey(key)
	digest, err := r.digest(m)
	if err != nil {
		return Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	r.Signature = base64.RawURLEncoding.EncodeToString(sign(digest[:]))
	return r, nil
}

// check returns an error wrapping [ErrReceipt] unless the key in the receipt signed it for this message. A hub that was
// appraised has one key, and the receipt must name that: hub is its spelling, empty when no hub was appraised.
func (r Receipt) check(m Message, hub string) error {
	if hub != "" && r.HubPublicKey != hub {
		return fmt.Errorf("%w: want the key that the hub's evidence is bound to, %s, got %.60q", ErrReceipt, hub, r.HubPublicKey)
	}
	return verify(r.HubPublicKey, r.Signature, ErrReceipt, func() ([64]byte, error) { return r.digest(m) })
}

// verify checks a signature as documents here spell them; what is wrong with it wraps refusal.
func verify(publicKey, signature string, refusal error, digest func() ([64]byte, error)) error {
	key, err := evidence.Claims{PublicKey: publicKey}.Key()
	if err != nil {
		return fmt.Errorf("%w: %w", refusal, err)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	if err != nil || len(raw) != ed25519.SignatureSize || base64.RawURLEncoding.EncodeToString(raw) != signature {
		return fmt.Errorf("%w: want the 64 bytes of an Ed25519 signature in base64url without padding, got %.100q", refusal, signature)
	}
	d, err := digest()
	if err != nil {
		return fmt.Errorf("%w: %w", refusal, err)
	}
	if !ed25519.Verify(key, d[:], raw) {
		return refusal
	}
	return nil
}
