package hub

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent"
	"github.com/boardroom-tee/boardroom/tools/agent/metrics"
	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/agent/secret"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// testHub is a hub with a clock and a network of its own.
type testHub struct {
	*Hub
	t     *testing.T
	site  *web.Site
	log   *bytes.Buffer
	set   *metrics.Set
	net   network
	clock time.Time
}

func newHub(t *testing.T, change func(*Options)) *testHub {
	t.Helper()
	h := &testHub{
		t: t, log: new(bytes.Buffer), set: new(metrics.Set), net: network{},
		clock: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
	}
	o := Options{
		Identity: hubIdentity(t),
		Client:   &http.Client{Transport: h.net},
		Now:      func() time.Time { return h.clock },
		Log:      slog.New(slog.NewJSONHandler(&lockedWriter{w: h.log}, nil)),
		Metrics:  h.set,
	}
	if change != nil {
		change(&o)
	}
	hub, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	h.Hub = hub
	h.site = web.NewSite("api", slog.New(slog.DiscardHandler), web.NewTraffic(h.set), hub.Routes()...)
	return h
}

// hubIdentity is the hub's, with the same key each time.
func hubIdentity(t *testing.T) agent.Identity {
	t.Helper()
	i, _, err := agent.NewIdentity(agent.Config{
		ID: "hub-acme", Type: agent.HubType, Seed: secret.New(strings.Repeat("h", ed25519.SeedSize)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func insecure(o *Options) { o.InsecureAcceptUnverified = true }

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// network is the agents' side by host name, in memory, so that tests run under synctest's clock and reach nothing else.
type network map[string]http.HandlerFunc

func (n network) RoundTrip(r *http.Request) (*http.Response, error) {
	handler := n[r.URL.Host]
	if handler == nil {
		return nil, &hostError{r.URL.Host}
	}
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		handler(w, r)
	}()
	select {
	case <-done:
		return w.Result(), nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

type hostError struct{ host string }

func (e *hostError) Error() string { return "no such host " + e.host }

// do sends a request to the hub and decodes its answer into v, if any.
func (h *testHub) do(method, path, body string, v any) int {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.site.ServeHTTP(w, r)
	if v != nil {
		if err := json.Unmarshal(w.Body.Bytes(), v); err != nil {
			h.t.Fatalf("%s %s: %d %q: %v", method, path, w.Code, w.Body, err)
		}
	}
	return w.Code
}

func (h *testHub) nonce() string {
	h.t.Helper()
	var a registration.NonceAnswer
	if status := h.do("GET", "/v1/nonce", "", &a); status != 200 {
		h.t.Fatalf("nonce: status %d", status)
	}
	return a.Nonce
}

// post sends a registration and returns the status and the error code, empty for a success.
func (h *testHub) post(m registration.Message) (int, string) {
	h.t.Helper()
	body, err := json.Marshal(m)
	if err != nil {
		h.t.Fatal(err)
	}
	return h.postBody(string(body))
}

func (h *testHub) postBody(body string) (int, string) {
	h.t.Helper()
	var e web.ErrorBody
	status := h.do("POST", "/v1/agents", body, &e)
	return status, e.Error.Code
}

func (h *testHub) listing() Listing {
	h.t.Helper()
	var l Listing
	if status := h.do("GET", "/v1/agents", "", &l); status != 200 {
		h.t.Fatalf("list: status %d", status)
	}
	return l
}

// simAgent is an agent as the hub sees it.
type simAgent struct {
	h      *testHub
	id     string
	kind   string
	key    ed25519.PrivateKey
	shared secret.Text
	// attest makes what GET /attestation answers; nil is good evidence.
	attest func(nonce string) (evidence.Evidence, error)
	// reply answers chat completions; nil echoes.
	reply http.HandlerFunc
	// hub is the key of the hub that the agent means; empty: it appraised none.
	hub string
	// change spoils what the agent signs of an exchange.
	change func(*registration.Exchange)
}

func (h *testHub) agent(id, kind string, seed byte) *simAgent {
	a := &simAgent{h: h, id: id, kind: kind, key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)), hub: evidence.EncodeKey(h.identity.Public)}
	h.net[a.host()] = a.serve
	return a
}

func (a *simAgent) host() string { return a.id + ".example.com" }

func (a *simAgent) endpoints() registration.Endpoints {
	return registration.Endpoints{API: "https://" + a.host(), Attestation: "https://" + a.host()}
}

func (a *simAgent) claims(nonce string) evidence.Claims {
	a.h.t.Helper()
	c, err := evidence.NewClaims(a.id, a.kind, a.key.Public().(ed25519.PublicKey), nonce, a.h.clock)
	if err != nil {
		a.h.t.Fatal(err)
	}
	return c
}

// evidence is around dstack's published v0.5.2 quote, whose report data is zero: only an appraiser that looks at nothing
// accepts it.
func (a *simAgent) evidence(nonce string) evidence.Evidence {
	a.h.t.Helper()
	e, err := evidence.New(a.claims(nonce), []byte{4, 0, 2, 0}, fixture(a.h.t, "eventlog.json"), "")
	if err != nil {
		a.h.t.Fatal(err)
	}
	return e
}

func fixture(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("../dstack/testdata/simulator-v0.5.2/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (a *simAgent) compose(c evidence.Claims, e *evidence.Evidence) registration.Message {
	a.h.t.Helper()
	reason := ""
	if e == nil {
		reason = "no dstack guest agent"
	}
	s := registration.Statement{Claims: c, Model: "model/" + a.kind, Endpoints: a.endpoints(), HubPublicKey: a.hub}
	m, err := registration.Compose(s, e, reason, func(d []byte) []byte { return ed25519.Sign(a.key, d) }, a.shared)
	if err != nil {
		a.h.t.Fatal(err)
	}
	return m
}

// message is a good registration with evidence.
func (a *simAgent) message() registration.Message {
	a.h.t.Helper()
	e := a.evidence(a.h.nonce())
	return a.compose(e.Claims, &e)
}

// bare is one without.
func (a *simAgent) bare() registration.Message {
	a.h.t.Helper()
	return a.compose(a.claims(a.h.nonce()), nil)
}

func (a *simAgent) register() {
	a.h.t.Helper()
	if status, code := a.h.post(a.message()); status != http.StatusCreated {
		a.h.t.Fatalf("%s: status %d %s", a.id, status, code)
	}
}

func (a *simAgent) serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/attestation":
		attest := a.attest
		if attest == nil {
			attest = func(nonce string) (evidence.Evidence, error) { return a.evidence(nonce), nil }
		}
		e, err := attest(r.URL.Query().Get("nonce"))
		if err != nil {
			web.Fail(w, http.StatusServiceUnavailable, "no_guest_agent", err.Error())
			return
		}
		web.JSON(w, http.StatusOK, e)
	case "/v1/chat/completions":
		question, err := io.ReadAll(r.Body)
		if err != nil {
			a.h.t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(question))
		held := httptest.NewRecorder()
		a.answer(held, r)
		x := registration.Exchange{
			Challenge: r.Header.Get(registration.ChallengeHeader), Path: r.URL.Path, Question: question, Status: held.Code, Answer: held.Body.Bytes(),
		}
		if a.change != nil {
			a.change(&x)
		}
		signature, err := x.Sign(a.key.Public().(ed25519.PublicKey), func(d []byte) []byte { return ed25519.Sign(a.key, d) })
		if err != nil {
			a.h.t.Error(err)
		}
		w.Header().Set(registration.SignatureHeader, signature)
		w.WriteHeader(held.Code)
		w.Write(held.Body.Bytes())
	default:
		a.h.t.Errorf("%s was asked for %s", a.id, r.URL)
	}
}

// answer is the agent's model.
func (a *simAgent) answer(w http.ResponseWriter, r *http.Request) {
	if a.reply != nil {
		a.reply(w, r)
		return
	}
	var q struct {
		Model    string
		Messages []struct{ Role, Content string }
		Stream   *bool
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Stream == nil || *q.Stream || len(q.Messages) == 0 {
		a.h.t.Errorf("%s was asked %+v, %v", a.id, q, err)
		return
	}
	last := q.Messages[len(q.Messages)-1]
	web.JSON(w, http.StatusOK, map[string]any{
		"id": "1", "object": "chat.completion",
		"choices": []any{map[string]any{"index": 0, "message": map[string]string{
			"role": "assistant", "content": a.id + " with " + q.Model + " heard " + last.Role + ": " + last.Content}}},
	})
}

// appraise is an Appraiser made of a function.
type appraise func(evidence.Evidence) (Appraisal, error)

func (f appraise) Appraise(_ context.Context, e evidence.Evidence) (Appraisal, error) { return f(e) }

func verifying(o *Options) {
	o.Appraiser = appraise(func(evidence.Evidence) (Appraisal, error) { return Appraisal{Verified: true}, nil })
}
