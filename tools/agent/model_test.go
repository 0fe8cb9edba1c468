package agent

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent/metrics"
	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
)

// modelSite serves a pass-through to a stand-in model server; a nil handler leaves MODEL_ENDPOINT unset.
func modelSite(t *testing.T, limits ModelLimits, upstream http.HandlerFunc) (site string, set *metrics.Set) {
	t.Helper()
	var endpoint registration.Endpoint
	if upstream != nil {
		server := httptest.NewServer(upstream)
		t.Cleanup(server.Close)
		endpoint = parseEndpoint(t, server.URL)
	}
	return siteFor(t, limits, endpoint)
}

func siteFor(t *testing.T, limits ModelLimits, endpoint registration.Endpoint) (string, *metrics.Set) {
	t.Helper()
	set := new(metrics.Set)
	model := NewModel(endpoint, limits, silent, set)
	server := httptest.NewServer(web.NewSite("api", silent, web.NewTraffic(set), model.Routes()...))
	t.Cleanup(server.Close)
	return server.URL, set
}

func parseEndpoint(t *testing.T, s string) registration.Endpoint {
	t.Helper()
	e, err := registration.ParseEndpoint(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func chat(t *testing.T, site, body string) (int, []byte) {
	t.Helper()
	response, err := http.Post(site+"/v1/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, text
}

func TestPassForwardsOnlyWhatIsNeeded(t *testing.T) {
	const body, answer = `{"model":"m", "messages":[]}`, `{"choices":[]}`
	site, _ := modelSite(t, DefaultModelLimits, func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		if err != nil || string(got) != body {
			t.Errorf("the model got %q, %v", got, err)
		}
		if r.URL.String() != "/v1/chat/completions" || r.Method != http.MethodPost {
			t.Errorf("the model got %s %s", r.Method, r.URL)
		}
		for name := range r.Header {
			switch name {
			case "Content-Type", "Accept", "User-Agent", "Content-Length":
			default:
				t.Errorf("the model got the header %s: %q", name, r.Header[name])
			}
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Set-Cookie", "a=b")
		h.Set("Server", "model")
		h.Set("X-Request-Id", "1")
		h.Set("Keep-Alive", "timeout=5")
		io.WriteString(w, answer)
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, site+"/v1/chat/completions?key=SENSITIVE", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Accept": "text/event-stream", "Authorization": "Bearer SENSITIVE", "Cookie": "SENSITIVE",
		"X-Forwarded-For": "SENSITIVE", "Proxy-Authorization": "SENSITIVE", "Connection": "X-Hop", "X-Hop": "1", "Te": "trailers",
	} {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil || string(got) != answer || response.StatusCode != 200 || response.Header.Get("Content-Type") != "application/json" {
		t.Errorf("answer %d %q, %v", response.StatusCode, got, err)
	}
	for _, name := range []string{"Set-Cookie", "Server", "X-Request-Id", "Keep-Alive"} {
		if response.Header.Get(name) != "" {
			t.Errorf("the client got the header %s", name)
		}
	}
}

func TestModels(t *testing.T) {
	site, _ := modelSite(t, DefaultModelLimits, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Method, r.URL)
	})
	if status, body, _ := get(t, site+"/v1/models"); status != 200 || string(body) != "GET /v1/models" {
		t.Errorf("status %d: %s", status, body)
	}
}

// TestStreaming proves that a piece arrives while the model server still holds the rest back.
func TestStreaming(t *testing.T) {
	seen := make(chan struct{})
	site, _ := modelSite(t, DefaultModelLimits, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: one\n\n")
		http.NewResponseController(w).Flush()
		<-seen
		io.WriteString(w, "data: two\n\n")
	})
	response, err := http.Post(site+"/v1/chat/completions", "application/json", strings.NewReader(`{"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	if line, err := lines.ReadString('\n'); err != nil || line != "data: one\n" {
		t.Fatalf("first piece %q, %v", line, err)
	}
	close(seen)
	if rest, err := io.ReadAll(lines); err != nil || string(rest) != "\ndata: two\n\n" {
		t.Errorf("rest %q, %v", rest, err)
	}
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("content type %q", got)
	}
}

func TestClientThatLeavesCancelsTheModel(t *testing.T) {
	for name, begun := range map[string]bool{"before the answer": false, "during the answer": true} {
		t.Run(name, func(t *testing.T) {
			entered, canceled := make(chan struct{}), make(chan struct{})
			site, _ := modelSite(t, DefaultModelLimits, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				if begun {
					io.WriteString(w, "data: one\n\n")
					http.NewResponseController(w).Flush()
				}
				close(entered)
				<-r.Context().Done()
				close(canceled)
			})
			ctx, leave := context.WithCancel(t.Context())
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, site+"/v1/chat/completions", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			go func() {
				if response, err := http.DefaultClient.Do(request); err == nil {
					io.Copy(io.Discard, response.Body)
					response.Body.Close()
				}
			}()
			<-entered
			leave()
			<-canceled
		})
	}
}

func TestModelFailures(t *testing.T) {
	small := DefaultModelLimits
	small.RequestBytes, small.ResponseBytes = 64, 128
	status := func(n int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(n)
			io.WriteString(w, "private detail")
		}
	}
	for name, c := range map[string]struct {
		upstream http.HandlerFunc
		body     string
		status   int
		code     string
	}{
		"unset":            {nil, "{}", 503, "model_unset"},
		"500":              {status(500), "{}", 502, "model_error"},
		"503":              {status(503), "{}", 503, "model_not_ready"},
		"504":              {status(504), "{}", 502, "model_error"},
		"redirect":         {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/v1/x", http.StatusFound) }, "{}", 502, "model_redirect"},
		"hangs up":         {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "{}", 502, "model_broken"},
		"encoded":          {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") }, "{}", 502, "model_encoding"},
		"large answer":     {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 129)) }, "{}", 502, "model_too_large"},
		"large request":    {status(200), strings.Repeat(" ", 65), 413, "request_too_large"},
		"400 goes through": {func(w http.ResponseWriter, _ *http.Request) { web.Fail(w, 400, "theirs", "bad prompt") }, "{}", 400, "theirs"},
		"429 goes through": {func(w http.ResponseWriter, _ *http.Request) { web.Fail(w, 429, "theirs", "slow down") }, "{}", 429, "theirs"},
	} {
		site, set := modelSite(t, small, c.upstream)
		got, body := chat(t, site, c.body)
		if e := failure(t, body); got != c.status || e.Code != c.code || strings.Contains(e.Message, "private detail") {
			t.Errorf("%s: status %d, %+v, want %d %s", name, got, e, c.status, c.code)
		}
		if want := `reason="` + c.code + `"} 1`; strings.HasPrefix(c.code, "model_") && !strings.Contains(string(set.Text()), want) {
			t.Errorf("%s: the metrics lack %s:\n%s", name, want, set.Text())
		}
	}
}

func TestNobodyListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	site, _ := siteFor(t, DefaultModelLimits, parseEndpoint(t, server.URL))
	status, body := chat(t, site, "{}")
	if e := failure(t, body); status != 503 || e.Code != "model_unreachable" {
		t.Errorf("status %d, %+v", status, e)
	}
}

func TestSilentModel(t *testing.T) {
	limits := DefaultModelLimits
	limits.Total = time.Nanosecond // over before the model can answer; no sleep needed
	site, _ := modelSite(t, limits, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	status, body := chat(t, site, "{}")
	if e := failure(t, body); status != 504 || e.Code != "model_timeout" {
		t.Errorf("status %d, %+v", status, e)
	}
}

// TestCutAnswers proves that an answer which ends early never looks whole.
func TestCutAnswers(t *testing.T) {
	begin := func(w http.ResponseWriter) {
		io.WriteString(w, "begun")
		http.NewResponseController(w).Flush()
	}
	limits := DefaultModelLimits
	limits.ResponseBytes = 64
	hasty := limits
	hasty.Idle = time.Nanosecond
	for name, c := range map[string]struct {
		limits   ModelLimits
		upstream http.HandlerFunc
		code     string
	}{
		"too large": {limits, func(w http.ResponseWriter, _ *http.Request) {
			begin(w)
			io.WriteString(w, strings.Repeat("x", 65))
		}, "model_too_large"},
		"broken off": {limits, func(w http.ResponseWriter, _ *http.Request) {
			begin(w)
			panic(http.ErrAbortHandler)
		}, "model_broken"},
		"fallen silent": {hasty, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			begin(w)
			<-r.Context().Done()
		}, "model_timeout"},
	} {
		site, set := modelSite(t, c.limits, c.upstream)
		response, err := http.Post(site+"/v1/chat/completions", "application/json", strings.NewReader("{}"))
		if err == nil {
			var body []byte
			body, err = io.ReadAll(response.Body)
			response.Body.Close()
			if err == nil {
				t.Errorf("%s: the answer ended cleanly with status %d: %q", name, response.StatusCode, body)
			}
		}
		if want := `reason="` + c.code + `"} 1`; !strings.Contains(string(set.Text()), want) {
			t.Errorf("%s: the metrics lack %s:\n%s", name, want, set.Text())
		}
	}
}

func TestRequestsAtOnceAreBounded(t *testing.T) {
	limits := DefaultModelLimits
	limits.Requests = 1
	entered, release := make(chan struct{}, 2), make(chan struct{})
	site, _ := modelSite(t, limits, func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-release
	})
	done := make(chan int)
	go func() {
		response, err := http.Post(site+"/v1/chat/completions", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Error(err)
			done <- 0
			return
		}
		response.Body.Close()
		done <- response.StatusCode
	}()
	<-entered
	status, body := chat(t, site, "{}")
	if e := failure(t, body); status != 503 || e.Code != "busy" {
		t.Errorf("status %d, %+v", status, e)
	}
	close(release)
	if status := <-done; status != 200 {
		t.Errorf("the first request got %d", status)
	}
	if status, _ := chat(t, site, "{}"); status != 200 {
		t.Errorf("the next request got %d", status)
	}
}
