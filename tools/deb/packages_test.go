package deb_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
)

const aDigest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const aParagraph = "Package: runc\nArchitecture: amd64\nVersion: 1.1.15+ds1-2+b4\nFilename: pool/main/r/runc/runc_1.1.15+ds1-2+b4_amd64.deb\nSize: 10\nSHA256: " + aDigest + "\n"

func TestParsePackages(t *testing.T) {
	text := "\n" + aParagraph + "Description: one\n two\n .\n three: four\nDepends: libc6 (>= 2.38),\n libseccomp2\n\n \n" + strings.ReplaceAll(aParagraph, "runc", "crun")
	got, err := deb.ParsePackages(text, "trixie", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 {
		t.Fatalf("got %d packages, want 2", len(got))
	}
	p := got[0]
	if p.Name != "runc" || p.Version != "1.1.15+ds1-2+b4" || p.Architecture != "amd64" || p.Size != 10 || p.SHA256.String() != aDigest || p.Suite != "trixie" ||
		p.Path != "pool/main/r/runc/runc_1.1.15+ds1-2+b4_amd64.deb" {
		t.Errorf("got %+v", p)
	}
	if got[1].Name != "crun" {
		t.Errorf("got %+v", got[1])
	}
}

func TestParsePackagesRefuses(t *testing.T) {
	replace := func(old, replacement string) string { return strings.Replace(aParagraph, old, replacement, 1) }
	for _, tt := range []struct{ name, text, want string }{
		{"no name", replace("Package: runc", "Section: x"), "Package: expected a name"},
		{"name with slash", replace("Package: runc", "Package: ../runc"), "Package: expected a name"},
		{"other architecture", replace("amd64", "i386"), "Architecture: expected amd64 or all"},
		{"bad version", replace("1.1.15", "x1.1.15"), "does not begin with a digit"},
		{"no size", replace("Size: 10\n", ""), "Size: expected a number of bytes"},
		{"negative size", replace("Size: 10", "Size: -10"), "Size: expected a number of bytes"},
		{"huge size", replace("Size: 10", "Size: 99999999999999999999"), "Size: expected a number of bytes"},
		{"short digest", replace(aDigest, aDigest[2:]), "SHA256: expected a SHA-256 digest"},
		{"upper-case digest", replace(aDigest, strings.ToUpper(aDigest)), "SHA256: expected a SHA-256 digest"},
		{"path up", replace("pool/main", "pool/../main"), "Filename: expected a path in pool/"},
		{"absolute path", replace("pool/main", "/pool/main"), "Filename: expected a path in pool/"},
		{"path with a query", replace("_amd64.deb", "?_amd64.deb"), "Filename: expected a path in pool/"},
		{"escaped path", replace("pool/main", "pool/%2e%2e/main"), "Filename: expected a path in pool/"},
		{"path outside pool", replace("pool/main", "dists/main"), "Filename: expected a path in pool/"},
		{"field twice", aParagraph + "size: 11\n", "stands twice"},
		{"no colon", aParagraph + "what\n", "expected \"Name: value\""},
		{"continuation of nothing", " x\n" + aParagraph, "continuation"},
		{"comment", "#x: y\n" + aParagraph, "expected \"Name: value\""},
		{"many fields", aParagraph + manyFields(300), "more than 256 fields"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := deb.ParsePackages(tt.text, "trixie", "amd64")
			if !errors.Is(err, deb.ErrIndex) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Field-%d: x\n", i)
	}
	return b.String()
}

func TestParseRelations(t *testing.T) {
	got, err := deb.ParseRelations("libc6 (>= 2.38), iptables (<<1:2.0)|nftables , perl:any, foo:amd64 (= 1.0-1),")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, a := range got {
		texts = append(texts, a.String())
	}
	if text, want := strings.Join(texts, ", "), "libc6 (>= 2.38), iptables (<< 1:2.0) | nftables, perl:any, foo:amd64 (= 1.0-1)"; text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	for _, bad := range []string{"a (>= 1)", "foo (1.0)", "foo (> 1.0)", "foo (>= )", "foo (>= 1.0", "foo [amd64]", "foo <!nocheck>", "foo | ", "foo:", "foo bar", "foo (>= 1.0) x", "-foo", "foo (>= _)"} {
		if got, err := deb.ParseRelations(bad); err == nil {
			t.Errorf("%q: got %v, want a refusal", bad, got)
		}
	}
	if _, err := deb.ParseRelations(strings.Repeat("aa,", 30000)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v, want a bound", err)
	}
}

func TestRelationAccepts(t *testing.T) {
	for _, tt := range []struct {
		operator string
		want     [3]bool // of 1.0, 2.0 and 3.0 against 2.0
	}{
		{"<<", [3]bool{true, false, false}},
		{"<=", [3]bool{true, true, false}},
		{"=", [3]bool{false, true, false}},
		{">=", [3]bool{false, true, true}},
		{">>", [3]bool{false, false, true}},
		{"", [3]bool{true, true, true}},
		{"~", [3]bool{false, false, false}},
	} {
		r := deb.Relation{Name: "x", Operator: tt.operator, Version: "2.0"}
		for i, v := range []deb.Version{"1.0", "2.0", "3.0"} {
			if got := r.Accepts(v); got != tt.want[i] {
				t.Errorf("%s %s: got %t", v, tt.operator, got)
			}
		}
	}
}

func FuzzPackages(f *testing.F) {
	f.Add(aParagraph)
	f.Add(debtest.Index(debtest.Package{Name: "aa", Version: "1", Fields: []string{"Depends: bb (>= 1) | cc:any", "Provides: dd (= 2)"}}))
	f.Add("A:\n b\n\n:")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := deb.ParsePackages(text, "trixie", "amd64")
		if err != nil {
			if !errors.Is(err, deb.ErrIndex) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		for _, p := range all {
			set := &deb.Set{Architecture: "amd64", Include: []string{p.Name}}
			_, _, _ = deb.Resolve(set, all)
		}
	})
}

func FuzzRelations(f *testing.F) {
	f.Add("a (>= 1) | b, c:any")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := deb.ParseRelations(text)
		if err != nil {
			return
		}
		for _, a := range all {
			again, err := deb.ParseRelations(a.String())
			if err != nil || len(again) != 1 || again[0].String() != a.String() {
				t.Errorf("%q became %v (%v)", a, again, err)
			}
		}
	})
}
