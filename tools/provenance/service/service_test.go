package service_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/provenance/service"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPost(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch body, err := io.ReadAll(r.Body); string(body) {
		case "long":
			fmt.Fprint(w, strings.Repeat("x", 11))
		case "elsewhere":
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		case "made":
			w.WriteHeader(http.StatusCreated)
		default:
			fmt.Fprintf(w, "%s %s %s %v", r.Method, r.URL.Path, r.Header.Get("Content-Type")+r.Header.Get("Accept"), err)
		}
	}))
	defer server.Close()
	s, err := service.New("a service", server.URL+"/base/", "/path", true, nil)
	check(t, err)
	if s.String() != server.URL+"/base/path" {
		t.Errorf("it is at %s", s)
	}
	answer, err := s.Post(t.Context(), []byte("x"), "a/b", "c/d", 100)
	if want := "POST /base/path a/bc/d <nil>"; err != nil || !answer.OK() || string(answer.Data) != want {
		t.Errorf("answered %d %s: %v; want %s", answer.Status, answer.Data, err, want)
	}
	if answer, err := s.Post(t.Context(), []byte("made"), "", "", 0); err != nil || !answer.OK() {
		t.Errorf("answered %+v: %v", answer, err)
	}
	if answer, err := s.Post(t.Context(), []byte("elsewhere"), "", "", 100); err != nil || answer.OK() || answer.Status != http.StatusTemporaryRedirect {
		t.Errorf("sent elsewhere: %+v: %v", answer, err)
	}
	if _, err := s.Post(t.Context(), []byte("long"), "", "", 10); err == nil || !strings.Contains(err.Error(), "expected an answer of at most 10 bytes, got more") {
		t.Errorf("long: %v", err)
	}
	if _, err := s.Post(t.Context(), []byte("long"), "", "", 11); err != nil {
		t.Errorf("not too long: %v", err)
	}
	server.Close()
	if _, err := s.Post(t.Context(), nil, "", "", 10); err == nil {
		t.Error("nobody is there, and answered")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, address := range []string{"", "service.example", "ftp://127.0.0.1", "https://", "https://a:b@service.example", "https://service.example/?x", "https://service.example/#x"} {
		if _, err := service.New("a service", address, "", false, nil); err == nil || !strings.HasPrefix(err.Error(), "a service: expected an address") {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, address := range []string{"http://service.example", "http://127.0.0.1.example"} {
		if _, err := service.New("a service", address, "", true, nil); err == nil || !strings.HasPrefix(err.Error(), "a service: expected https://, because a token is sent there") {
			t.Errorf("%q with a secret: %v", address, err)
		}
		if _, err := service.New("a service", address, "", false, nil); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, address := range []string{"http://localhost:1", "http://[::1]:1", "http://127.0.0.1", "https://service.example"} {
		if _, err := service.New("a service", address, "", true, nil); err != nil {
			t.Errorf("%q with a secret: %v", address, err)
		}
	}
}
