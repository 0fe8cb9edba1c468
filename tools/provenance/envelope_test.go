package provenance_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

// The example of the specification (protocol.md, "Test Vectors").
func TestPAE(t *testing.T) {
	if got, want := string(provenance.PAE("http://example.com/HelloWorld", []byte("hello world"))), "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; got != want {
		t.Errorf("PAE is %q, want %q", got, want)
	}
}

// theirs is a key of ours for the other implementation.
type theirs struct {
	testSigner
	id string
}

func (k theirs) Verify(_ context.Context, data, sig []byte) error {
	if !k.key.Verify(data, sig) {
		return errors.New("no")
	}
	return nil
}
func (k theirs) KeyID() (string, error)   { return k.id, nil }
func (k theirs) Public() crypto.PublicKey { return &k.private.PublicKey }

func FuzzPAE(f *testing.F) {
	f.Add("", []byte{})
	f.Add("http://example.com/HelloWorld", []byte("hello world"))
	f.Add("\x00 ö", []byte{0, 1, ' '})
	f.Fuzz(func(t *testing.T, payloadType string, payload []byte) {
		if got, want := provenance.PAE(payloadType, payload), dsse.PAE(payloadType, payload); !bytes.Equal(got, want) {
			t.Errorf("PAE(%q, %q) is %q, theirs is %q", payloadType, payload, got, want)
		}
	})
}

// What we sign, go-securesystemslib verifies; what it signs, we verify; what is altered, neither does.
func TestEnvelopeAgainstSecureSystemsLib(t *testing.T) {
	one, two := signer(t, 1), signer(t, 2)
	verifier, err := dsse.NewMultiEnvelopeVerifier(2, theirs{one, "1"}, theirs{two, "2"})
	check(t, err)
	ours := provenance.Envelope{PayloadType: "text/plain; x=ö", Payload: []byte("<payload>\x00")}
	check(t, ours.Sign(t.Context(), one))
	check(t, ours.Sign(t.Context(), two))
	data, err := json.Marshal(ours)
	check(t, err)
	var other dsse.Envelope
	check(t, json.Unmarshal(data, &other))
	accepted, err := verifier.Verify(t.Context(), &other)
	if err != nil || len(accepted) != 2 {
		t.Errorf("theirs accepts %d signatures of ours: %v", len(accepted), err)
	}

	es, err := dsse.NewEnvelopeSigner(theirs{one, "1"}, theirs{two, "2"})
	check(t, err)
	made, err := es.SignPayload(t.Context(), "text/plain", []byte("payload"))
	check(t, err)
	data, err = json.Marshal(made)
	check(t, err)
	parsed, err := provenance.ParseEnvelope(data)
	check(t, err)
	keys, err := parsed.Verify([]provenance.Key{two.Key(), one.Key()}, 2)
	if err != nil || len(keys) != 2 || keys[0] != two.Key() || keys[1] != one.Key() {
		t.Errorf("ours accepts %d signatures of theirs: %v", len(keys), err)
	}

	for name, alter := range map[string]func(*dsse.Envelope){
		"payload":      func(e *dsse.Envelope) { e.Payload = "cGF5bG9hZAo=" },
		"payload type": func(e *dsse.Envelope) { e.PayloadType = "text/html" },
		"signature":    func(e *dsse.Envelope) { e.Signatures[0].Sig = e.Signatures[1].Sig },
		"one missing":  func(e *dsse.Envelope) { e.Signatures = e.Signatures[:1] },
	} {
		t.Run(name, func(t *testing.T) {
			altered := *made
			altered.Signatures = append([]dsse.Signature(nil), made.Signatures...)
			alter(&altered)
			_, theirErr := verifier.Verify(t.Context(), &altered)
			data, err := json.Marshal(altered)
			check(t, err)
			parsed, err := provenance.ParseEnvelope(data)
			check(t, err)
			_, ourErr := parsed.Verify([]provenance.Key{one.Key(), two.Key()}, 2)
			if refusal := new(provenance.Refusal); !errors.As(ourErr, &refusal) || refusal.Code() != provenance.CodeThreshold || theirErr == nil {
				t.Errorf("ours says %v, theirs %v; want that both refuse", ourErr, theirErr)
			}
		})
	}
}

func TestEnvelopeThreshold(t *testing.T) {
	one, two, three := signer(t, 1), signer(t, 2), signer(t, 3)
	e := provenance.Envelope{PayloadType: "text/plain", Payload: []byte("x")}
	for _, s := range []testSigner{one, one, two} {
		check(t, e.Sign(t.Context(), s))
	}
	e.Signatures[0].KeyID, e.Signatures[1].KeyID = "1", "another name"
	tests := []struct {
		name      string
		keys      []provenance.Key
		threshold int
		accepted  int
		policy    bool
	}{
		{"one of one", []provenance.Key{one.Key()}, 1, 1, false},
		{"two of three", []provenance.Key{three.Key(), one.Key(), two.Key()}, 2, 2, false},
		{"one signer twice is one", []provenance.Key{one.Key(), three.Key()}, 2, 0, false},
		{"a stranger", []provenance.Key{three.Key()}, 1, 0, false},
		{"one key given twice is one", []provenance.Key{one.Key(), one.Key()}, 2, 0, true},
		{"threshold 0", []provenance.Key{one.Key()}, 0, 0, true},
		{"threshold below 0", []provenance.Key{one.Key()}, -1, 0, true},
		{"threshold that can not be met", []provenance.Key{one.Key(), two.Key()}, 3, 0, true},
		{"no keys", nil, 1, 0, true},
		{"an empty key", []provenance.Key{{}}, 1, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			accepted, err := e.Verify(tt.keys, tt.threshold)
			var refusal *provenance.Refusal
			var unusable *provenance.PolicyError
			switch {
			case tt.accepted > 0:
				if err != nil || len(accepted) != tt.accepted {
					t.Errorf("accepted %d: %v, want %d", len(accepted), err, tt.accepted)
				}
			case tt.policy != errors.As(err, &unusable), tt.policy == errors.As(err, &refusal), accepted != nil:
				t.Errorf("got %v, %v; want an error of the policy: %v", accepted, err, tt.policy)
			}
		})
	}
}

func TestSignBelievesNoSigner(t *testing.T) {
	e := provenance.Envelope{PayloadType: "text/plain", Payload: []byte("x")}
	if err := e.Sign(t.Context(), liar{signer(t, 1), signer(t, 2).Key(), nil}); err == nil || len(e.Signatures) != 0 {
		t.Errorf("a signature that the key does not verify: %v, %d signatures", err, len(e.Signatures))
	}
	if err := e.Sign(t.Context(), liar{signer(t, 1), signer(t, 1).Key(), errSigner}); !errors.Is(err, errSigner) {
		t.Errorf("a signer that can not sign: %v", err)
	}
	if err := new(provenance.Envelope).Sign(t.Context(), signer(t, 1)); err == nil {
		t.Error("an empty envelope was signed")
	}
}

const goodEnvelope = `{"payload":"eA==","payloadType":"text/plain","signatures":[{"sig":"eA==","keyid":"k"}]}`

func TestParseEnvelope(t *testing.T) {
	e, err := provenance.ParseEnvelope([]byte(goodEnvelope))
	if err != nil || e.PayloadType != "text/plain" || string(e.Payload) != "x" || len(e.Signatures) != 1 || e.Signatures[0].KeyID != "k" || string(e.Signatures[0].Bytes) != "x" {
		t.Fatalf("parsed %+v: %v", e, err)
	}
	tests := []struct{ name, old, new, want string }{
		{"unknown member", `{"payload"`, `{"x":1,"payload"`, `unknown member "x"`},
		{"member of another case", `"payloadType"`, `"payloadtype"`, `unknown member "payloadtype" (it is written "payloadType")`},
		{"payload twice", `{"payload"`, `{"payload":"eQ==","payload"`, `member "payload" stands twice`},
		{"no payload", `"payload":"eA==",`, ``, `payload: expected bytes, got none`},
		{"null payload", `"eA==","payloadType"`, `null,"payloadType"`, `payload: expected bytes, got none`},
		{"empty payload", `"eA==","payloadType"`, `"","payloadType"`, `payload: expected bytes, got none`},
		{"base64url", `"eA==","payloadType"`, `"_-8=","payloadType"`, `canonical base64`},
		{"no padding", `"eA==","payloadType"`, `"eA","payloadType"`, `canonical base64`},
		{"spare bits", `"eA==","payloadType"`, `"eB==","payloadType"`, `canonical base64`},
		{"line end in base64", `"eA==","payloadType"`, `"eA\n==","payloadType"`, `canonical base64`},
		{"no type", `"text/plain"`, `""`, `payloadType: expected 1 to 256 bytes, got 0`},
		{"long type", `text/plain`, strings.Repeat("x", 257), `payloadType: expected 1 to 256 bytes, got 257`},
		{"no signatures", `[{"sig":"eA==","keyid":"k"}]`, `[]`, `signatures: expected 1 to 64, got 0`},
		{"null signatures", `[{"sig":"eA==","keyid":"k"}]`, `null`, `signatures: expected 1 to 64, got 0`},
		{"many signatures", `[{"sig":"eA==","keyid":"k"}]`, `[` + strings.Repeat(`{"sig":"eA=="},`, 64) + `{"sig":"eA=="}]`, `signatures: expected 1 to 64, got 65`},
		{"no sig", `"sig":"eA==",`, ``, `signatures[0].sig: expected 1 to 512 bytes, got 0`},
		{"long sig", `"sig":"eA=="`, `"sig":"` + strings.Repeat("AAAA", 171) + `"`, `signatures[0].sig: expected 1 to 512 bytes, got 513`},
		{"long keyid", `"k"`, `"` + strings.Repeat("k", 257) + `"`, `signatures[0].keyid: expected at most 256 bytes, got 257`},
		{"unknown member of a signature", `"keyid":"k"`, `"cert":"k"`, `unknown member "cert"`},
		{"trailing data", `}]}`, `}]}{}`, `data after the JSON value`},
		{"an array", goodEnvelope, `[]`, `expected an object`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(goodEnvelope, tt.old, tt.new, 1)
			_, err := provenance.ParseEnvelope([]byte(text))
			var form *provenance.FormError
			if !errors.As(err, &form) || form.Code != provenance.CodeEnvelope || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q", text, err, tt.want)
			}
		})
	}
	if _, err := provenance.ParseEnvelope(make([]byte, provenance.MaxEnvelope+1)); err == nil || !strings.Contains(err.Error(), "expected at most") {
		t.Errorf("too large: %v", err)
	}
}

func FuzzParseEnvelope(f *testing.F) {
	f.Add([]byte(goodEnvelope))
	f.Add([]byte(`{"payload":"eA==","payloadType":"text/plain","signatures":[{"sig":"eA=="},{"sig":"eQ==","keyid":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := provenance.ParseEnvelope(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(e)
		check(t, err)
		second, err := provenance.ParseEnvelope(again)
		if err != nil || !bytes.Equal(second.Payload, e.Payload) || second.PayloadType != e.PayloadType || len(second.Signatures) != len(e.Signatures) {
			t.Errorf("%s was read as %+v, then as %+v: %v", data, e, second, err)
		}
	})
}
