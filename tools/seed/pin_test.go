package seed_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/seed"
)

const goodPin = `{
  "version": "go9.9.9",
  "nar": "sha256-pNOnNZ/zAg0V2hdo66FYy3Z7kpNnXG8nPptqWIKLsq4=",
  "tarball": {"url": "https://go.dev/dl/go9.9.9.linux-amd64.tar.gz", "sha256": "d0f7"},
  "module": {"path": "golang.org/toolchain", "version": "v0.0.1-go9.9.9.linux-amd64", "sum": "h1:x="}
}`

func TestReadPin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seed.json")
	put(t, file, goodPin)
	got, err := seed.ReadPin(file)
	if err != nil {
		t.Fatal(err)
	}
	want := seed.Pin{
		Version: "go9.9.9",
		NAR:     "sha256-pNOnNZ/zAg0V2hdo66FYy3Z7kpNnXG8nPptqWIKLsq4=",
		Tarball: seed.Tarball{URL: "https://go.dev/dl/go9.9.9.linux-amd64.tar.gz", SHA256: "d0f7"},
		Module:  seed.Module{Path: "golang.org/toolchain", Version: "v0.0.1-go9.9.9.linux-amd64", Sum: "h1:x="},
	}
	if got != want {
		t.Errorf("pin is %+v, want %+v", got, want)
	}
}

func TestReadPinIsStrict(t *testing.T) {
	replace := func(old, with string) string {
		if !strings.Contains(goodPin, old) {
			t.Fatalf("the good pin has no %q", old)
		}
		return strings.Replace(goodPin, old, with, 1)
	}
	tests := []struct{ name, content, want string }{
		{"empty", "", "too early"},
		{"not JSON", "version: go9.9.9", "malformed JSON"},
		{"cut short", goodPin[:len(goodPin)-1], "too early"},
		{"data after it", goodPin + "{}", "data after"},
		{"unknown member", replace(`"version"`, `"flavour": "", "version"`), "flavour"},
		{"unknown member, deeper", replace(`"url"`, `"mirror": "", "url"`), "tarball: unknown member \"mirror\""},
		{"member twice", replace(`"version"`, `"version": "go1", "version"`), "twice"},
		{"other case", replace(`"nar"`, `"NAR"`), `"nar"`},
		{"a number", replace(`"go9.9.9"`, "9"), "version"},
		{"no hash", replace(`"nar": "sha256-pNOnNZ/zAg0V2hdo66FYy3Z7kpNnXG8nPptqWIKLsq4=",`, ""), "nar"},
		{"hex hash", replace("sha256-pNOnNZ/zAg0V2hdo66FYy3Z7kpNnXG8nPptqWIKLsq4=", "d0f743b33e8d8945e6b1f432edd15785c70507121d6e2a723b21285eddf8b57b"), "nar"},
		{"short hash", replace("sha256-pNOn", "sha256-"), "nar"},
		// The version names a folder in the cache.
		{"no version", replace(`"version": "go9.9.9",`, ""), "version"},
		{"empty version", replace(`"version": "go9.9.9"`, `"version": ""`), "version"},
		{"a version that leaves the cache", replace(`"version": "go9.9.9"`, `"version": "../../go9.9.9"`), "version"},
		{"a version that is a path", replace(`"version": "go9.9.9"`, `"version": "go9/9"`), "version"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "seed.json")
			put(t, file, tt.content)
			_, err := seed.ReadPin(file)
			if err == nil {
				t.Fatalf("%s was read without an error", tt.content)
			}
			if !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("message is %q, want it to name the file and %q", err, tt.want)
			}
		})
	}
}

func TestReadPinOfNoFile(t *testing.T) {
	if _, err := seed.ReadPin(filepath.Join(t.TempDir(), "absent.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want fs.ErrNotExist in it", err)
	}
}

// The pin of this repository names one release in all of its members.
func TestPinOfThisRepository(t *testing.T) {
	p, err := seed.ReadPin(filepath.Join("..", "..", filepath.FromSlash(seed.PinFile)))
	if err != nil {
		t.Fatal(err)
	}
	platform := p.Version + ".linux-amd64"
	if !strings.HasSuffix(p.Tarball.URL, "/"+platform+".tar.gz") {
		t.Errorf("tarball.url is %s, want one of %s", p.Tarball.URL, platform)
	}
	if len(p.Tarball.SHA256) != 64 {
		t.Errorf("tarball.sha256 is %q, want 64 hex digits", p.Tarball.SHA256)
	}
	if p.Module.Path != "golang.org/toolchain" || p.Module.Version != "v0.0.1-"+platform {
		t.Errorf("module is %s@%s, want golang.org/toolchain@v0.0.1-%s", p.Module.Path, p.Module.Version, platform)
	}
	if !strings.HasPrefix(p.Module.Sum, "h1:") {
		t.Errorf("module.sum is %q, want h1: and base64", p.Module.Sum)
	}
}
