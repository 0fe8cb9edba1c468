package registry_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/registry"
)

// verdicts are the errors that decide something; everything else could not be told.
func verdict(err error) bool {
	var (
		content    *registry.ContentError
		taken      *registry.TakenError
		repository *registry.RepositoryError
		reference  *registry.ReferenceError
		changed    *release.ChangedError
	)
	return errors.As(err, &content) || errors.As(err, &taken) || errors.As(err, &repository) || errors.As(err, &reference) || errors.As(err, &changed)
}

func mustBeFault(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil || verdict(err) {
		t.Errorf("error is %v (%T), want one that is no verdict", err, err)
		return
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error is %q, want %q in it", err, w)
		}
	}
}

func TestFaults(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	host := strings.TrimPrefix(down.URL, "http://")
	d := newSample(t, sampleOptions{Prefix: host + "/boardroom"}).Open(t)
	_, err := registry.Publish(t.Context(), d, host+"/boardroom", registry.PublishOptions{Options: anonymous})
	mustBeFault(t, err, host)
	_, err = registry.Fetch(t.Context(), host+"/boardroom/boardroom-release:0.1.0", filepath.Join(t.TempDir(), "fetched"), registry.FetchOptions{Options: anonymous})
	mustBeFault(t, err, host)

	for status, want := range map[int]string{http.StatusUnauthorized: "asks for a login", http.StatusForbidden: "does not allow it"} {
		s := newServer(t, true)
		s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/v2/" {
				return false
			}
			w.WriteHeader(status)
			return true
		})
		d := newSample(t, sampleOptions{Prefix: s.prefix()}).Open(t)
		_, err := registry.Publish(t.Context(), d, s.prefix(), registry.PublishOptions{Options: anonymous})
		mustBeFault(t, err, s.host, want)
		_, err = registry.Fetch(t.Context(), s.prefix()+"/boardroom-release:0.1.0", filepath.Join(t.TempDir(), "fetched"), registry.FetchOptions{Options: anonymous})
		mustBeFault(t, err, s.host, want)
	}

	s := newServer(t, true)
	_, err = registry.Fetch(t.Context(), s.prefix()+"/boardroom-release:0.1.0", filepath.Join(t.TempDir(), "fetched"), registry.FetchOptions{Options: anonymous})
	mustBeFault(t, err, "boardroom-release:0.1.0", "Unknown name")
}

// A registry that is busy now and then is asked again.
func TestBusyRegistry(t *testing.T) {
	both(t, func(t *testing.T, s *server) {
		var lock sync.Mutex
		seen := make(map[string]bool)
		s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			lock.Lock()
			defer lock.Unlock()
			if request := r.Method + r.URL.Path; (r.Method == http.MethodGet || strings.Contains(r.URL.Path, "/manifests/")) && r.URL.Path != "/v2/" && !seen[request] {
				seen[request] = true
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return false
		})
		sample := newSample(t, sampleOptions{Prefix: s.prefix(), By: []who{rebuilder}})
		p := publish(t, sample.Open(t), s.prefix(), registry.PublishOptions{})
		to := filepath.Join(t.TempDir(), "fetched")
		fetch(t, p.Tag, to, registry.FetchOptions{})
		sameTree(t, to, sample.Dir)
	})
}

func TestCancelled(t *testing.T) {
	s := newServer(t, true)
	sample := newSample(t, sampleOptions{Prefix: s.prefix()})
	ctx, cancel := context.WithCancel(t.Context())
	s.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch {
			cancel()
		}
		return false
	})
	_, err := registry.Publish(ctx, sample.Open(t), s.prefix(), registry.PublishOptions{Options: anonymous})
	mustBeFault(t, err)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled in it", err)
	}
	if tags := s.tags(t, home); len(tags) > 0 {
		t.Errorf("tags are %v", tags)
	}
}

// The logins of the Docker configuration are used, and no error shows a password.
func TestLogins(t *testing.T) {
	s := newServer(t, true)
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, _ := r.BasicAuth(); user == "release" && password == "s3cret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="boardroom"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	config := t.TempDir()
	t.Setenv("DOCKER_CONFIG", config)
	t.Setenv("REGISTRY_AUTH_FILE", filepath.Join(config, "absent"))
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(config, "absent"))
	sample := newSample(t, sampleOptions{Prefix: s.prefix()})
	_, err := registry.Publish(t.Context(), sample.Open(t), s.prefix(), registry.PublishOptions{})
	mustBeFault(t, err, "asks for a login")
	login := base64.StdEncoding.EncodeToString([]byte("release:s3cret"))
	check(t, os.WriteFile(filepath.Join(config, "config.json"), fmt.Appendf(nil, `{"auths": {%q: {"auth": %q}}}`, s.host, login), 0o600))
	p, err := registry.Publish(t.Context(), sample.Open(t), s.prefix(), registry.PublishOptions{})
	check(t, err)
	to := filepath.Join(t.TempDir(), "fetched")
	_, err = registry.Fetch(t.Context(), p.Tag, to, registry.FetchOptions{})
	check(t, err)
	sameTree(t, to, sample.Dir)
	_, err = registry.Fetch(t.Context(), p.Tag, to+"-2", registry.FetchOptions{Options: registry.Options{Keychain: wrongPassword{}}})
	mustBeFault(t, err, "asks for a login")
	if err != nil && strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("error shows the password: %q", err)
	}
}

type wrongPassword struct{}

func (wrongPassword) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: "release", Password: "wr0ng"}, nil
}

// rewrite sends requests for a host that is not this machine to one that is.
type rewrite struct{ to string }

func (r rewrite) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.URL.Scheme == "https" {
		return nil, errors.New("the server speaks no TLS")
	}
	there := q.Clone(q.Context())
	there.URL.Host = r.to
	resp, err := http.DefaultTransport.RoundTrip(there)
	if err == nil {
		resp.Request = q
	}
	return resp, err
}

// Without TLS there is nothing but loopback, unless it is asked for.
func TestPlainHTTP(t *testing.T) {
	for _, host := range []string{"registry.example", "10.1.2.3:5000", "registry.localhost:5000"} {
		t.Run(host, func(t *testing.T) {
			s, o := newServer(t, true), anonymous
			o.Transport = rewrite{s.host}
			sample := newSample(t, sampleOptions{Prefix: host + "/boardroom"})
			_, err := registry.Publish(t.Context(), sample.Open(t), host+"/boardroom", registry.PublishOptions{Options: o})
			mustBeFault(t, err)
			var plain *registry.PlainHTTPError
			if host != "registry.example" && !errors.As(err, &plain) {
				t.Errorf("error is %v, want a *PlainHTTPError", err)
			}
			o.PlainHTTP = true
			p, err := registry.Publish(t.Context(), sample.Open(t), host+"/boardroom", registry.PublishOptions{Options: o})
			check(t, err)
			to := filepath.Join(t.TempDir(), "fetched")
			_, err = registry.Fetch(t.Context(), p.Tag, to, registry.FetchOptions{Options: o})
			check(t, err)
			sameTree(t, to, sample.Dir)
		})
	}
}
