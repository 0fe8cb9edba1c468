package release_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

func TestVerifyAccepts(t *testing.T) {
	w := newWorld(t)
	r := w.verify()
	if !r.Accepted || r.Refusal != nil {
		t.Fatalf("refused: %v", r.Refusal)
	}
	for _, c := range r.Checks {
		if c.Result != release.Pass && (c.Check != release.CheckMemory || c.Result != release.NotAsked) {
			t.Errorf("%s is %s", c.Check, c.Result)
		}
	}
	var roles []string
	for _, s := range r.Signers {
		roles = append(roles, s.Role)
		if !slices.Equal(s.Logs, []string{logOrigin}) || !s.Link {
			t.Errorf("signer %s: expected a link and the log, got %+v", s.Name, s)
		}
	}
	slices.Sort(roles)
	if !slices.Equal(roles, []string{"builder", "rebuilder"}) || r.Name != "board" || *r.Digest != digestOf(w.read(release.ManifestFile)) {
		t.Errorf("expected a builder and a rebuilder of board, got %v of %s", roles, r.Name)
	}
	if len(r.Logs) != 1 || r.Logs[0].Size != 6 || len(r.Logs[0].Witnesses) != 1 {
		t.Errorf("expected a log of six entries with a witness, got %+v", r.Logs)
	}
}

// What Sign writes is what Verify reads.
func TestVerifySigned(t *testing.T) {
	w := newUnsigned(t)
	w.fixture.Sign(t)
	w.set("logs", nil)
	w.accept()
}

// Others may vouch, too, and what does not matter does not keep a release from being accepted.
func TestVerifyAcceptsDespite(t *testing.T) {
	tests := map[string]func(w *world){
		"a stranger's signature": func(w *world) { w.bundle(w.fixture.Stranger, "release", provenance.PayloadType, w.statement()) },
		"a stranger's link":      func(w *world) { w.link(w.fixture.Stranger, release.RebuildStep, w.release()) },
		"a rebuilder's signature of a statement": func(w *world) {
			w.bundle(w.fixture.Rebuilder, "", provenance.PayloadType, w.read(values))
		},
		"the proof of a log that the policy does not have": func(w *world) {
			data := w.read(w.proofFile())
			w.write("log/other.tlog-proof", replaced(w.t, data, logOrigin+"\n", "other.example/log\n"))
		},
		"no logs in the policy":     func(w *world) { w.set("logs", nil) },
		"no bounds in the policy":   func(w *world) { w.set("minimum_version", nil); w.set("maximum_age_days", nil) },
		"the last second of a key":  func(w *world) { w.set("builders.identities.0.keys.0.not_after", verifiedAt.Format(time.RFC3339)) },
		"the first second of a key": func(w *world) { w.set("builders.identities.0.keys.0.not_before", verifiedAt.Format(time.RFC3339)) },
		"the last second of the layout": func(w *world) {
			w.relayout(verifiedAt, of(w.fixture.Builder), of(w.fixture.Rebuilder), w.fixture.Owner)
		},
		"a clock that is a little behind": func(w *world) { w.remake(func(r *release.Release) { r.Created = verifiedAt.Add(release.MaxSkew) }) },
		"another release that is revoked": func(w *world) { w.set("revoked_releases", []any{provenance.DigestOf(nil).String()}) },
		"another key that is revoked":     func(w *world) { w.set("revoked_keys", []any{w.fixture.Stranger.Key().Fingerprint().String()}) },
		"empty folders of vouchers": func(w *world) {
			w.set("logs", nil)
			w.check(os.RemoveAll(w.path("log")))
			w.check(os.Mkdir(w.path("log"), 0o755))
		},
		"a log that shows how it went on": func(w *world) { w.log.add([]byte("more")); w.options.Logs = []transparency.Reader{w.log} },
		"a guest for development, as asked for": func(w *world) {
			*w = *newWorld(w.t, releasetest.Options{Flavours: []guestimage.Flavour{guestimage.Development}})
			w.set("development_guests", true)
		},
		"no guests": func(w *world) { *w = *newWorld(w.t, releasetest.Options{NoGuests: true}) },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			change(w)
			w.accept()
		})
	}
}

// A memory lets newer releases pass, and what was accepted again.
func TestMemory(t *testing.T) {
	memory, err := release.OpenMemory(filepath.Join(t.TempDir(), "a", "b"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.options.Memory = memory
	w.accept()
	w.accept()
	newer := newUnsigned(t, releasetest.Options{Version: "1.0.1"})
	newer.options.Memory = memory
	newer.log = w.log
	newer.vouch()

	// A log that was seen at another size has to be shown to go on from there.
	p, err := newer.parsePolicy()
	if err != nil {
		t.Fatal(err)
	}
	report, err := release.VerifyFolder(t.Context(), newer.dir, p, newer.options)
	var unproven *transparency.UnprovenError
	if !errors.As(err, &unproven) || report != nil || unproven.Old != 6 || unproven.New != 7 {
		t.Fatalf("expected that a proof from 6 to 7 is missing, got %v and %v", report, err)
	}
	// What is refused for another reason is refused without it.
	newer.set("name", "other")
	if r := newer.verify(); r.Accepted || r.Refusal.Code != release.CodePolicyName {
		t.Errorf("expected a refusal for the name, got %v", r.Refusal)
	}
	newer.set("name", releasetest.Name)
	// The log has it, or the release brings it.
	newer.options.Logs = []transparency.Reader{newer.log}
	newer.accept()
	newer.options.Logs = nil
	newer.accept()
	again, err := release.OpenMemory(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w.options.Memory, newer.options.Memory = again, again
	w.accept()
	newer.write("log/"+strings.Repeat("0", 16)+release.ConsistencySuffix, newer.log.consistency(6))
	newer.accept()

	if r := w.verify(); r.Accepted || r.Refusal.Code != release.CodeRollback {
		t.Errorf("expected the older release to be refused as a rollback, got %v", r.Refusal)
	}
}

// What is refused leaves no trace in a memory, and an owner who takes another's place does not make it forget.
func TestMemoryRemembers(t *testing.T) {
	dir := t.TempDir()
	memory, err := release.OpenMemory(dir)
	if err != nil {
		t.Fatal(err)
	}
	newer := newWorld(t, releasetest.Options{Version: "1.2.0"})
	newer.set("logs", nil)
	newer.options.Memory = memory
	newer.flip(appCompose)
	if r := newer.verify(); r.Accepted {
		t.Fatal("accepted")
	}
	if entries, err := os.ReadDir(dir); err != nil || slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), ".json") }) {
		t.Errorf("expected nothing to be remembered, got %v, %v", entries, err)
	}
	newer.flip(appCompose)
	newer.accept()

	older := newWorld(t)
	older.set("logs", nil)
	older.options.Memory = memory
	owners := []any{map[string]any{"pem": string(older.fixture.Owner.Key().PEM())}, map[string]any{"pem": string(older.fixture.Stranger.Key().PEM())}}
	older.set("layout.owners", owners)
	if r := older.verify(); r.Accepted || r.Refusal.Code != release.CodeRollback {
		t.Errorf("with an owner more: expected a rollback, got %v", r.Refusal)
	}
	// Under owners of whom nobody was seen it is another release.
	older.set("layout.owners", owners[1:])
	older.relayout(never, of(older.fixture.Builder), of(older.fixture.Rebuilder), older.fixture.Stranger)
	older.accept()
	newer.accept()
}

func TestMemoryIsNotForgotten(t *testing.T) {
	for name, data := range map[string]string{
		"not JSON": "hello", "another schema": `{"schema":"x","releases":[]}`, "no list": `{"schema":"` + release.MemorySchema + `","releases":null}`,
		"a version that is none": `{"schema":"` + release.MemorySchema + `","releases":[{"name":"board","source":"s","roots":["r"],"version":"1","digest":"sha256:` + strings.Repeat("0", 64) + `","at":"2026-11-23T00:00:00Z"}]}`,
		"no roots":               `{"schema":"` + release.MemorySchema + `","releases":[{"name":"board","source":"s","roots":[],"version":"1.0.0","digest":"sha256:` + strings.Repeat("0", 64) + `","at":"2026-11-23T00:00:00Z"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, release.ReleasesFile), []byte(data), 0o600); err != nil {
				t.Fatal(err)
			}
			memory, err := release.OpenMemory(dir)
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld(t)
			p, err := w.parsePolicy()
			w.check(err)
			if r, err := release.VerifyFolder(t.Context(), w.dir, p, release.VerifyOptions{At: verifiedAt, Memory: memory}); err == nil || r != nil {
				t.Errorf("expected an error, got %v and %v", r, err)
			}
		})
	}
}

// What can not be read is no verdict.
func TestVerifyFaults(t *testing.T) {
	w := newWorld(t)
	p, err := w.parsePolicy()
	w.check(err)
	if _, err := release.VerifyFolder(t.Context(), filepath.Join(w.dir, "nowhere"), p, w.options); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: got %v", err)
	}
	if _, err := release.VerifyFolder(t.Context(), t.TempDir(), p, w.options); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no release.json: got %v", err)
	}
	if _, err := release.VerifyFolder(t.Context(), w.dir, p, release.VerifyOptions{}); err == nil {
		t.Error("no time: expected an error, got none")
	}
	if r, err := release.VerifyFolder(t.Context(), w.dir, p, release.VerifyOptions{At: verifiedAt, Logs: []transparency.Reader{downLog{}}}); !errors.Is(err, errDown) || r != nil {
		t.Errorf("a log that is down: got %v and %v", r, err)
	}
}

var errDown = errors.New("down")

type downLog struct{ transparency.Reader }

func (downLog) Checkpoint(context.Context) ([]byte, error) { return nil, errDown }

// Several faults are told at once, and the first check that failed decides.
func TestVerifyTellsEverything(t *testing.T) {
	w := newWorld(t)
	w.flip(appCompose)
	w.set("minimum_version", "2.0.0")
	w.remove(bundleOf(w.fixture.Rebuilder))
	r := w.verify()
	var all []string
	for _, c := range r.Checks {
		if c.Result == release.NotChecked {
			all = append(all, string(c.Check)+"?")
		}
		all = append(all, refusals(c)...)
	}
	want := "file-digest applications? policy-version rebuilder-threshold threshold log-entry"
	if got := strings.Join(all, " "); got != want || r.Refusal.Code != release.CodeFilesDigest {
		t.Errorf("got %q decided by %v, want %q", got, r.Refusal, want)
	}
}

// A verdict is a function of its arguments: the package asks no clock for it, and nothing that Verify is made of reaches the network.
func TestVerifyIsPure(t *testing.T) {
	clock := regexp.MustCompile(`\btime\.(Now|Since|Until|After|Tick|Sleep)\b|\bos\.(Getenv|LookupEnv|Environ)\b|"net(/|")`)
	for _, name := range []string{"verify.go", "artifacts.go", "signatures.go", "logs.go", "memory.go", "report.go", "policy.go", "schema.go", "directory.go"} {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if use := clock.Find(source); use != nil {
			t.Errorf("%s uses %s", name, use)
		}
	}
}

// TestVerifyWithoutNetwork runs a verification in a network namespace of its own, which has nobody in it, where that can be made.
func TestVerifyWithoutNetwork(t *testing.T) {
	if os.Getenv("RELEASE_TEST_ALONE") != "" {
		newWorld(t).accept()
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVerifyWithoutNetwork$", "-test.v")
	cmd.Env = append(os.Environ(), "RELEASE_TEST_ALONE=1")
	alone(cmd)
	out, err := cmd.CombinedOutput()
	if errors.Is(err, fs.ErrPermission) {
		t.Skipf("no network namespace can be made here: %v", err)
	}
	if err != nil || !strings.Contains(string(out), "--- PASS: TestVerifyWithoutNetwork") {
		t.Errorf("%v: %s", err, out)
	}
}
