package collateral_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/collateral"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

// clock is a time that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// verifier is a service with a cache in front of it.
type verifier struct {
	*pccs
	*clock
	dir     string
	options collateral.Options
	mu      sync.Mutex
	notes   []string
}

func newVerifier(t testing.TB, c quote.Collateral, now time.Time) *verifier {
	t.Helper()
	v := &verifier{pccs: newPCCS(t, c), clock: &clock{now: now}, dir: t.TempDir()}
	v.options = collateral.Options{Root: quote.IntelRoot(), Cache: cacheAt(t, v.dir), Now: v.Now, Note: func(text string) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.notes = append(v.notes, text)
	}}
	return v
}

func cacheAt(t testing.TB, dir string) *collateral.Cache {
	t.Helper()
	cache, err := collateral.OpenCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

func (v *verifier) get(t testing.TB, target collateral.Target) (quote.Collateral, error) {
	t.Helper()
	return open(t, v.URL, v.options).Get(t.Context(), target)
}

// must gets and compares.
func (v *verifier) must(t *testing.T, target collateral.Target, want quote.Collateral, requests int) {
	t.Helper()
	got, err := v.get(t, target)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, want)
	if asked := v.asked(); len(asked) != requests {
		t.Fatalf("%d requests %q, want %d", len(asked), asked, requests)
	}
}

func (v *verifier) file(t testing.TB, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(v.dir, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %q, %v, want one file", pattern, files, err)
	}
	return files[0]
}

// forget removes the kept bundles, and leaves what was seen.
func (v *verifier) forget(t testing.TB) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(v.dir, "bundle-*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

func rollback(t *testing.T, err error, what string) {
	t.Helper()
	var is *collateral.RollbackError
	if !errors.As(err, &is) || is.What != what {
		t.Fatalf("error is %v, want a RollbackError about %s", err, what)
	}
	if is.Got == "" || is.Seen == "" || !strings.Contains(err.Error(), is.Got) || !strings.Contains(err.Error(), is.Seen) {
		t.Errorf("error %v does not name both, %q and %q", err, is.Got, is.Seen)
	}
}

func TestCacheIsUsedUntilTheFirstNextUpdate(t *testing.T) {
	want := directory(t, intel2026)
	v := newVerifier(t, want, in2026)
	v.must(t, target2026, want, 4)
	v.must(t, target2026, want, 0)
	contents, err := collateral.Inspect(want)
	if err != nil {
		t.Fatal(err)
	}
	v.set(contents.NextUpdate.Add(-time.Second))
	v.must(t, target2026, want, 0)
	// From then on the service is asked. What it has is stale, and returned for package quote to refuse.
	v.set(*contents.NextUpdate)
	v.must(t, target2026, want, 4)
	v.set(contents.NextUpdate.Add(time.Second))
	v.must(t, target2026, want, 4)
	v.Close()
	if _, err := v.get(t, target2026); !errors.Is(err, collateral.ErrUnreachable) {
		t.Errorf("error is %v, want ErrUnreachable: what is stale is no substitute", err)
	}
}

func TestFetchAsksInAnyCase(t *testing.T) {
	want := directory(t, intel2026)
	v := newVerifier(t, want, in2026)
	v.must(t, target2026, want, 4)
	if _, err := open(t, v.URL, v.options).Fetch(t.Context(), target2026); err != nil {
		t.Fatal(err)
	}
	if asked := v.asked(); len(asked) != 4 {
		t.Errorf("%d requests, want 4", len(asked))
	}
}

func TestCacheTellsApart(t *testing.T) {
	want := directory(t, intel2026)
	v := newVerifier(t, want, in2026)
	v.must(t, target2026, want, 4)
	v.options.Update = collateral.Early
	v.must(t, target2026, want, 4)
	v.options.Update = ""
	// Another platform, another CA: this service has nothing about them, and its answers are not kept as theirs.
	for _, other := range []collateral.Target{target2025, {FMSPC: target2026.FMSPC, CA: quote.ProcessorCA}} {
		v.must(t, other, want, 4)
		v.must(t, other, want, 4)
	}
	if files, _ := filepath.Glob(filepath.Join(v.dir, "bundle-*.json")); len(files) != 2 || len(v.notes) > 0 {
		t.Errorf("kept %q with notes %q, want a bundle for each channel", files, v.notes)
	}
	other := newPCCS(t, want)
	if _, err := open(t, other.URL, v.options).Get(t.Context(), target2026); err != nil {
		t.Fatal(err)
	}
	if asked := other.asked(); len(asked) != 4 {
		t.Errorf("another service got %d requests, want 4", len(asked))
	}
}

// What does not verify under a root is not kept under it, and does not count as seen.
func TestRootsAreApart(t *testing.T) {
	sim := directory(t, simulated)
	v := newVerifier(t, sim, inSim)
	v.must(t, targetSim, sim, 4)
	v.must(t, targetSim, sim, 4)
	if floor, err := v.options.Cache.Floor(quote.IntelRoot()); err != nil || !floor.IsZero() {
		t.Errorf("floor is %s, %v: unverified collateral counts as seen", floor, err)
	}
	if files, _ := filepath.Glob(filepath.Join(v.dir, "*.json")); len(files) > 0 {
		t.Errorf("kept %q", files)
	}
	root, err := quote.ParseTrustRoot(read(t, simulated, "root_ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	v.options.Root = root
	v.must(t, targetSim, sim, 4)
	v.must(t, targetSim, sim, 0)
	floor, err := v.options.Cache.Floor(root)
	if err != nil || floor.IsZero() {
		t.Errorf("floor is %s, %v, want a date", floor, err)
	}
	if floor, err := v.options.Cache.Floor(quote.IntelRoot()); err != nil || !floor.IsZero() {
		t.Errorf("floor of Intel's root is %s, %v: simulated collateral counts as seen", floor, err)
	}
	v.options.Root = quote.IntelRoot()
	v.must(t, targetSim, sim, 4)
	if len(v.notes) > 0 {
		t.Errorf("notes are %q: what is kept under one root was taken for kept under another", v.notes)
	}
}

// Each byte that is not what was published keeps collateral out of the cache.
func TestForgedDoesNotCountAsSeen(t *testing.T) {
	good := directory(t, intel2025)
	for name, spoil := range map[string]func(*quote.Collateral){
		"TCB info of the future":    func(c *quote.Collateral) { c.TCBInfo = replaced(t, c.TCBInfo, `Number":17`, `Number":99`) },
		"QE identity of the future": func(c *quote.Collateral) { c.QEIdentity = replaced(t, c.QEIdentity, `Number":17`, `Number":99`) },
		"unsigned sibling": func(c *quote.Collateral) {
			c.TCBInfo = replaced(t, c.TCBInfo, `{"tcbInfo":`, `{"TCBINFO":{},"tcbInfo":`)
		},
		"list of revocations":      func(c *quote.Collateral) { c.PCKCRL = flipped(c.PCKCRL) },
		"list of the root":         func(c *quote.Collateral) { c.RootCRL = flipped(c.RootCRL) },
		"chain of the TCB info":    func(c *quote.Collateral) { c.TCBInfoChain = c.PCKCRLChain },
		"chain of the QE identity": func(c *quote.Collateral) { c.QEIdentityChain = c.PCKCRLChain },
		"chain of the list":        func(c *quote.Collateral) { c.PCKCRLChain = c.TCBInfoChain },
		"TCB info is the identity": func(c *quote.Collateral) { c.TCBInfo = c.QEIdentity },
		"lists swapped":            func(c *quote.Collateral) { c.PCKCRL, c.RootCRL = c.RootCRL, c.PCKCRL },
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			spoil(&c)
			v := newVerifier(t, c, in2025)
			_, err := v.get(t, target2025)
			var answer *collateral.AnswerError
			if err != nil && !errors.As(err, &answer) {
				t.Fatal(err)
			}
			if files, _ := filepath.Glob(filepath.Join(v.dir, "*.json")); len(files) > 0 {
				t.Errorf("kept %q", files)
			}
			v.asked()
			v.serve(good)
			v.must(t, target2025, good, 4)
		})
	}
}

func replaced(t testing.TB, data []byte, old, new string) []byte {
	t.Helper()
	text := strings.Replace(string(data), old, new, 1)
	if text == string(data) {
		t.Fatalf("%q is not in it", old)
	}
	return []byte(text)
}

func flipped(data []byte) []byte {
	data = append([]byte(nil), data...)
	data[len(data)-1] ^= 1
	return data
}

func TestRollback(t *testing.T) {
	old, newest := directory(t, intel2025), newer(t)
	v := newVerifier(t, old, in2025)
	v.must(t, target2025, old, 4)
	// Another service is ahead.
	other := newPCCS(t, newest)
	got, err := open(t, other.URL, v.options).Get(t.Context(), target2025)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, newest)
	// From here on, what was kept before is not used. The service that has the same is refused, but what is kept is newer.
	v.asked()
	v.must(t, target2025, newest, 4)
	if len(v.notes) != 1 || !strings.Contains(v.notes[0], "older qe_identity, tcb_info than") {
		t.Errorf("notes are %q, want one about the older parts", v.notes)
	}
	_, err = open(t, v.URL, v.options).Fetch(t.Context(), target2025)
	rollback(t, err, "tcb_info/default/00806f050000")
	v.forget(t)
	v.asked()
	_, err = v.get(t, target2025)
	rollback(t, err, "tcb_info/default/00806f050000")
	if asked := v.asked(); len(asked) != 4 {
		t.Errorf("%d requests, want 4", len(asked))
	}
	// A directory and a bundle are no way around.
	_, err = open(t, filepath.Join("testdata", intel2025), v.options).Get(t.Context(), collateral.Target{})
	rollback(t, err, "tcb_info/default/00806f050000")
	c := newest
	c.QEIdentity, c.QEIdentityChain = old.QEIdentity, old.QEIdentityChain
	data, err := collateral.MarshalBundle(c)
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(t.TempDir(), "bundle.json")
	if err := os.WriteFile(bundle, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, bundle, v.options).Get(t.Context(), collateral.Target{})
	rollback(t, err, "qe_identity/default")
	// Without a cache nothing is known of other calls.
	v.options.Cache = nil
	v.must(t, target2025, old, 4)
}

func TestFilesCountAsSeen(t *testing.T) {
	v := newVerifier(t, directory(t, intel2025), in2025)
	dir := t.TempDir()
	for name, data := range collateral.Files(newer(t)) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(t, dir, v.options).Get(t.Context(), collateral.Target{}); err != nil {
		t.Fatal(err)
	}
	_, err := v.get(t, target2025)
	rollback(t, err, "tcb_info/default/00806f050000")
}

func TestClockSetBack(t *testing.T) {
	want := directory(t, intel2026)
	v := newVerifier(t, want, in2026)
	v.must(t, target2026, want, 4)
	floor, err := v.options.Cache.Floor(quote.IntelRoot())
	if err != nil || !floor.Equal(time.Date(2026, 1, 12, 16, 3, 13, 0, time.UTC)) {
		t.Fatalf("floor is %s, %v, want the issue date of the QE identity", floor, err)
	}
	v.set(floor)
	v.must(t, target2026, want, 0)
	v.set(floor.Add(-time.Second))
	_, err = v.get(t, target2026)
	rollback(t, err, "clock")
	_, err = open(t, filepath.Join("testdata", intel2026), v.options).Get(t.Context(), collateral.Target{})
	rollback(t, err, "clock")
}

func TestCorruptEntryIsAskedForAgain(t *testing.T) {
	want, sim := directory(t, intel2026), directory(t, simulated)
	foreign, err := collateral.MarshalBundle(sim)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"empty": {}, "no JSON": []byte("\x00\x01"), "half": nil, "a flipped bit": nil, "of another root": foreign, "too large": make([]byte, 5<<20),
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, want, in2026)
			v.must(t, target2026, want, 4)
			path := v.file(t, "bundle-*.json")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			switch name {
			case "half":
				content = data[:len(data)/2]
			case "a flipped bit":
				content = replaced(t, data, `\"fmspc\":\"90c06f`, `\"fmspc\":\"91c06f`)
			}
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			v.must(t, target2026, want, 4)
			if len(v.notes) != 1 || !strings.Contains(v.notes[0], path) {
				t.Errorf("notes are %q, want one that names %s", v.notes, path)
			}
			v.must(t, target2026, want, 0)
		})
	}
	t.Run("a folder", func(t *testing.T) {
		v := newVerifier(t, want, in2026)
		v.must(t, target2026, want, 4)
		path := v.file(t, "bundle-*.json")
		if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
			t.Fatal(err)
		}
		if _, err := v.get(t, target2026); err == nil {
			t.Error("no error, and nothing can be kept")
		}
	})
}

// An entry of another platform under this one's name is not used.
func TestMisplacedEntry(t *testing.T) {
	want := directory(t, intel2025)
	v := newVerifier(t, want, in2025)
	v.must(t, target2025, want, 4)
	kept := v.file(t, "bundle-*.json")
	data, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	other := newVerifier(t, directory(t, intel2026), in2026)
	other.must(t, target2026, directory(t, intel2026), 4)
	other.set(in2025)
	if err := errors.Join(os.WriteFile(other.file(t, "bundle-*.json"), data, 0o600), os.Remove(other.file(t, "seen-*.json"))); err != nil {
		t.Fatal(err)
	}
	if _, err := other.get(t, target2026); err != nil {
		t.Fatal(err)
	}
	if asked := other.asked(); len(asked) != 4 || len(other.notes) != 1 {
		t.Errorf("%d requests and notes %q, want 4 and one", len(asked), other.notes)
	}
}

func TestDamagedStateIsNoNewStart(t *testing.T) {
	want := directory(t, intel2026)
	for name, content := range map[string]string{
		"empty": "", "half": `{"format":"boardroom-collateral-seen/v1","docu`, "another version": `{"format":"boardroom-collateral-seen/v2","documents":{}}`,
		"no documents": `{"format":"boardroom-collateral-seen/v1"}`,
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, want, in2026)
			v.must(t, target2026, want, 4)
			path := v.file(t, "seen-*.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := v.get(t, target2026)
			if !errors.Is(err, collateral.ErrState) || !strings.Contains(err.Error(), path) {
				t.Errorf("error is %v, want ErrState that names %s", err, path)
			}
			if _, err := v.options.Cache.Floor(quote.IntelRoot()); !errors.Is(err, collateral.ErrState) {
				t.Errorf("floor: error is %v, want ErrState", err)
			}
		})
	}
}

// A process that ended between writing and renaming leaves a file that means nothing, and goes with the next write.
func TestLeftovers(t *testing.T) {
	want := directory(t, intel2026)
	v := newVerifier(t, want, in2026)
	left := filepath.Join(v.dir, ".new-123456")
	if err := os.WriteFile(left, []byte(`{"format":`), 0o600); err != nil {
		t.Fatal(err)
	}
	v.must(t, target2026, want, 4)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", left, err)
	}
	v.must(t, target2026, want, 0)
}

func TestCacheIsBounded(t *testing.T) {
	want := directory(t, intel2026)
	v := newVerifier(t, want, in2026)
	for i := range 70 {
		path := filepath.Join(v.dir, "bundle-"+strings.Repeat("0", i+1)+".json")
		written := in2026.Add(time.Duration(i) * time.Second)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, written, written)); err != nil {
			t.Fatal(err)
		}
	}
	v.must(t, target2026, want, 4)
	files, err := filepath.Glob(filepath.Join(v.dir, "bundle-*.json"))
	if err != nil || len(files) != 64 {
		t.Fatalf("%d bundles, %v, want 64", len(files), err)
	}
	for _, name := range []string{"bundle-0.json", "bundle-0000000.json"} {
		if _, err := os.Stat(filepath.Join(v.dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is among the oldest and still there: %v", name, err)
		}
	}
	v.must(t, target2026, want, 0)
}

func TestCacheThatCanNotBeWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "cache")} {
		if _, err := collateral.OpenCache(dir); err == nil {
			t.Errorf("%s: opened as a cache", dir)
		}
	}
	if dir := t.TempDir(); os.Geteuid() != 0 { // nothing is read-only to root
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		if _, err := collateral.OpenCache(dir); !errors.Is(err, os.ErrPermission) {
			t.Errorf("a folder that is read-only: error is %v", err)
		}
	}
	// What can not be remembered is not returned: the next time it could be older.
	want := directory(t, intel2026)
	v := newVerifier(t, want, in2026)
	if err := os.Mkdir(filepath.Join(v.dir, "lock"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := v.get(t, target2026)
	if !errors.Is(err, collateral.ErrState) || len(collateral.Files(got)) > 0 {
		t.Errorf("error is %v with %d members, want ErrState", err, len(collateral.Files(got)))
	}
}

// Many verifiers, some with caches of their own on the same folder, see the same and lose nothing.
func TestConcurrentVerifiers(t *testing.T) {
	old, newest := directory(t, intel2025), newer(t)
	v := newVerifier(t, old, in2025)
	ahead := newPCCS(t, newest)
	var wg sync.WaitGroup
	for i := range 12 {
		options := v.options
		options.Cache = cacheAt(t, v.dir)
		spec := v.URL
		if i%2 == 1 {
			spec = ahead.URL
		}
		source := open(t, spec, options)
		wg.Go(func() {
			got, err := source.Get(t.Context(), target2025)
			var is *collateral.RollbackError
			switch {
			case err == nil && !bytes.Equal(got.TCBInfo, old.TCBInfo):
				equal(t, got, newest)
			case err == nil && i%2 == 1:
				t.Errorf("verifier %d got what is older than its service has", i)
			case err != nil && (i%2 == 1 || !errors.As(err, &is)):
				t.Errorf("verifier %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	v.forget(t)
	_, err := v.get(t, target2025)
	rollback(t, err, "tcb_info/default/00806f050000")
	if left, _ := filepath.Glob(filepath.Join(v.dir, ".new-*")); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}
