package web

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/agent/metrics"
)

// testSite returns a site, its log and its metrics.
func testSite(routes ...Route) (*Site, *bytes.Buffer, *metrics.Set) {
	var log bytes.Buffer
	var set metrics.Set
	return NewSite("api", slog.New(slog.NewJSONHandler(&log, nil)), NewTraffic(&set), routes...), &log, &set
}

func errorCode(t *testing.T, body io.Reader) string {
	t.Helper()
	var e ErrorBody
	if err := json.NewDecoder(body).Decode(&e); err != nil {
		t.Fatalf("the answer is no error document: %v", err)
	}
	if e.Error.Message == "" || e.Error.Type == "" {
		t.Errorf("error document %+v lacks a member", e)
	}
	return e.Error.Code
}

func TestRouting(t *testing.T) {
	hello := func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }
	site, _, _ := testSite(Route{"GET", "/a", hello}, Route{"POST", "/a", hello}, Route{"POST", "/b", hello})
	for _, c := range []struct {
		method, target string
		status         int
		allow, code    string
	}{
		{"GET", "/a?x=1", 200, "", ""},
		{"HEAD", "/a", 200, "", ""},
		{"POST", "/b", 200, "", ""},
		{"PUT", "/a", 405, "GET, POST, HEAD", "method_not_allowed"},
		{"GET", "/b", 405, "POST", "method_not_allowed"},
		{"HEAD", "/b", 405, "POST", "method_not_allowed"},
		{"GET", "/", 404, "", "not_found"},
		{"GET", "/a/", 404, "", "not_found"},
		{"GET", "//a", 404, "", "not_found"},
		{"GET", "/x/../a", 404, "", "not_found"},
		{"GET", "/A", 404, "", "not_found"},
	} {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, httptest.NewRequest(c.method, c.target, nil))
		if w.Code != c.status || w.Header().Get("Allow") != c.allow {
			t.Errorf("%s %s: status %d, Allow %q, want %d, %q", c.method, c.target, w.Code, w.Header().Get("Allow"), c.status, c.allow)
		}
		if c.code != "" {
			if got := errorCode(t, w.Body); got != c.code {
				t.Errorf("%s %s: code %q, want %q", c.method, c.target, got, c.code)
			}
		}
	}
}

func TestTwoRoutesAlike(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	testSite(Route{"GET", "/a", http.NotFound}, Route{"GET", "/a", http.NotFound})
}

func TestLogHoldsNoRequestData(t *testing.T) {
	site, log, set := testSite(Route{"POST", "/a", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusTeapot)
	}})
	for _, target := range []string{"/a?nonce=SENSITIVE", "/SENSITIVE"} {
		r := httptest.NewRequest("POST", target, strings.NewReader("SENSITIVE"))
		r.Header.Set("Authorization", "SENSITIVE")
		site.ServeHTTP(httptest.NewRecorder(), r)
	}
	r := httptest.NewRequest("SENSITIVE", "/a", nil)
	site.ServeHTTP(httptest.NewRecorder(), r)
	for name, text := range map[string]string{"log": log.String(), "metrics": string(set.Text())} {
		if strings.Contains(text, "SENSITIVE") {
			t.Errorf("the %s has request data:\n%s", name, text)
		}
	}
	for _, want := range []string{`"route":"/a"`, `"status":418`, `"route":"other"`, `"method":"other"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if want := `boardroom_http_requests_total{site="api",route="/a",code="418"} 1`; !strings.Contains(string(set.Text()), want) {
		t.Errorf("the metrics lack %s:\n%s", want, set.Text())
	}
}

func TestPanicBecomes500(t *testing.T) {
	site, log, set := testSite(
		Route{"GET", "/early", func(http.ResponseWriter, *http.Request) { panic("early fault") }},
		Route{"GET", "/late", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "half an answer")
			http.NewResponseController(w).Flush()
			panic("late fault")
		}})
	server := httptest.NewServer(site)
	defer server.Close()
	response, err := http.Get(server.URL + "/early")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if code := errorCode(t, response.Body); response.StatusCode != 500 || code != "internal_error" {
		t.Errorf("status %d, code %q", response.StatusCode, code)
	}
	late, err := http.Get(server.URL + "/late")
	if err != nil {
		t.Fatal(err)
	}
	defer late.Body.Close()
	if body, err := io.ReadAll(late.Body); err == nil {
		t.Errorf("a cut answer ended cleanly: %q", body)
	}
	server.Close()
	for _, want := range []string{"early fault", "late fault", "TestPanicBecomes500"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if want := `boardroom_http_requests_in_flight{site="api"} 0`; !strings.Contains(string(set.Text()), want) {
		t.Errorf("the metrics lack %s", want)
	}
}

func TestReadBody(t *testing.T) {
	site, _, _ := testSite(Route{"POST", "/", func(w http.ResponseWriter, r *http.Request) {
		if body, ok := ReadBody(w, r, 8); ok {
			w.Write(body)
		}
	}})
	server := httptest.NewServer(site)
	defer server.Close()
	for _, c := range []struct {
		kind, body string
		status     int
		code       string
	}{
		{"application/json", "12345678", 200, ""},
		{"application/json; charset=utf-8", "1", 200, ""},
		{"application/json", "123456789", 413, "request_too_large"},
		{"text/plain", "1", 415, "unsupported_media_type"},
		{"", "1", 415, "unsupported_media_type"},
	} {
		// A reader of unknown length makes the body chunked, so that no header announces the size.
		response, err := http.Post(server.URL, c.kind, io.MultiReader(strings.NewReader(c.body)))
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != c.status {
			t.Errorf("%q %q: status %d, want %d", c.kind, c.body, response.StatusCode, c.status)
		}
		if c.code != "" {
			if got := errorCode(t, response.Body); got != c.code {
				t.Errorf("%q %q: code %q, want %q", c.kind, c.body, got, c.code)
			}
		}
		response.Body.Close()
	}
}

func TestFailIsCut(t *testing.T) {
	w := httptest.NewRecorder()
	Fail(w, 400, "c", strings.Repeat("x", 1<<20))
	if w.Body.Len() > 2*maxMessage {
		t.Errorf("an error of %d bytes", w.Body.Len())
	}
}
