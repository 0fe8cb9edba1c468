package release_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/layout"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// A policy that could let too much pass is none.
func TestPolicyRefuses(t *testing.T) {
	pem := func(s provenance.Signer) string { return string(s.Key().PEM()) }
	tests := []struct {
		name, want string
		change     func(w *world)
	}{
		{"threshold of 0 for builders", "builders.threshold: expected 1 to 1, the number of identities, got 0", func(w *world) { w.set("builders.threshold", 0) }},
		{"threshold of 0 for rebuilders", "rebuilders.threshold: expected 1 to 1", func(w *world) { w.set("rebuilders.threshold", 0) }},
		{"threshold that nobody can meet", "builders.threshold: expected 1 to 1, the number of identities, got 2", func(w *world) { w.set("builders.threshold", 2) }},
		{"threshold of 0 altogether", "threshold: expected 2, the sum of the roles' thresholds, to 2", func(w *world) { w.set("threshold", 0) }},
		{"threshold below the roles'", "threshold: expected 2, the sum of the roles' thresholds, to 2, the number of identities, got 1", func(w *world) { w.set("threshold", 1) }},
		{"threshold above all identities", "threshold: expected 2, the sum of the roles' thresholds, to 2, the number of identities, got 3", func(w *world) { w.set("threshold", 3) }},
		{"negative threshold", "builders.threshold: expected 1 to 1", func(w *world) { w.set("builders.threshold", -1) }},
		{"no builders", "builders.identities: expected 1 to 64, got 0", func(w *world) { w.set("builders.identities", []any{}) }},
		{"builders left out", "builders.identities: expected 1 to 64, got 0", func(w *world) { w.set("builders", nil) }},
		{"one key under two names", "rebuilders.identities[0].keys[0]: expected each key once, got ", func(w *world) {
			w.set("rebuilders.identities.0.keys.0.pem", pem(w.fixture.Builder))
		}},
		{"one key twice in an identity", `builders.identities[0].keys[1]: expected each key once, got `, func(w *world) {
			w.set("builders.identities.0", identity("builder", w.fixture.Builder, w.fixture.Builder))
		}},
		{"one name in two roles", `rebuilders.identities[0].name: expected each identity once, in one role, got "builder" again`, func(w *world) { w.set("rebuilders.identities.0.name", "builder") }},
		{"no name", "builders.identities[0].name: expected 1 to 200 printable characters", func(w *world) { w.set("builders.identities.0.name", "") }},
		{"identity without a key", "builders.identities[0]: expected 1 to 64 keys and certificates, got 0", func(w *world) { w.set("builders.identities.0.keys", nil) }},
		{"key that ends before it begins", "builders.identities[0].keys[0].not_after: expected a time after not_before", func(w *world) {
			w.set("builders.identities.0.keys.0.not_after", "2025-01-01T00:00:00Z")
		}},
		{"key that is none", "public key: expected PEM of type PUBLIC KEY", func(w *world) { w.set("builders.identities.0.keys.0.pem", "hello") }},
		{"key from a file and as text", "builders.identities[0].keys[0]: expected either file or pem, got both or none", func(w *world) { w.set("builders.identities.0.keys.0.file", "a.pub") }},
		{"key from an absolute path", "expected the path of a file, relative to the policy", func(w *world) {
			w.set("builders.identities.0.keys.0", map[string]any{"file": "/etc/a.pub"})
		}},
		{"no layout", `layout: expected one, since "builder" signs with keys`, func(w *world) { w.set("layout", nil) }},
		{"no owners", "layout.owners: expected 1 to 64 keys, got 0", func(w *world) { w.set("layout.owners", []any{}) }},
		{"owners' threshold of 0", "layout.threshold: expected 1 to 1, the number of owners, got 0", func(w *world) { w.set("layout.threshold", 0) }},
		{"one owner twice", "layout.owners[1]: expected each key once", func(w *world) {
			owner := map[string]any{"pem": pem(w.fixture.Owner)}
			w.set("layout.owners", []any{owner, owner})
			w.set("layout.threshold", 2)
		}},
		{"owner with times", "layout.owners[0]: expected a key without times", func(w *world) { w.set("layout.owners.0.not_after", "2027-01-01T00:00:00Z") }},
		{"no log among those required", "logs.required: expected 1 to 1, the number of logs, got 2", func(w *world) { w.set("logs.required", 2) }},
		{"none of the logs required", "logs.required: expected 1 to 1, the number of logs, got 0", func(w *world) { w.set("logs.required", 0) }},
		{"logs without any", "logs.logs: expected 1 to 64, got 0", func(w *world) { w.set("logs.logs", []any{}) }},
		{"one log twice", "logs.logs[1]: expected each log and each key once", func(w *world) {
			logs := w.policy["logs"].(map[string]any)["logs"].([]any)
			w.set("logs.logs", append(logs, logs[0]))
		}},
		{"one log's key under two names", "logs.logs[1]: expected each log and each key once", func(w *world) {
			other, err := transparency.NewLogSigner("second.example/log", logKeys()[0])
			w.check(err)
			logs := w.policy["logs"].(map[string]any)["logs"].([]any)
			w.set("logs.logs", append(logs, map[string]any{"origin": other.Name(), "key": other.Key(), "witnesses": []any{}, "witness_threshold": 0}))
			w.set("logs.required", 2)
		}},
		{"one witness twice", "logs.logs[0]: policy of the log: witnesses[1].key: expected a public key of its own", func(w *world) {
			w.set("logs.logs.0.witnesses", []any{map[string]any{"name": "a", "key": w.log.witness.Key()}, map[string]any{"name": "b", "key": w.log.witness.Key()}})
		}},
		{"more witnesses than there are", "witness_threshold: expected 0 to 1", func(w *world) { w.set("logs.logs.0.witness_threshold", 2) }},
		{"a log's key that is none", "logs.logs[0]: policy of the log: key: ", func(w *world) { w.set("logs.logs.0.key", "hello") }},
		{"certificates without a trust root", "trust_root: expected a file if anybody signs with certificates", func(w *world) {
			w.set("builders.identities.0.certificates", []any{map[string]any{"issuer": "https://issuer.example", "subject": "a@example.org"}})
		}},
		{"a certificate without its issuer", "builders.identities[0].certificates[0]: expected issuer and subject", func(w *world) {
			w.set("builders.identities.0.certificates", []any{map[string]any{"issuer": "", "subject": "a@example.org"}})
		}},
		{"one certificate under two names", "rebuilders.identities[0].certificates[0]: expected each certificate once", func(w *world) {
			certificates := []any{map[string]any{"issuer": "https://issuer.example", "subject": "a@example.org"}}
			w.set("builders.identities.0.certificates", certificates)
			w.set("rebuilders.identities.0.certificates", certificates)
		}},
		{"a trust root for nobody", "trust_root: expected a file if anybody signs with certificates, and none otherwise", func(w *world) { w.set("trust_root", "root.json") }},
		{"a trust root that is none", "root.json: ", func(w *world) {
			w.set("builders.identities.0.certificates", []any{map[string]any{"issuer": "https://issuer.example", "subject": "a@example.org"}})
			w.set("trust_root", "root.json")
			w.beside = map[string][]byte{"layout.json": w.beside["layout.json"], "root.json": []byte("{}")}
		}},
		{"a layout beyond all bounds", "layout.file: expected a file of at most", func(w *world) {
			w.beside = map[string][]byte{"layout.json": make([]byte, release.MaxPolicy+1)}
		}},
		{"too long", "expected at most", func(w *world) { w.set("name", strings.Repeat("a", release.MaxPolicy)) }},
		{"too many that are revoked", "revoked_releases, revoked_keys: expected at most", func(w *world) {
			w.set("revoked_keys", slices.Repeat([]any{strings.Repeat("a", 64)}, release.MaxFiles+1))
		}},
		{"unknown member", `unknown member "pattern"`, func(w *world) { w.set("pattern", "*") }},
		{"another schema", "schema: expected " + release.PolicySchema, func(w *world) { w.set("schema", "https://example.org/v9") }},
		{"no name of the release", "name: expected the name of a release", func(w *world) { w.set("name", nil) }},
		{"no source", "source: expected the URI", func(w *world) { w.set("source", nil) }},
		{"minimum version that is none", "minimum_version: expected a semantic version", func(w *world) { w.set("minimum_version", "1") }},
		{"negative age", "maximum_age_days: expected 1 to", func(w *world) { w.set("maximum_age_days", -1) }},
		{"age beyond all bounds", "maximum_age_days: expected 1 to", func(w *world) { w.set("maximum_age_days", 999999) }},
		{"revoked key in upper case", "revoked_keys[0]: expected the fingerprint of a key", func(w *world) { w.set("revoked_keys", []any{strings.Repeat("A", 64)}) }},
		{"revoked release that is no digest", "digest: expected sha256:", func(w *world) { w.set("revoked_releases", []any{"hello"}) }},
	}
	w := newUnsigned(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newUnsignedLike(t, w)
			tt.change(w)
			p, err := w.parsePolicy()
			var malformed *release.PolicyError
			if !errors.As(err, &malformed) || p != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v and %v, want a policy error with %q", p, err, tt.want)
			}
		})
	}
}

// newUnsignedLike is another world around the release of one: the policy is its own.
func newUnsignedLike(t *testing.T, w *world) *world {
	t.Helper()
	data, err := json.Marshal(w.policy)
	if err != nil {
		t.Fatal(err)
	}
	like := *w
	like.t, like.policy = t, nil
	if err := json.Unmarshal(data, &like.policy); err != nil {
		t.Fatal(err)
	}
	return &like
}

// A file that is missing is no mistake in the policy.
func TestPolicyFaults(t *testing.T) {
	w := newUnsigned(t)
	delete(w.beside, "layout.json")
	var malformed *release.PolicyError
	if _, err := w.parsePolicy(); !errors.Is(err, fs.ErrNotExist) || errors.As(err, &malformed) {
		t.Errorf("expected that a file is missing, got %v", err)
	}
	if _, err := release.LoadPolicy(filepath.Join(t.TempDir(), "nowhere.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("expected that the policy is missing, got %v", err)
	}
}

// TestNewPolicy goes from keys to a release that verifies.
func TestNewPolicy(t *testing.T) {
	w := newWorld(t)
	f := w.fixture
	second, err := releasetest.NewSigner()
	w.check(err)
	files, err := release.NewPolicy(release.PolicyOptions{
		Name: releasetest.Name, Source: releasetest.Source.Repository, MinimumVersion: "1.0.0",
		Builders: []release.NamedKey{{Name: "ci", Key: f.Builder.Key()}}, Rebuilders: []release.NamedKey{{Name: "audit", Key: f.Rebuilder.Key()}},
		Owners: []provenance.Key{f.Owner.Key(), second.Key()},
		Logs: []transparency.Policy{{
			Origin: logOrigin, Key: w.log.signer.Key(), WitnessThreshold: 1, Witnesses: []transparency.Witness{{Name: "w", Key: w.log.witness.Key()}},
		}},
	})
	w.check(err)
	dir := t.TempDir()
	for _, name := range sortedKeys(files) {
		w.check(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		w.check(os.WriteFile(filepath.Join(dir, name), files[name], 0o600))
	}
	file := filepath.Join(dir, release.PolicyFile)
	if _, err := release.LoadPolicy(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a layout: got %v", err)
	}
	sign := func(signer provenance.Signer, expires time.Time) error {
		p, err := release.LoadPolicyToSign(file)
		w.check(err)
		if p.Layout.File != filepath.Join(dir, release.LayoutFile) {
			t.Errorf("the layout is at %s", p.Layout.File)
		}
		signed, err := p.SignLayout(t.Context(), signer, expires)
		if err == nil {
			w.check(os.WriteFile(p.Layout.File, signed, 0o600))
		}
		return err
	}
	judge := func() *release.Report {
		p, err := release.LoadPolicy(file)
		w.check(err)
		r, err := release.VerifyFolder(t.Context(), w.dir, p, w.options)
		w.check(err)
		return r
	}
	var impossible *release.LayoutError
	if err := sign(f.Owner, time.Time{}); !errors.As(err, &impossible) {
		t.Errorf("a first layout without a time: got %v", err)
	}
	if err := sign(f.Stranger, never); !errors.As(err, &impossible) {
		t.Errorf("a layout by a stranger: got %v", err)
	}
	w.check(sign(f.Owner, never))
	if r := judge(); r.Accepted || r.Refusal.Code != "layout-signature" {
		t.Errorf("one of two owners: got %v", r.Refusal)
	}
	w.check(sign(second, time.Time{}))
	w.check(sign(second, time.Time{})) // which changes nothing
	if r := judge(); !r.Accepted {
		t.Errorf("both owners: refused: %v", r.Refusal)
	}
	w.check(sign(f.Owner, never)) // the same again keeps the other signature
	if r := judge(); !r.Accepted {
		t.Errorf("signed again: refused: %v", r.Refusal)
	}

	// A key is revoked by a new layout; what was signed with it counts no more.
	revoked := strings.Replace(string(files[release.PolicyFile]), `"revoked_keys": []`, `"revoked_keys": ["`+f.Rebuilder.Key().Fingerprint().String()+`"]`, 1)
	revoked = strings.Replace(revoked, `"file": "keys/audit.pub"`, `"file": "keys/audit.pub"}, {"file": "keys/new.pub"`, 1)
	w.check(os.WriteFile(file, []byte(revoked), 0o600))
	w.check(os.WriteFile(filepath.Join(dir, "keys", "new.pub"), f.Stranger.Key().PEM(), 0o600))
	if err := sign(f.Owner, time.Time{}); !errors.As(err, &impossible) {
		t.Errorf("a layout that says something else than the policy: got %v", err)
	}
	w.check(sign(f.Owner, never.Add(time.Hour)))
	w.check(sign(second, time.Time{}))
	if r := judge(); r.Accepted || r.Refusal.Code != release.Code(layout.CodeFunctions) {
		t.Errorf("revoked: got %v", r.Refusal)
	}
	// The new key signs instead.
	w.remove(bundleOf(f.Rebuilder))
	w.remove(w.one(release.LinksFolder, "rebuild."))
	w.link(f.Stranger, release.RebuildStep, w.release())
	builder, err := provenance.ParseBundle(w.read(bundleOf(f.Builder)))
	w.check(err)
	w.enter(builder, w.bundle(f.Stranger, "release", provenance.PayloadType, w.statement()))
	if r := judge(); !r.Accepted {
		t.Errorf("with the new key: refused: %v", r.Refusal)
	}
}

// A policy without rebuilders asks for builders alone, and its layout has the one step.
func TestNewPolicyWithoutRebuilders(t *testing.T) {
	w := newWorld(t)
	files, err := release.NewPolicy(release.PolicyOptions{
		Name: releasetest.Name, Source: releasetest.Source.Repository, Owners: []provenance.Key{w.fixture.Owner.Key()},
		Builders: []release.NamedKey{{Name: "ci", Key: w.fixture.Builder.Key()}},
	})
	w.check(err)
	read := func(name string) ([]byte, error) { return files[name], nil }
	p, err := release.ParsePolicy(files[release.PolicyFile], release.PolicyFile, read)
	w.check(err)
	files[release.LayoutFile], err = p.SignLayout(t.Context(), w.fixture.Owner, never)
	w.check(err)
	p, err = release.ParsePolicy(files[release.PolicyFile], release.PolicyFile, read)
	w.check(err)
	r, err := release.VerifyFolder(t.Context(), w.dir, p, w.options)
	w.check(err)
	if !r.Accepted || len(r.Signers) != 1 {
		t.Errorf("refused: %v, or with other signers: %v", r.Refusal, r.Signers)
	}
	w.remove(bundleOf(w.fixture.Builder))
	if r, err := release.VerifyFolder(t.Context(), w.dir, p, w.options); err != nil || r.Accepted || r.Refusal.Code != release.CodeBuilderThreshold {
		t.Errorf("without the builder: got %v, %v", r, err)
	}
}

// A layout that is there and can not be read is not signed, and not replaced by accident.
func TestSignLayoutRefuses(t *testing.T) {
	w := newUnsigned(t)
	for name, there := range map[string]string{
		"no envelope": "{}", "no layout": `{"payload":"e30x","payloadType":"x","signatures":[{"sig":"AA=="}]}`,
		"no time": `{"payload":"e30=","payloadType":"x","signatures":[{"sig":"AA=="}]}`,
	} {
		w.beside["layout.json"] = []byte(there)
		p, err := w.parsePolicy()
		w.check(err)
		var impossible *release.LayoutError
		if signed, err := p.SignLayout(t.Context(), w.fixture.Owner, time.Time{}); !errors.As(err, &impossible) || signed != nil {
			t.Errorf("%s: got %s and %v", name, signed, err)
		}
	}
	var impossible *release.LayoutError
	if _, err := (&release.Policy{}).SignLayout(t.Context(), w.fixture.Owner, never); !errors.As(err, &impossible) {
		t.Errorf("a policy without a layout: got %v", err)
	}
}

func TestNewPolicyRefuses(t *testing.T) {
	f := releasetest.New(t)
	builders, rebuilders := []release.NamedKey{{Name: "ci", Key: f.Builder.Key()}}, []release.NamedKey{{Name: "audit", Key: f.Rebuilder.Key()}}
	good := release.PolicyOptions{Name: "board", Source: "https://example.org/board", Builders: builders, Rebuilders: rebuilders, Owners: []provenance.Key{f.Owner.Key()}}
	if _, err := release.NewPolicy(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(o *release.PolicyOptions){
		"no builders": func(o *release.PolicyOptions) { o.Builders = nil },
		"no owners":   func(o *release.PolicyOptions) { o.Owners = nil },
		"one key twice": func(o *release.PolicyOptions) {
			o.Rebuilders = []release.NamedKey{{Name: "audit", Key: f.Builder.Key()}}
		},
		"one name twice": func(o *release.PolicyOptions) {
			o.Rebuilders = []release.NamedKey{{Name: "ci", Key: f.Rebuilder.Key()}}
		},
		"a path as name": func(o *release.PolicyOptions) { o.Builders = []release.NamedKey{{Name: "../ci", Key: f.Builder.Key()}} },
		"an owner's name": func(o *release.PolicyOptions) {
			o.Builders = []release.NamedKey{{Name: "owner-1", Key: f.Builder.Key()}}
		},
		"no name":          func(o *release.PolicyOptions) { o.Name = "" },
		"low threshold":    func(o *release.PolicyOptions) { o.Threshold = 1 },
		"owners threshold": func(o *release.PolicyOptions) { o.LayoutThreshold = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			var malformed *release.PolicyError
			if files, err := release.NewPolicy(o); !errors.As(err, &malformed) || files != nil {
				t.Errorf("got %d files and %v, want a policy error", len(files), err)
			}
		})
	}
}
