package registration

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// stubAppraiser finds a hub good that holds a key, or finds fault.
type stubAppraiser struct {
	key  string
	err  error
	seen *[]string
}

func (a stubAppraiser) AppraiseHub(_ context.Context, base string) (string, error) {
	*a.seen = append(*a.seen, base)
	return a.key, a.err
}

// TestReceiptIsOfTheAppraisedHub: who registers must be who was appraised.
func TestReceiptIsOfTheAppraisedHub(t *testing.T) {
	good := evidence.EncodeKey(key('h').Public().(ed25519.PublicKey))
	other := evidence.EncodeKey(key('x').Public().(ed25519.PublicKey))
	for name, c := range map[string]struct {
		appraised string
		spoil     func(*Receipt)
		want      error
	}{
		"good":                  {good, nil, nil},
		"another hub":           {other, nil, ErrReceipt},
		"key in receipt":        {good, func(r *Receipt) { r.HubPublicKey = other }, ErrReceipt},
		"self-made key":         {other, func(r *Receipt) { r.HubPublicKey = other }, ErrReceipt},
		"verified":              {good, func(r *Receipt) { r.Verified = true }, ErrReceipt},
		"simulated":             {good, func(r *Receipt) { r.Simulated = true }, ErrReceipt},
		"expiry":                {good, func(r *Receipt) { r.ExpiresAt = "2027-11-22T10:10:00Z" }, ErrReceipt},
		"time to live":          {good, func(r *Receipt) { r.TTLSeconds++ }, ErrReceipt},
		"signature":             {good, func(r *Receipt) { r.Signature = strings.Repeat("A", 86) }, ErrReceipt},
		"no signature":          {good, func(r *Receipt) { r.Signature = "" }, ErrReceipt},
		"expiry with odd bytes": {good, func(r *Receipt) { r.ExpiresAt = `"` }, ErrReceipt},
	} {
		var asked []string
		hub := func(t *testing.T) stubHub {
			accepted := accept(t, time.Minute, func(m Message) {
				if m.HubPublicKey != c.appraised {
					t.Errorf("%s: the registration names the hub %q, want %s", name, m.HubPublicKey, c.appraised)
				}
			})
			return func(r2 *http.Request, body []byte) (int, string) {
				status, text := accepted(r2, body)
				if status != 201 || c.spoil == nil {
					return status, text
				}
				var r Receipt
				if err := json.Unmarshal([]byte(text), &r); err != nil {
					t.Error(err)
				}
				c.spoil(&r)
				spoiled, err := json.Marshal(r)
				if err != nil {
					t.Error(err)
				}
				return status, string(spoiled)
			}
		}(t)
		client := client(t, stubAgent{key: key('k')}, hub, io.Discard)
		client.InsecureHub, client.Appraiser = false, stubAppraiser{key: c.appraised, seen: &asked}
		if _, err := client.Register(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
		if len(asked) != 1 || asked[0] != "https://hub-acme.example.com" {
			t.Errorf("%s: appraised %v", name, asked)
		}
	}
}

// TestReplayedReceiptIsRefused: a receipt for one registration is none for the next.
func TestReplayedReceiptIsRefused(t *testing.T) {
	var first string
	c := client(t, stubAgent{key: key('k')}, nil, io.Discard)
	accepted := accept(t, time.Minute, func(Message) {})
	c.HTTP.Transport = stubHub(func(r *http.Request, body []byte) (int, string) {
		status, text := accepted(r, body)
		if status == 201 && first == "" {
			first = text
		}
		if status == 201 {
			text = first
		}
		return status, text
	})
	if _, err := c.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Model = "another/model"
	if _, err := c.Register(t.Context()); !errors.Is(err, ErrReceipt) {
		t.Errorf("error %v, want ErrReceipt", err)
	}
}

// TestNothingIsSentToARefusedHub: the hub is judged before it hears anything, even a wish for a nonce.
func TestNothingIsSentToARefusedHub(t *testing.T) {
	no := errors.New("tcb.status: want UpToDate")
	var asked []string
	c := client(t, stubAgent{key: key('k')}, func(r *http.Request, _ []byte) (int, string) {
		t.Errorf("sent %s %s", r.Method, r.URL)
		return 500, ""
	}, io.Discard)
	c.Appraiser = stubAppraiser{err: no, seen: &asked}
	if _, err := c.Register(t.Context()); !errors.Is(err, no) {
		t.Errorf("error %v", err)
	}
}

// TestEvidenceIsKeptFromAnUnappraisedHub: without reference values an agent that can attest does not register.
func TestEvidenceIsKeptFromAnUnappraisedHub(t *testing.T) {
	c := client(t, stubAgent{key: key('k')}, func(r *http.Request, _ []byte) (int, string) {
		if r.Method != "GET" {
			t.Errorf("sent %s %s", r.Method, r.URL)
		}
		return 200, `{"nonce":"` + nonce + `","expires_at":"x"}`
	}, io.Discard)
	c.InsecureHub = false
	if _, err := c.Register(t.Context()); !errors.Is(err, ErrUnappraisedHub) {
		t.Errorf("error %v, want ErrUnappraisedHub", err)
	}
}

func TestExchange(t *testing.T) {
	k := key('k')
	public := evidence.EncodeKey(k.Public().(ed25519.PublicKey))
	x := Exchange{Challenge: strings.Repeat("ab", 32), Path: "/v1/chat/completions", Question: []byte("q"), Status: 200, Answer: []byte("a")}
	signature, err := x.Sign(k.Public().(ed25519.PublicKey), func(d []byte) []byte { return ed25519.Sign(k, d) })
	if err != nil {
		t.Fatal(err)
	}
	if err := x.Check(public, signature); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Exchange){
		"challenge": func(x *Exchange) { x.Challenge = strings.Repeat("cd", 32) },
		"path":      func(x *Exchange) { x.Path = "/" },
		"question":  func(x *Exchange) { x.Question = nil },
		"status":    func(x *Exchange) { x.Status = 500 },
		"answer":    func(x *Exchange) { x.Answer = []byte("b") },
		// Lengths count: moving a byte from question to answer is another exchange.
		"border": func(x *Exchange) { x.Question, x.Answer = nil, []byte("qa") },
	} {
		y := x
		spoil(&y)
		if err := y.Check(public, signature); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: error %v, want ErrAnswer", name, err)
		}
	}
	if err := x.Check(evidence.EncodeKey(key('x').Public().(ed25519.PublicKey)), signature); !errors.Is(err, ErrAnswer) {
		t.Errorf("another key: %v", err)
	}
	x.Challenge = "short"
	var claim *evidence.ClaimError
	if _, err := x.Sign(nil, nil); !errors.As(err, &claim) {
		t.Errorf("a challenge that is no nonce: %v", err)
	}
}
