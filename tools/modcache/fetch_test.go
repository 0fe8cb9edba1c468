package modcache

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/modtest"
	"github.com/boardroom-tee/boardroom/tools/nar"
)

// fetch collects the modules of source from the proxies into a folder that is not there yet.
func fetch(t *testing.T, source, proxies string) (string, error) {
	t.Helper()
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "modules")
	return dir, Fetch(t.Context(), Request{Go: goCommand, Source: source, Proxies: proxies, Scratch: t.TempDir()}, dir)
}

func mustFetch(t *testing.T, source, proxies string) string {
	t.Helper()
	dir, err := fetch(t, source, proxies)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func sum(t *testing.T, dir string) nar.Hash {
	t.Helper()
	h, err := nar.Dir(dir).Sum()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// list names the files below dir.
func list(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func mustBeAbsent(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there (%v), want nothing written", dir, err)
	}
}

func TestFetch(t *testing.T) {
	all := modules(t)
	dir := mustFetch(t, source(t, all, nil), serveModules(t, "2026-01-01T00:00:00Z", all).url)
	// What go.mod names and nothing imports (unused) is not taken.
	want := []string{
		"example.test/!words/@v/v1.0.0.mod", "example.test/!words/@v/v1.0.0.zip",
		"example.test/checks/@v/v0.1.0.mod", "example.test/checks/@v/v0.1.0.zip",
		"example.test/letters/@v/v1.2.0.mod", "example.test/letters/@v/v1.2.0.zip",
	}
	if got := list(t, dir); !slices.Equal(got, want) {
		t.Errorf("the folder has %q, want %q", got, want)
	}
	for name, p := range map[string]modtest.Module{"!words/@v/v1.0.0.zip": all["words"], "letters/@v/v1.2.0.zip": all["letters"]} {
		got, err := os.ReadFile(filepath.Join(dir, "example.test", filepath.FromSlash(name)))
		if err != nil || !bytes.Equal(got, p.Zip) {
			t.Errorf("%s has %d bytes (%v), want the %d that were published", name, len(got), err, len(p.Zip))
		}
	}
}

// The hash of the folder is pinned, so it must not depend on which proxy served it: they differ in what they say of times.
func TestFolderDoesNotDependOnTheProxy(t *testing.T) {
	all := modules(t)
	src := source(t, all, nil)
	one := serveModules(t, "2026-01-01T00:00:00Z", all)
	two := serveModules(t, "1999-12-31T23:59:59Z", all)
	first, second := mustFetch(t, src, one.url), mustFetch(t, src, two.url)
	if a, b := sum(t, first), sum(t, second); a != b {
		t.Errorf("the two proxies gave %s with %q and %s with %q", a, list(t, first), b, list(t, second))
	}
	if len(one.requests()) == 0 || len(two.requests()) == 0 {
		t.Errorf("the proxies were asked for %d and %d files, want each to be asked", len(one.requests()), len(two.requests()))
	}
}

// What the folder is for: a build that has no network takes it for its proxy.
func TestFolderServesAsProxy(t *testing.T) {
	all := modules(t)
	src := source(t, all, nil)
	dir := mustFetch(t, src, serveModules(t, "2026-01-01T00:00:00Z", all).url)
	cmd := exec.Command("go", "list", "-mod=readonly", "-deps", "-test", "./...")
	cmd.Dir = src
	cmd.Env = append(os.Environ(), "GOPROXY=file://"+dir, "GOMODCACHE="+t.TempDir(), "GOFLAGS=-modcacherw", "GOSUMDB=off", "GOTOOLCHAIN=local", "GOWORK=off", "GOENV=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), "example.test/letters") {
		t.Errorf("go list gave %q, want the packages of the modules among them", out)
	}
}

func TestFetchWithoutImports(t *testing.T) {
	tests := []struct {
		name  string
		edits map[string]string
	}{
		{"no requirements", map[string]string{"go.mod": "module example.test/app\n\ngo 1.24\n", "go.sum": "", "main.go": "package main\n\nfunc main() {}\n", "main_test.go": "package main\n"}},
		{"only the standard library", map[string]string{"go.mod": "module example.test/app\n\ngo 1.24\n", "go.sum": "", "main.go": "package main\n\nimport \"os\"\n\nfunc main() { os.Exit(0) }\n", "main_test.go": "package main\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := serveModules(t, "", nil)
			dir := mustFetch(t, source(t, nil, tt.edits), p.url)
			if got := list(t, dir); len(got) > 0 {
				t.Errorf("the folder has %q, want it empty", got)
			}
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				t.Errorf("there is no folder (%v), want an empty one", err)
			}
			if got := p.requests(); len(got) > 0 {
				t.Errorf("the proxy was asked for %q, want nothing", got)
			}
		})
	}
}

func TestFetchRefuses(t *testing.T) {
	all := modules(t)
	evil := maps.Clone(all)
	evil["letters"] = modtest.Publish(t, "example.test/letters", "v1.2.0", map[string]string{"go.mod": all["letters"].Mod, "letters.go": "package letters\n\nconst H = \"J\"\n"})
	evilMod := maps.Clone(all)
	altered := all["letters"]
	altered.Mod += "\n// more\n"
	evilMod["letters"] = altered
	cut := maps.Clone(all)
	altered = all["letters"]
	altered.Zip = altered.Zip[:len(altered.Zip)/2]
	cut["letters"] = altered
	unvouched := maps.Clone(all)
	delete(unvouched, "letters")
	absent := maps.Clone(all)
	delete(absent, "letters")
	tests := []struct {
		name           string
		vouched, serve map[string]modtest.Module
		want           []string
	}{
		{"another zip", all, evil, []string{"example.test/letters@v1.2.0", "checksum mismatch", all["letters"].Content, evil["letters"].Content}},
		{"another go.mod", all, evilMod, []string{"example.test/letters@v1.2.0", "checksum mismatch"}},
		{"half a zip", all, cut, []string{"not a valid zip file"}},
		{"no line in go.sum", unvouched, all, []string{"example.test/letters", "go.sum"}},
		{"a module that the proxy has not", all, absent, []string{"example.test/letters@v1.2.0", "404"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, err := fetch(t, source(t, tt.vouched, nil), serveModules(t, "2026-01-01T00:00:00Z", tt.serve).url)
			if err == nil {
				t.Fatalf("the folder was written, with %q", list(t, dir))
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("message is %q, want it to have %q", err, want)
				}
			}
			mustBeAbsent(t, dir)
		})
	}
}

func TestFetchFromNoProxy(t *testing.T) {
	address := unreachable(t)
	dir, err := fetch(t, source(t, modules(t), nil), "http://"+address)
	if err == nil {
		t.Fatal("the folder was written")
	}
	for _, want := range []string{"fetch modules", address, "connection refused"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("message is %q, want it to have %q", err, want)
		}
	}
	mustBeAbsent(t, dir)
}

// Messages go into logs of builds, so no part of them may show what stands before the @ of a proxy's URL.
func TestCredentialsStayOutOfMessages(t *testing.T) {
	address := unreachable(t)
	for _, userinfo := range []string{"user:s3cret@", "s3cret@", "user:s3cret%2F@", ":s3cret@"} {
		t.Run(userinfo, func(t *testing.T) {
			dir, err := fetch(t, source(t, modules(t), nil), "http://"+userinfo+address)
			if err == nil {
				t.Fatal("the folder was written")
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("message shows the credentials: %q", err)
			}
			if !strings.Contains(err.Error(), address) {
				t.Errorf("message is %q, want it to name %s all the same", err, address)
			}
			mustBeAbsent(t, dir)
		})
	}
}

// A company's proxy may present a certificate that nobody here knows; what it serves is compared with go.sum.
func TestFetchOverUnknownTLS(t *testing.T) {
	all := modules(t)
	p := &proxy{}
	server := httptest.NewTLSServer(p.handler(t, "2026-01-01T00:00:00Z", all))
	defer server.Close()
	src := source(t, all, nil)
	dir := mustFetch(t, src, server.URL)
	plain := mustFetch(t, src, serveModules(t, "", all).url)
	if a, b := sum(t, dir), sum(t, plain); a != b {
		t.Errorf("over TLS the folder is %s, over HTTP %s", a, b)
	}
	if len(p.requests()) == 0 {
		t.Error("the proxy was not asked")
	}
}

// The caller's settings for the go command must neither lead past the proxy nor change what is collected.
func TestFetchInAHostileEnvironment(t *testing.T) {
	all := modules(t)
	src := source(t, all, nil)
	want := sum(t, mustFetch(t, src, serveModules(t, "", all).url))
	for name, value := range map[string]string{
		"GOPRIVATE": "*", "GONOPROXY": "*", "GONOSUMDB": "*", "GOVCS": "*:all", "GOPROXY": "off", "GOFLAGS": "-mod=mod -tags=evil", "GOOS": "windows",
		"GOARCH": "arm64", "CGO_ENABLED": "1", "GOEXPERIMENT": "bogus", "GOFIPS140": "bogus", "GOROOT": "/nonexistent", "GOWORK": "/nonexistent",
		"GOMODCACHE": "/nonexistent", "GOTOOLCHAIN": "go1.999", "HOME": "/nonexistent", "GOAMD64": "v9",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			dir, err := fetch(t, src, serveModules(t, "", all).url)
			if err != nil {
				t.Fatalf("%s=%s: %v", name, value, err)
			}
			if got := sum(t, dir); got != want {
				t.Errorf("%s=%s: the folder is %s with %q, want %s", name, value, got, list(t, dir), want)
			}
		})
	}
}

func TestFetchLeavesWhatIsThere(t *testing.T) {
	all := modules(t)
	dir := t.TempDir()
	modtest.WriteFiles(t, dir, map[string]string{"mine": "mine"})
	err := Fetch(t.Context(), Request{Go: "go", Source: source(t, all, nil), Proxies: serveModules(t, "", all).url, Scratch: t.TempDir()}, dir)
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("error is %v, want fs.ErrExist in it", err)
	}
	if got := list(t, dir); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("the folder has %q, want what it had", got)
	}
}

func TestFetchFaults(t *testing.T) {
	src := source(t, nil, nil)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name    string
		ctx     context.Context
		request Request
		want    error
	}{
		{"no go command", t.Context(), Request{Go: filepath.Join(src, "absent"), Source: src, Proxies: "http://127.0.0.1:1"}, fs.ErrNotExist},
		{"no go command for the default proxies", t.Context(), Request{Go: filepath.Join(src, "absent"), Source: src}, fs.ErrNotExist},
		{"no source", t.Context(), Request{Go: "go", Source: filepath.Join(src, "absent"), Proxies: "http://127.0.0.1:1"}, fs.ErrNotExist},
		{"cancelled", cancelled, Request{Go: "go", Source: src, Proxies: "http://127.0.0.1:1"}, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.request.Scratch = t.TempDir()
			dir := filepath.Join(t.TempDir(), "modules")
			if err := Fetch(tt.ctx, tt.request, dir); !errors.Is(err, tt.want) {
				t.Errorf("error is %v, want %v in it", err, tt.want)
			}
			mustBeAbsent(t, dir)
		})
	}
}

func TestFetchTellsProgress(t *testing.T) {
	all := modules(t)
	var progress bytes.Buffer
	request := Request{Go: "go", Source: source(t, all, nil), Proxies: serveModules(t, "", all).url, Scratch: t.TempDir(), Progress: &progress}
	if err := Fetch(t.Context(), request, filepath.Join(t.TempDir(), "modules")); err != nil {
		t.Fatal(err)
	}
	if want := "downloading example.test/letters v1.2.0"; !strings.Contains(progress.String(), want) {
		t.Errorf("progress is %q, want it to have %q", progress.String(), want)
	}
}

// An empty list stands for the go command's own default, whatever the caller's GOPROXY is.
func TestDefaultProxies(t *testing.T) {
	t.Setenv("GOPROXY", "http://user.example.test")
	got, err := defaultProxies(t.Context(), "go", append(os.Environ(), "GOENV=off"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got, "user.example.test") {
		t.Errorf("the default is %q, want it without the user's setting", got)
	}
	if _, err := parseProxies(got); err != nil {
		t.Errorf("the default is %q, which is not understood: %v", got, err)
	}
}
