package agent

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent/metrics"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/dstack/guestagent"
	"github.com/boardroom-tee/boardroom/tools/evidence"
)

const nonce = "00112233445566778899aabbccddeeff"

var (
	silent = slog.New(slog.DiscardHandler)
	when   = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
)

// simGuestAgent stands in for dstack's guest agent on a real unix socket and returns the socket's path.
func simGuestAgent(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "dstack.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

func fixture(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../dstack/testdata/simulator-v0.5.2", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// quoting answers GetQuote with dstack's published v0.5.2 quote, whatever is asked.
func quoting(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			ReportData string `json:"report_data"`
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		json.NewEncoder(w).Encode(map[string]string{
			"quote":       strings.TrimSpace(fixture(t, "quote.hex")),
			"event_log":   fixture(t, "eventlog.json"),
			"report_data": asked.ReportData,
			"vm_config":   `{"cpu_count":1}`,
		})
	}
}

func testAttester(t *testing.T, socket string) (*Attester, *metrics.Set) {
	t.Helper()
	i, _, err := NewIdentity(Config{ID: "finance-acme", Type: "finance"})
	if err != nil {
		t.Fatal(err)
	}
	var set metrics.Set
	return NewAttester(i, guestagent.New(socket), func() time.Time { return when }, &set), &set
}

// attestationSite serves the attestation routes and returns its URL.
func attestationSite(t *testing.T, a *Attester) string {
	t.Helper()
	server := httptest.NewServer(web.NewSite("attestation", silent, web.NewTraffic(&metrics.Set{}), AttestationRoutes(a, silent)...))
	t.Cleanup(server.Close)
	return server.URL
}

// get returns the status, the body and the header of an answer.
func get(t *testing.T, url string) (int, []byte, http.Header) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body, response.Header
}

func failure(t *testing.T, body []byte) web.ErrorDetail {
	t.Helper()
	var e web.ErrorBody
	if err := json.Unmarshal(body, &e); err != nil || e.Error.Code == "" {
		t.Fatalf("no error document: %q, %v", body, err)
	}
	return e.Error
}

func TestAttestation(t *testing.T) {
	a, set := testAttester(t, simGuestAgent(t, quoting(t)))
	status, body, _ := get(t, attestationSite(t, a)+"/attestation?nonce="+nonce)
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	e, err := evidence.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.CheckBinding(nonce); err != nil {
		t.Error(err)
	}
	want := evidence.Claims{AgentID: "finance-acme", AgentType: "finance", PublicKey: evidence.EncodeKey(a.Public), Nonce: nonce,
		Timestamp: "2026-11-22T10:00:00Z"}
	if e.Claims != want {
		t.Errorf("claims %+v, want %+v", e.Claims, want)
	}
	if hex.EncodeToString(e.Quote) != strings.TrimSpace(fixture(t, "quote.hex")) || e.EventLog != fixture(t, "eventlog.json") || e.VMConfig != `{"cpu_count":1}` {
		t.Error("quote, event log or vm_config was changed on the way")
	}
	if want := `boardroom_attestations_total{outcome="ok"} 1`; !strings.Contains(string(set.Text()), want) {
		t.Errorf("the metrics lack %s", want)
	}
}

func TestAttestationNeedsANonce(t *testing.T) {
	a, _ := testAttester(t, simGuestAgent(t, func(http.ResponseWriter, *http.Request) { t.Error("a quote was asked for") }))
	url := attestationSite(t, a)
	for query, code := range map[string]string{
		"":                                    "nonce_required",
		"?nonce=":                             "nonce_required",
		"?other=1":                            "nonce_required",
		"?nonce=" + nonce + "&nonce=" + nonce: "nonce_required",
		"?nonce=" + nonce + "&x=1":            "nonce_required",
		"?Nonce=" + nonce:                     "nonce_required",
		"?nonce=%zz":                          "nonce_required",
		"?nonce=" + nonce[2:]:                 "bad_nonce",
		"?nonce=" + strings.Repeat("00", 65):  "bad_nonce",
		"?nonce=" + strings.ToUpper(nonce):    "bad_nonce",
		"?nonce=" + strings.Repeat("x", 32):   "bad_nonce",
	} {
		status, body, _ := get(t, url+"/attestation"+query)
		if got := failure(t, body); status != http.StatusBadRequest || got.Code != code || !strings.Contains(got.Message, "16 to 64") {
			t.Errorf("%q: status %d, %+v, want 400 %s", query, status, got, code)
		}
	}
}

func TestAttestationFailures(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc // nil: no socket
		status  int
		code    string
		message string
	}{
		"no socket": {nil, 503, "no_guest_agent", "no dstack guest agent"},
		"refused": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			io.WriteString(w, `{"error":"qgs is down"}`)
		}, 502, "quote_failed", "qgs is down"},
		"garbage": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, 502, "quote_failed", "GetQuote"},
		"empty":   {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"quote":""}`) }, 502, "quote_failed", "TDX"},
		"no log":  {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"quote":"00"}`) }, 502, "quote_failed", "event_log"},
		"quote for another": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"quote":"00","event_log":"[]","report_data":"`+strings.Repeat("00", 64)+`"}`)
		}, 502, "quote_failed", "report_data"},
	} {
		socket := "/nonexistent/dstack.sock"
		if c.handler != nil {
			socket = simGuestAgent(t, c.handler)
		}
		a, set := testAttester(t, socket)
		status, body, header := get(t, attestationSite(t, a)+"/attestation?nonce="+nonce)
		got := failure(t, body)
		if status != c.status || got.Code != c.code || !strings.Contains(got.Message, c.message) {
			t.Errorf("%s: status %d, %+v, want %d %s with %q", name, status, got, c.status, c.code, c.message)
		}
		if (header.Get("Retry-After") != "") != (status == 503) {
			t.Errorf("%s: Retry-After %q", name, header.Get("Retry-After"))
		}
		if want := `outcome="` + c.code + `"} 1`; !strings.Contains(string(set.Text()), want) {
			t.Errorf("%s: the metrics lack %s", name, want)
		}
	}
}

func TestQuotesAtOnceAreBounded(t *testing.T) {
	entered := make(chan struct{}, 2*quotesAtOnce)
	release := make(chan struct{})
	answer := quoting(t)
	a, _ := testAttester(t, simGuestAgent(t, func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		<-release
		answer(w, r)
	}))
	results := make(chan error, quotesAtOnce)
	for range quotesAtOnce {
		go func() {
			_, err := a.Attest(t.Context(), nonce)
			results <- err
		}()
	}
	for range quotesAtOnce {
		<-entered
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Attest(ctx, nonce); !errors.Is(err, ErrBusy) {
		t.Errorf("one more than allowed: error %v, want ErrBusy", err)
	}
	close(release)
	for range quotesAtOnce {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if len(entered) != 0 {
		t.Errorf("%d quotes too many were asked for", len(entered))
	}
	if _, err := a.Attest(t.Context(), nonce); err != nil {
		t.Errorf("after the others: %v", err)
	}
}

func TestAttestationFailureCodes(t *testing.T) {
	for want, err := range map[string]error{
		"busy":                ErrBusy,
		"attestation_timeout": context.DeadlineExceeded,
	} {
		if status, code := attestationFailure(err); code != want || status < 500 {
			t.Errorf("%v: %d %s, want %s", err, status, code, want)
		}
	}
}
