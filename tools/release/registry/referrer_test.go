package registry_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/boardroom-tee/boardroom/tools/release/registry"
)

// listed are the digests in the list of a registry without referrers API, sorted.
func (s *server) listed(t *testing.T, repository, subject string) []string {
	t.Helper()
	_, body := s.get(t, "/v2/"+repository+"/manifests/"+strings.Replace(subject, ":", "-", 1))
	var index v1.IndexManifest
	check(t, json.Unmarshal([]byte(body), &index))
	var all []string
	for _, m := range index.Manifests {
		all = append(all, m.Digest.String())
	}
	slices.Sort(all)
	return all
}

// Another publisher who read the list before us and writes it after us loses what we added; we see it and put it back.
func TestLostUpdate(t *testing.T) {
	s := newServer(t, false)
	built := newSample(t, sampleOptions{Prefix: s.prefix(), Signed: true})
	rebuilt := newSample(t, sampleOptions{Prefix: s.prefix(), By: []who{rebuilder}})
	p := publish(t, built.Open(t), s.prefix(), registry.PublishOptions{})
	subject := p.Reference[strings.Index(p.Reference, "@")+1:]
	list := "/v2/" + home + "/manifests/" + strings.Replace(subject, ":", "-", 1)
	_, before := s.get(t, list)
	// Each of the first three times that the list was written, it is overwritten with what it was.
	var lock sync.Mutex
	times := 0
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || r.URL.Path != list {
			return false
		}
		lock.Lock()
		defer lock.Unlock()
		if times++; times > 3 {
			return false
		}
		s.inner.ServeHTTP(w, r)
		s.inject(t, home, strings.TrimPrefix(list, "/v2/"+home+"/manifests/"), string(types.OCIImageIndex), []byte(before))
		return true
	})
	both := publish(t, rebuilt.Open(t), s.prefix(), registry.PublishOptions{})
	if times != 4 {
		t.Errorf("the list was written %d times, want 4", times)
	}
	if got, want := len(s.listed(t, home, subject)), len(p.Vouchers)+len(both.Vouchers); got != want {
		t.Errorf("%d are listed, want %d", got, want)
	}
}

// Who is never let to write the list says so, and does not tag.
func TestListThatNeverHolds(t *testing.T) {
	s := newServer(t, false)
	sample := newSample(t, sampleOptions{Prefix: s.prefix(), Signed: true})
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256-") {
			w.WriteHeader(http.StatusCreated)
			return true
		}
		return false
	})
	_, err := registry.Publish(t.Context(), sample.Open(t), s.prefix(), registry.PublishOptions{Options: anonymous})
	if err == nil || !strings.Contains(err.Error(), "others changed what refers to it") {
		t.Errorf("error is %v, want one about the list", err)
	}
	if tags := s.tags(t, home); len(tags) > 0 {
		t.Errorf("tags are %v", tags)
	}
}

// Several who publish at a time all end. Without referrers API one may lose what another, who had ended, put into the list; the other puts it
// back by publishing again.
func TestPublishersAtOnce(t *testing.T) {
	both(t, func(t *testing.T, s *server) {
		var group sync.WaitGroup
		samples := make([]*sample, 3)
		want := make([][]string, len(samples))
		for i, signer := range []who{builder, rebuilder, stranger} {
			samples[i] = newSample(t, sampleOptions{Prefix: s.prefix(), By: []who{signer}})
			d := samples[i].Open(t)
			group.Go(func() {
				p, err := registry.Publish(t.Context(), d, s.prefix(), registry.PublishOptions{Options: anonymous})
				if err != nil {
					t.Error(err)
					return
				}
				want[i] = p.Vouchers
			})
		}
		group.Wait()
		for _, sample := range samples {
			publish(t, sample.Open(t), s.prefix(), registry.PublishOptions{})
		}
		f := fetch(t, s.prefix()+"/boardroom-release:0.1.0", filepath.Join(t.TempDir(), "fetched"), registry.FetchOptions{})
		if all := slices.Sorted(slices.Values(slices.Concat(want...))); !slices.Equal(all, f.Vouchers) {
			t.Errorf("fetched %v, want %v", f.Vouchers, all)
		}
	})
}

// Pages of a list are all read.
func TestPages(t *testing.T) {
	s := newServer(t, true)
	sample := newSample(t, sampleOptions{Prefix: s.prefix(), Signed: true})
	p := publish(t, sample.Open(t), s.prefix(), registry.PublishOptions{})
	path := "/v2/" + home + "/referrers/" + p.Reference[strings.Index(p.Reference, "@")+1:]
	_, body := s.get(t, path)
	var index v1.IndexManifest
	check(t, json.Unmarshal([]byte(body), &index))
	slices.SortFunc(index.Manifests, func(a, b v1.Descriptor) int { return strings.Compare(a.Digest.Hex, b.Digest.Hex) })
	pages := 0
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path {
			return false
		}
		pages++
		page := index
		half := len(index.Manifests) / 2
		if r.URL.Query().Get("last") == "" {
			page.Manifests = index.Manifests[:half]
			w.Header().Set("Link", `<`+path+`?last=1>; rel="next"`)
		} else {
			page.Manifests = index.Manifests[half:]
		}
		data, err := json.Marshal(page)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", string(types.OCIImageIndex))
		_, _ = w.Write(data) // what is lost is seen below
		return true
	})
	to := filepath.Join(t.TempDir(), "fetched")
	fetch(t, p.Tag, to, registry.FetchOptions{})
	sameTree(t, to, sample.Dir)
	if pages != 2 {
		t.Errorf("%d pages were read, want 2", pages)
	}
}
