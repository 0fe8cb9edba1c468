package agent

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/agent/metrics"
	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	fresh "github.com/boardroom-tee/boardroom/tools/evidence/nonce"
)

// signedSite is an agent's API whose model answers with upstream.
func signedSite(t *testing.T, upstream http.HandlerFunc) (string, Identity) {
	t.Helper()
	server := httptest.NewServer(upstream)
	t.Cleanup(server.Close)
	identity, _, err := NewIdentity(Config{ID: "finance-acme", Type: "finance"})
	if err != nil {
		t.Fatal(err)
	}
	set := new(metrics.Set)
	model := NewModel(parseEndpoint(t, server.URL), DefaultModelLimits, silent, set)
	site := httptest.NewServer(web.NewSite("api", silent, web.NewTraffic(set), Signed(identity, model.Routes()...)...))
	t.Cleanup(site.Close)
	return site.URL, identity
}

// challenged asks with these challenges and returns the answer with its body.
func challenged(t *testing.T, site, question string, challenges ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, site+"/v1/chat/completions", strings.NewReader(question))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header[registration.ChallengeHeader] = challenges
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestSignedAnswer(t *testing.T) {
	for name, upstream := range map[string]http.HandlerFunc{
		"whole": func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) },
		"in pieces": func(w http.ResponseWriter, _ *http.Request) {
			for range 10 {
				io.WriteString(w, "piece ")
				http.NewResponseController(w).Flush()
			}
		},
		"error": func(w http.ResponseWriter, _ *http.Request) { web.Fail(w, 400, "bad", "no") },
	} {
		site, identity := signedSite(t, upstream)
		challenge, question := fresh.New(), `{"messages":[]}`
		response, body := challenged(t, site, question, challenge)
		x := registration.Exchange{
			Challenge: challenge, Path: "/v1/chat/completions", Question: []byte(question), Status: response.StatusCode, Answer: []byte(body),
		}
		if err := x.Check(evidence.EncodeKey(identity.Public), response.Header.Get(registration.SignatureHeader)); err != nil {
			t.Errorf("%s: %d %q: %v", name, response.StatusCode, body, err)
		}
	}
}

func TestUnchallengedAnswerIsNotSigned(t *testing.T) {
	site, _ := signedSite(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x") })
	response, body := challenged(t, site, "{}")
	if response.StatusCode != 200 || body != "x" || response.Header.Get(registration.SignatureHeader) != "" {
		t.Errorf("%d %q, signature %q", response.StatusCode, body, response.Header.Get(registration.SignatureHeader))
	}
}

func TestBadChallengeIsRefused(t *testing.T) {
	site, _ := signedSite(t, func(http.ResponseWriter, *http.Request) { t.Error("the model was asked") })
	for _, challenges := range [][]string{{""}, {"short"}, {strings.Repeat("AB", 32)}, {fresh.New(), fresh.New()}} {
		response, body := challenged(t, site, "{}", challenges...)
		if response.StatusCode != 400 || !strings.Contains(body, "bad_challenge") || response.Header.Get(registration.SignatureHeader) != "" {
			t.Errorf("%v: %d %s", challenges, response.StatusCode, body)
		}
	}
}

// TestCutAnswerIsNotSigned: half an answer must not come with a signature that makes it whole.
func TestCutAnswerIsNotSigned(t *testing.T) {
	site, _ := signedSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	if response, err := http.DefaultClient.Do(withChallenge(t, site)); err == nil {
		response.Body.Close()
		t.Errorf("answered %d", response.StatusCode)
	}
}

// TestHugeAnswerIsNotSigned: what was left out must not be signed away, even if the handler does not look at what came of its writes.
func TestHugeAnswerIsNotSigned(t *testing.T) {
	identity, _, err := NewIdentity(Config{ID: "finance-acme", Type: "finance"})
	if err != nil {
		t.Fatal(err)
	}
	route := Signed(identity, web.Route{Method: http.MethodPost, Path: "/", Handle: func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "begins well")
		w.Write(make([]byte, maxSigned))
	}})[0]
	w := httptest.NewRecorder()
	route.Handle(w, withChallenge(t, "http://finance-acme"))
	if w.Code != 502 || !strings.Contains(w.Body.String(), "answer_too_large") || w.Header().Get(registration.SignatureHeader) != "" {
		t.Errorf("%d %.200q", w.Code, w.Body)
	}
}

func withChallenge(t *testing.T, site string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, site+"/v1/chat/completions", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(registration.ChallengeHeader, fresh.New())
	return r
}
