package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
)

// archive is an archive on disk behind a server that a test can make fail.
type archive struct {
	*httptest.Server
	dir string
	// answer answers a request itself and returns true, or returns false.
	answer func(w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	requests []string
}

var testPackages = []debtest.Package{
	{Name: "aa", Version: "1:1.0+b1-1~x", Fields: []string{"Depends: bb (>= 2)"}, Entries: []debtest.Entry{debtest.Folder("./"), debtest.File("./a", strings.Repeat("a", 5000))}},
	{Name: "bb", Version: "2", Architecture: "all", Entries: []debtest.Entry{debtest.Folder("./"), debtest.File("./b", "b")}},
}

func newArchive(t *testing.T, fields ...string) *archive {
	t.Helper()
	a := &archive{dir: t.TempDir()}
	if err := (debtest.Archive{Folder: "debian", Codename: "trixie", Date: debtest.Epoch, Fields: fields, Packages: testPackages}).Write(a.dir); err != nil {
		t.Fatal(err)
	}
	files := http.FileServer(http.Dir(a.dir))
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.requests = append(a.requests, r.URL.Path+" "+r.Header.Get("Range"))
		a.mu.Unlock()
		if a.answer == nil || !a.answer(w, r) {
			files.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *archive) client(t *testing.T) *Client {
	return &Client{Mirror: a.URL + "/debian/", Cache: t.TempDir(), pause: time.Nanosecond}
}

func lockOptions(t *testing.T) LockOptions {
	t.Helper()
	keys, err := deb.ReadKeyring(debtest.Keyring(debtest.Key()))
	if err != nil {
		t.Fatal(err)
	}
	return LockOptions{Keyring: keys, Now: debtest.Epoch.Add(time.Hour)}
}

func testSet(t *testing.T) *deb.Set {
	t.Helper()
	set, err := deb.ParseSet([]byte(`{"suites": [{"archive": "debian", "name": "trixie"}], "include": ["aa"], "files": {}}`))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func testLock(t *testing.T, c *Client) *deb.Lock {
	t.Helper()
	lock, err := c.Lock(t.Context(), testSet(t), lockOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

func TestLockFetchUnpack(t *testing.T) {
	a := newArchive(t)
	c := a.client(t)
	var progress bytes.Buffer
	c.Progress = &progress
	lock := testLock(t, c)
	first, err := lock.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(first, []byte(a.URL)) || bytes.Contains(first, []byte("127.0.0.1")) {
		t.Errorf("the lock names the mirror:\n%s", first)
	}
	for _, place := range []string{a.URL, "file://" + a.dir} {
		c.Mirror, c.Cache = place, t.TempDir()
		again, err := testLock(t, c).Bytes()
		if err != nil || !bytes.Equal(first, again) {
			t.Errorf("%s: another lock (%v):\n%s\nwant\n%s", place, err, again, first)
		}
		done, err := c.Fetch(t.Context(), lock)
		if err != nil || done.Downloaded != 2 || done.Present != 0 {
			t.Errorf("%s: got %+v, %v", place, done, err)
		}
		if done, err = c.Fetch(t.Context(), lock); err != nil || done.Downloaded != 0 || done.Present != 2 || done.Bytes != 0 {
			t.Errorf("%s: again: got %+v, %v", place, done, err)
		}
	}
	if !strings.Contains(progress.String(), "fetched aa 1:1.0+b1-1~x (") {
		t.Errorf("progress is %q", progress.String())
	}
	tree, err := deb.Unpack(t.Context(), lock, c.File, deb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if e, found := tree.Find("a"); !found || e.Size != 5000 || e.Package != "aa" {
		t.Errorf("got %+v, %t", e, found)
	}
}

func TestLockRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fields []string
		change func(a *archive, o *LockOptions)
		want   error
	}{
		{"other keys", nil, func(_ *archive, o *LockOptions) { o.Keyring, _ = deb.ReadKeyring(debtest.Keyring(debtest.NewKey())) }, deb.ErrSignature},
		{"expired", []string{"Valid-Until: Sun, 02 Nov 2025 00:00:00 UTC"}, func(_ *archive, o *LockOptions) { o.Now = debtest.Epoch.Add(72 * time.Hour) }, deb.ErrExpired},
		{"other suite under the name", nil, func(a *archive, _ *LockOptions) {
			other := filepath.Join(a.dir, "other")
			_ = debtest.Archive{Folder: "debian", Codename: "bookworm", Date: debtest.Epoch, Packages: testPackages}.Write(other)
			a.answer = func(w http.ResponseWriter, r *http.Request) bool {
				http.ServeFile(w, r, filepath.Join(other, strings.ReplaceAll(r.URL.Path, "trixie", "bookworm")))
				return true
			}
		}, deb.ErrSuite},
		{"index changed", nil, func(a *archive, _ *LockOptions) {
			a.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "Packages.gz") {
					return false
				}
				data, _ := os.ReadFile(filepath.Join(a.dir, r.URL.Path))
				data[len(data)/2] ^= 1
				_, _ = w.Write(data)
				return true
			}
		}, deb.ErrContent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, options := newArchive(t, tt.fields...), lockOptions(t)
			tt.change(a, &options)
			if _, err := a.client(t).Lock(t.Context(), testSet(t), options); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestAcceptExpired(t *testing.T) {
	a, options := newArchive(t, "Valid-Until: Sun, 02 Nov 2025 00:00:00 UTC"), lockOptions(t)
	options.Now, options.AcceptExpired = debtest.Epoch.Add(72*time.Hour), true
	lock, err := a.client(t).Lock(t.Context(), testSet(t), options)
	if err != nil {
		t.Fatal(err)
	}
	if s := lock.Suites[0]; !s.AcceptedExpired || s.ValidUntil == nil {
		t.Errorf("the lock does not say it: %+v", s)
	}
	options.Now = debtest.Epoch.Add(time.Hour)
	if lock, err = a.client(t).Lock(t.Context(), testSet(t), options); err != nil || lock.Suites[0].AcceptedExpired {
		t.Errorf("nothing expired: got %+v, %v", lock, err)
	}
}

// Indices are asked for by digest, where the suite says so, and then by name.
func TestIndexByHash(t *testing.T) {
	a := newArchive(t, "Acquire-By-Hash: yes")
	testLock(t, a.client(t))
	var indices []string
	for _, r := range a.requests {
		if strings.Contains(r, "binary-amd64") {
			indices = append(indices, r)
		}
	}
	if len(indices) != 2 || !strings.Contains(indices[0], "/main/binary-amd64/by-hash/SHA256/") || !strings.HasSuffix(indices[1], "/Packages.gz ") {
		t.Errorf("asked for %q", indices)
	}
}

// What is asked of the snapshot archive: the state of a time when a lock is written, and one that surely has the packages later.
func TestSnapshot(t *testing.T) {
	a := newArchive(t)
	a.answer = func(w http.ResponseWriter, r *http.Request) bool {
		// It redirects to the last state before the time that was asked for.
		parts := strings.SplitN(r.URL.Path, "/", 5)
		if len(parts) == 5 && parts[1] == "archive" && parts[3] != "20251031T200000Z" {
			http.Redirect(w, r, "/archive/"+parts[2]+"/20251031T200000Z/"+parts[4], http.StatusFound)
			return true
		}
		http.ServeFile(w, r, filepath.Join(a.dir, parts[2], parts[4]))
		return true
	}
	c := &Client{Cache: t.TempDir(), snapshot: a.URL + "/archive", pause: time.Nanosecond}
	lock := testLock(t, c)
	if _, err := c.Fetch(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"/archive/debian/20251101T010000Z/dists/trixie/InRelease ", "/archive/debian/20251101T120000Z/" + testPackages[1].Path() + " "} {
		if !slices.Contains(a.requests, want) {
			t.Errorf("%q was not asked for, but %q", want, a.requests)
		}
	}
	// A suite that is newer than the last state that is there.
	lock.Suites[0].Date = time.Now().Add(-time.Minute)
	c.Cache = t.TempDir()
	if _, err := c.Fetch(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	for _, r := range a.requests {
		if parts := strings.SplitN(r, "/", 5); parts[3] > time.Now().UTC().Format(snapshotTime) {
			t.Errorf("asked for the future: %s", r)
		}
	}
}

func TestGone(t *testing.T) {
	a := newArchive(t)
	c := a.client(t)
	lock := testLock(t, c)
	for _, p := range testPackages {
		if err := os.Remove(filepath.Join(a.dir, "debian", p.Path())); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Fetch(t.Context(), lock)
	var gone *GoneError
	if !errors.As(err, &gone) || len(gone.What) != 2 {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"aa 1:1.0+b1-1~x", "bb 2", "boardroom deb lock", "DEBIAN_MIRROR"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q is not one sentence", err)
	}
	if err := os.RemoveAll(filepath.Join(a.dir, "debian", "dists")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Lock(t.Context(), testSet(t), lockOptions(t)); !errors.As(err, &gone) || gone.What[0] != "suite trixie" {
		t.Errorf("got %v", err)
	}
}

func packageRequest(r *http.Request) bool { return strings.Contains(r.URL.Path, "/pool/main/a/") }

// count counts calls, of several goroutines.
type count struct {
	mu sync.Mutex
	n  int
}

func (c *count) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

func TestFetchGoesOn(t *testing.T) {
	aaSize := len(testPackages[0].Bytes())
	half := func(a *archive, w http.ResponseWriter, r *http.Request) {
		data, _ := os.ReadFile(filepath.Join(a.dir, r.URL.Path))
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		_, _ = w.Write(data[:len(data)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	for _, tt := range []struct {
		name string
		// answer is for requests of one package; n counts them.
		answer func(a *archive, w http.ResponseWriter, r *http.Request, n int) bool
		part   []byte // what an earlier run left
		ranges []string
	}{
		{"after a broken connection", func(a *archive, w http.ResponseWriter, r *http.Request, n int) bool {
			if n == 1 {
				half(a, w, r)
			}
			return false
		}, nil, []string{"", fmt.Sprintf("bytes=%d-", aaSize/2)}},
		{"after an error of the server", func(_ *archive, w http.ResponseWriter, _ *http.Request, n int) bool {
			if n < 3 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			return n < 3
		}, nil, []string{"", "", ""}},
		{"where ranges are unknown", func(a *archive, w http.ResponseWriter, r *http.Request, n int) bool {
			if n == 1 {
				half(a, w, r)
			}
			data, _ := os.ReadFile(filepath.Join(a.dir, r.URL.Path))
			_, _ = w.Write(data)
			return true
		}, nil, []string{"", fmt.Sprintf("bytes=%d-", aaSize/2)}},
		{"where another range comes", func(_ *archive, w http.ResponseWriter, r *http.Request, _ int) bool {
			if r.Header.Get("Range") == "" {
				return false
			}
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(make([]byte, 10))
			return true
		}, testPackages[0].Bytes()[:100], []string{"bytes=100-", ""}},
		{"where an earlier run ended", nil, testPackages[0].Bytes()[:100], []string{"bytes=100-"}},
		{"where an earlier run had all", nil, testPackages[0].Bytes(), nil},
		{"after an earlier run left other bytes", nil, []byte("something else"), []string{"bytes=14-", ""}},
		{"after an earlier run left too much", nil, make([]byte, aaSize+1), []string{""}},
		{"after an earlier run left all, but other bytes", nil, make([]byte, aaSize), []string{""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newArchive(t)
			c := a.client(t)
			lock := testLock(t, c)
			var n count
			a.answer = func(w http.ResponseWriter, r *http.Request) bool {
				return packageRequest(r) && tt.answer != nil && tt.answer(a, w, r, n.next())
			}
			if tt.part != nil {
				if err := os.WriteFile(c.File(lock.Packages[0])+".part", tt.part, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			a.requests = nil
			if _, err := c.Fetch(t.Context(), lock); err != nil {
				t.Fatal(err)
			}
			var ranges []string
			for _, r := range a.requests {
				if strings.Contains(r, "/pool/main/a/") {
					_, asked, _ := strings.Cut(r, " ")
					ranges = append(ranges, asked)
				}
			}
			if !slices.Equal(ranges, tt.ranges) {
				t.Errorf("asked for ranges %q, want %q", ranges, tt.ranges)
			}
			if got, err := os.ReadFile(c.File(lock.Packages[0])); err != nil || !bytes.Equal(got, testPackages[0].Bytes()) {
				t.Errorf("other content, or %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(c.Cache, "sha256", "*.part*")); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

func TestFetchRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer func(data []byte) []byte
	}{
		{"one bit", func(data []byte) []byte { data[len(data)/2] ^= 1; return data }},
		{"more", func(data []byte) []byte { return append(data, 0) }},
		{"another package", func([]byte) []byte { return testPackages[1].Bytes() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newArchive(t)
			c := a.client(t)
			lock := testLock(t, c)
			var n count
			a.answer = func(w http.ResponseWriter, r *http.Request) bool {
				if !packageRequest(r) {
					return false
				}
				n.next()
				data, _ := os.ReadFile(filepath.Join(a.dir, r.URL.Path))
				_, _ = w.Write(tt.answer(data))
				return true
			}
			_, err := c.Fetch(t.Context(), lock)
			short := tt.name == "another package"
			if !short && (!errors.Is(err, deb.ErrContent) || n.n != 1) || err == nil || !strings.Contains(err.Error(), "aa 1:1.0+b1-1~x") {
				t.Errorf("got %v after %d requests", err, n.n)
			}
			if _, err := os.Stat(c.File(lock.Packages[0])); err == nil {
				t.Error("it is in the cache")
			}
		})
	}
}

// A file in the cache that was damaged is downloaded again.
func TestCacheIsChecked(t *testing.T) {
	a := newArchive(t)
	c := a.client(t)
	lock := testLock(t, c)
	if _, err := c.Fetch(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	name := c.File(lock.Packages[0])
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	data[0] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if done, err := c.Fetch(t.Context(), lock); err != nil || done.Downloaded != 1 {
		t.Errorf("got %+v, %v", done, err)
	}
}

// Two that download the same do not disturb each other.
func TestConcurrentFetch(t *testing.T) {
	a := newArchive(t)
	c := a.client(t)
	lock := testLock(t, c)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := c.Fetch(context.Background(), lock); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if left, _ := filepath.Glob(filepath.Join(c.Cache, "sha256", "*.part-*")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestLocate(t *testing.T) {
	at := debtest.Epoch
	for mirror, want := range map[string]string{
		"":                               snapshotArchive + "/debian-security/20251101T000000Z",
		"http://mirror.example/":         "http://mirror.example/debian-security",
		"http://mirror.example/debian":   "http://mirror.example/debian-security",
		"http://mirror.example/debian//": "http://mirror.example/debian-security",
		"https://mirror.example/x/y":     "https://mirror.example/x/y/debian-security",
		"file:///srv/mirror":             "file:///srv/mirror/debian-security",
	} {
		if got, err := (&Client{Mirror: mirror}).locate("debian-security", at); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", mirror, got, err, want)
		}
	}
	for _, bad := range []string{"mirror.example", "ftp://mirror.example/debian", "http:///debian", "http://mirror.example/?x", "http://mirror.example/#x", "/srv/mirror", "%"} {
		var wrong *MirrorError
		if got, err := (&Client{Mirror: bad}).locate("debian", at); !errors.As(err, &wrong) {
			t.Errorf("%q: got %q, %v", bad, got, err)
		}
	}
}
