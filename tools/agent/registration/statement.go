package registration

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"

	"github.com/boardroom-tee/boardroom/tools/agent/secret"
	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// Tags keep what is signed here apart from report data and from each other.
const (
	statementTag = "boardroom-registration-v2"
	hmacTag      = "boardroom-registration-hmac-v1\x00"
)

var modelForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@+-]{0,127}$`)

// CheckModel returns an error unless s has the form of a model name, such as meta-llama/Llama-3.2-1B-Instruct.
func CheckModel(s string) error {
	if !modelForm.MatchString(s) {
		return fmt.Errorf("want 1 to 128 of A-Z a-z 0-9 . _ / : @ + - starting with a letter or digit, got %.100q", s)
	}
	return nil
}

// Endpoints is where an agent is reached.
type Endpoints struct {
	API         string `json:"api"`         // the OpenAI-compatible API
	Attestation string `json:"attestation"` // GET /attestation
}

// Statement is what the agent's key signs.
type Statement struct {
	Claims    evidence.Claims
	Model     string
	Endpoints Endpoints
	// HubPublicKey is the key, spelled as in claims, of the hub that the agent appraised and means; empty when it appraised none.
	HubPublicKey string
}

// Errors of a message that is well formed and not authentic.
var (
	ErrSignature = errors.New("the signature is not of the key in the agent data over these endpoints and claims")
	ErrHMAC      = errors.New("the HMAC is not that of the shared secret")
)

// Digest returns the 64 bytes that are signed, or an error when a member is not of its form.
func (s Statement) Digest() ([64]byte, error) {
	if err := s.Claims.Validate(); err != nil {
		return [64]byte{}, err
	}
	if err := CheckModel(s.Model); err != nil {
		return [64]byte{}, fmt.Errorf("model: %w", err)
	}
	if _, err := ParseEndpoint(s.Endpoints.API); err != nil {
		return [64]byte{}, fmt.Errorf("endpoints.api: %w", err)
	}
	if _, err := ParseEndpoint(s.Endpoints.Attestation); err != nil {
		return [64]byte{}, fmt.Errorf("endpoints.attestation: %w", err)
	}
	if s.HubPublicKey != "" {
		if _, err := (evidence.Claims{PublicKey: s.HubPublicKey}).Key(); err != nil {
			return [64]byte{}, fmt.Errorf("hub_public_key: %w", err)
		}
	}
	members := s.Claims.Members()
	members["model"] = s.Model
	members["api_url"] = s.Endpoints.API
	members["attestation_url"] = s.Endpoints.Attestation
	if s.HubPublicKey != "" {
		members["hub_public_key"] = s.HubPublicKey
	}
	return evidence.Digest(statementTag, members)
}

// checkSignature returns [ErrSignature] unless the key in the claims signed the digest.
func (s Statement) checkSignature(digest [64]byte, signature []byte) error {
	key, err := s.Claims.Key()
	if err != nil {
		return err
	}
	if !ed25519.Verify(key, digest[:], signature) {
		return ErrSignature
	}
	return nil
}

// authenticator returns the HMAC of a digest under the shared secret.
func authenticator(shared secret.Text, digest [64]byte) []byte {
	mac := hmac.New(sha256.New, []byte(shared.Reveal()))
	mac.Write([]byte(hmacTag))
	mac.Write(digest[:])
	return mac.Sum(nil)
}
