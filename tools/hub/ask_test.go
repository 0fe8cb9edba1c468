package hub

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent/web"
)

func (h *testHub) put(question string) (int, Answers) {
	h.t.Helper()
	var a Answers
	return h.do("POST", "/v1/ask", question, &a), a
}

func TestAskOne(t *testing.T) {
	h := newHub(t, verifying)
	h.agent("finance-acme", "finance", 1).register()
	h.agent("sales-acme", "sales", 2).register()
	for name, question := range map[string]string{
		"question": `{"to":"finance","question":"how much?"}`,
		"messages": `{"to":"finance","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"how much?","name":"x"}]}`,
	} {
		status, got := h.put(question)
		want := Answers{To: "finance", Answers: []Answer{{AgentID: "finance-acme", Type: "finance", Verified: true, Status: StatusOK,
			Answer: "finance-acme with model/finance heard user: how much?"}}}
		if status != 200 || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %d %+v, want %+v", name, status, got, want)
		}
	}
}

func TestAskTakesTurns(t *testing.T) {
	h := newHub(t, insecure)
	for i, id := range []string{"finance.1", "finance.2", "finance.3"} {
		h.agent(id, "finance", byte(i)).register()
	}
	var order []string
	for range 3 * questionsAtOnce {
		_, got := h.put(`{"to":"finance","question":"q"}`)
		order = append(order, got.Answers[0].AgentID)
	}
	if got, want := strings.Join(order, " "), strings.TrimSpace(strings.Repeat("finance.1 finance.2 finance.3 ", questionsAtOnce)); got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
}

func TestAskNobody(t *testing.T) {
	h := newHub(t, insecure)
	var e web.ErrorBody
	if status := h.do("POST", "/v1/ask", `{"to":"all","question":"q"}`, &e); status != 503 || e.Error.Code != "no_agents" {
		t.Errorf("no agents: %d %+v", status, e)
	}
	a := h.agent("finance-acme", "finance", 1)
	a.register()
	if status := h.do("POST", "/v1/ask", `{"to":"sales","question":"q"}`, &e); status != 404 || e.Error.Code != "no_such_agent" {
		t.Errorf("no such agent: %d %+v", status, e)
	}
	delete(h.net, a.host())
	h.sweep(t.Context())
	if status := h.do("POST", "/v1/ask", `{"to":"finance","question":"q"}`, &e); status != 503 || e.Error.Code != "no_agents" {
		t.Errorf("only a failing agent: %d %+v", status, e)
	}
}

// TestAskAll asks one good agent, several that fail in their own ways and one that never answers. Nobody is left out.
func TestAskAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, insecure)
		h.Hub.now = time.Now
		h.clock = time.Now()
		for id, reply := range map[string]http.HandlerFunc{
			"a-good":     nil,
			"b-silent":   func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			"c-broken":   func(w http.ResponseWriter, _ *http.Request) { web.Fail(w, 503, "model_unset", "no model") },
			"d-garbage":  func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
			"e-endless":  func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, maxReply+1)) },
			"f-redirect": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) },
			"g-empty":    func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"choices":[]}`) },
			"h-slow": func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(time.Minute)
				io.WriteString(w, `{"choices":[{"message":{"content":"at last"}}]}`)
			},
			"i-twofold": func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, `{"choices":[{"message":{"content":"a","content":"b"}}]}`)
			},
		} {
			a := h.agent(id, id[:1], id[0])
			a.reply = reply
			a.register()
		}
		status, got := h.put(`{"to":"all","question":"q"}`)
		if status != 200 || got.To != "all" || len(got.Answers) != 9 {
			t.Fatalf("%d %+v", status, got)
		}
		for i, want := range []struct {
			id, status, text string
			elapsed          time.Duration
		}{
			{"a-good", StatusOK, "a-good with model/a heard user: q", 0},
			{"b-silent", StatusTimeout, "2m0s", callTimeout},
			{"c-broken", StatusError, "model_unset", 0},
			{"d-garbage", StatusError, "answer", 0},
			{"e-endless", StatusError, "exceeds", 0},
			{"f-redirect", StatusError, "302", 0},
			{"g-empty", StatusError, "choices", 0},
			{"h-slow", StatusOK, "at last", time.Minute},
			{"i-twofold", StatusError, "content", 0},
		} {
			a := got.Answers[i]
			text := a.Answer + a.Error
			if a.AgentID != want.id || a.Status != want.status || !strings.Contains(text, want.text) || a.Verified ||
				a.ElapsedMS != want.elapsed.Milliseconds() || (a.Answer == "") == (want.status == StatusOK) {
				t.Errorf("answer %+v, want %+v", a, want)
			}
		}
		if want := `boardroom_hub_answers_total{status="timeout"} 1`; !strings.Contains(string(h.set.Text()), want) {
			t.Errorf("the metrics lack %s", want)
		}
	})
}

func TestAskFailsWhenEverybodyFails(t *testing.T) {
	h := newHub(t, insecure)
	a := h.agent("finance-acme", "finance", 1)
	a.reply = func(w http.ResponseWriter, _ *http.Request) { web.Fail(w, 500, "broken", "m") }
	a.register()
	if status, got := h.put(`{"to":"finance","question":"q"}`); status != 502 || len(got.Answers) != 1 || got.Answers[0].Status != StatusError {
		t.Errorf("%d %+v, want 502 and the reason", status, got)
	}
}

func TestCallsAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, insecure)
		h.Hub.now = time.Now
		h.clock = time.Now()
		var now, most atomic.Int64
		for i := range 2 * callsAtOnce {
			a := h.agent(fmt.Sprintf("a%02d", i), "finance", byte(i))
			a.reply = func(w http.ResponseWriter, _ *http.Request) {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(time.Second)
				now.Add(-1)
				io.WriteString(w, `{"choices":[{"message":{"content":"x"}}]}`)
			}
			a.register()
		}
		status, got := h.put(`{"to":"all","question":"q"}`)
		for _, a := range got.Answers {
			if a.Status != StatusOK {
				t.Errorf("answer %+v", a)
			}
		}
		if status != 200 || most.Load() > callsAtOnce {
			t.Errorf("status %d, %d calls at once, want at most %d", status, most.Load(), callsAtOnce)
		}
	})
}

func TestAskerLeaves(t *testing.T) {
	h := newHub(t, insecure)
	ctx, leave := context.WithCancel(t.Context())
	canceled := make(chan struct{})
	a := h.agent("finance-acme", "finance", 1)
	a.reply = func(_ http.ResponseWriter, r *http.Request) {
		leave()
		<-r.Context().Done()
		close(canceled)
	}
	a.register()
	defer func() {
		if recover() != http.ErrAbortHandler { //nolint:errorlint // a panic value, not an error that was returned
			t.Error("an answer was written for nobody")
		}
		<-canceled
	}()
	r := httptest.NewRequestWithContext(ctx, "POST", "/v1/ask", strings.NewReader(`{"to":"finance","question":"q"}`))
	r.Header.Set("Content-Type", "application/json")
	h.site.ServeHTTP(httptest.NewRecorder(), r)
}

func TestParseQuestionRefuses(t *testing.T) {
	for name, body := range map[string]string{
		"empty":            ``,
		"no to":            `{"question":"q"}`,
		"bad to":           `{"to":"A B","question":"q"}`,
		"neither":          `{"to":"finance"}`,
		"both":             `{"to":"finance","question":"q","messages":[]}`,
		"unknown":          `{"to":"finance","question":"q","url":"http://169.254.169.254"}`,
		"case":             `{"to":"finance","Question":"q"}`,
		"duplicate":        `{"to":"finance","to":"sales","question":"q"}`,
		"no messages":      `{"to":"finance","messages":[]}`,
		"null messages":    `{"to":"finance","messages":null}`,
		"messages object":  `{"to":"finance","messages":{}}`,
		"message string":   `{"to":"finance","messages":["q"]}`,
		"no role":          `{"to":"finance","messages":[{"content":"q"}]}`,
		"role number":      `{"to":"finance","messages":[{"role":1,"content":"q"}]}`,
		"no content":       `{"to":"finance","messages":[{"role":"user"}]}`,
		"duplicate role":   `{"to":"finance","messages":[{"role":"user","role":"system","content":"q"}]}`,
		"too many":         `{"to":"finance","messages":[` + strings.Repeat(`{"role":"user","content":"q"},`, maxMessages) + `{"role":"user","content":"q"}]}`,
		"trailing":         `{"to":"finance","question":"q"}{}`,
		"question no text": `{"to":"finance","question":1}`,
	} {
		if q, err := parseQuestion([]byte(body)); err == nil {
			t.Errorf("%s: accepted as %+v", name, q)
		}
	}
	h := newHub(t, insecure)
	var e web.ErrorBody
	if status := h.do("POST", "/v1/ask", `{}`, &e); status != 400 || e.Error.Code != "malformed" {
		t.Errorf("%d %+v, want 400 malformed", status, e)
	}
}

func FuzzParseQuestion(f *testing.F) {
	f.Add([]byte(`{"to":"finance","question":"q"}`))
	f.Add([]byte(`{"to":"all","messages":[{"role":"user","content":[{"type":"text","text":"q"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if q, err := parseQuestion(body); err == nil && (q.to == "" || len(q.messages) == 0) {
			t.Errorf("accepted %q as %+v", body, q)
		}
	})
}

func FuzzParseCompletion(f *testing.F) {
	f.Add([]byte(`{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"x"}}],"usage":{}}`))
	f.Add([]byte(`{"choices":[{"message":{"content":null}}]}`))
	f.Fuzz(func(_ *testing.T, body []byte) { parseCompletion(body) })
}
