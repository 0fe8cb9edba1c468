package registration

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boardroom-tee/boardroom/tools/dstack/guestagent"
	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// stubAgent is an agent with a fixed key whose quotes are bytes of no meaning.
type stubAgent struct {
	key ed25519.PrivateKey
	err error // of Attest
}

func (a stubAgent) Claims(nonce string) (evidence.Claims, error) {
	return evidence.NewClaims("finance-acme", "finance", a.key.Public().(ed25519.PublicKey), nonce, when)
}

func (a stubAgent) Attest(_ context.Context, nonce string) (evidence.Evidence, error) {
	if a.err != nil {
		return evidence.Evidence{}, a.err
	}
	claims, err := a.Claims(nonce)
	if err != nil {
		return evidence.Evidence{}, err
	}
	return evidence.New(claims, []byte{4, 0}, "[]", "")
}

func (a stubAgent) Sign(digest []byte) []byte { return ed25519.Sign(a.key, digest) }

// stubHub answers in memory, so that the loop runs under synctest's clock.
type stubHub func(r *http.Request, body []byte) (int, string)

func (h stubHub) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	status, text := h(r, body)
	if status == 0 {
		return nil, errors.New(text)
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
}

func client(t *testing.T, agent stubAgent, hub stubHub, log io.Writer) *Client {
	t.Helper()
	at, err := ParseEndpoint("https://hub-acme.example.com")
	if err != nil {
		t.Fatal(err)
	}
	return &Client{
		Hub: at, HTTP: &http.Client{Transport: hub}, Agent: agent, Model: "AdaptLLM/finance-LLM", Endpoints: endpoints,
		Shared: shared, Log: slog.New(slog.NewJSONHandler(log, nil)), InsecureHub: true,
	}
}

// receipt is what a hub with this key answers.
func receipt(t *testing.T, m Message, hub ed25519.PrivateKey, ttl time.Duration) string {
	t.Helper()
	r, err := Receipt{AgentID: m.Claims.AgentID, ExpiresAt: "2026-11-22T10:10:00Z", TTLSeconds: int(ttl.Seconds())}.
		Sign(m, hub.Public().(ed25519.PublicKey), func(d []byte) []byte { return ed25519.Sign(hub, d) })
	if err != nil {
		t.Error(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// accept is a hub that takes everything for ttl and hands each message to see.
func accept(t *testing.T, ttl time.Duration, see func(Message)) stubHub {
	return func(r *http.Request, body []byte) (int, string) {
		switch r.Method + " " + r.URL.String() {
		case "GET https://hub-acme.example.com/v1/nonce":
			return 200, `{"nonce":"` + nonce + `","expires_at":"2026-11-22T10:02:00Z"}`
		case "POST https://hub-acme.example.com/v1/agents":
			m, err := Parse(body)
			if err != nil {
				t.Error(err)
			}
			see(m)
			return 201, receipt(t, m, key('h'), ttl)
		}
		t.Errorf("asked %s %s", r.Method, r.URL)
		return 404, ""
	}
}

func TestRegister(t *testing.T) {
	var sent []Message
	c := client(t, stubAgent{key: key('k')}, accept(t, time.Minute, func(m Message) { sent = append(sent, m) }), io.Discard)
	receipt, err := c.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if receipt.AgentID != "finance-acme" || receipt.TTLSeconds != 60 || receipt.HubPublicKey != evidence.EncodeKey(key('h').Public().(ed25519.PublicKey)) {
		t.Errorf("receipt %+v", receipt)
	}
	if len(sent) != 1 {
		t.Fatalf("%d messages", len(sent))
	}
	m := sent[0]
	if err := errors.Join(m.CheckSignature(), m.CheckHMAC(shared)); err != nil {
		t.Error(err)
	}
	if m.Evidence == nil || m.Evidence.CheckBinding(nonce) != nil || m.Endpoints != endpoints {
		t.Errorf("message %+v", m)
	}
}

func TestRegisterWithoutGuestAgentSaysSo(t *testing.T) {
	var log bytes.Buffer
	var sent Message
	agent := stubAgent{key: key('k'), err: fmt.Errorf("%w: connect: no such file", guestagent.ErrNoSocket)}
	c := client(t, agent, accept(t, time.Minute, func(m Message) { sent = m }), &log)
	if _, err := c.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sent.Evidence != nil || sent.Reason != guestagent.ErrNoSocket.Error() || sent.CheckSignature() != nil {
		t.Errorf("message %+v", sent)
	}
	if !strings.Contains(log.String(), "no evidence") {
		t.Errorf("the log does not say so:\n%s", log.String())
	}
}

func TestRegisterFails(t *testing.T) {
	goodNonce := `{"nonce":"` + nonce + `","expires_at":"x"}`
	answer := func(status int, text string) stubHub {
		return func(r *http.Request, _ []byte) (int, string) {
			if r.Method == http.MethodGet {
				return 200, goodNonce
			}
			return status, text
		}
	}
	for name, c := range map[string]struct {
		agent stubAgent
		hub   stubHub
		want  string
	}{
		"hub away":         {stubAgent{}, func(*http.Request, []byte) (int, string) { return 0, "connection refused" }, "connection refused"},
		"hub refuses":      {stubAgent{}, answer(403, `{"error":{"message":"no verifier","type":"t","code":"refused"}}`), "no verifier"},
		"hub is no hub":    {stubAgent{}, answer(200, "<html>"), "status 200"},
		"nonce no nonce":   {stubAgent{}, func(*http.Request, []byte) (int, string) { return 200, `{"nonce":"","expires_at":""}` }, "nonce"},
		"unknown member":   {stubAgent{}, answer(201, `{"x":1}`), "x"},
		"another's":        {stubAgent{}, answer(201, `{"agent_id":"ceo-acme","verified":true,"simulated":false,"expires_at":"","ttl_seconds":600,"hub_public_key":"","signature":""}`), "receipt"},
		"unsigned":         {stubAgent{}, answer(201, `{"agent_id":"finance-acme","verified":true,"simulated":false,"expires_at":"","ttl_seconds":600,"hub_public_key":"","signature":""}`), ErrReceipt.Error()},
		"no time to live":  {stubAgent{}, answer(201, `{"agent_id":"finance-acme","verified":true,"expires_at":"","ttl_seconds":0}`), "receipt"},
		"endless answer":   {stubAgent{}, answer(201, strings.Repeat(" ", maxAnswer+1)), "exceeds"},
		"quote fails":      {stubAgent{err: &guestagent.AgentError{Method: "GetQuote", Status: 400, Message: "qgs"}}, answer(201, ""), "qgs"},
		"redirect ignored": {stubAgent{}, answer(307, ""), "status 307"},
	} {
		c.agent.key = key('k')
		_, err := client(t, c.agent, c.hub, io.Discard).Register(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestRunRenewsBeforeExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 10 * time.Minute
		var at []time.Time
		c := client(t, stubAgent{key: key('k')}, accept(t, ttl, func(Message) { at = append(at, time.Now()) }), io.Discard)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		c.Run(ctx)
		if len(at) < 12 || len(at) > 25 {
			t.Errorf("%d registrations in an hour, want one every 2.5 to 5 minutes", len(at))
		}
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < ttl/4 || gap > ttl/2 {
				t.Errorf("renewed after %v, want %v to %v", gap, ttl/4, ttl/2)
			}
		}
	})
}

func TestRunBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		var log bytes.Buffer
		c := client(t, stubAgent{key: key('k')}, func(*http.Request, []byte) (int, string) {
			at = append(at, time.Now())
			return 503, `{"error":{"message":"m","type":"t","code":"busy"}}`
		}, &log)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		c.Run(ctx)
		if len(at) < 12 {
			t.Fatalf("%d attempts", len(at))
		}
		want := firstPause
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < want/2 || gap > want {
				t.Errorf("pause %d was %v, want %v to %v", i, gap, want/2, want)
			}
			want = min(2*want, longestPause)
		}
		if want := `"error":"get a nonce: the hub refused: status 503, \"busy\": \"m\""`; !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%.600s", want, log.String())
		}
	})
}

func TestRegisterGivesUpOnASilentHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := client(t, stubAgent{key: key('k')}, nil, io.Discard)
		c.HTTP = &http.Client{Transport: silentHub{}}
		began := time.Now()
		if _, err := c.Register(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want a deadline", err)
		}
		if took := time.Since(began); took != attemptTimeout {
			t.Errorf("gave up after %v, want %v", took, attemptTimeout)
		}
	})
}

type silentHub struct{}

func (silentHub) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}
