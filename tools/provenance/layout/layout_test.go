package layout_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/in-toto/in-toto-golang/in_toto"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/layout"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type testSigner struct {
	private *ecdsa.PrivateKey
	key     provenance.Key
}

func signer(t testing.TB, n byte) testSigner {
	t.Helper()
	scalar := make([]byte, 32)
	scalar[31] = n
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	check(t, err)
	key, err := provenance.NewKey(&private.PublicKey)
	check(t, err)
	return testSigner{private, key}
}

func (s testSigner) Key() provenance.Key { return s.key }

func (s testSigner) Sign(_ context.Context, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	return s.private.Sign(nil, digest[:], crypto.SHA256)
}

var (
	now     = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	expires = now.AddDate(1, 0, 0)
	source  = map[string]provenance.Digest{"source": provenance.DigestOf([]byte("source"))}
	images  = map[string]provenance.Digest{
		"images/finance-agent": provenance.DigestOf([]byte("finance")), "images/hub": provenance.DigestOf([]byte("hub")),
	}
	nothing = []string{"DISALLOW", "*"}
)

// Keys: 1 and 2 are owners, 11 and 12 builders, 21 to 23 rebuilders.
func steps(t testing.TB) []layout.Step {
	keys := func(numbers ...byte) (list []provenance.Key) {
		for _, n := range numbers {
			list = append(list, signer(t, n).Key())
		}
		return list
	}
	return []layout.Step{
		{Name: "build", Who: keys(11, 12), Threshold: 1, Materials: [][]string{{"REQUIRE", "source"}, {"ALLOW", "source"}, nothing},
			Products: [][]string{{"CREATE", "images/*"}, nothing}},
		{Name: "rebuild", Who: keys(21, 22, 23), Threshold: 2, Materials: [][]string{{"MATCH", "source", "WITH", "MATERIALS", "FROM", "build"}, nothing},
			Products: [][]string{{"REQUIRE", "images/hub"}, {"MATCH", "images/*", "WITH", "PRODUCTS", "FROM", "build"}, nothing}},
	}
}

func newLayout(t testing.TB, change func(*in_toto.Layout)) []byte {
	t.Helper()
	l, err := layout.New(expires, "who may build", steps(t)...)
	check(t, err)
	if change != nil {
		change(&l)
	}
	data, err := layout.SignLayout(t.Context(), l, signer(t, 1), signer(t, 2))
	check(t, err)
	return data
}

func link(t testing.TB, n byte, l in_toto.Link) []byte {
	t.Helper()
	data, err := layout.SignLink(t.Context(), l, signer(t, n))
	check(t, err)
	return data
}

func built(step string) in_toto.Link { return layout.NewLink(step, source, images) }

func goodLinks(t testing.TB) [][]byte {
	return [][]byte{link(t, 11, built("build")), link(t, 21, built("rebuild")), link(t, 23, built("rebuild"))}
}

func owners(t testing.TB, threshold int) layout.Owners {
	return layout.Owners{Keys: []provenance.Key{signer(t, 1).Key(), signer(t, 2).Key()}, Threshold: threshold}
}

func TestVerify(t *testing.T) {
	verified, err := layout.Verify(newLayout(t, nil), owners(t, 2), goodLinks(t), now)
	check(t, err)
	if len(verified.Steps) != 2 || verified.Steps[0].Name != "build" || len(verified.Steps[0].By) != 1 || len(verified.Steps[1].By) != 2 ||
		verified.Steps[1].Products["images/hub"] != images["images/hub"] || verified.Steps[0].Materials["source"] != source["source"] || !verified.Expires.Equal(expires) {
		t.Errorf("verified %+v", verified)
	}
	// Whoever may not do a step changes nothing.
	if _, err := layout.Verify(newLayout(t, nil), owners(t, 1), append(goodLinks(t), link(t, 99, layout.NewLink("rebuild", nil, nil))), now); err != nil {
		t.Errorf("with a stranger's link: %v", err)
	}
	if _, err := layout.Verify(newLayout(t, nil), owners(t, 1), goodLinks(t), expires); err != nil {
		t.Errorf("in its last second: %v", err)
	}
}

// The same files are verified by in-toto-golang, which is the judge of their form.
func TestAgainstInToto(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		file := filepath.Join(dir, name)
		check(t, os.WriteFile(file, data, 0o644))
		return file
	}
	future := func(l *in_toto.Layout) { l.Expires = "2199-01-01T00:00:00Z" } // it reads the clock
	metadata, err := in_toto.LoadMetadata(write("root.layout", newLayout(t, future)))
	check(t, err)
	var one in_toto.Key
	check(t, one.LoadKeyReaderDefaults(strings.NewReader(string(signer(t, 1).Key().PEM()))))
	for _, l := range []struct {
		n    byte
		step string
	}{{11, "build"}, {21, "rebuild"}, {23, "rebuild"}} {
		name, err := layout.FileName(l.step, signer(t, l.n).Key())
		check(t, err)
		write(name, link(t, l.n, built(l.step)))
	}
	if _, err := in_toto.InTotoVerify(metadata, map[string]in_toto.Key{one.KeyID: one}, dir, "", nil, nil, false); err != nil {
		t.Errorf("in-toto refuses what we made: %v", err)
	}
	name, err := layout.FileName("rebuild", signer(t, 23).Key())
	check(t, err)
	write(name, link(t, 23, layout.NewLink("rebuild", source, source)))
	if _, err := in_toto.InTotoVerify(metadata, map[string]in_toto.Key{one.KeyID: one}, dir, "", nil, nil, false); err == nil {
		t.Error("in-toto accepts a rebuild with other results")
	}
}

func TestVerifyRefuses(t *testing.T) {
	good := newLayout(t, nil)
	signed := func(t *testing.T, n byte, change func(*in_toto.Link)) []byte {
		l := built("rebuild")
		change(&l)
		return link(t, n, l)
	}
	of := func(change func(*in_toto.Layout)) func(*testing.T) []byte {
		return func(t *testing.T) []byte { return newLayout(t, change) }
	}
	altered := func(old, new string) func(*testing.T) []byte {
		return func(t *testing.T) []byte {
			e, err := provenance.ParseEnvelope(good)
			check(t, err)
			before := string(e.Payload)
			e.Payload = []byte(strings.Replace(before, old, new, 1))
			if string(e.Payload) == before {
				t.Fatalf("%q is not in the layout", old)
			}
			data, err := json.Marshal(e)
			check(t, err)
			return data
		}
	}
	raw := func(payload string) func(*testing.T) []byte {
		return func(t *testing.T) []byte {
			e := provenance.Envelope{PayloadType: provenance.PayloadType, Payload: []byte(payload)}
			check(t, e.Sign(t.Context(), signer(t, 1)))
			data, err := json.Marshal(e)
			check(t, err)
			return data
		}
	}
	rules := func(list ...[]string) func(*testing.T) []byte {
		list = append(list, nothing)
		return of(func(l *in_toto.Layout) { l.Steps[1].ExpectedProducts = list })
	}
	third := func(data []byte) func(testing.TB) [][]byte {
		return func(t testing.TB) [][]byte { return append(goodLinks(t)[:2], data) }
	}
	tests := []struct {
		name   string
		layout func(*testing.T) []byte
		links  func(testing.TB) [][]byte
		code   layout.Code
		want   string
	}{
		{"a layout's byte", altered("who may", "Who may"), goodLinks, layout.CodeSignature, "expected signatures of 1 distinct keys, got 0"},
		{"threshold lowered", altered(`"threshold":2`, `"threshold":1`), goodLinks, layout.CodeSignature, "got 0"},
		{"expiry moved", altered(`"expires":"2027`, `"expires":"2028`), goodLinks, layout.CodeSignature, "got 0"},
		{"a layout of a builder", func(t *testing.T) []byte {
			l, err := layout.New(expires, "", steps(t)...)
			check(t, err)
			data, err := layout.SignLayout(t.Context(), l, signer(t, 11))
			check(t, err)
			return data
		}, goodLinks, layout.CodeSignature, "got 0"},
		{"no layout", func(*testing.T) []byte { return []byte("{}") }, goodLinks, layout.CodeEnvelope, "payloadType"},
		{"a link for a layout", raw(`{"_type":"link"}`), goodLinks, layout.CodeLayout, `_type: expected "layout"`},
		{"unknown member", raw(`{"_type":"layout","x":1}`), goodLinks, layout.CodeLayout, `unknown member "x"`},
		{"member twice", raw(`{"_type":"layout","_type":"layout"}`), goodLinks, layout.CodeLayout, `stands twice`},
		{"an inspection", of(func(l *in_toto.Layout) {
			l.Inspect = []in_toto.Inspection{{Type: "inspection", Run: []string{"true"}, SupplyChainItem: in_toto.SupplyChainItem{Name: "x"}}}
		}), goodLinks, layout.CodeInspection, "inspections run commands"},
		{"an inspection without a command", of(func(l *in_toto.Layout) { l.Inspect = make([]in_toto.Inspection, 1) }), goodLinks, layout.CodeInspection, "expected none"},
		{"an authority", of(func(l *in_toto.Layout) { l.RootCas = l.Keys }), goodLinks, layout.CodeLayout, "no certificate authorities"},
		{"a certificate", of(func(l *in_toto.Layout) { l.Steps[0].CertificateConstraints = make([]in_toto.CertificateConstraint, 1) }), goodLinks, layout.CodeLayout, "keys and no certificates"},
		{"expired", of(func(l *in_toto.Layout) { l.Expires = "2026-11-22T23:59:59Z" }), goodLinks, layout.CodeExpired, "expired at 2026-11-22T23:59:59Z"},
		{"never expires", of(func(l *in_toto.Layout) { l.Expires = "" }), goodLinks, layout.CodeLayout, "expires: expected a time"},
		{"threshold 0", of(func(l *in_toto.Layout) { l.Steps[1].Threshold = 0 }), goodLinks, layout.CodeLayout, "threshold: expected 1 to 3, the number of its keys, got 0"},
		{"threshold that can not be met", of(func(l *in_toto.Layout) { l.Steps[1].Threshold = 4 }), goodLinks, layout.CodeLayout, "got 4"},
		{"no steps", of(func(l *in_toto.Layout) { l.Steps = nil }), goodLinks, layout.CodeLayout, "steps: expected 1 to 16, got 0"},
		{"a step twice", of(func(l *in_toto.Layout) { l.Steps[1].Name = "build" }), goodLinks, layout.CodeLayout, "expected each name once"},
		{"a step that is a pattern", of(func(l *in_toto.Layout) { l.Steps[1].Name = "*" }), goodLinks, layout.CodeLayout, "small letters"},
		{"a key twice in a step", of(func(l *in_toto.Layout) { l.Steps[1].PubKeys[1] = l.Steps[1].PubKeys[0] }), goodLinks, layout.CodeLayout, "expected each key in one step, once"},
		{"a builder who rebuilds", of(func(l *in_toto.Layout) { l.Steps[1].PubKeys[0] = l.Steps[0].PubKeys[0] }), goodLinks, layout.CodeLayout, "expected each key in one step, once"},
		{"a key that is not there", of(func(l *in_toto.Layout) { l.Steps[1].PubKeys[0] = strings.Repeat("0", 64) }), goodLinks, layout.CodeLayout, "expected a key of the layout"},
		{"a key under another id", of(func(l *in_toto.Layout) {
			k := l.Keys[l.Steps[1].PubKeys[0]]
			k.KeyID = strings.Repeat("0", 64)
			l.Keys[k.KeyID] = k
			l.Steps[1].PubKeys[1] = k.KeyID
		}), goodLinks, layout.CodeLayout, "under its id"},
		{"a key with a private half", of(func(l *in_toto.Layout) {
			k := l.Keys[l.Steps[1].PubKeys[0]]
			k.KeyVal.Private = "x"
			l.Keys[k.KeyID] = k
		}), goodLinks, layout.CodeLayout, "and with nothing else"},
		{"an open list of rules", of(func(l *in_toto.Layout) { l.Steps[1].ExpectedProducts = [][]string{{"ALLOW", "*"}} }), goodLinks, layout.CodeRule, "with DISALLOW * as the last"},
		{"no rules", of(func(l *in_toto.Layout) { l.Steps[0].ExpectedMaterials = [][]string{} }), goodLinks, layout.CodeRule, "step build: expected_materials: expected 1 to 64"},
		{"an empty rule", rules([]string{}), goodLinks, layout.CodeRule, "[0]: expected a rule, got an empty one"},
		{"a rule that is none", rules([]string{"PERMIT", "*"}), goodLinks, layout.CodeRule, "[0]: expected a rule of in-toto"},
		{"a pattern that is malformed", rules([]string{"DISALLOW", "[a"}), goodLinks, layout.CodeRule, "expected a path, with * at most at its end"},
		{"a pattern that leaves", rules([]string{"ALLOW", "../*"}), goodLinks, layout.CodeRule, "expected a path, with * at most at its end"},
		{"a required pattern", rules([]string{"REQUIRE", "images/*"}), goodLinks, layout.CodeRule, "expected a path to require"},
		{"a match with neither", rules([]string{"MATCH", "*", "WITH", "ANYTHING", "FROM", "build"}), goodLinks, layout.CodeRule, "expected MATERIALS or PRODUCTS"},
		{"a match with no step", rules([]string{"MATCH", "*", "WITH", "PRODUCTS", "FROM", "test"}), goodLinks, layout.CodeRule, `expected a step of the layout, got "test"`},
		{"a match under a pattern", rules([]string{"MATCH", "*", "IN", "a*", "WITH", "PRODUCTS", "FROM", "build"}), goodLinks, layout.CodeRule, "expected a path as prefix"},

		{"no links", nil, func(testing.TB) [][]byte { return nil }, layout.CodeFunctions, "step build: expected it to be done by 1 of those who may, got 0"},
		{"no builder", nil, func(t testing.TB) [][]byte { return goodLinks(t)[1:] }, layout.CodeFunctions, "step build: expected it to be done by 1"},
		{"one rebuilder of two", nil, func(t testing.TB) [][]byte { return goodLinks(t)[:2] }, layout.CodeFunctions, "step rebuild: expected it to be done by 2 of those who may, got 1"},
		{"one rebuilder twice", nil, third(link(t, 21, built("rebuild"))), layout.CodeFunctions, "got 1"},
		{"a rebuilder whom nobody knows", nil, third(link(t, 99, built("rebuild"))), layout.CodeFunctions, "got 1"},
		{"a builder as rebuilder", nil, third(link(t, 12, built("rebuild"))), layout.CodeStep, `expected one of step build, whose key signed it, got one of "rebuild"`},
		{"a rebuilder as builder", nil, func(t testing.TB) [][]byte { return append(goodLinks(t)[1:], link(t, 22, built("build"))) }, layout.CodeStep, `expected one of step rebuild`},
		{"a rebuild with another result", nil, third(link(t, 22, layout.NewLink("rebuild", source, map[string]provenance.Digest{"images/hub": {}}))), layout.CodeDiffering, "got a difference in product images/finance-agent"},
		{"a rebuild of other sources", nil, third(link(t, 22, layout.NewLink("rebuild", map[string]provenance.Digest{"source": {}}, images))), layout.CodeDiffering, "got a difference in material source"},
		{"all rebuilds with another result", nil, func(t testing.TB) [][]byte {
			other := layout.NewLink("rebuild", source, map[string]provenance.Digest{"images/hub": {}, "images/finance-agent": images["images/finance-agent"]})
			return [][]byte{goodLinks(t)[0], link(t, 21, other), link(t, 22, other)}
		}, layout.CodeArtifacts, "images/hub] disallowed"},
		{"all rebuilds with a product more", nil, func(t testing.TB) [][]byte {
			other := layout.NewLink("rebuild", source, map[string]provenance.Digest{"images/hub": images["images/hub"], "images/finance-agent": images["images/finance-agent"], "images/x/y": {}})
			return [][]byte{goodLinks(t)[0], link(t, 21, other), link(t, 22, other)}
		}, layout.CodeArtifacts, "images/x/y] disallowed"},
		{"all rebuilds with a product less", nil, func(t testing.TB) [][]byte {
			other := layout.NewLink("rebuild", source, map[string]provenance.Digest{"images/finance-agent": images["images/finance-agent"]})
			return [][]byte{goodLinks(t)[0], link(t, 21, other), link(t, 22, other)}
		}, layout.CodeArtifacts, "images/hub is not in"},
		{"a build of something else beside", nil, func(t testing.TB) [][]byte {
			other := layout.NewLink("build", source, map[string]provenance.Digest{"images/hub": images["images/hub"], "secret": {}})
			return append(goodLinks(t)[1:], link(t, 11, other))
		}, layout.CodeArtifacts, "secret] disallowed"},
		{"a build from something else beside", nil, func(t testing.TB) [][]byte {
			other := layout.NewLink("build", map[string]provenance.Digest{"source": source["source"], "patch": {}}, images)
			return append(goodLinks(t)[1:], link(t, 11, other))
		}, layout.CodeArtifacts, "patch] disallowed"},
		{"a build from nothing", nil, func(t testing.TB) [][]byte {
			return append(goodLinks(t)[1:], link(t, 11, layout.NewLink("build", nil, images)))
		}, layout.CodeArtifacts, "source is not in"},
		{"no link", nil, third([]byte("x")), layout.CodeLink, "link 2: envelope: malformed JSON"},
		{"a path in two forms", nil, third(signed(t, 22, func(l *in_toto.Link) { l.Products["./images/hub"] = l.Products["images/hub"] })), layout.CodeLink, "in its shortest form"},
		{"a path that leaves", nil, third(signed(t, 22, func(l *in_toto.Link) { l.Products["../x"] = l.Products["images/hub"] })), layout.CodeLink, "in its shortest form"},
		{"another digest beside", nil, third(signed(t, 22, func(l *in_toto.Link) { l.Products["images/hub"]["sha512"] = strings.Repeat("0", 128) })), layout.CodeLink, "expected a sha256 and no other digest"},
		{"no sha256", nil, third(signed(t, 22, func(l *in_toto.Link) { l.Products["images/hub"] = in_toto.HashObj{"sha512": strings.Repeat("0", 128)} })), layout.CodeLink, "images/hub: digest: expected 64"},
		{"a layout for a link", nil, third(signed(t, 22, func(l *in_toto.Link) { l.Type = "layout" })), layout.CodeLink, "layouts in layouts are not followed"},
		{"another command", of(func(l *in_toto.Layout) { l.Steps[0].ExpectedCommand = []string{"nix", "build"} }), func(t testing.TB) [][]byte {
			l := built("build")
			l.Command = []string{"nix", "build", "--impure"}
			return [][]byte{link(t, 11, l)}
		}, layout.CodeCommand, `expected the command ["nix" "build"], got ["nix" "build" "--impure"]`},
		{"many links", nil, func(testing.TB) [][]byte { return make([][]byte, 257) }, layout.CodeLink, "expected at most 256, got 257"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			document := good
			if tt.layout != nil {
				document = tt.layout(t)
			}
			verified, err := layout.Verify(document, owners(t, 1), tt.links(t), now)
			var refusal *layout.Refusal
			if !errors.As(err, &refusal) || refusal.Code != tt.code || !strings.Contains(err.Error(), tt.want) || verified != nil {
				t.Errorf("got %+v, %v; want %s with %q", verified, err, tt.code, tt.want)
			}
		})
	}
	var unusable *provenance.PolicyError
	for _, threshold := range []int{0, 3} {
		if _, err := layout.Verify(good, owners(t, threshold), goodLinks(t), now); !errors.As(err, &unusable) {
			t.Errorf("owners with threshold %d: %v", threshold, err)
		}
	}
	if _, err := layout.Verify(good, owners(t, 1), goodLinks(t), time.Time{}); !errors.As(err, &unusable) {
		t.Errorf("without a time: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	s := steps(t)
	s[0].Threshold = 0
	var refusal *layout.Refusal
	if _, err := layout.New(expires, "", s...); !errors.As(err, &refusal) || refusal.Code != layout.CodeLayout {
		t.Errorf("threshold 0: %v", err)
	}
	if _, err := layout.New(expires, "", layout.Step{Name: "x", Who: []provenance.Key{{}}}); err == nil {
		t.Error("an empty key was taken")
	}
}

func FuzzVerify(f *testing.F) {
	l, err := layout.New(expires, "", steps(f)...)
	check(f, err)
	for _, payload := range []any{l, built("build")} {
		data, err := json.Marshal(payload)
		check(f, err)
		f.Add(data)
	}
	owner, builder := signer(f, 1), signer(f, 11)
	good := newLayout(f, nil)
	// Whatever the owners sign, it is judged without a panic; and so is whatever a builder signs.
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) == 0 {
			return
		}
		e := provenance.Envelope{PayloadType: provenance.PayloadType, Payload: payload}
		check(t, e.Sign(t.Context(), owner))
		data, err := json.Marshal(e)
		check(t, err)
		_, _ = layout.Verify(data, owners(t, 1), nil, now)
		e.Signatures = nil
		check(t, e.Sign(t.Context(), builder))
		data, err = json.Marshal(e)
		check(t, err)
		_, _ = layout.Verify(good, owners(t, 1), [][]byte{data}, now)
	})
}
