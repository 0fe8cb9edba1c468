package provenance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

const (
	// PayloadType is that of in-toto statements (spec/v1/envelope.md of the attestation framework).
	PayloadType = "application/vnd.in-toto+json"

	// MaxEnvelope bounds an envelope as JSON, in bytes.
	MaxEnvelope = 32 << 20

	maxPayloadType = 256
	maxKeyID       = 256
	maxSignatures  = 64
	// maxSignature bounds one signature, in bytes; P-256 in DER has at most 72.
	maxSignature = 512
)

// Envelope is a DSSE envelope. Nothing in it can be believed before Verify; what has been verified is Payload, as bytes.
type Envelope struct {
	PayloadType string
	Payload     []byte
	Signatures  []Signature
}

// Signature is one of an envelope's. KeyID is what the signer calls its key; nobody signed it and nothing depends on it.
type Signature struct {
	KeyID string
	Bytes []byte
}

type envelopeJSON struct {
	Payload     bytes64         `json:"payload"`
	PayloadType string          `json:"payloadType"`
	Signatures  []signatureJSON `json:"signatures"`
}

type signatureJSON struct {
	Sig   bytes64 `json:"sig"`
	KeyID string  `json:"keyid,omitempty"`
}

// PAE is what is signed: the pre-authentication encoding of DSSE (protocol.md, "Signature Definition").
func PAE(payloadType string, payload []byte) []byte {
	out := make([]byte, 0, len(payload)+len(payloadType)+48)
	out = append(out, "DSSEv1 "...)
	out = strconv.AppendInt(out, int64(len(payloadType)), 10)
	out = append(out, ' ')
	out = append(out, payloadType...)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(payload)), 10)
	out = append(out, ' ')
	return append(out, payload...)
}

// ParseEnvelope reads the JSON form of at most [MaxEnvelope] bytes. The error is a [*FormError].
func ParseEnvelope(data []byte) (Envelope, error) {
	if len(data) > MaxEnvelope {
		return Envelope{}, malformed(CodeEnvelope, "expected at most %d bytes, got %d", MaxEnvelope, len(data))
	}
	var wire envelopeJSON
	if err := strictjson.Unmarshal(data, &wire); err != nil {
		return Envelope{}, &FormError{CodeEnvelope, err}
	}
	return wire.envelope()
}

func (w *envelopeJSON) envelope() (Envelope, error) {
	switch {
	case w.PayloadType == "" || len(w.PayloadType) > maxPayloadType:
		return Envelope{}, malformed(CodeEnvelope, "payloadType: expected 1 to %d bytes, got %d", maxPayloadType, len(w.PayloadType))
	case len(w.Payload) == 0:
		return Envelope{}, malformed(CodeEnvelope, "payload: expected bytes, got none")
	case len(w.Signatures) == 0 || len(w.Signatures) > maxSignatures:
		return Envelope{}, malformed(CodeEnvelope, "signatures: expected 1 to %d, got %d", maxSignatures, len(w.Signatures))
	}
	e := Envelope{PayloadType: w.PayloadType, Payload: w.Payload}
	for i, s := range w.Signatures {
		if len(s.Sig) == 0 || len(s.Sig) > maxSignature {
			return Envelope{}, malformed(CodeEnvelope, "signatures[%d].sig: expected 1 to %d bytes, got %d", i, maxSignature, len(s.Sig))
		}
		if len(s.KeyID) > maxKeyID {
			return Envelope{}, malformed(CodeEnvelope, "signatures[%d].keyid: expected at most %d bytes, got %d", i, maxKeyID, len(s.KeyID))
		}
		e.Signatures = append(e.Signatures, Signature{s.KeyID, s.Sig})
	}
	return e, nil
}

func (e Envelope) wire() envelopeJSON {
	w := envelopeJSON{Payload: e.Payload, PayloadType: e.PayloadType, Signatures: []signatureJSON{}}
	for _, s := range e.Signatures {
		w.Signatures = append(w.Signatures, signatureJSON{s.Bytes, s.KeyID})
	}
	return w
}

// MarshalJSON returns the form that ParseEnvelope reads.
func (e Envelope) MarshalJSON() ([]byte, error) { return json.Marshal(e.wire()) }

// Sign adds a signature.
func (e *Envelope) Sign(ctx context.Context, signer Signer) error {
	if len(e.Payload) == 0 || e.PayloadType == "" {
		return errors.New("sign an envelope: expected a payload with a type, got none")
	}
	if len(e.Signatures) == maxSignatures {
		return fmt.Errorf("sign an envelope: expected at most %d signatures, got one more", maxSignatures)
	}
	signature, err := sign(ctx, signer, PAE(e.PayloadType, e.Payload))
	if err != nil {
		return err
	}
	e.Signatures = append(e.Signatures, Signature{Bytes: signature})
	return nil
}

// Verify returns those of the keys that signed, each once and in the order given. A key given twice, under whatever name, is one key.
// Fewer than threshold signers are a [*Refusal]; a threshold that is below 1 or that the keys can not meet is a [*PolicyError].
func (e Envelope) Verify(keys []Key, threshold int) ([]Key, error) {
	distinct := make([]Key, 0, len(keys))
	for _, key := range keys {
		if key.IsZero() {
			return nil, &PolicyError{"expected keys, got an empty one"}
		}
		if !slices.ContainsFunc(distinct, func(k Key) bool { return k.der == key.der }) {
			distinct = append(distinct, key)
		}
	}
	if threshold < 1 || threshold > len(distinct) {
		return nil, &PolicyError{fmt.Sprintf("threshold: expected 1 to %d, the number of distinct keys, got %d", len(distinct), threshold)}
	}
	message := PAE(e.PayloadType, e.Payload)
	accepted := slices.DeleteFunc(distinct, func(k Key) bool {
		return !slices.ContainsFunc(e.Signatures, func(s Signature) bool { return k.Verify(message, s.Bytes) })
	})
	if len(accepted) < threshold {
		return nil, &Refusal{[]Reason{{CodeThreshold, -1, fmt.Sprintf("expected signatures of %d distinct keys, got %d", threshold, len(accepted))}}}
	}
	return accepted, nil
}
