package registry_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	simulated "github.com/google/go-containerregistry/pkg/registry"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/registry"
)

// server is a registry in this process. What is asked of it can be counted, answered otherwise and refused.
type server struct {
	host  string
	inner http.Handler

	mu sync.Mutex
	// hook, if set, is asked first, from several goroutines; what it answers is not passed on.
	hook func(w http.ResponseWriter, r *http.Request) bool
	// blobs and manifests are what was put, in the order in which it came.
	blobs, manifests []string
}

// newServer has the referrers API or not.
func newServer(t testing.TB, referrers bool) *server {
	t.Helper()
	return serve(t, simulated.New(simulated.Logger(log.New(io.Discard, "", 0)), simulated.WithReferrersSupport(referrers)))
}

func serve(t testing.TB, inner http.Handler) *server {
	t.Helper()
	s := &server{inner: inner}
	listening := httptest.NewServer(s)
	t.Cleanup(listening.Close)
	s.host = strings.TrimPrefix(listening.URL, "http://")
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook != nil && hook(w, r) {
		return
	}
	s.mu.Lock()
	switch {
	case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/uploads/"):
		s.blobs = append(s.blobs, r.URL.Query().Get("digest"))
	case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/"):
		s.manifests = append(s.manifests, r.URL.Path)
	}
	s.mu.Unlock()
	s.inner.ServeHTTP(w, r)
}

func (s *server) intercept(hook func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// put returns what was put since the last call.
func (s *server) put() (blobs, manifests []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	blobs, manifests = s.blobs, s.manifests
	s.blobs, s.manifests = nil, nil
	return blobs, manifests
}

func (s *server) prefix() string { return s.host + "/boardroom" }

// get asks the registry without anything of ours in between.
func (s *server) get(t testing.TB, path string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	w := httptest.NewRecorder()
	s.inner.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func (s *server) tags(t testing.TB, repository string) []string {
	t.Helper()
	var list struct{ Tags []string }
	code, body := s.get(t, "/v2/"+repository+"/tags/list")
	if code == http.StatusNotFound {
		return nil
	}
	check(t, json.Unmarshal([]byte(body), &list))
	return list.Tags
}

// content is everything that can be read by a tag, by repository and tag.
func (s *server) content(t testing.TB) map[string]string {
	t.Helper()
	var list struct{ Repositories []string }
	_, body := s.get(t, "/v2/_catalog")
	check(t, json.Unmarshal([]byte(body), &list))
	all := make(map[string]string)
	for _, repository := range list.Repositories {
		for _, tag := range s.tags(t, repository) {
			_, all[repository+":"+tag] = s.get(t, "/v2/"+repository+"/manifests/"+tag)
		}
	}
	return all
}

// anonymous keeps the logins of the user who runs the tests out of them.
var anonymous = registry.Options{Keychain: authn.NewMultiKeychain()}

func publish(t testing.TB, d *release.Directory, prefix string, o registry.PublishOptions) *registry.Published {
	t.Helper()
	o.Options = anonymous
	p, err := registry.Publish(t.Context(), d, prefix, o)
	check(t, err)
	return p
}

func fetch(t testing.TB, reference, to string, o registry.FetchOptions) *registry.Fetched {
	t.Helper()
	o.Options = anonymous
	f, err := registry.Fetch(t.Context(), reference, to, o)
	check(t, err)
	return f
}

// inject puts a manifest into the registry without anything of ours in between, and returns its digest.
func (s *server) inject(t testing.TB, repository, tagOrDigest, mediaType string, data []byte) string {
	t.Helper()
	digest := provenance.DigestOf(data).String()
	if tagOrDigest == "" {
		tagOrDigest = digest
	}
	r := httptest.NewRequest(http.MethodPut, "/v2/"+repository+"/manifests/"+tagOrDigest, bytes.NewReader(data))
	r.Header.Set("Content-Type", mediaType)
	w := httptest.NewRecorder()
	s.inner.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		t.Fatalf("put manifest: %d %s", w.Code, w.Body)
	}
	return digest
}

func (s *server) injectBlob(t testing.TB, repository string, data []byte) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v2/"+repository+"/blobs/uploads/?digest="+provenance.DigestOf(data).String(), bytes.NewReader(data))
	w := httptest.NewRecorder()
	s.inner.ServeHTTP(w, r)
	if w.Code != http.StatusCreated {
		t.Fatalf("put blob: %d %s", w.Code, w.Body)
	}
}

// answer replaces what the registry says to requests for a path that ends with suffix.
func (s *server) answer(suffix string, status int, header map[string]string, body []byte) {
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, suffix) {
			return false
		}
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = w.Write(body) // the client may have enough
		return true
	})
}
