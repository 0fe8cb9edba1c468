package deb_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
)

func TestSetDefaults(t *testing.T) {
	s := set(t, `{"include": ["aa"], "files": {}}`)
	want := []deb.Suite{{Archive: "debian", Name: "trixie"}, {Archive: "debian", Name: "trixie-updates"}, {Archive: "debian-security", Name: "trixie-security"}}
	if len(s.Suites) != 3 || s.Suites[0] != want[0] || s.Suites[1] != want[1] || s.Suites[2] != want[2] || s.Architecture != "amd64" || len(s.Components) != 1 || s.Components[0] != "main" {
		t.Errorf("got %+v", s)
	}
}

func TestSetRefuses(t *testing.T) {
	for _, tt := range []struct{ document, want string }{
		{`{"files": {}}`, "include: expected at least one package"},
		{`{"include": [], "files": {}}`, "include: expected at least one package"},
		{`{"include": ["aa", "aa"], "files": {}}`, "include[1]: aa stands twice"},
		{`{"include": ["a b"], "files": {}}`, "include[0]: expected the name of a package"},
		{`{"include": ["aa"], "inclued": [], "files": {}}`, `unknown member "inclued"`},
		{`{"include": ["aa"], "suites": [], "files": {}}`, "suites: expected at least one"},
		{`{"include": ["aa"], "suites": [{"archive": "ubuntu", "name": "trixie"}], "files": {}}`, "suites[0].archive: expected debian or debian-security"},
		{`{"include": ["aa"], "suites": [{"archive": "debian", "name": "../x"}], "files": {}}`, "suites[0].name: expected a codename"},
		{`{"include": ["aa"], "suites": [{"archive": "debian", "name": "sid"}, {"archive": "debian", "name": "sid"}], "files": {}}`, "suites[1]: sid stands twice"},
		{`{"include": ["aa"], "components": [], "files": {}}`, "components: expected at least one"},
		{`{"include": ["aa"], "components": ["Main"], "files": {}}`, "components[0]: expected a name"},
		{`{"include": ["aa"], "architecture": "all", "files": {}}`, "architecture: expected one such as amd64"},
		{`{"include": ["aa"], "exclude": {"bb": " "}, "files": {}}`, "exclude.bb: expected the reason"},
		{`{"include": ["aa"], "exclude": {"aa": "x"}, "files": {}}`, "exclude: aa is included, too"},
		{`{"include": ["aa"], "exclude": {"/": "x"}, "files": {}}`, "exclude: expected the name"},
		{`{"include": ["aa"], "pins": {"aa": "_"}, "files": {}}`, "version"},
		{`{"include": ["aa"], "pins": {"/": "1"}, "files": {}}`, "pins: expected the name"},
		{`{"include": ["aa"], "files": {"exclude": ["/usr"]}}`, "files.exclude[0]: expected a path from the root"},
		{`{"include": ["aa"], "files": {"exclude": ["usr/../etc"]}}`, "files.exclude[0]: expected a path from the root"},
		{`{"include": ["aa"], "files": {"keep": ["usr/["]}}`, "files.keep[0]"},
		{`{"include": ["aa"], "files": {"keep": ["usr/a**"]}}`, "expected ** to be a part of its own"},
		{`{"include": ["aa"], "files": {"exclude": ["."]}}`, "files.exclude[0]"},
	} {
		_, err := deb.ParseSet([]byte(tt.document))
		var malformed *deb.DocumentError
		if !errors.As(err, &malformed) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.document, err, tt.want)
		}
	}
}

// lockOf locks packages without an archive.
func lockOf(t testing.TB, document string, packages ...debtest.Package) *deb.Lock {
	t.Helper()
	s := set(t, document)
	s.Suites = s.Suites[:1]
	all, err := deb.ParsePackages(debtest.Index(packages...), "trixie", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	chosen, unmet, err := deb.Resolve(s, all)
	if err != nil {
		t.Fatal(err)
	}
	release := &deb.Release{Codename: "trixie", Date: debtest.Epoch, SignedBy: []string{"AB"}}
	return deb.NewLock(s, []*deb.Release{release}, chosen, unmet, debtest.Epoch)
}

func TestLockRoundTrip(t *testing.T) {
	lock := lockOf(t, `{"include": ["bb", "aa"], "files": {"exclude": ["usr/share/doc"]}}`, debtest.Package{Name: "bb", Version: "1"}, debtest.Package{Name: "aa", Version: "1:2-3", Architecture: "all"})
	document, err := lock.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	again, err := deb.ParseLock(document)
	if err != nil {
		t.Fatal(err)
	}
	second, err := again.Bytes()
	if err != nil || !bytes.Equal(document, second) {
		t.Errorf("%v, got\n%s\nwant\n%s", err, second, document)
	}
	if p := again.Packages[0]; p.Name != "aa" || p.Version != "1:2-3" || p.Architecture != "all" {
		t.Errorf("got %+v", p)
	}
	if err := again.CheckSet(set(t, `{"include": ["aa", "bb"], "files": {}}`)); !errors.Is(err, deb.ErrContent) {
		t.Errorf("lock of another set: got %v", err)
	}
	name := filepath.Join(t.TempDir(), "lock.json")
	if err := os.WriteFile(name, document[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	var malformed *deb.DocumentError
	if _, err := deb.ReadLock(name); !errors.As(err, &malformed) || !strings.HasPrefix(err.Error(), name+": ") {
		t.Errorf("got %v", err)
	}
}

func TestLockRefuses(t *testing.T) {
	good, err := lockOf(t, `{"include": ["aa", "bb"], "files": {}}`, debtest.Package{Name: "aa", Version: "1"}, debtest.Package{Name: "bb", Version: "1"}).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(l map[string]any)
		want   string
	}{
		{"format", func(l map[string]any) { l["format"] = 2 }, "format: expected 1, got 2"},
		{"unknown member", func(l map[string]any) { l["mirror"] = "x" }, "unknown member"},
		{"no packages", func(l map[string]any) { l["packages"] = []any{} }, "packages: expected at least one"},
		{"unsorted", func(l map[string]any) { p := l["packages"].([]any); p[0], p[1] = p[1], p[0] }, "packages[1]: expected names sorted"},
		{"twice", func(l map[string]any) { p := l["packages"].([]any); p[1] = p[0] }, "packages[1]: expected names sorted"},
		{"name", func(l map[string]any) { aa(l)["name"] = "../aa" }, "packages[0].name"},
		{"version", func(l map[string]any) { aa(l)["version"] = "x" }, "version"},
		{"no version", func(l map[string]any) { delete(aa(l), "version") }, "packages[0].version"},
		{"architecture", func(l map[string]any) { aa(l)["architecture"] = "i386" }, "packages[0].architecture"},
		{"suite", func(l map[string]any) { aa(l)["suite"] = "sid" }, "packages[0].suite"},
		{"path", func(l map[string]any) { aa(l)["path"] = "pool/../../x.deb" }, "packages[0].path"},
		{"size", func(l map[string]any) { aa(l)["size"] = 0 }, "packages[0].size"},
		{"huge", func(l map[string]any) { aa(l)["size"] = 1 << 40 }, "packages[0].size"},
		{"digest", func(l map[string]any) { aa(l)["sha256"] = "00" }, "SHA-256 digest"},
		{"no digest", func(l map[string]any) { delete(aa(l), "sha256") }, "packages[0].sha256"},
		{"no signer", func(l map[string]any) { l["suites"].([]any)[0].(map[string]any)["signed_by"] = []any{} }, "suites[0].signed_by"},
		{"no date", func(l map[string]any) { delete(l["suites"].([]any)[0].(map[string]any), "date") }, "suites[0].date"},
		{"archive", func(l map[string]any) { l["suites"].([]any)[0].(map[string]any)["archive"] = "x" }, "suites[0].archive"},
		{"suite twice", func(l map[string]any) { l["suites"] = append(l["suites"].([]any), l["suites"].([]any)[0]) }, "suites[1]: trixie stands twice"},
		{"filter", func(l map[string]any) { l["files"] = map[string]any{"exclude": []string{"/"}} }, "files.exclude[0]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l map[string]any
			if err := json.Unmarshal(good, &l); err != nil {
				t.Fatal(err)
			}
			tt.change(l)
			document, err := json.Marshal(l)
			if err != nil {
				t.Fatal(err)
			}
			_, err = deb.ParseLock(document)
			var malformed *deb.DocumentError
			if !errors.As(err, &malformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func aa(l map[string]any) map[string]any { return l["packages"].([]any)[0].(map[string]any) }

func FuzzDocuments(f *testing.F) {
	document, err := lockOf(f, `{"include": ["aa"], "files": {}}`, debtest.Package{Name: "aa", Version: "1"}).Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(document)
	f.Add([]byte(`{"include": ["aa"], "exclude": {"bb": "x"}, "files": {"exclude": ["usr/**/x"]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = deb.ParseSet(data)
		lock, err := deb.ParseLock(data)
		if err != nil {
			return
		}
		again, err := lock.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := deb.ParseLock(again); err != nil {
			t.Errorf("a lock that was read is not read again: %v", err)
		}
	})
}
