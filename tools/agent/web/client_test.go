package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRefuseLinkLocal(t *testing.T) {
	for address, ok := range map[string]bool{
		"127.0.0.1:80":                true,
		"10.0.0.1:80":                 true,
		"[2001:db8::1]:443":           true,
		"169.254.169.254:80":          false,
		"[::ffff:169.254.169.254]:80": false,
		"[fe80::1]:80":                false,
		"224.0.0.1:80":                false,
		"0.0.0.0:80":                  false,
		"[::]:80":                     false,
		"metadata:80":                 false,
	} {
		if err := RefuseLinkLocal("tcp", address, nil); (err == nil) != ok {
			t.Errorf("%s: error %v, want ok %v", address, err, ok)
		}
	}
	_, err := NewClient(RefuseLinkLocal).Get("http://169.254.169.254/latest/meta-data")
	if err == nil || !Unconnected(err) {
		t.Errorf("a metadata service was asked: %v", err)
	}
}

func TestClientFollowsNoRedirect(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			t.Errorf("followed to %s", r.URL)
		}
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer server.Close()
	response, err := NewClient(nil).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusFound {
		t.Errorf("status %d, want 302", response.StatusCode)
	}
}

func TestClientIgnoresProxyEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	transport, ok := NewClient(nil).Transport.(*http.Transport)
	if !ok || transport.Proxy != nil {
		t.Error("the client asks the environment for a proxy")
	}
}

func TestUnconnected(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if _, err := NewClient(nil).Get(server.URL); !Unconnected(err) {
		t.Errorf("nobody listens: %v", err)
	}
	if Unconnected(errors.New("other")) || Unconnected(nil) {
		t.Error("another error counts as unconnected")
	}
}
