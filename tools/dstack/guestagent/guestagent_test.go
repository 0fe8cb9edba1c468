package guestagent

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// asked is what the tests want quoted.
var asked = [64]byte{0: 0x01, 63: 0xff}

// simGuestAgent stands in for dstack's guest agent on a real unix socket and returns the socket's path.
func simGuestAgent(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	// t.TempDir can exceed the 107 bytes of a socket address when the test has a long name.
	dir, err := os.MkdirTemp("", "dstack")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "dstack.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return socket
}

func fixture(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// simAnswer is a GetQuote answer made of the v0.5.2 fixture.
func simAnswer(t testing.TB, reportData string) []byte {
	t.Helper()
	answer, err := json.Marshal(map[string]string{
		"quote":       strings.TrimSpace(fixture(t, "simulator-v0.5.2/quote.hex")),
		"event_log":   fixture(t, "simulator-v0.5.2/eventlog.json"),
		"report_data": reportData,
		"vm_config":   `{"os_image_hash":"", "cpu_count":1}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestGetQuote(t *testing.T) {
	answer := simAnswer(t, hex.EncodeToString(asked[:]))
	socket := simGuestAgent(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if want := `{"report_data":"` + hex.EncodeToString(asked[:]) + `"}`; string(body) != want {
			t.Errorf("asked with %s, want %s", body, want)
		}
		if r.Method != http.MethodPost || r.URL.String() != "/GetQuote" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("asked with %s %s, content type %q", r.Method, r.URL, r.Header.Get("Content-Type"))
		}
		w.Write(answer)
	})
	agent := New(socket)
	if err := agent.Reachable(t.Context()); err != nil {
		t.Errorf("Reachable: %v", err)
	}
	quote, err := agent.GetQuote(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := hex.EncodeToString(quote.Quote), strings.TrimSpace(fixture(t, "simulator-v0.5.2/quote.hex")); got != want {
		t.Errorf("quote %.40s…, want %.40s…", got, want)
	}
	if want := fixture(t, "simulator-v0.5.2/eventlog.json"); quote.EventLog != want {
		t.Errorf("event log of %d bytes was changed, want the %d sent", len(quote.EventLog), len(want))
	}
	if want := `{"os_image_hash":"", "cpu_count":1}`; quote.VMConfig != want {
		t.Errorf("vm_config %q, want %q", quote.VMConfig, want)
	}
}

// TestPublishedAnswer reads a whole answer that a dstack 0.6.0 guest agent gave.
func TestPublishedAnswer(t *testing.T) {
	body := []byte(fixture(t, "verifier-fixtures/tdx-lite-getquote.json"))
	var answer map[string]string
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	var data [64]byte
	if _, err := hex.Decode(data[:], []byte(answer["report_data"])); err != nil {
		t.Fatal(err)
	}
	quote, err := parseQuote(body, data)
	if err != nil {
		t.Fatal(err)
	}
	// Byte 568 is where REPORTDATA stands in a version 4 quote: 48 bytes of header, then 520 of the TD report.
	if len(quote.Quote) != 5006 || !bytes.Equal(quote.Quote[568:632], data[:]) {
		t.Errorf("quote of %d bytes does not hold the report data", len(quote.Quote))
	}
	if quote.EventLog != answer["event_log"] || quote.VMConfig != answer["vm_config"] {
		t.Error("event log or vm_config was changed")
	}
	if _, err := parseQuote(body, asked); err == nil {
		t.Error("an answer to another question was accepted")
	}
}

func TestNoSocket(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dead, err := net.Listen("unix", filepath.Join(dir, "dead"))
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()
	for name, path := range map[string]string{
		"absent":         filepath.Join(dir, "absent"),
		"a directory":    dir,
		"a file":         file,
		"under a file":   filepath.Join(file, "dstack.sock"),
		"nobody listens": filepath.Join(dir, "dead"),
	} {
		agent := New(path)
		if _, err := agent.GetQuote(t.Context(), asked); !errors.Is(err, ErrNoSocket) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: GetQuote error %v, want ErrNoSocket and the path", name, err)
		}
		if err := agent.Reachable(t.Context()); !errors.Is(err, ErrNoSocket) {
			t.Errorf("%s: Reachable error %v, want ErrNoSocket", name, err)
		}
	}
}

func TestGuestAgentRefuses(t *testing.T) {
	socket := simGuestAgent(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":"Report data is too long"}`)
	})
	_, err := New(socket).GetQuote(t.Context(), asked)
	want := &AgentError{Method: "GetQuote", Status: 400, Message: "Report data is too long"}
	var got *AgentError
	if !errors.As(err, &got) || !reflect.DeepEqual(got, want) {
		t.Errorf("error %v, want %v", err, want)
	}
	if errors.Is(err, ErrNoSocket) {
		t.Error("a refusal was taken for an absent socket")
	}
}

func TestErrorTextIsCut(t *testing.T) {
	if got := errorText(bytes.Repeat([]byte("x"), maxBody)); len(got) > 1000 {
		t.Errorf("error text has %d bytes", len(got))
	}
	if got := errorText([]byte("<html>")); got != "<html>" {
		t.Errorf("error text %q, want what came", got)
	}
}

func TestGuestAgentRedirectIsNotFollowed(t *testing.T) {
	socket := simGuestAgent(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/GetQuote" {
			t.Errorf("followed a redirect to %s", r.URL)
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	var refused *AgentError
	if _, err := New(socket).GetQuote(t.Context(), asked); !errors.As(err, &refused) || refused.Status != 307 {
		t.Errorf("error %v, want an AgentError with status 307", err)
	}
}

func TestOversizedAnswer(t *testing.T) {
	socket := simGuestAgent(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte(" "), 1<<20)
		for range maxBody/len(chunk) + 1 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	_, err := New(socket).GetQuote(t.Context(), asked)
	if err == nil || !strings.Contains(err.Error(), "exceeds") {
		t.Errorf("error %v, want one about the size", err)
	}
}

func TestGetQuoteObeysItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	socket := simGuestAgent(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	})
	if _, err := New(socket).GetQuote(ctx, asked); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestParseQuoteRefuses(t *testing.T) {
	data := hex.EncodeToString(asked[:])
	for name, c := range map[string]struct{ body, want string }{
		"empty":                  {"", ""},
		"no quote":               {`{}`, "quote"},
		"null quote":             {`{"quote":null}`, "quote"},
		"other platform":         {`{"quote":"","attestation":"00"}`, "TDX"},
		"quote in another case":  {`{"Quote":"00"}`, "quote"},
		"quote twice":            {`{"quote":"00","quote":"01"}`, "quote"},
		"quote as a number":      {`{"quote":1}`, "quote"},
		"odd hex":                {`{"quote":"000"}`, "quote"},
		"upper-case hex":         {`{"quote":"AB"}`, "lower-case"},
		"prefixed hex":           {`{"quote":"0xab"}`, "quote"},
		"event log as an array":  {`{"quote":"00","event_log":[]}`, "event_log"},
		"other report data":      {`{"quote":"00","report_data":"` + strings.Repeat("00", 64) + `"}`, "report_data"},
		"short report data":      {`{"quote":"00","report_data":"01"}`, "report_data"},
		"upper-case report data": {`{"quote":"00","report_data":"` + strings.ToUpper(data) + `"}`, "report_data"},
		"trailing data":          {`{"quote":"00"}{}`, "after"},
	} {
		if _, err := parseQuote([]byte(c.body), asked); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	for name, body := range map[string]string{
		"older, without vm_config or report data": `{"quote":"00","event_log":"[]"}`,
		"empty report data":                       `{"quote":"00","event_log":"[]","report_data":"","vm_config":null}`,
		"newer, with more members":                `{"quote":"00","event_log":"[]","report_data":"` + data + `","attestation":"00"}`,
	} {
		if got, err := parseQuote([]byte(body), asked); err != nil || got.EventLog != "[]" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzParseQuote(f *testing.F) {
	f.Add(simAnswer(f, hex.EncodeToString(asked[:])))
	f.Add([]byte(fixture(f, "verifier-fixtures/tdx-lite-getquote.json")))
	f.Add([]byte(`{"quote":"00","event_log":"[]"}`))
	f.Add([]byte(`{"error":"Report data is too long"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		errorText(body)
		if quote, err := parseQuote(body, asked); err == nil && len(quote.Quote) == 0 {
			t.Error("accepted an answer without a quote")
		}
	})
}
