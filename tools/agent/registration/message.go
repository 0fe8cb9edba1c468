package registration

import (
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/boardroom-tee/boardroom/tools/agent/secret"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// MaxSize bounds a registration message, in bytes: evidence and a little more.
const MaxSize = evidence.MaxSize + 16<<10

// maxReason bounds the text that says why there is no evidence, in bytes.
const maxReason = 300

var reasonForm = regexp.MustCompile(fmt.Sprintf(`^[ -~]{1,%d}$`, maxReason))

// Message is a registration as it was sent. Of a parsed one nothing is proven: call [Message.CheckHMAC] and
// [Message.CheckSignature], check the nonce and the evidence, and have the evidence appraised.
type Message struct {
	Statement
	Evidence  *evidence.Evidence // nil when the agent has none; then Reason says why
	Reason    string
	signature []byte
	hmac      []byte // nil when none was sent
	digest    [64]byte
}

// FormError says that a message does not have the documented form.
type FormError struct{ Err error }

func (e *FormError) Error() string { return "registration: " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *FormError) Unwrap() error { return e.Err }

type message struct {
	Evidence   json.RawMessage `json:"evidence,omitempty"`
	Unattested *unattested     `json:"unattested,omitempty"`
	Model      string          `json:"model"`
	Endpoints  Endpoints       `json:"endpoints"`
	HubKey     string          `json:"hub_public_key,omitempty"`
	Signature  string          `json:"signature"`
	HMAC       string          `json:"hmac,omitempty"`
}

type unattested struct {
	AgentData evidence.Claims `json:"agent_data"`
	Reason    string          `json:"reason"`
}

// Compose makes a signed message. Evidence is nil when there is none, and then reason says why; otherwise the claims of the
// statement must be those of the evidence. sign is Ed25519 with the key in the claims. An unset shared secret makes a
// message without HMAC.
func Compose(s Statement, e *evidence.Evidence, reason string, sign func([]byte) []byte, shared secret.Text) (Message, error) {
	digest, err := s.Digest()
	if err != nil {
		return Message{}, &FormError{err}
	}
	if e != nil && e.Claims != s.Claims {
		return Message{}, &FormError{errors.New("the evidence has other claims than the statement")}
	}
	if (e == nil) != reasonForm.MatchString(reason) {
		return Message{}, &FormError{fmt.Errorf("want either evidence or a printable reason of at most %d bytes", maxReason)}
	}
	m := Message{Statement: s, Evidence: e, Reason: reason, digest: digest, signature: sign(digest[:])}
	if shared.IsSet() {
		m.hmac = authenticator(shared, digest)
	}
	// A key file that does not belong to the claims would otherwise show only at the hub.
	return m, m.CheckSignature()
}

// Parse reads a message strictly and checks its form, no more. Every error is a [*FormError].
func Parse(data []byte) (Message, error) {
	m, err := parse(data)
	if err != nil {
		return Message{}, &FormError{err}
	}
	return m, nil
}

func parse(data []byte) (Message, error) {
	if len(data) > MaxSize {
		return Message{}, fmt.Errorf("want at most %d bytes, got %d", MaxSize, len(data))
	}
	var wire message
	if err := strictjson.Unmarshal(data, &wire); err != nil {
		return Message{}, err
	}
	m := Message{Statement: Statement{Model: wire.Model, Endpoints: wire.Endpoints, HubPublicKey: wire.HubKey}}
	switch {
	case wire.Evidence != nil && wire.Unattested == nil:
		e, err := evidence.Parse(wire.Evidence)
		if err != nil {
			return Message{}, err
		}
		m.Evidence, m.Claims = &e, e.Claims
	case wire.Evidence == nil && wire.Unattested != nil:
		if !reasonForm.MatchString(wire.Unattested.Reason) {
			return Message{}, fmt.Errorf("unattested.reason: want 1 to %d printable ASCII characters", maxReason)
		}
		m.Reason, m.Claims = wire.Unattested.Reason, wire.Unattested.AgentData
	default:
		return Message{}, errors.New("want exactly one of evidence and unattested")
	}
	var err error
	if m.digest, err = m.Digest(); err != nil {
		return Message{}, err
	}
	m.signature, err = base64.RawURLEncoding.Strict().DecodeString(wire.Signature)
	if err != nil || len(m.signature) != ed25519.SignatureSize || base64.RawURLEncoding.EncodeToString(m.signature) != wire.Signature {
		return Message{}, errors.New("signature: want the 64 bytes of an Ed25519 signature in base64url without padding")
	}
	if wire.HMAC != "" {
		m.hmac, err = hex.DecodeString(wire.HMAC)
		if err != nil || len(m.hmac) != 32 || hex.EncodeToString(m.hmac) != wire.HMAC {
			return Message{}, errors.New("hmac: want 64 lower-case hex digits")
		}
	}
	return m, nil
}

// MarshalJSON writes the form that [Parse] reads.
func (m Message) MarshalJSON() ([]byte, error) {
	wire := message{
		Model:     m.Model,
		Endpoints: m.Endpoints,
		HubKey:    m.HubPublicKey,
		Signature: base64.RawURLEncoding.EncodeToString(m.signature),
		HMAC:      hex.EncodeToString(m.hmac),
	}
	if m.Evidence == nil {
		wire.Unattested = &unattested{AgentData: m.Claims, Reason: m.Reason}
		return json.Marshal(wire)
	}
	text, err := json.Marshal(m.Evidence)
	if err != nil {
		return nil, err
	}
	wire.Evidence = text
	return json.Marshal(wire)
}

// CheckSignature returns [ErrSignature] unless the key in the claims signed the endpoints, the hub that is meant and all claims.
func (m Message) CheckSignature() error { return m.checkSignature(m.digest, m.signature) }

// HasHMAC says whether the sender added an HMAC.
func (m Message) HasHMAC() bool { return m.hmac != nil }

// CheckHMAC returns [ErrHMAC] unless the message has the HMAC of this secret; the comparison takes the same time for every
// wrong one. An unset secret never matches.
func (m Message) CheckHMAC(shared secret.Text) error {
	if !shared.IsSet() || !hmac.Equal(m.hmac, authenticator(shared, m.digest)) {
		return ErrHMAC
	}
	return nil
}
