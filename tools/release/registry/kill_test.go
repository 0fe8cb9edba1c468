package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/registry"
)

// childVariable tells this program to publish or to fetch, and to be killed while it does.
const childVariable = "BOARDROOM_REGISTRY_TEST_CHILD"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(childVariable) {
	case "publish": // DIR PREFIX ARCHIVES
		err = publishChild(os.Args[1], os.Args[2], os.Args[3])
	case "fetch": // REFERENCE TO ARCHIVES
		_, err = registry.Fetch(context.Background(), os.Args[1], os.Args[2], registry.FetchOptions{Options: anonymous, Archives: os.Args[3]})
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func publishChild(dir, prefix, archives string) error {
	d, err := release.Open(dir)
	if err != nil {
		return err
	}
	_, err = registry.Publish(context.Background(), d, prefix, registry.PublishOptions{Options: anonymous, Archives: archives, Mirror: true})
	return errors.Join(err, d.Close())
}

// killed runs a child that is killed when the registry gets its request number n: before it is answered, while its body is read, or when it
// was done and before the answer is given. It returns how many requests there were, and whether the child ended by itself.
func killed(t *testing.T, s *server, n int64, when int, what string, args ...string) (requests int64, done bool) {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), childVariable+"="+what)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	var count atomic.Int64
	started := make(chan struct{})
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if count.Add(1) != n {
			return false
		}
		<-started
		switch when {
		case 1:
			_, _ = io.CopyN(io.Discard, r.Body, max(1, r.ContentLength/2)) // what is not read is the point
		case 2:
			s.inner.ServeHTTP(&discarded{make(http.Header)}, r)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("kill: %v", err)
		}
		return true
	})
	defer s.intercept(nil)
	check(t, cmd.Start())
	close(started)
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return count.Load(), true
	case errors.As(err, &exit) && exit.ExitCode() == -1: // by a signal
		return count.Load(), false
	}
	t.Fatalf("%s: %v\n%s", what, err, stderr.Bytes())
	return 0, false
}

type discarded struct{ header http.Header }

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(p []byte) (int, error) { return len(p), nil }
func (d *discarded) WriteHeader(int)             {}

// points are those where a run of some requests is killed.
func points(t *testing.T, requests int64, n int) []int64 {
	t.Helper()
	seed := time.Now().UnixNano()
	t.Logf("%d requests, seed %d", requests, seed)
	all := make([]int64, 0, n)
	for _, p := range rand.New(rand.NewSource(seed)).Perm(int(requests))[:min(n, int(requests))] {
		all = append(all, int64(p)+1)
	}
	return all
}

// killPublications publishes to one registry after the other, is killed once at each, and finishes.
func killPublications(t *testing.T, n int, start func() *server) {
	t.Helper()
	sample := newSample(t, sampleOptions{Signed: true})
	whole := start()
	requests, done := killed(t, whole, -1, 0, "publish", sample.Dir, whole.prefix(), sample.archives)
	if !done {
		t.Fatal("a publication that nobody kills does not end")
	}
	want := whole.content(t)
	for i, at := range points(t, requests, n) {
		t.Run(fmt.Sprintf("request %d, way %d", at, i%3), func(t *testing.T) {
			s := start()
			if _, done := killed(t, s, at, i%3, "publish", sample.Dir, s.prefix(), sample.archives); done {
				// Requests are sent by several at a time: now and then it takes fewer.
				t.Skip("it was done before")
			}
			// What can be read by the tag is whole.
			to := filepath.Join(t.TempDir(), "before")
			if _, err := registry.Fetch(t.Context(), s.prefix()+"/boardroom-release:0.1.0", to, registry.FetchOptions{Options: anonymous}); err == nil {
				sameTree(t, to, sample.Dir)
			}
			p := publish(t, sample.Open(t), s.prefix(), registry.PublishOptions{Archives: sample.archives, Mirror: true})
			if got := s.content(t); !maps.Equal(got, want) {
				t.Errorf("the registry has %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
			to, archives := filepath.Join(t.TempDir(), "after"), t.TempDir()
			fetch(t, p.Tag, to, registry.FetchOptions{Archives: archives})
			sameTree(t, to, sample.Dir)
			sameTree(t, archives, sample.archives)
		})
	}
}

func TestKilledPublication(t *testing.T) {
	t.Run("referrers API", func(t *testing.T) { killPublications(t, 12, func() *server { return newServer(t, true) }) })
	t.Run("referrers tag", func(t *testing.T) { killPublications(t, 12, func() *server { return newServer(t, false) }) })
}

func TestKilledFetch(t *testing.T) {
	s := newServer(t, true)
	sample := newSample(t, sampleOptions{Prefix: s.prefix(), Signed: true})
	p := publish(t, sample.Open(t), s.prefix(), registry.PublishOptions{Archives: sample.archives})
	requests, done := killed(t, s, -1, 0, "fetch", p.Tag, filepath.Join(t.TempDir(), "fetched"), t.TempDir())
	if !done {
		t.Fatal("a fetch that nobody kills does not end")
	}
	for i, at := range points(t, requests, 10) {
		t.Run(fmt.Sprintf("request %d", at), func(t *testing.T) {
			parent, archives := t.TempDir(), t.TempDir()
			to := filepath.Join(parent, "fetched")
			if _, done := killed(t, s, at, i%2*2, "fetch", p.Tag, to, archives); done {
				t.Skip("it was done before")
			}
			if _, err := os.Stat(to); !errors.Is(err, fs.ErrNotExist) {
				sameTree(t, to, sample.Dir)
			}
			fetch(t, p.Tag, to, registry.FetchOptions{Archives: archives})
			sameTree(t, to, sample.Dir)
			sameTree(t, archives, sample.archives)
			if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 {
				t.Errorf("beside the release are %v: %v", entries, err)
			}
		})
	}
}
