package registration

import (
	"strings"
	"testing"
)

func TestParseEndpoint(t *testing.T) {
	for _, good := range []string{
		"https://finance-acme.example.com",
		"http://hub:8080",
		"http://127.0.0.1:1",
		"http://[::1]:65535",
		"https://example.com/prefix/v2.1_~x",
	} {
		e, err := ParseEndpoint(good)
		if err != nil || e.String() != good || e.At("/health") != good+"/health" || e.IsZero() {
			t.Errorf("%s: %v, %v", good, e, err)
		}
	}
	for name, bad := range map[string]string{
		"empty":            "",
		"no scheme":        "example.com",
		"file":             "file:///etc/passwd",
		"gopher":           "gopher://example.com",
		"upper scheme":     "HTTP://example.com",
		"upper host":       "http://Example.com",
		"user":             "http://user@example.com",
		"user, password":   "http://user:hunter2@example.com",
		"at in the path":   "http://example.com/@",
		"query":            "http://example.com?a=b",
		"empty query":      "http://example.com?",
		"fragment":         "http://example.com#a",
		"final slash":      "http://example.com/",
		"double slash":     "http://example.com//a",
		"dot segment":      "http://example.com/a/../b",
		"single dot":       "http://example.com/./b",
		"escape":           "http://example.com/%2e",
		"backslash":        `http://example.com\a`,
		"space":            "http://example.com /a",
		"line break":       "http://example.com\n",
		"port zero":        "http://example.com:0",
		"port too large":   "http://example.com:65536",
		"empty port":       "http://example.com:",
		"leading zero":     "http://example.com:080",
		"no host":          "http://",
		"opaque":           "http:example.com",
		"not ASCII":        "http://exämple.com",
		"zone":             "http://[fe80::1%25eth0]",
		"unclosed bracket": "http://[::1",
		"long":             "http://example.com/" + strings.Repeat("a", MaxURL),
	} {
		e, err := ParseEndpoint(bad)
		if err == nil {
			t.Errorf("%s: accepted as %s", name, e)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || len(err.Error()) > 400 {
			t.Errorf("%s: error text %q", name, err)
		}
	}
	if e := (Endpoint{}); !e.IsZero() || e.String() != "" || e.InClear() {
		t.Errorf("the zero endpoint: %q", e)
	}
}

func TestHostPort(t *testing.T) {
	for s, want := range map[string]string{
		"https://example.com/a": "example.com:443",
		"http://example.com":    "example.com:80",
		"http://[::1]:8080":     "[::1]:8080",
		"https://10.0.0.1:8443": "10.0.0.1:8443",
	} {
		e, err := ParseEndpoint(s)
		if err != nil || e.HostPort() != want {
			t.Errorf("%s: %q, %v, want %s", s, e.HostPort(), err, want)
		}
	}
}

func TestInClear(t *testing.T) {
	for s, want := range map[string]bool{
		"https://example.com":    false,
		"http://example.com":     true,
		"http://10.0.0.1":        true,
		"http://localhost:8080":  false,
		"http://127.0.0.1:8080":  false,
		"http://[::1]:8080":      false,
		"http://localhost.evil":  true,
		"http://127.0.0.1.evil":  true,
		"https://127.0.0.1:8080": false,
	} {
		e, err := ParseEndpoint(s)
		if err != nil {
			t.Fatal(err)
		}
		if e.InClear() != want {
			t.Errorf("%s: in clear %v, want %v", s, e.InClear(), want)
		}
	}
}
