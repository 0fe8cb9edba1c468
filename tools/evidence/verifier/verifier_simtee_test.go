//go:build simtee

package verifier_test

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/evidence/nonce"
	"github.com/boardroom-tee/boardroom/tools/evidence/verifier"
	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/simtee"
)

var at = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// Applications, which differ in nothing but the name.
const compose = `{"docker_compose_file":"services: {}\n","manifest_version":2,"name":"%s","runner":"docker-compose"}`

// world is a simulated machine with one agent in it, and the reference values of who is to judge it.
type world struct {
	t        *testing.T
	platform *simtee.Platform
	td       *simtee.TD
	key      ed25519.PrivateKey
	kind     string
	nonce    string
	said     time.Time
	root     []byte // trust root; nil: Intel's

	application map[string]any
	machine     map[string]string
	policy      map[string]any
	before      []any // entries that stand first
	log         bool  // the evidence has its event log
	spoil       func(*appraisal.Evidence)
	quoted      func(evidence.Claims) [64]byte // what the machine is asked to quote
}

func newWorld(t *testing.T, edits ...func(*simtee.Design)) *world {
	t.Helper()
	platform, err := simtee.New(simtee.Seed{1}, at, edits...)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, platform: platform, key: ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", 32))), kind: "finance", nonce: nonce.New(),
		said: at, root: platform.RootPEM(), log: true,
	}
	w.boot("finance")
	w.expectThisMachine()
	return w
}

func (w *world) boot(name string) {
	w.t.Helper()
	td, err := w.platform.Boot(simtee.Launch{Compose: fmt.Appendf(nil, compose, name)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.td = td
}

// expectThisMachine writes the reference values of what was booted.
func (w *world) expectThisMachine() {
	body := w.td.Body()
	w.machine = map[string]string{"mrtd": hex.EncodeToString(body.MRTD[:])}
	for i := range 3 {
		w.machine[fmt.Sprintf("rtmr%d", i)] = hex.EncodeToString(body.RTMR[i][:])
	}
	w.application = map[string]any{"compose_hash": dstack.ComposeHashOf(w.td.AppCompose()).String()}
}

func (w *world) claims() evidence.Claims {
	w.t.Helper()
	c, err := evidence.NewClaims(w.kind+"-acme", w.kind, w.key.Public().(ed25519.PublicKey), w.nonce, w.said)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func reportData(t *testing.T, c evidence.Claims) [64]byte {
	t.Helper()
	data, err := evidence.ReportData(c)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func (w *world) evidence() appraisal.Evidence {
	w.t.Helper()
	claims := w.claims()
	data := reportData(w.t, claims)
	if w.quoted != nil {
		data = w.quoted(claims)
	}
	q := w.td.Quote(data)
	e := appraisal.Evidence{Quote: q.Quote, VMConfig: q.VMConfig, Claims: &claims}
	if w.log {
		e.EventLog = q.EventLog
	}
	if w.spoil != nil {
		w.spoil(&e)
	}
	return e
}

// verifier loads the reference values from files, as a program does.
func (w *world) verifier() *verifier.Verifier {
	w.t.Helper()
	dir := w.t.TempDir()
	if err := w.platform.WriteCollateral(filepath.Join(dir, "collateral")); err != nil {
		w.t.Fatal(err)
	}
	document := map[string]any{
		"peers": append(w.before, map[string]any{
			"name": "finance 0.1.0", "agent_type": "finance", "application": w.application, "machine": []any{w.machine},
		}, map[string]any{
			"name": "ceo 0.1.0", "agent_type": "ceo", "application": map[string]string{"compose_hash": strings.Repeat("ce", 32)}, "machine": []any{w.machine},
		}),
		"collateral": filepath.Join(dir, "collateral"),
	}
	if w.policy != nil {
		document["policy"] = w.policy
	}
	if w.root != nil {
		document["trust_root"] = filepath.Join(dir, "root.pem")
		if err := os.WriteFile(filepath.Join(dir, "root.pem"), w.root, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	text, err := json.Marshal(document)
	if err != nil {
		w.t.Fatal(err)
	}
	path := filepath.Join(dir, "values.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	v, err := verifier.Load(path, func() time.Time { return at }, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func TestAccepted(t *testing.T) {
	w := newWorld(t)
	v := w.verifier()
	r, err := v.Appraise(t.Context(), w.evidence(), w.nonce)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Accepted || !r.Simulated || r.Reference != "finance 0.1.0" || r.TCBStatus != quote.UpToDate || r.AgentID != "finance-acme" ||
		r.AgentType != "finance" || r.PublicKey != w.claims().PublicKey || r.At != "2026-11-22T10:00:00Z" || r.Reason != "" || len(r.Checks) == 0 ||
		r.Measurements.MRTD != w.machine["mrtd"] || r.Platform == nil {
		t.Errorf("result %+v", r)
	}
	if got := v.Results(); len(got) != 1 || !got[0].Accepted || !v.Simulated() {
		t.Errorf("results %+v", got)
	}
}

// TestReferenceIsTheEntryThatMatched: others of the type stand before it, of several machines, and one of another type that would match.
func TestReferenceIsTheEntryThatMatched(t *testing.T) {
	w := newWorld(t)
	other := map[string]string{"compose_hash": strings.Repeat("00", 32)}
	w.before = []any{
		map[string]any{"name": "sales", "agent_type": "sales", "application": w.application, "machine": []any{w.machine}},
		map[string]any{"name": "finance of others", "agent_type": "finance", "application": other, "machine": []any{w.machine, w.machine}},
		map[string]any{"name": "finance of one id", "agent_type": "finance", "agent_id": "finance-other", "application": w.application, "machine": []any{w.machine}},
	}
	r, err := w.verifier().Appraise(t.Context(), w.evidence(), w.nonce)
	if err != nil || !r.Accepted || r.Reference != "finance 0.1.0" {
		t.Errorf("reference %q, error %v", r.Reference, err)
	}
}

// TestRefused holds each reason for which a peer is turned away; the numbers are those of the field's known attacks.
func TestRefused(t *testing.T) {
	other := ed25519.NewKeyFromSeed([]byte(strings.Repeat("x", 32)))
	for name, c := range map[string]struct {
		design func(*simtee.Design)
		change func(*testing.T, *world)
		code   string // one of the failed checks
	}{
		"another compose file": {nil, func(_ *testing.T, w *world) { w.boot("evil") }, "reference_values.compose_hash"},
		"another app id": {nil, func(_ *testing.T, w *world) {
			w.application["app_id"] = strings.Repeat("00", 20)
		}, "reference_values.app_id"},
		"another key provider": {nil, func(_ *testing.T, w *world) {
			w.application["key_provider"] = map[string]string{"name": "kms", "id": "00"}
		}, "reference_values.key_provider"},
		"another firmware": {nil, func(_ *testing.T, w *world) { w.machine["mrtd"] = strings.Repeat("00", 48) }, "reference_values.mrtd"},
		"another root": {nil, func(t *testing.T, w *world) {
			stranger, err := simtee.New(simtee.Seed{2}, at)
			if err != nil {
				t.Fatal(err)
			}
			w.root = stranger.RootPEM()
		}, "pck.root"},
		"Intel's root": {nil, func(_ *testing.T, w *world) { w.root = nil }, "pck.root"},
		"no event log": {nil, func(_ *testing.T, w *world) { w.log = false }, "reference_values.compose_hash"},
		"event log of another application": {nil, func(t *testing.T, w *world) {
			good := w.td.Quote([64]byte{}).EventLog
			w.boot("evil")
			w.spoil = func(e *appraisal.Evidence) { e.EventLog = good }
		}, "event_log.replay.rtmr3"},
		"application event after boot": {nil, func(t *testing.T, w *world) {
			good := dstack.ComposeHashOf(w.td.AppCompose())
			w.boot("evil")
			if err := w.td.EmitEvent("compose-hash", good[:]); err != nil {
				t.Fatal(err)
			}
		}, "reference_values.compose_hash"},
		"another type":    {nil, func(_ *testing.T, w *world) { w.kind = "ceo" }, "reference_values.compose_hash"},
		"unknown type":    {nil, func(_ *testing.T, w *world) { w.kind = "sales" }, "reference_values.peer"},
		"no claims":       {nil, func(_ *testing.T, w *world) { w.spoil = func(e *appraisal.Evidence) { e.Claims = nil } }, "evidence.claims"},
		"out-of-date TCB": {func(d *simtee.Design) { d.SGX.PCESVN = 5 }, nil, "tcb.status"},
		"revoked":         {simtee.RevokePCK, nil, "revocation.pck"},
		"stale claims":    {nil, func(_ *testing.T, w *world) { w.said = at.Add(-evidence.MaxAge - time.Second) }, "claims.timestamp"},
		"no quote":        {nil, func(_ *testing.T, w *world) { w.spoil = func(e *appraisal.Evidence) { e.Quote = []byte{4, 0} } }, "quote."},

		"55 old quote replayed": {nil, func(_ *testing.T, w *world) {
			old := w.evidence()
			w.nonce = nonce.New()
			w.spoil = func(e *appraisal.Evidence) { *e = old }
		}, "report_data.nonce"},
		"56 nonce only beside the quote": {nil, func(_ *testing.T, w *world) {
			old := w.evidence()
			w.nonce = nonce.New()
			w.spoil = func(e *appraisal.Evidence) { e.Quote, e.EventLog = old.Quote, old.EventLog }
		}, "report_data.claims"},
		"57 report data of zeros": {nil, func(_ *testing.T, w *world) {
			w.quoted = func(evidence.Claims) [64]byte { return [64]byte{} }
		}, "report_data.claims"},
		"57 report data that is constant": {nil, func(_ *testing.T, w *world) {
			w.quoted = func(evidence.Claims) (d [64]byte) { copy(d[:], "constant"); return d }
		}, "report_data.claims"},
		"58 only the first half of report data": {nil, func(t *testing.T, w *world) {
			w.quoted = func(c evidence.Claims) [64]byte {
				data := reportData(t, c)
				clear(data[32:])
				return data
			}
		}, "report_data.claims"},
		"59 another's quote with the relay's key": {nil, func(_ *testing.T, w *world) {
			good := w.evidence()
			w.key = other
			w.spoil = func(e *appraisal.Evidence) { e.Quote, e.EventLog = good.Quote, good.EventLog }
		}, "report_data.claims"},
		"60 same image on another's machine": {nil, func(_ *testing.T, w *world) {
			w.policy = map[string]any{"platforms": []string{strings.Repeat("00", 16)}}
		}, "policy.platform"},
	} {
		t.Run(name, func(t *testing.T) {
			var edits []func(*simtee.Design)
			if c.design != nil {
				edits = append(edits, c.design)
			}
			w := newWorld(t, edits...)
			if c.change != nil {
				c.change(t, w)
			}
			v := w.verifier()
			r, err := v.Appraise(t.Context(), w.evidence(), w.nonce)
			var refusal *verifier.Refusal
			if !errors.As(err, &refusal) || r.Accepted || r.Reason == "" || r.Reference != "" {
				t.Fatalf("result %+v, error %v, want a Refusal", r, err)
			}
			if !slices.ContainsFunc(refusal.Codes, func(code string) bool { return strings.HasPrefix(code, c.code) }) {
				t.Errorf("failed %v, want %s among them", refusal.Codes, c.code)
			}
			for _, kept := range v.Results() {
				if kept.Accepted {
					t.Errorf("kept as accepted: %+v", kept)
				}
			}
		})
	}
}

// TestPolicy: what the file allows is allowed, and no more.
func TestPolicy(t *testing.T) {
	old := func(d *simtee.Design) { d.SGX.PCESVN = 5 }
	for name, c := range map[string]struct {
		policy map[string]any
		ok     bool
	}{
		"accepted status": {map[string]any{"accept_status": []string{"OutOfDate"}}, true},
		"other status":    {map[string]any{"accept_status": []string{"SWHardeningNeeded"}}, false},
		"denied advisory": {map[string]any{"accept_status": []string{"OutOfDate"}, "denied_advisories": []string{"INTEL-SA-00106"}}, false},
		"evaluation":      {map[string]any{"accept_status": []string{"OutOfDate"}, "min_tcb_evaluation": 19}, false},
	} {
		w := newWorld(t, old)
		w.policy = c.policy
		if _, err := w.verifier().Appraise(t.Context(), w.evidence(), w.nonce); (err == nil) != c.ok {
			t.Errorf("%s: error %v, want ok %v", name, err, c.ok)
		}
	}
	w := newWorld(t)
	r, err := w.verifier().Appraise(t.Context(), w.evidence(), w.nonce)
	if err != nil {
		t.Fatal(err)
	}
	w.policy = map[string]any{"platforms": []string{r.Platform.PPID}}
	if _, err := w.verifier().Appraise(t.Context(), w.evidence(), w.nonce); err != nil {
		t.Errorf("the platform of the list: %v", err)
	}
}

// TestUndecided: collateral that can not be had is neither yes nor no.
func TestUndecided(t *testing.T) {
	w := newWorld(t)
	e := w.evidence()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	text, err := json.Marshal(map[string]any{
		"peers":      []any{map[string]any{"name": "x", "agent_type": "finance", "application": w.application, "machine": []any{maps.Clone(w.machine)}}},
		"collateral": "http://127.0.0.1:1", "trust_root": filepath.Join(dir, "root.pem"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "root.pem"), w.root, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "v.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := verifier.Load(filepath.Join(dir, "v.json"), func() time.Time { return at }, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := v.Appraise(ctx, e, w.nonce)
	var refusal *verifier.Refusal
	if err == nil || errors.As(err, &refusal) || r.Accepted {
		t.Errorf("result %+v, error %v, want an error that is no Refusal", r, err)
	}
	if got := v.Results(); len(got) != 1 || got[0].Accepted || got[0].Reason == "" {
		t.Errorf("results %+v", got)
	}
}
