package agentapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
)

// simGuest answers what it was asked.
type simGuest struct {
	release dstack.Release
	asked   any
	err     error
}

func (s *simGuest) Release() dstack.Release { return s.release }
func (s *simGuest) Revision() string        { return "sim" }

func (s *simGuest) Quote(_ context.Context, reportData [64]byte) (agentapi.Evidence, error) {
	s.asked = reportData
	return agentapi.Evidence{Quote: []byte{0xab, 0xcd}, EventLog: []byte(`[]`), VMConfig: `{"cpu_count":1}`}, s.err
}

func (s *simGuest) Attest(_ context.Context, reportData [64]byte) ([]byte, error) {
	s.asked = reportData
	return []byte{0, 0}, s.err
}

func (s *simGuest) EmitEvent(_ context.Context, name string, payload []byte) error {
	s.asked = name + " " + string(payload)
	return s.err
}

func (s *simGuest) Key(r agentapi.KeyRequest) (agentapi.Key, error) {
	s.asked = r
	return agentapi.Key{Key: []byte{1}, Chain: [2][]byte{{2}, {}}}, s.err
}

func (s *simGuest) TLSKey(_ context.Context, r agentapi.TLSRequest) (agentapi.TLSKey, error) {
	s.asked = r
	return agentapi.TLSKey{Key: "key", Chain: []string{"leaf", "root"}}, s.err
}

func (s *simGuest) Info(context.Context) (agentapi.Info, error) {
	return agentapi.Info{App: "aa", TCBInfo: "{}", VMConfig: "{}"}, s.err
}

// padded is report data that begins with these digits.
func padded(digits string) string { return digits + strings.Repeat("0", 128-len(digits)) }

// TestAnswers has the bytes of each answer, in the members and their order that dstack's SDKs and its documentation (sdk/curl/api.md) have.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		service, method, address, body string
		want                           string
	}{
		{"dstack", "POST", "/GetQuote", `{"report_data":"0xabcd"}`, `{"quote":"abcd","event_log":"[]","report_data":"` + padded("abcd") + `","vm_config":"{\"cpu_count\":1}"}`},
		{"dstack", "GET", "/GetQuote?report_data=AB", ``, `{"quote":"abcd","event_log":"[]","report_data":"` + padded("ab") + `","vm_config":"{\"cpu_count\":1}"}`},
		{"dstack", "POST", "/GetQuote", ``, `{"quote":"abcd","event_log":"[]","report_data":"` + padded("") + `","vm_config":"{\"cpu_count\":1}"}`},
		{"dstack", "POST", "/GetQuote", `{"unknown":1}`, `{"quote":"abcd","event_log":"[]","report_data":"` + padded("") + `","vm_config":"{\"cpu_count\":1}"}`},
		{"dstack", "POST", "/Attest", `{"report_data":"00"}`, `{"attestation":"0000"}`},
		{"dstack", "POST", "/EmitEvent", `{"event":"e","payload":"00"}`, `{}`},
		{"dstack", "POST", "/GetKey", `{"path":"p","purpose":"q"}`, `{"key":"01","signature_chain":["02",""]}`},
		{"dstack", "POST", "/GetTlsKey", `{"subject":"s"}`, `{"key":"key","certificate_chain":["leaf","root"]}`},
		{"dstack", "GET", "/Version", ``, `{"version":"0.5.11","rev":"sim"}`},
		{"dstack", "POST", "/prpc/Tappd.RawQuote", `{"report_data":"00"}`, `{"quote":"abcd","event_log":"[]","hash_algorithm":"","prefix":""}`},
		{"tappd", "POST", "/prpc/RawQuote", `{"report_data":"00"}`, `{"quote":"abcd","event_log":"[]","hash_algorithm":"","prefix":""}`},
		{"tappd", "POST", "/prpc/Tappd.TdxQuote", `{"report_data":"00"}`, `{"quote":"abcd","event_log":"[]","hash_algorithm":"sha512","prefix":"app-data"}`},
		{"worker", "GET", "/prpc/Worker.Version", ``, `{"version":"0.5.11","rev":"sim"}`},
		{"worker", "POST", "/prpc/Version", `{}`, `{"version":"0.5.11","rev":"sim"}`},
	} {
		w := ask(&simGuest{release: dstack.Release{Minor: 5, Patch: 11}}, tt.service, tt.method, tt.address, tt.body)
		if w.Code != http.StatusOK || w.Body.String() != tt.want || w.Header().Get("X-App-Version") != "0.5.11" {
			t.Errorf("%s %s %s: %d %s, want %s", tt.service, tt.address, tt.body, w.Code, w.Body, tt.want)
		}
	}
}

func ask(g agentapi.Guest, service, method, address, body string) *httptest.ResponseRecorder {
	handler := map[string]http.Handler{
		"dstack": agentapi.Dstack(g, "this guest agent"), "tappd": agentapi.Tappd(g, "this guest agent"), "worker": agentapi.Worker(g, "this guest agent", false),
	}[service]
	r := httptest.NewRequest(method, address, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func TestRequests(t *testing.T) {
	for body, want := range map[string]any{
		"GetKey {\"path\":\"a\",\"purpose\":\"b\",\"algorithm\":\"ed25519\"}": agentapi.KeyRequest{Path: "a", Purpose: "b", Algorithm: "ed25519"},
		"GetTlsKey {\"subject\":\"s\",\"alt_names\":[\"n\"],\"usage_ra_tls\":true,\"usage_client_auth\":true,\"with_app_info\":true}": agentapi.TLSRequest{
			Subject: "s", AltNames: []string{"n"}, RATLS: true, ClientAuth: true, WithAppInfo: true,
		},
		"EmitEvent {\"event\":\"e\",\"payload\":\"6869\"}": "e hi",
	} {
		method, text, _ := strings.Cut(body, " ")
		g := &simGuest{release: dstack.Release{Minor: 5, Patch: 11}}
		if w := ask(g, "dstack", http.MethodPost, "/"+method, text); w.Code != http.StatusOK || !reflect.DeepEqual(g.asked, want) {
			t.Errorf("%s: %d, asked for %+v, want %+v", body, w.Code, g.asked, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	long := strings.Repeat("00", 65)
	for _, tt := range []struct{ service, method, address, body, want string }{
		{"dstack", "POST", "/GetQuote", `{"report_data":"` + long + `"}`, `{"error":"Report data is too long"}`},
		{"dstack", "POST", "/GetKey", `{"algorithm":"rsa"}`, `{"error":"Unsupported algorithm"}`},
		{"dstack", "POST", "/GetQuote", `{`, "Failed to decode request"},
		{"dstack", "POST", "/GetQuote", `{"report_data":"x"}`, "Failed to decode request"},
		{"dstack", "POST", "/Nothing", ``, `method \"Nothing\" is not in this guest agent of dstack 0.5.11`},
		{"dstack", "DELETE", "/GetQuote", ``, "expected GET or POST"},
		{"dstack", "POST", "/GetTlsKey", `{"not_after":999999999999}`, "validity"},
		{"dstack", "GET", "/GetTlsKey?usage_ra_tls=x", ``, "usage_ra_tls"},
		{"tappd", "POST", "/GetQuote", ``, "is not in this guest agent"},
		{"tappd", "POST", "/prpc/TdxQuote", `{"hash_algorithm":"raw","report_data":"00"}`, "expected 64 bytes"},
		{"tappd", "POST", "/prpc/TdxQuote", `{"hash_algorithm":"md5"}`, "hash_algorithm"},
		{"worker", "POST", "/prpc/Worker.GetKey", ``, "is not in this guest agent"},
		{"worker", "POST", "/prpc/GetQuote", ``, "is not in this guest agent"},
		{"worker", "POST", "/prpc/Tappd.RawQuote", ``, "is not in this guest agent"},
	} {
		w := ask(&simGuest{release: dstack.Release{Minor: 5, Patch: 11}}, tt.service, tt.method, tt.address, tt.body)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), tt.want) || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: %d %s, want 400 with %q", tt.service, tt.address, w.Code, w.Body, tt.want)
		}
	}
	for _, method := range []string{"GetQuote", "Attest", "EmitEvent", "GetKey", "GetTlsKey", "Info"} {
		g := &simGuest{release: dstack.Release{Minor: 5, Patch: 11}, err: errors.New("away")}
		if w := ask(g, "dstack", http.MethodPost, "/"+method, `{}`); w.Code != http.StatusBadRequest || w.Body.String() != `{"error":"away"}` {
			t.Errorf("%s: %d %s", method, w.Code, w.Body)
		}
	}
	// A message in protobuf gets an error in protobuf: field 1, a text.
	r := httptest.NewRequest(http.MethodPost, "/GetQuote", bytes.NewReader([]byte{0x0a, 1, 0}))
	w := httptest.NewRecorder()
	agentapi.Dstack(&simGuest{}, "x").ServeHTTP(w, r)
	if body := w.Body.Bytes(); w.Code != http.StatusBadRequest || len(body) < 2 || body[0] != 0x0a || int(body[1]) != len(body)-2 {
		t.Errorf("protobuf: %d %x", w.Code, w.Body)
	}
}

// TestReleases: a method is there from its release on.
func TestReleases(t *testing.T) {
	for method, since := range map[string]int{"Attest": 6, "Version": 8, "GetQuote": 2} {
		for patch := 2; patch < 12; patch++ {
			w := ask(&simGuest{release: dstack.Release{Minor: 5, Patch: patch}}, "dstack", http.MethodPost, "/"+method, `{}`)
			if (w.Code == http.StatusOK) != (patch >= since) {
				t.Errorf("%s in 0.5.%d: %d", method, patch, w.Code)
			}
		}
	}
	if w := ask(&simGuest{release: dstack.Release{Minor: 6}}, "dstack", http.MethodPost, "/EmitEvent", `{}`); w.Code != http.StatusBadRequest {
		t.Error("EmitEvent is gone in 0.6.0")
	}
	if w := ask(&simGuest{release: dstack.Release{Minor: 5, Patch: 2}}, "dstack", http.MethodPost, "/GetQuote", `{}`); strings.Contains(w.Body.String(), "vm_config") {
		t.Error("there is no vm_config before 0.5.4")
	}
}

func TestWorkerHides(t *testing.T) {
	var answer map[string]string
	w := ask(&simGuest{release: dstack.Release{Minor: 5, Patch: 11}}, "worker", http.MethodPost, "/prpc/Worker.Info", `{}`)
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer["tcb_info"] != "" || answer["vm_config"] != "" || answer["app_id"] != "aa" {
		t.Errorf("%s, %v", w.Body, err)
	}
}
