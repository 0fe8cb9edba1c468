package deb_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
)

// index reads packages from lines such as "aa 1.0; Depends: bb (>= 1); Provides: cc".
func index(t testing.TB, suite string, lines ...string) []deb.Package {
	t.Helper()
	var all []debtest.Package
	for _, line := range lines {
		fields := strings.Split(line, "; ")
		name, version, _ := strings.Cut(fields[0], " ")
		all = append(all, debtest.Package{Name: name, Version: version, Fields: fields[1:]})
	}
	packages, err := deb.ParsePackages(debtest.Index(all...), suite, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

func set(t testing.TB, document string) *deb.Set {
	t.Helper()
	s, err := deb.ParseSet([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func names(packages []*deb.Package) string {
	var all []string
	for _, p := range packages {
		all = append(all, p.Name+"="+string(p.Version))
	}
	return strings.Join(all, " ")
}

func TestResolve(t *testing.T) {
	for _, tt := range []struct {
		name, set string
		packages  []string
		want      string
		unmet     []deb.Unmet
	}{
		{"closure", `{"include": ["aa"], "files": {}}`, []string{
			"aa 1; Depends: bb, cc (>= 2)", "bb 1; Pre-Depends: dd", "cc 2", "dd 1; Depends: aa; Recommends: ee; Suggests: ee", "ee 1",
		}, "aa=1 bb=1 cc=2 dd=1", nil},
		{"first alternative", `{"include": ["aa"], "files": {}}`, []string{"aa 1; Depends: cc | bb", "bb 1", "cc 1"}, "aa=1 cc=1", nil},
		{"first that exists", `{"include": ["aa"], "files": {}}`, []string{"aa 1; Depends: zz | cc (>= 2) | bb", "bb 1", "cc 1"}, "aa=1 bb=1", nil},
		{"what another needs anyway", `{"include": ["aa", "xx"], "files": {}}`, []string{"aa 1; Depends: cc | bb", "bb 1", "cc 1", "xx 1; Depends: yy", "yy 1; Depends: bb"}, "aa=1 bb=1 xx=1 yy=1", nil},
		{"included settles it", `{"include": ["aa", "bb"], "files": {}}`, []string{"aa 1; Depends: cc | bb", "bb 1", "cc 1"}, "aa=1 bb=1", nil},
		{"virtual", `{"include": ["aa"], "files": {}}`, []string{"aa 1; Depends: vv", "bb 1; Provides: vv"}, "aa=1 bb=1", nil},
		{"real before virtual", `{"include": ["aa"], "files": {}}`, []string{"aa 1; Depends: vv", "bb 1; Provides: vv", "vv 1"}, "aa=1 vv=1", nil},
		{"virtual by priority", `{"include": ["aa"], "files": {}}`, []string{
			"aa 1; Depends: awk", "gawk 1; Provides: awk; Priority: optional", "mawk 1; Provides: awk; Priority: required", "bawk 1; Provides: awk",
		}, "aa=1 mawk=1", nil},
		{"virtual by name", `{"include": ["aa"], "files": {}}`, []string{"aa 1; Depends: vv", "cc 1; Provides: vv", "bb 1; Provides: vv"}, "aa=1 bb=1", nil},
		{"virtual with a version", `{"include": ["aa"], "files": {}}`, []string{
			"aa 1; Depends: vv (>= 2)", "bb 1; Provides: vv", "cc 1; Provides: vv (= 1)", "dd 1; Provides: vv (= 2)",
		}, "aa=1 dd=1", nil},
		{"qualifiers", `{"include": ["aa"], "files": {}}`, []string{"aa 1; Depends: bb:any, cc:amd64, dd:i386 | ee", "bb 1", "cc 1", "dd 1", "ee 1"}, "aa=1 bb=1 cc=1 ee=1", nil},
		{"alternative that conflicts", `{"include": ["aa", "xx"], "files": {}}`, []string{"aa 1; Depends: cc | bb", "bb 1", "cc 1", "xx 1; Conflicts: cc"}, "aa=1 bb=1 xx=1", nil},
		{"alternative that breaks", `{"include": ["aa", "xx"], "files": {}}`, []string{"aa 1; Depends: cc | bb", "bb 1", "cc 1; Breaks: xx (<< 2)", "xx 1"}, "aa=1 bb=1 xx=1", nil},
		{"broken only in older versions", `{"include": ["aa", "xx"], "files": {}}`, []string{"aa 1; Depends: cc | bb", "bb 1", "cc 1; Breaks: xx (<< 2)", "xx 2"}, "aa=1 cc=1 xx=2", nil},
		{"conflict with what it provides itself", `{"include": ["aa"], "files": {}}`, []string{"aa 1; Provides: vv; Conflicts: vv"}, "aa=1", nil},
		{"alternative that leads nowhere", `{"include": ["aa"], "files": {}}`, []string{"aa 1; Depends: cc | bb", "bb 1", "cc 1; Depends: dd", "dd 1; Depends: nothing"}, "aa=1 bb=1", nil},
		{"two choices, the first wrong", `{"include": ["aa", "bb"], "files": {}}`, []string{
			"aa 1; Depends: pp | qq", "bb 1; Depends: rr | ss", "pp 1; Conflicts: tt", "qq 1", "rr 1; Depends: tt", "ss 1; Depends: tt", "tt 1",
		}, "aa=1 bb=1 qq=1 rr=1 tt=1", nil},
		{"excluded", `{"include": ["aa"], "exclude": {"bb": "no scripts run"}, "files": {}}`, []string{"aa 1; Depends: bb (>= 1), cc", "bb 1; Depends: dd", "cc 1", "dd 1"},
			"aa=1 cc=1", []deb.Unmet{{Package: "aa", Dependency: "bb (>= 1)"}}},
		{"excluded counts as there", `{"include": ["aa"], "exclude": {"bb": "no scripts run"}, "files": {}}`, []string{"aa 1; Depends: bb | vv", "bb 1; Provides: vv", "cc 1; Provides: vv"},
			"aa=1", []deb.Unmet{{Package: "aa", Dependency: "bb | vv"}}},
		{"excluded, and met by another", `{"include": ["aa", "cc"], "exclude": {"bb": "no scripts run"}, "files": {}}`, []string{"aa 1; Depends: bb | cc", "bb 1", "cc 1"}, "aa=1 cc=1", nil},
		{"excluded is too old", `{"include": ["aa"], "exclude": {"bb": "no scripts run"}, "files": {}}`, []string{"aa 1; Depends: bb (>= 2) | cc", "bb 1", "cc 1"}, "aa=1 cc=1", nil},
		{"newest of a suite", `{"include": ["aa"], "files": {}}`, []string{"aa 1", "aa 1.10", "aa 1.9"}, "aa=1.10", nil},
		{"pinned", `{"include": ["aa"], "pins": {"aa": "1.9"}, "files": {}}`, []string{"aa 1", "aa 1.10", "aa 1.9"}, "aa=1.9", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			packages := index(t, "trixie", tt.packages...)
			for range 20 {
				got, unmet, err := deb.Resolve(set(t, tt.set), packages)
				if err != nil {
					t.Fatal(err)
				}
				if names(got) != tt.want {
					t.Fatalf("got  %s\nwant %s", names(got), tt.want)
				}
				if !slices.Equal(unmet, tt.unmet) {
					t.Fatalf("unmet: got %v, want %v", unmet, tt.unmet)
				}
				rand.Shuffle(len(packages), func(i, j int) { packages[i], packages[j] = packages[j], packages[i] })
			}
		})
	}
}

func TestResolveAcrossSuites(t *testing.T) {
	old := index(t, "trixie", "aa 1; Depends: bb", "bb 1", "cc 1")
	fixes := index(t, "trixie-security", "aa 1.1; Depends: bb", "bb 1")
	got, _, err := deb.Resolve(set(t, `{"include": ["aa"], "files": {}}`), slices.Concat(old, fixes))
	if err != nil {
		t.Fatal(err)
	}
	if names(got) != "aa=1.1 bb=1" || got[0].Suite != "trixie-security" || got[1].Suite != "trixie" {
		t.Errorf("got %s, from %s and %s", names(got), got[0].Suite, got[1].Suite)
	}
	// One version is one file.
	other := index(t, "trixie-updates", "bb 1; Section: x")
	other[0].SHA256[0] ^= 1
	if _, _, err := deb.Resolve(set(t, `{"include": ["aa"], "files": {}}`), slices.Concat(old, other)); !errors.Is(err, deb.ErrIndex) {
		t.Errorf("got %v, want %v", err, deb.ErrIndex)
	}
}

func TestResolveRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, set string
		packages  []string
		kind      error // nil where the set is malformed
		want      string
	}{
		{"unknown", `{"include": ["zz"], "files": {}}`, []string{"aa 1"}, nil, "include: no package zz in trixie, trixie-updates, trixie-security for amd64"},
		{"virtual included", `{"include": ["vv"], "files": {}}`, []string{"aa 1; Provides: vv", "bb 1; Provides: vv"}, nil, "it is provided by aa, bb"},
		{"unknown excluded", `{"include": ["aa"], "exclude": {"zz": "typo"}, "files": {}}`, []string{"aa 1"}, nil, "exclude: no package zz"},
		{"unknown pin", `{"include": ["aa"], "pins": {"aa": "2"}, "files": {}}`, []string{"aa 1"}, nil, "pins.aa: the suites do not have version 2"},
		{"missing", `{"include": ["aa"], "files": {}}`, []string{"aa 1; Depends: bb", "bb 1; Depends: cc (>= 2) | dd", "cc 1"}, deb.ErrUnsatisfied,
			"bb, which aa needs: needs cc (>= 2) | dd (cc (>= 2): the suites have 1; dd: the suites do not have it)"},
		{"included conflict", `{"include": ["aa", "bb"], "files": {}}`, []string{"aa 1", "bb 1; Conflicts: aa"}, deb.ErrConflict, "bb 1 conflicts with aa, which aa 1 is"},
		{"conflict with a virtual one", `{"include": ["aa", "bb"], "files": {}}`, []string{"aa 1; Provides: vv", "bb 1; Conflicts: vv"}, deb.ErrConflict, "bb 1 conflicts with vv"},
		{"needed conflict", `{"include": ["aa", "bb"], "files": {}}`, []string{"aa 1; Depends: cc", "bb 1; Conflicts: cc (<= 1)", "cc 1"}, deb.ErrUnsatisfied, "aa: needs cc (bb 1 conflicts with cc (<= 1)"},
		{"both ways blocked", `{"include": ["aa"], "files": {}}`, []string{"aa 1; Depends: cc | bb", "bb 1; Depends: nothing", "cc 1; Depends: nothing"}, deb.ErrUnsatisfied, "cc, which aa needs: needs nothing"},
		{"malformed field", `{"include": ["aa"], "files": {}}`, []string{"aa 1; Depends: bb (!)"}, deb.ErrIndex, "aa 1: Depends"},
		{"malformed Provides", `{"include": ["aa"], "files": {}}`, []string{"aa 1; Provides: bb (>= 1)"}, deb.ErrIndex, "aa 1: Provides"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := deb.Resolve(set(t, tt.set), index(t, "trixie", tt.packages...))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			var malformed *deb.DocumentError
			if tt.kind == nil && !errors.As(err, &malformed) || tt.kind != nil && !errors.Is(err, tt.kind) {
				t.Errorf("got %T (%v), want %v", err, err, tt.kind)
			}
		})
	}
}

// A search that would take for ever ends.
func TestResolveIsBounded(t *testing.T) {
	lines := []string{"zz 1", "top 1; Conflicts: zz"}
	include := []string{`"top"`}
	for i := range 40 {
		lines = append(lines, fmt.Sprintf("p%02d 1; Depends: q%02d | r%02d", i, i, i), fmt.Sprintf("q%02d 1", i), fmt.Sprintf("r%02d 1", i))
		include = append(include, fmt.Sprintf(`"p%02d"`, i))
	}
	lines = append(lines, "pz 1; Depends: qz | rz", "qz 1; Depends: nothing", "rz 1; Depends: nothing")
	include = append(include, `"pz"`)
	_, _, err := deb.Resolve(set(t, `{"include": [`+strings.Join(include, ",")+`], "files": {}}`), index(t, "trixie", lines...))
	if !errors.Is(err, deb.ErrUnsatisfied) {
		t.Errorf("got %v, want %v", err, deb.ErrUnsatisfied)
	}
}
