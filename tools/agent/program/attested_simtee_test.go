//go:build simtee

package program

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/evidence/verifier"
	"github.com/boardroom-tee/boardroom/tools/hub"
	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/simtee"
)

// boardroom is two simulated machines, one with a hub and one with an agent, and what each is told about the other.
type boardroom struct {
	t          *testing.T
	platform   *simtee.Platform
	hub, agent *simtee.TD
	root       []byte
	policy     map[string]any
}

func newBoardroom(t *testing.T, edits ...func(*simtee.Design)) *boardroom {
	t.Helper()
	platform, err := simtee.New(simtee.Seed{7}, time.Now(), edits...)
	if err != nil {
		t.Fatal(err)
	}
	b := &boardroom{t: t, platform: platform, root: platform.RootPEM()}
	b.hub, b.agent = b.boot("hub"), b.boot("finance")
	return b
}

func (b *boardroom) boot(name string) *simtee.TD {
	b.t.Helper()
	td, err := b.platform.Boot(simtee.Launch{
		Compose: fmt.Appendf(nil, `{"docker_compose_file":"services: {}\n","manifest_version":2,"name":"%s","runner":"docker-compose"}`, name),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return td
}

// socket serves a machine's guest agent, changed by wrap if that is set.
func (b *boardroom) socket(td *simtee.TD, wrap func(http.Handler) http.Handler) string {
	b.t.Helper()
	dir, err := os.MkdirTemp("", "attested")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := simtee.Listen(b.t.Context(), path)
	if err != nil {
		b.t.Fatal(err)
	}
	handler := td.GuestAgent()
	if wrap != nil {
		handler = wrap(handler)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- simtee.Serve(ctx, listener, handler) }()
	b.t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			b.t.Errorf("guest agent: %v", err)
		}
	})
	return path
}

// values writes the reference values by which a peer that runs td is judged, and loads them.
func (b *boardroom) values(kind string, td *simtee.TD) *verifier.Verifier {
	b.t.Helper()
	dir := b.t.TempDir()
	body := td.Body()
	machine := map[string]string{"mrtd": hex.EncodeToString(body.MRTD[:])}
	for i := range 3 {
		machine[fmt.Sprintf("rtmr%d", i)] = hex.EncodeToString(body.RTMR[i][:])
	}
	document := map[string]any{
		"peers": []any{map[string]any{
			"name": kind + " as built", "agent_type": kind,
			"application": map[string]string{"compose_hash": dstack.ComposeHashOf(td.AppCompose()).String()}, "machine": []any{machine},
		}},
		"collateral": filepath.Join(dir, "collateral"),
	}
	if b.root != nil {
		document["trust_root"] = filepath.Join(dir, "root.pem")
		if err := os.WriteFile(filepath.Join(dir, "root.pem"), b.root, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	if b.policy != nil {
		document["policy"] = b.policy
	}
	text, err := json.Marshal(document)
	if err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(dir, "values.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		b.t.Fatal(err)
	}
	if err := b.platform.WriteCollateral(filepath.Join(dir, "collateral")); err != nil {
		b.t.Fatal(err)
	}
	v, err := verifier.Load(path, nil, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func attestations(t *testing.T, url string) agent.Attestations {
	t.Helper()
	var a agent.Attestations
	if status := getJSON(t, url+"/v1/attestations", &a); status != 200 {
		t.Errorf("%s: %d", url, status)
	}
	return a
}

// TestMutualAppraisal is the whole loop: hub and agent appraise each other, both show what they found, and a question is answered.
func TestMutualAppraisal(t *testing.T) {
	b := newBoardroom(t)
	h := startWith(t, hubEnv(), Options{Socket: b.socket(b.hub, nil), Verifier: b.values("finance", b.agent)})
	a := startWith(t, agentEnv(h.api, modelServer(t)), Options{Socket: b.socket(b.agent, nil), Verifier: b.values("hub", b.hub)})
	line := a.log.await(t, "registered")
	if line["verified"] != true || line["simulated"] != true || line["hub_appraised"] != true {
		t.Errorf("the agent logs %v", line)
	}
	h.log.await(t, "SIMULATED: agent registered with evidence of a TEE that is not hardware")
	for _, c := range []struct{ url, id, kind string }{
		{h.api, "finance-acme", "finance"}, {h.attestation, "finance-acme", "finance"},
		{a.api, "hub-acme", "hub"}, {a.attestation, "hub-acme", "hub"},
	} {
		found := attestations(t, c.url)
		if !found.Configured || !found.Simulated || len(found.ReferenceValues) != 64 || len(found.Attestations) != 1 {
			t.Fatalf("%s: %+v", c.url, found)
		}
		r := found.Attestations[0]
		if !r.Accepted || !r.Simulated || r.AgentID != c.id || r.AgentType != c.kind || r.Reference != c.kind+" as built" ||
			r.TCBStatus != quote.UpToDate || r.Measurements == nil || len(r.Checks) == 0 || r.Reason != "" {
			t.Errorf("%s: %+v", c.url, r)
		}
	}
	var listing hub.Listing
	getJSON(t, h.api+"/v1/agents", &listing)
	if listing.Insecure || len(listing.Agents) != 1 || !listing.Agents[0].Verified || !listing.Agents[0].Simulated || !listing.Agents[0].Live {
		t.Errorf("listing %+v", listing)
	}
	status, answers := putQuestion(t, h.api)
	if status != 200 || len(answers.Answers) != 1 || answers.Answers[0].Answer != "forty-two" || !answers.Answers[0].Verified || !answers.Answers[0].Simulated {
		t.Errorf("%d %+v", status, answers)
	}
	var health agent.Health
	if getJSON(t, a.api+"/health", &health); !health.Simulated || health.Insecure {
		t.Errorf("health %+v", health)
	}
}

// TestHubRefusesAgents: each agent differs from the good one in one thing, and the hub's result says in which.
func TestHubRefusesAgents(t *testing.T) {
	for name, c := range map[string]struct {
		design func(*simtee.Design)
		change func(*testing.T, *boardroom, map[string]string) func(http.Handler) http.Handler
		code   string
	}{
		"another compose file": {nil, func(_ *testing.T, b *boardroom, _ map[string]string) func(http.Handler) http.Handler {
			b.agent = b.boot("evil")
			return nil
		}, "reference_values.compose_hash"},
		"another root": {nil, func(t *testing.T, b *boardroom, _ map[string]string) func(http.Handler) http.Handler {
			stranger, err := simtee.New(simtee.Seed{8}, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			b.root = stranger.RootPEM()
			return nil
		}, "pck.root"},
		"no simulated root given": {nil, func(_ *testing.T, b *boardroom, _ map[string]string) func(http.Handler) http.Handler {
			b.root = nil
			return nil
		}, "pck.root"},
		"another type": {nil, func(_ *testing.T, _ *boardroom, env map[string]string) func(http.Handler) http.Handler {
			env["AGENT_TYPE"] = "ceo"
			return nil
		}, "reference values: want an entry for the agent ceo-acme"},
		"out-of-date TCB": {func(d *simtee.Design) { d.SGX.PCESVN = 5 }, nil, "tcb.status"},
		"replayed evidence": {nil, func(_ *testing.T, b *boardroom, _ map[string]string) func(http.Handler) http.Handler {
			// A host that answers each request with a quote of before: its report data is of another nonce.
			old := b.agent.Quote([64]byte{1, 2, 3})
			return func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					json.NewEncoder(w).Encode(map[string]string{
						"quote": hex.EncodeToString(old.Quote), "event_log": string(old.EventLog), "vm_config": old.VMConfig,
					})
				})
			}
		}, "report_data.claims"},
		"event log of nothing": {nil, func(_ *testing.T, _ *boardroom, _ map[string]string) func(http.Handler) http.Handler {
			return func(real http.Handler) http.Handler {
				return rewritten(real, func(answer map[string]any) { answer["event_log"] = "[]" })
			}
		}, "event_log."},
		"event log cut short": {nil, func(_ *testing.T, _ *boardroom, _ map[string]string) func(http.Handler) http.Handler {
			return func(real http.Handler) http.Handler {
				return rewritten(real, func(answer map[string]any) {
					var events []any
					if json.Unmarshal([]byte(answer["event_log"].(string)), &events) != nil {
						t.Error("no event log to cut")
					}
					text, err := json.Marshal(events[:len(events)-1])
					if err != nil {
						t.Error(err)
					}
					answer["event_log"] = string(text)
				})
			}
		}, "event_log.replay.rtmr3"},
	} {
		t.Run(name, func(t *testing.T) {
			var edits []func(*simtee.Design)
			if c.design != nil {
				edits = append(edits, c.design)
			}
			b := newBoardroom(t, edits...)
			good, hub := b.agent, b.values("hub", b.hub)
			if c.design != nil {
				// The hub's machine is as out of date as the agent's; the agent does not mind.
				b.policy = map[string]any{"accept_status": []string{"OutOfDate"}}
				hub, b.policy = b.values("hub", b.hub), nil
			}
			env := agentEnv("", modelServer(t))
			var wrap func(http.Handler) http.Handler
			if c.change != nil {
				wrap = c.change(t, b, env)
			}
			h := startWith(t, hubEnv(), Options{Socket: b.socket(b.hub, nil), Verifier: b.values("finance", good)})
			env["HUB_ENDPOINT"] = h.api
			a := startWith(t, env, Options{Socket: b.socket(b.agent, wrap), Verifier: hub})
			if line := a.log.await(t, "registration failed"); !strings.Contains(line["error"].(string), "status 403") {
				t.Errorf("the agent logs %v", line["error"])
			}
			found := attestations(t, h.api).Attestations
			if len(found) != 1 || found[0].Accepted || !strings.Contains(found[0].Reason, c.code) {
				t.Errorf("want one refusal with %s, got %+v", c.code, found)
			}
			if status, _ := putQuestion(t, h.api); status != 503 {
				t.Errorf("asking a refused agent: %d, want 503", status)
			}
		})
	}
}

// rewritten changes the JSON that a guest agent answers.
func rewritten(real http.Handler, change func(map[string]any)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		held := newHeld()
		real.ServeHTTP(held, r)
		var answer map[string]any
		if json.Unmarshal(held.body, &answer) != nil {
			http.Error(w, "no JSON to change", http.StatusInternalServerError)
			return
		}
		change(answer)
		json.NewEncoder(w).Encode(answer)
	})
}

// held keeps an answer.
type held struct {
	header http.Header
	body   []byte
}

func newHeld() *held { return &held{header: http.Header{}} }

func (h *held) Header() http.Header         { return h.header }
func (h *held) WriteHeader(int)             {}
func (h *held) Write(p []byte) (int, error) { h.body = append(h.body, p...); return len(p), nil }

// TestAgentRefusesHubs: an agent sends nothing to a hub that it does not find good.
func TestAgentRefusesHubs(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*boardroom) string // the socket of the hub
		want   string
	}{
		"another compose file": {func(b *boardroom) string { return b.socket(b.boot("evil"), nil) }, "reference_values.compose_hash"},
		"no evidence":          {func(*boardroom) string { return "/nonexistent/dstack.sock" }, "503"},
		"old quote": {func(b *boardroom) string {
			old := b.hub.Quote([64]byte{9})
			return b.socket(b.hub, func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					json.NewEncoder(w).Encode(map[string]string{"quote": hex.EncodeToString(old.Quote), "event_log": string(old.EventLog)})
				})
			})
		}, "report_data.claims"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoardroom(t)
			h := startWith(t, hubEnv(), Options{Socket: c.change(b), Verifier: b.values("finance", b.agent)})
			a := startWith(t, agentEnv(h.api, ""), Options{Socket: b.socket(b.agent, nil), Verifier: b.values("hub", b.hub)})
			line := a.log.await(t, "registration failed")
			if text := line["error"].(string); !strings.Contains(text, "appraise the hub") || !strings.Contains(text, c.want) {
				t.Errorf("the agent logs %s, want %s", text, c.want)
			}
			if found := attestations(t, h.api).Attestations; len(found) != 0 {
				t.Errorf("the hub heard of the agent: %+v", found)
			}
		})
	}
}

// TestAgentRefusesAnAgentForAHub: a good machine of another type is no hub.
func TestAgentRefusesAnAgentForAHub(t *testing.T) {
	b := newBoardroom(t)
	other := startWith(t, agentEnv("", ""), Options{Socket: b.socket(b.agent, nil)})
	a := startWith(t, agentEnv(other.attestation, ""), Options{Socket: b.socket(b.boot("other"), nil), Verifier: b.values("hub", b.agent)})
	if line := a.log.await(t, "registration failed"); !strings.Contains(line["error"].(string), "agent_type: want hub, got finance") {
		t.Errorf("the agent logs %v", line["error"])
	}
}

// TestRelayedHubIsRefused is attack 59 against an agent: a relay that forwards genuine evidence of the hub and takes the
// registration itself is not whom the registration names.
func TestRelayedHubIsRefused(t *testing.T) {
	b := newBoardroom(t)
	good := startWith(t, hubEnv(), Options{Socket: b.socket(b.hub, nil), Verifier: b.values("finance", b.agent)})
	evil := startWith(t, hubEnv(), Options{Insecure: true, Socket: "/nonexistent/dstack.sock"})
	relay := relayTo(t, func(path string) string {
		if path == "/attestation" {
			return good.api
		}
		return evil.api
	})
	a := startWith(t, agentEnv(relay, ""), Options{Socket: b.socket(b.agent, nil), Verifier: b.values("hub", b.hub)})
	if line := a.log.await(t, "registration failed"); !strings.Contains(line["error"].(string), "meant for another hub") {
		t.Errorf("the agent logs %v", line["error"])
	}
}

// TestRegistrationIsForOneHub: a relay that answers with the nonce of another good hub can not register the agent there. A hub that
// verifies takes none that names no hub, either.
func TestRegistrationIsForOneHub(t *testing.T) {
	b := newBoardroom(t)
	options := Options{Socket: b.socket(b.hub, nil), Verifier: b.values("finance", b.agent)}
	meant, other := startWith(t, hubEnv(), options), startWith(t, hubEnv(), options)
	relay := relayTo(t, func(path string) string {
		if path == "/attestation" {
			return meant.api
		}
		return other.api
	})
	for want, options := range map[string]Options{
		"the registration is meant for another hub": {Verifier: b.values("hub", b.hub)},
		"got none": {Insecure: true},
	} {
		options.Socket = b.socket(b.agent, nil)
		a := startWith(t, agentEnv(relay, ""), options)
		if line := a.log.await(t, "registration failed"); !strings.Contains(line["error"].(string), want) {
			t.Errorf("the agent logs %v, want %s", line["error"], want)
		}
	}
	if found := attestations(t, other.api).Attestations; len(found) != 0 {
		t.Errorf("the other hub appraised %+v", found)
	}
}

// TestRelayedAgentIsRefused is attack 59 against a hub: a relay at the agent's address forwards genuine evidence and answers
// questions itself.
func TestRelayedAgentIsRefused(t *testing.T) {
	b := newBoardroom(t)
	h := startWith(t, hubEnv(), Options{Socket: b.socket(b.hub, nil), Verifier: b.values("finance", b.agent)})
	// The relay stands where the agent believes itself to be reached.
	impostor := startWith(t, agentEnv("", modelServer(t)), Options{Socket: "/nonexistent/dstack.sock"})
	env := agentEnv(h.api, modelServer(t))
	env["AGENT_PUBLIC_URL"] = relayTo(t, func(string) string { return impostor.api })
	a := startWith(t, env, Options{Socket: b.socket(b.agent, nil), Verifier: b.values("hub", b.hub)})
	a.log.await(t, "registered")
	status, answers := putQuestion(t, h.api)
	if status != 502 || len(answers.Answers) != 1 || !strings.Contains(answers.Answers[0].Error, "not signed by the agent's key") {
		t.Errorf("%d %+v", status, answers)
	}
}

// relayTo forwards each request to where choose says.
func relayTo(t *testing.T, choose func(path string) string) string {
	t.Helper()
	server := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		target, err := url.Parse(choose(r.In.URL.Path))
		if err != nil {
			t.Error(err)
		}
		r.SetURL(target)
	}})
	t.Cleanup(server.Close)
	return server.URL
}
