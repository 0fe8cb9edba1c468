package registry_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	simulated "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/boardroom-tee/boardroom/tools/oci/registry"
)

// server is a registry in this process that remembers what was uploaded and can be told to fail.
type server struct {
	host string

	mu sync.Mutex
	// refuse, if set, is asked first; what it answers is not passed on. It is called from several goroutines.
	refuse func(w http.ResponseWriter, r *http.Request) bool
	blobs  []string // digests of blobs that were uploaded to the end
	tags   int      // manifests that were put
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	inner := simulated.New(simulated.Logger(log.New(io.Discard, "", 0)))
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		refuse := s.refuse
		s.mu.Unlock()
		if refuse != nil && refuse(w, r) {
			return
		}
		s.mu.Lock()
		switch {
		case isBlobUpload(r):
			s.blobs = append(s.blobs, r.URL.Query().Get("digest"))
		case isManifestPut(r):
			s.tags++
		}
		s.mu.Unlock()
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(listening.Close)
	s.host = strings.TrimPrefix(listening.URL, "http://")
	return s
}

// heal ends the refusals.
func (s *server) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = nil
}

func isBlobUpload(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/blobs/uploads/")
}

func isManifestPut(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/")
}

// uploaded lists the blobs since the last call, sorted.
func (s *server) uploaded() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	blobs := s.blobs
	s.blobs = nil
	slices.Sort(blobs)
	return blobs
}

func (s *server) ref(tag string) string { return s.host + "/agents/finance:" + tag }

// digest is what a tag names, and empty if it names nothing.
func (s *server) digest(t *testing.T, tag string) string {
	t.Helper()
	ref, err := name.NewTag(s.ref(tag))
	if err != nil {
		t.Fatal(err)
	}
	desc, err := remote.Head(ref)
	if err != nil {
		return ""
	}
	return desc.Digest.String()
}

// anonymous keeps the logins of the user who runs the tests out of them.
var anonymous = registry.PushOptions{Keychain: authn.NewMultiKeychain()}

func image(t *testing.T, seed int64) v1.Image {
	t.Helper()
	img, err := random.Image(512, 3, random.WithSource(rand.NewSource(seed)))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digest(t *testing.T, img v1.Image) string {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

// blobs lists the digests of an image's layers and config, sorted.
func blobs(t *testing.T, img v1.Image) []string {
	t.Helper()
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	all := []string{manifest.Config.Digest.String()}
	for _, l := range manifest.Layers {
		all = append(all, l.Digest.String())
	}
	slices.Sort(all)
	return all
}

func mustPush(t *testing.T, img v1.Image, ref string, options registry.PushOptions) name.Digest {
	t.Helper()
	got, err := registry.Push(t.Context(), img, ref, options)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// mustBeFault checks that an error is not a verdict: the image and the reference are all right.
func mustBeFault(t *testing.T, err error) {
	t.Helper()
	var (
		taken     *registry.TagTakenError
		reference *registry.RefError
	)
	if err == nil || errors.As(err, &taken) || errors.As(err, &reference) {
		t.Errorf("error is %v, want a fault", err)
	}
}

func TestPush(t *testing.T) {
	s, img := newServer(t), image(t, 1)
	got := mustPush(t, img, s.ref("0.1.0"), anonymous)
	if want := s.host + "/agents/finance@" + digest(t, img); got.String() != want {
		t.Errorf("the reference by digest is %s, want %s", got, want)
	}
	for _, ref := range []name.Reference{got, got.Tag("0.1.0")} {
		present, err := remote.Image(ref)
		if err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		if digest(t, present) != digest(t, img) {
			t.Errorf("%s is %s, want %s", ref, digest(t, present), digest(t, img))
		}
		if err := validate.Image(present); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if got, want := s.uploaded(), blobs(t, img); !slices.Equal(got, want) {
		t.Errorf("uploaded were %v, want every blob once: %v", got, want)
	}
}

func TestPushAgain(t *testing.T) {
	s, img := newServer(t), image(t, 1)
	first := mustPush(t, img, s.ref("0.1.0"), anonymous)
	s.uploaded()
	second := mustPush(t, img, s.ref("0.1.0"), anonymous)
	if first != second {
		t.Errorf("the first push gave %s, the second %s", first, second)
	}
	mustPush(t, img, s.ref("0.1.1"), anonymous)
	if got := s.uploaded(); len(got) > 0 {
		t.Errorf("uploaded again were %v, want nothing", got)
	}
	if got := s.digest(t, "0.1.1"); got != digest(t, img) {
		t.Errorf("the second tag names %q, want %s", got, digest(t, img))
	}
}

func TestTagTaken(t *testing.T) {
	s, present, ours := newServer(t), image(t, 1), image(t, 2)
	mustPush(t, present, s.ref("0.1.0"), anonymous)
	s.uploaded()

	_, err := registry.Push(t.Context(), ours, s.ref("0.1.0"), anonymous)
	var taken *registry.TagTakenError
	if !errors.As(err, &taken) {
		t.Fatalf("error is %v, want a *TagTakenError", err)
	}
	if taken.Ref != s.ref("0.1.0") || taken.Present.String() != digest(t, present) || taken.Ours.String() != digest(t, ours) {
		t.Errorf("error is %+v, want it to hold the tag, %s and %s", *taken, digest(t, present), digest(t, ours))
	}
	for _, want := range []string{s.ref("0.1.0"), digest(t, present), digest(t, ours)} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("message is %q, want it to name %s", err, want)
		}
	}
	if got := s.digest(t, "0.1.0"); got != digest(t, present) {
		t.Errorf("the tag names %s, want it unmoved at %s", got, digest(t, present))
	}
	if got := s.uploaded(); len(got) > 0 {
		t.Errorf("uploaded were %v, want nothing of a refused image", got)
	}
}

func TestMoveTag(t *testing.T) {
	s, present, ours := newServer(t), image(t, 1), image(t, 2)
	mustPush(t, present, s.ref("0.1.0"), anonymous)
	options := anonymous
	options.MoveTag = true
	mustPush(t, ours, s.ref("0.1.0"), options)
	if got := s.digest(t, "0.1.0"); got != digest(t, ours) {
		t.Errorf("the tag names %s, want %s", got, digest(t, ours))
	}
	mustPush(t, ours, s.ref("0.1.0"), options) // nothing to move
}

func TestMalformedReferences(t *testing.T) {
	s := newServer(t)
	s.refuse = func(_ http.ResponseWriter, r *http.Request) bool {
		t.Errorf("the registry was asked for %s %s", r.Method, r.URL)
		return false
	}
	hash := digest(t, image(t, 1))
	for _, ref := range []string{
		"",
		":",
		s.host,
		s.host + "/agents/finance",
		s.host + "/agents/finance:",
		s.host + "/agents/finance@" + hash,
		s.host + "/agents/finance:0.1.0@" + hash,
		s.host + "/agents/fin ance:0.1.0",
		s.host + "/agents/finance:0.1.0 ",
		" " + s.host + "/agents/finance:0.1.0",
		s.host + "/Agents/Finance:0.1.0",
		s.host + "/agents/finance:0.1/0",
		"http://" + s.host + "/agents/finance:0.1.0",
		"finance:0.1.0",
		"agents/finance:0.1.0",
		s.host + "/agents/finance:" + strings.Repeat("x", 129),
	} {
		t.Run(ref, func(t *testing.T) {
			got, err := registry.Push(t.Context(), image(t, 1), ref, anonymous)
			var malformed *registry.RefError
			if !errors.As(err, &malformed) {
				t.Fatalf("Push gave %v and %v, want a *RefError", got, err)
			}
			if malformed.Ref != ref || malformed.Err == nil || !errors.Is(err, malformed.Err) {
				t.Errorf("error is %+v, want it to hold the reference and its cause", *malformed)
			}
			if !strings.Contains(err.Error(), "HOST/NAME:TAG") {
				t.Errorf("message is %q, want it to say what a reference looks like", err)
			}
		})
	}
}

// A registry that says no, or that is ill, has given no verdict about the image.
func TestRegistryErrors(t *testing.T) {
	tests := []struct {
		status int
		when   func(*http.Request) bool
		name   string
	}{
		{http.StatusUnauthorized, always, "at once"},
		{http.StatusForbidden, always, "at once"},
		{http.StatusNotImplemented, always, "at once"},
		{http.StatusTooManyRequests, isManifestHead, "for the tag"},
		{http.StatusForbidden, isBlobUpload, "for a blob"},
		{http.StatusRequestEntityTooLarge, isBlobUpload, "for a blob"},
		{http.StatusForbidden, isManifestPut, "for the manifest"},
		// 500 and its kin are tried again by go-containerregistry, which takes its time.
		{http.StatusInternalServerError, isManifestPut, "for the manifest"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d %s", tt.status, tt.name), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.refuse = func(w http.ResponseWriter, r *http.Request) bool {
				if !tt.when(r) {
					return false
				}
				w.WriteHeader(tt.status)
				return true
			}
			_, err := registry.Push(t.Context(), image(t, 1), s.ref("0.1.0"), anonymous)
			mustBeFault(t, err)
			for _, want := range []string{s.ref("0.1.0"), fmt.Sprint(tt.status)} {
				if err != nil && !strings.Contains(err.Error(), want) {
					t.Errorf("message is %q, want it to name %s", err, want)
				}
			}
			s.heal()
			if got := s.digest(t, "0.1.0"); got != "" {
				t.Errorf("the tag names %s, want that it was not put", got)
			}
		})
	}
}

func always(*http.Request) bool { return true }

func isManifestHead(r *http.Request) bool {
	return r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/")
}

func TestUnreachableRegistry(t *testing.T) {
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	host := strings.TrimPrefix(down.URL, "http://")
	_, err := registry.Push(t.Context(), image(t, 1), host+"/finance:0.1.0", anonymous)
	mustBeFault(t, err)
	if err != nil && !strings.Contains(err.Error(), host) {
		t.Errorf("message is %q, want it to name %s", err, host)
	}
}

func TestCancelled(t *testing.T) {
	t.Run("before it begins", func(t *testing.T) {
		s := newServer(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := registry.Push(ctx, image(t, 1), s.ref("0.1.0"), anonymous)
		mustBeFault(t, err)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled in it", err)
		}
		if got := s.uploaded(); len(got) > 0 {
			t.Errorf("uploaded were %v, want nothing", got)
		}
	})
	t.Run("during an upload", func(t *testing.T) {
		s := newServer(t)
		ctx, cancel := context.WithCancel(t.Context())
		s.refuse = func(_ http.ResponseWriter, r *http.Request) bool {
			if isBlobUpload(r) {
				cancel()
			}
			return false
		}
		_, err := registry.Push(ctx, image(t, 1), s.ref("0.1.0"), anonymous)
		mustBeFault(t, err)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want context.Canceled in it", err)
		}
		s.heal()
		if got := s.digest(t, "0.1.0"); got != "" {
			t.Errorf("the tag names %s, want that it was not put", got)
		}
	})
}

// A push that broke off is resumed by calling it again: only what is missing is sent.
func TestResume(t *testing.T) {
	s, img := newServer(t), image(t, 1)
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	missing := manifest.Layers[1].Digest.String()
	s.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		if !isBlobUpload(r) || r.URL.Query().Get("digest") != missing {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		return true
	}
	_, err = registry.Push(t.Context(), img, s.ref("0.1.0"), anonymous)
	mustBeFault(t, err)
	if got := s.digest(t, "0.1.0"); got != "" {
		t.Fatalf("the tag names %s after half a push", got)
	}
	before := s.uploaded()
	if slices.Contains(before, missing) {
		t.Fatalf("%s was uploaded after all", missing)
	}

	s.heal()
	mustPush(t, img, s.ref("0.1.0"), anonymous)
	after := s.uploaded()
	if !slices.Contains(after, missing) {
		t.Errorf("the second push sent %v, want %s among them", after, missing)
	}
	for _, blob := range after {
		if slices.Contains(before, blob) {
			t.Errorf("%s was sent again", blob)
		}
	}
	all := slices.Sorted(maps.Keys(setOf(append(before, after...))))
	if want := blobs(t, img); !slices.Equal(all, want) {
		t.Errorf("the two pushes sent %v, want %v", all, want)
	}
	if got := s.digest(t, "0.1.0"); got != digest(t, img) {
		t.Errorf("the tag names %q, want %s", got, digest(t, img))
	}
}

// If all but the tag was done, only the tag is put.
func TestResumeAtTheTag(t *testing.T) {
	s, img := newServer(t), image(t, 1)
	s.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		if isManifestPut(r) {
			w.WriteHeader(http.StatusForbidden)
		}
		return isManifestPut(r)
	}
	_, err := registry.Push(t.Context(), img, s.ref("0.1.0"), anonymous)
	mustBeFault(t, err)
	if got, want := s.uploaded(), blobs(t, img); !slices.Equal(got, want) {
		t.Fatalf("the first push sent %v, want %v", got, want)
	}
	s.heal()
	mustPush(t, img, s.ref("0.1.0"), anonymous)
	if got := s.uploaded(); len(got) > 0 {
		t.Errorf("the second push sent %v, want nothing but the manifest", got)
	}
	if got := s.digest(t, "0.1.0"); got != digest(t, img) {
		t.Errorf("the tag names %q, want %s", got, digest(t, img))
	}
}

// With no keychain named, the user's registry logins are used.
func TestLogins(t *testing.T) {
	s, img := newServer(t), image(t, 1)
	s.refuse = func(w http.ResponseWriter, r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		if user == "release" && password == "s3cret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="agents"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	config := t.TempDir()
	t.Setenv("DOCKER_CONFIG", config)
	t.Setenv("REGISTRY_AUTH_FILE", filepath.Join(config, "absent"))
	t.Setenv("XDG_RUNTIME_DIR", filepath.Join(config, "absent"))
	_, err := registry.Push(t.Context(), img, s.ref("0.1.0"), registry.PushOptions{})
	mustBeFault(t, err)

	login := base64.StdEncoding.EncodeToString([]byte("release:s3cret"))
	content := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, s.host, login)
	if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	mustPush(t, img, s.ref("0.1.0"), registry.PushOptions{})

	_, err = registry.Push(t.Context(), img, s.ref("0.1.0"), registry.PushOptions{Keychain: wrongPassword{}})
	mustBeFault(t, err)
	if err != nil && strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("message shows the password: %q", err)
	}
}

type wrongPassword struct{}

func (wrongPassword) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: "release", Password: "wr0ng"}, nil
}

func setOf(all []string) map[string]struct{} {
	set := make(map[string]struct{})
	for _, s := range all {
		set[s] = struct{}{}
	}
	return set
}
