package provenance_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/provenance"
)

var goodStatement = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"` + strings.Repeat("0a", 32) +
	`"}}],"predicateType":"https://example.com/claim/v1","predicate":{"x":1}}`

// The appraisal reads statements by itself; what they are called has to be the same.
func TestStatementTypeIsTheAppraisals(t *testing.T) {
	if appraisal.StatementType != provenance.StatementType {
		t.Errorf("statements are %q here and %q there", provenance.StatementType, appraisal.StatementType)
	}
}

// A statement of reference values as measure prints it goes through unharmed, so that what is signed is what is appraised.
func TestReferenceValuesStatement(t *testing.T) {
	values := map[string]string{}
	for _, name := range []string{"mrtd", "rtmr0", "rtmr1", "rtmr2"} {
		values[name] = strings.Repeat("ab", 48)
	}
	s, err := provenance.NewStatement([]provenance.Subject{{Name: "guest", Digest: provenance.DigestOf(artifact).Set()}}, appraisal.ReferenceValuesType,
		map[string]any{"machine": map[string]any{}, "cmdline": "console=ttyS0", "layout": map[string]any{}, "values": values, "notes": []string{}})
	check(t, err)
	data, err := s.Encode()
	check(t, err)
	if _, err := appraisal.ParseExpectation(data); err != nil {
		t.Errorf("%s: %v", data, err)
	}
}

func TestStatementEncoding(t *testing.T) {
	a, b := provenance.Subject{Name: "a", Digest: provenance.DigestOf(artifact).Set()}, provenance.Subject{Name: "b", Digest: provenance.DigestSet{
		"gitTree": strings.Repeat("1", 40), "gitCommit": strings.Repeat("2", 40), "sha256": strings.Repeat("3", 64),
	}}
	one, err := provenance.NewStatement([]provenance.Subject{b, a}, testType, claim{true, "<&>"})
	check(t, err)
	two, err := provenance.NewStatement([]provenance.Subject{a, b}, testType, json.RawMessage("{ \"reviewed\" : true,\n\"notes\":\"<&>\"}"))
	check(t, err)
	first, err := one.Encode()
	check(t, err)
	second, err := two.Encode()
	check(t, err)
	if !bytes.Equal(first, second) {
		t.Errorf("one statement, two encodings:\n%s\n%s", first, second)
	}
	golden(t, "statement.json", first)
	parsed, err := provenance.ParseStatement(first)
	check(t, err)
	if !parsed.About(provenance.DigestOf(artifact)) || parsed.About(provenance.DigestOf(otherArtifact)) {
		t.Error("the statement is about other artifacts than it says")
	}
	var c claim
	if err := parsed.DecodePredicate(testType, &c); err != nil || c != (claim{true, "<&>"}) {
		t.Errorf("predicate is %+v: %v", c, err)
	}
	var form *provenance.FormError
	if err := parsed.DecodePredicate(otherType, &c); !errors.As(err, &form) || form.Code != provenance.CodePredicateType {
		t.Errorf("decoded as another type: %v", err)
	}
	if err := parsed.DecodePredicate(testType, &struct{}{}); !errors.As(err, &form) || form.Code != provenance.CodePredicate {
		t.Errorf("decoded as another predicate: %v", err)
	}
}

func TestParseStatement(t *testing.T) {
	if _, err := provenance.ParseStatement([]byte(goodStatement)); err != nil {
		t.Fatal(err)
	}
	sha := strings.Repeat("0a", 32)
	tests := []struct {
		name, old, new, want string
		code                 provenance.Code
	}{
		{"version 0.2", "Statement/v1", "Statement/v0.2", `_type: expected "https://in-toto.io/Statement/v1", got "https://in-toto.io/Statement/v0.2"`, provenance.CodeStatementType},
		{"no type", `"_type":"https://in-toto.io/Statement/v1",`, ``, `_type: expected`, provenance.CodeStatementType},
		{"subject twice", `"subject"`, `"subject":[],"subject"`, `member "subject" stands twice`, provenance.CodeStatement},
		{"no subject", `{"name":"a","digest":{"sha256":"` + sha + `"}}`, ``, `subject: expected 1 to 4096, got 0`, provenance.CodeStatement},
		{"no name", `"name":"a",`, ``, `subject[0].name: expected 1 to 4096 bytes, got 0`, provenance.CodeStatement},
		{"name twice", `"}}]`, `"}},{"name":"a","digest":{"sha256":"` + strings.Repeat("1", 64) + `"}}]`, `subject[1].name: expected each name once, got "a" again`, provenance.CodeStatement},
		{"no digest", `{"sha256":"` + sha + `"}`, `{}`, `subject[0].digest: expected at least one digest, got none`, provenance.CodeStatement},
		{"upper case", sha, strings.Repeat("0A", 32), `subject[0].digest: sha256: expected 64 lower-case hexadecimal digits`, provenance.CodeStatement},
		{"short digest", sha, sha[:62], `subject[0].digest: sha256: expected 64 lower-case`, provenance.CodeStatement},
		{"long digest", sha, sha + "00", `subject[0].digest: sha256: expected 64 lower-case`, provenance.CodeStatement},
		{"unknown algorithm", `"sha256":`, `"sha1":`, `subject[0].digest: expected a known algorithm, got "sha1"`, provenance.CodeStatement},
		{"algorithm in upper case", `"sha256":`, `"SHA256":`, `got "SHA256"`, provenance.CodeStatement},
		{"digest twice", `"sha256":`, `"sha256":"` + strings.Repeat("1", 64) + `","sha256":`, `member "sha256" stands twice`, provenance.CodeStatement},
		{"no predicate type", `"predicateType":"https://example.com/claim/v1",`, ``, `predicateType: expected a URI, got ""`, provenance.CodeStatement},
		{"predicate type without scheme", "https://example.com/claim/v1", "claim", `predicateType: expected a URI, got "claim"`, provenance.CodeStatement},
		{"no predicate", `,"predicate":{"x":1}`, ``, `predicate: expected an object, got something else or none`, provenance.CodeStatement},
		{"null predicate", `{"x":1}`, `null`, `predicate: expected an object`, provenance.CodeStatement},
		{"predicate is an array", `{"x":1}`, `[]`, `predicate: expected an object`, provenance.CodeStatement},
		{"member of the predicate twice", `{"x":1}`, `{"x":1,"x":2}`, `predicate: member "x" stands twice`, provenance.CodeStatement},
		{"unknown member", `{"_type"`, `{"type":1,"_type"`, `unknown member "type"`, provenance.CodeStatement},
		{"unknown member of a subject", `"name":"a"`, `"name":"a","uri":"x:"`, `unknown member "uri"`, provenance.CodeStatement},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(goodStatement, tt.old, tt.new, 1)
			_, err := provenance.ParseStatement([]byte(text))
			var form *provenance.FormError
			if !errors.As(err, &form) || form.Code != tt.code || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q", text, err, tt.want)
			}
		})
	}
	many := strings.Replace(goodStatement, `"subject":[`, `"subject":[`+strings.Repeat(`{"name":"x","digest":{}},`, 4096), 1)
	for name, text := range map[string]string{"subject: expected 1 to 4096, got 4097": many, "expected at most": strings.Repeat(" ", provenance.MaxStatement+1)} {
		if _, err := provenance.ParseStatement([]byte(text)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
}

// Nothing is signed that the reader would refuse.
func TestSignStatementRefuses(t *testing.T) {
	s := statement(t, testType, artifact)
	s.Predicate = json.RawMessage(`{"x":1,"x":2}`)
	if _, err := provenance.SignStatement(t.Context(), signer(t, 1), s); err == nil || !strings.Contains(err.Error(), "stands twice") {
		t.Errorf("a predicate with a member twice: %v", err)
	}
	if _, err := provenance.NewStatement(nil, testType, claim{}); err == nil {
		t.Error("a statement about nothing was made")
	}
	if _, err := provenance.NewStatement(s.Subject, testType, []int{1}); err == nil {
		t.Error("a statement with an array for a predicate was made")
	}
}

func FuzzParseStatement(f *testing.F) {
	f.Add([]byte(goodStatement))
	f.Add(read(f, "statement.json"))
	f.Add(read(f, "build.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := provenance.ParseStatement(data)
		if err != nil {
			return
		}
		_, _ = provenance.ReadBuildProvenance(s)
		first, err := s.Encode()
		check(t, err)
		again, err := provenance.ParseStatement(first)
		check(t, err)
		second, err := again.Encode()
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s is encoded as %s, then as %s: %v", data, first, second, err)
		}
	})
}

func buildProvenance(t testing.TB) provenance.BuildProvenance {
	t.Helper()
	var dependencies []provenance.Resource
	add := func(r provenance.Resource, err error) {
		t.Helper()
		check(t, err)
		dependencies = append(dependencies, r)
	}
	add(provenance.SourceResource("https://example.com/boardroom", strings.Repeat("c", 40), strings.Repeat("d", 40)))
	add(provenance.SeedResource("go1.26.8", "https://example.com/go1.26.8.linux-amd64.tar.gz", provenance.DigestOf([]byte("tarball")),
		"sha256-pNOnNZ/zAg0V2hdo66FYy3Z7kpNnXG8nPptqWIKLsq4="))
	add(provenance.ModuleResource("github.com/Azure/x", "v1.0.0+incompatible", "h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM="))
	add(provenance.DebianResource("libstdc++6", "2:14.2.0-19+b1", "amd64", "trixie", provenance.DigestOf([]byte("deb"))))
	return provenance.BuildProvenance{
		BuildDefinition: provenance.BuildDefinition{
			BuildType: "https://boardroom-tee.github.io/build/v1", ExternalParameters: json.RawMessage(`{"image":"finance-agent"}`), ResolvedDependencies: dependencies,
		},
		RunDetails: provenance.RunDetails{
			Builder:    provenance.Builder{ID: "https://boardroom-tee.github.io/builder/nix/v1", Version: map[string]string{"nix": "2.34.8", "boardroom": "0.1.0"}},
			Byproducts: []provenance.Resource{{Name: "sbom.cdx.json", Digest: provenance.DigestOf([]byte("sbom")).Set()}},
		},
	}
}

func TestBuildStatement(t *testing.T) {
	subjects := []provenance.Subject{{Name: "finance-agent", Digest: provenance.DigestOf(artifact).Set()}}
	s, err := provenance.BuildStatement(subjects, buildProvenance(t))
	check(t, err)
	data, err := s.Encode()
	check(t, err)
	golden(t, "build.json", data)
	parsed, err := provenance.ParseStatement(data)
	check(t, err)
	p, err := provenance.ReadBuildProvenance(parsed)
	if err != nil || len(p.BuildDefinition.ResolvedDependencies) != 4 || p.RunDetails.Builder.Version["nix"] != "2.34.8" {
		t.Errorf("read %+v: %v", p, err)
	}
	reversed := buildProvenance(t)
	for i, j := 0, 3; i < j; i, j = i+1, j-1 {
		d := reversed.BuildDefinition.ResolvedDependencies
		d[i], d[j] = d[j], d[i]
	}
	again, err := provenance.BuildStatement(subjects, reversed)
	check(t, err)
	if second, err := again.Encode(); err != nil || !bytes.Equal(data, second) {
		t.Errorf("the order of dependencies matters: %v", err)
	}
}

func TestBuildStatementRefuses(t *testing.T) {
	subjects := []provenance.Subject{{Name: "a", Digest: provenance.DigestOf(artifact).Set()}}
	tests := []struct {
		name   string
		change func(*provenance.BuildProvenance)
		want   string
	}{
		{"build type", func(p *provenance.BuildProvenance) { p.BuildDefinition.BuildType = "nix" }, `buildDefinition.buildType: expected a URI, got "nix"`},
		{"builder", func(p *provenance.BuildProvenance) { p.RunDetails.Builder.ID = "" }, `runDetails.builder.id: expected a URI, got ""`},
		{"parameters", func(p *provenance.BuildProvenance) { p.BuildDefinition.ExternalParameters = nil }, `externalParameters: expected an object`},
		{"internal parameters", func(p *provenance.BuildProvenance) { p.BuildDefinition.InternalParameters = json.RawMessage(`1`) }, `internalParameters: expected an object`},
		{"dependency twice", func(p *provenance.BuildProvenance) {
			d := &p.BuildDefinition.ResolvedDependencies
			*d = append(*d, (*d)[0])
		}, `expected them sorted and each once`},
		{"dependency without a digest", func(p *provenance.BuildProvenance) { p.BuildDefinition.ResolvedDependencies[1].Digest = nil }, `expected at least one digest`},
		{"nameless byproduct", func(p *provenance.BuildProvenance) { p.RunDetails.Byproducts[0].Name = "" }, `expected a name or a URI`},
		{"no URI", func(p *provenance.BuildProvenance) { p.BuildDefinition.ResolvedDependencies[0].URI = "github.com/x" }, `uri: expected a URI`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := buildProvenance(t)
			tt.change(&p)
			_, err := provenance.BuildStatement(subjects, p)
			var form *provenance.FormError
			if !errors.As(err, &form) || form.Code != provenance.CodePredicate || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	s, err := provenance.NewStatement(subjects, provenance.BuildProvenanceType, json.RawMessage(`{"buildDefinition":{},"runDetails":{},"x":1}`))
	check(t, err)
	if _, err := provenance.ReadBuildProvenance(s); err == nil || !strings.Contains(err.Error(), `unknown member "x"`) {
		t.Errorf("an unknown member: %v", err)
	}
}

func TestResourcesRefuse(t *testing.T) {
	for name, made := range map[string]func() (provenance.Resource, error){
		"sum of another kind": func() (provenance.Resource, error) { return provenance.ModuleResource("a", "v1.0.0", "h2:AAAA") },
		"short sum":           func() (provenance.Resource, error) { return provenance.ModuleResource("a", "v1.0.0", "h1:AAAA") },
		"NAR in hex": func() (provenance.Resource, error) {
			return provenance.SeedResource("go", "https://example.com", provenance.Digest{}, "sha256:"+strings.Repeat("0", 64))
		},
		"revision that is a branch": func() (provenance.Resource, error) {
			return provenance.SourceResource("https://example.com", "main", strings.Repeat("0", 40))
		},
		"no tree": func() (provenance.Resource, error) {
			return provenance.SourceResource("https://example.com", strings.Repeat("0", 40), "")
		},
	} {
		if r, err := made(); err == nil {
			t.Errorf("%s was taken: %+v", name, r)
		}
	}
}

func TestPackageURLs(t *testing.T) {
	for got, want := range map[string]string{
		provenance.ModuleURL("github.com/Azure/go", "v1.0.0+incompatible"):      "pkg:golang/github.com/Azure/go@v1.0.0%2Bincompatible",
		provenance.DebianURL("libstdc++6", "2:14.2.0-19+b1", "amd64", "trixie"): "pkg:deb/debian/libstdc%2B%2B6@2:14.2.0-19%2Bb1?arch=amd64&distro=trixie",
		provenance.DebianURL("bash", "5.2~rc1", "all", "forky"):                 "pkg:deb/debian/bash@5.2~rc1?arch=all&distro=forky",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestDigest(t *testing.T) {
	d := provenance.DigestOf(artifact)
	parsed, err := provenance.ParseDigest(d.String())
	if err != nil || parsed != d {
		t.Errorf("parsed %s as %s: %v", d, parsed, err)
	}
	for _, text := range []string{"", "sha256:", d.String()[7:], strings.ToUpper(d.String()), d.String() + "0", "sha512:" + d.String()[7:], fmt.Sprintf("sha256:%064s", "x")} {
		if got, err := provenance.ParseDigest(text); err == nil {
			t.Errorf("%q was parsed as %s", text, got)
		}
	}
}
