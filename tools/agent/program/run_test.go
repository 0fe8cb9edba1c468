package program

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/hub"
)

const sharedSecret = "0123456789abcdef0123456789abcdef"

// logLines hands each log line to whoever waits for one.
type logLines struct{ lines chan map[string]any }

func newLog() *logLines { return &logLines{lines: make(chan map[string]any, 1000)} }

func (l *logLines) Write(p []byte) (int, error) {
	var line map[string]any
	if err := json.Unmarshal(p, &line); err != nil {
		return 0, err
	}
	l.lines <- line
	return len(p), nil
}

// await returns the first line with this message.
func (l *logLines) await(t *testing.T, message string) map[string]any {
	t.Helper()
	for {
		select {
		case line := <-l.lines:
			if line["msg"] == message {
				return line
			}
		case <-t.Context().Done():
			t.Fatalf("no log line %q", message)
		}
	}
}

// running is a hub or an agent in this process.
type running struct {
	api, attestation string
	log              *logLines
	stop             func()
}

func start(t *testing.T, env map[string]string, insecure bool, socket string) *running {
	t.Helper()
	return startWith(t, env, Options{Insecure: insecure, Socket: socket})
}

// startWith fills in what every test has alike.
func startWith(t *testing.T, env map[string]string, o Options) *running {
	t.Helper()
	r := &running{log: newLog()}
	listeners := make([]net.Listener, 2)
	for i := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[i] = l
	}
	r.api, r.attestation = "http://"+listeners[0].Addr().String(), "http://"+listeners[1].Addr().String()
	if env["HUB_ENDPOINT"] != "" {
		if env["AGENT_PUBLIC_URL"] == "" {
			env["AGENT_PUBLIC_URL"] = r.api
		}
		env["AGENT_PUBLIC_ATTESTATION_URL"] = r.attestation
	}
	config, err := agent.Load(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		o.Config, o.API, o.Attestation = config, listeners[0], listeners[1]
		o.Drain, o.Log = time.Minute, slog.New(slog.NewJSONHandler(r.log, nil))
		done <- Run(ctx, o)
	}()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(r.stop)
	return r
}

func hubEnv() map[string]string {
	return map[string]string{
		"HUB_MODEL_NAME": "meta-llama/Llama-3.2-1B-Instruct", "HUB_API_PORT": "8080", "HUB_ATTESTATION_PORT": "29343",
		"HUB_MAX_MEMORY_MB": "3000", "CLIENT_ID": "acme", "HUB_SHARED_SECRET": sharedSecret,
	}
}

func agentEnv(hub, model string) map[string]string {
	return map[string]string{
		"AGENT_TYPE": "finance", "AGENT_MODEL_NAME": "AdaptLLM/finance-LLM", "AGENT_API_PORT": "8081",
		"AGENT_ATTESTATION_PORT": "29344", "AGENT_MAX_MEMORY_MB": "7000", "CLIENT_ID": "acme",
		"HUB_ENDPOINT": hub, "MODEL_ENDPOINT": model, "HUB_SHARED_SECRET": sharedSecret,
	}
}

// modelServer stands in for an OpenAI-compatible model server.
func modelServer(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Contains(body, []byte(`"model":"AdaptLLM/finance-LLM"`)) {
			t.Errorf("the model was asked %s, %v", body, err)
		}
		io.WriteString(w, `{"choices":[{"message":{"role":"assistant","content":"forty-two"}}]}`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// simGuestAgent stands in for dstack's guest agent, with the published v0.5.2 quote.
func simGuestAgent(t *testing.T) string {
	t.Helper()
	read := func(name string) string {
		data, err := os.ReadFile("../../dstack/testdata/simulator-v0.5.2/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	quote, events := strings.TrimSpace(read("quote.hex")), read("eventlog.json")
	dir, err := os.MkdirTemp("", "program")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, "dstack.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]string{"quote": quote, "event_log": events})
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String()
}

func getJSON(t *testing.T, url string, v any) int {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatalf("%s: %q: %v", url, body, err)
	}
	return response.StatusCode
}

func putQuestion(t *testing.T, hubURL string) (int, hub.Answers) {
	t.Helper()
	response, err := http.Post(hubURL+"/v1/ask", "application/json", strings.NewReader(`{"to":"finance","question":"the answer?"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var a hub.Answers
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, a
}

func TestInsecureHubWithAttestingAgent(t *testing.T) {
	h := start(t, hubEnv(), true, "/nonexistent/dstack.sock")
	a := start(t, agentEnv(h.api, modelServer(t)), true, simGuestAgent(t))
	a.log.await(t, "INSECURE: this agent registers at a hub that nobody verified; never use this with real data")
	if line := a.log.await(t, "registered"); line["agent_id"] != "finance-acme" || line["verified"] != false {
		t.Errorf("the agent logs %v", line)
	}
	h.log.await(t, "INSECURE: agent registered without verification")

	var listing hub.Listing
	getJSON(t, h.api+"/v1/agents", &listing)
	if !listing.Insecure || len(listing.Agents) != 1 || listing.Agents[0].Verified || !listing.Agents[0].Evidence ||
		listing.Agents[0].Endpoints.API != a.api || listing.Agents[0].Endpoints.Attestation != a.attestation {
		t.Errorf("listing %+v", listing)
	}
	status, answers := putQuestion(t, h.api)
	if status != 200 || len(answers.Answers) != 1 || answers.Answers[0].Answer != "forty-two" || answers.Answers[0].Verified {
		t.Errorf("%d %+v", status, answers)
	}

	nonce := strings.Repeat("ab", 32)
	var e evidence.Evidence
	if status := getJSON(t, a.attestation+"/attestation?nonce="+nonce, &e); status != 200 || e.CheckBinding(nonce) != nil {
		t.Errorf("attestation: %d", status)
	}
	if e.Claims.PublicKey != listing.Agents[0].PublicKey {
		t.Error("the attested key is not the registered one")
	}
	var health agent.Health
	getJSON(t, h.api+"/health", &health)
	if !health.Insecure || health.Type != "hub" || health.Attestation.Available || health.Status != "degraded" {
		t.Errorf("health of the hub %+v", health)
	}
	getJSON(t, a.attestation+"/health", &health)
	if !health.Insecure || health.Status != "ok" || health.ModelEndpoint.State != agent.ModelReachable {
		t.Errorf("health of the agent %+v", health)
	}
	var refused web.ErrorBody
	if status := getJSON(t, h.attestation+"/attestation?nonce="+nonce, &refused); status != 503 || refused.Error.Code != "no_guest_agent" {
		t.Errorf("attestation of the hub: %d %+v", status, refused)
	}
	// What the hub offers is on its API port only.
	if status := getJSON(t, h.attestation+"/v1/agents", &refused); status != 404 {
		t.Errorf("agents on the attestation port: %d", status)
	}
	if status := getJSON(t, a.api+"/v1/agents", &refused); status != 404 {
		t.Errorf("agents on an agent: %d", status)
	}
}

func TestInsecureHubWithAgentWithoutGuestAgent(t *testing.T) {
	h := start(t, hubEnv(), true, "/nonexistent/dstack.sock")
	a := start(t, agentEnv(h.api, modelServer(t)), false, "/nonexistent/dstack.sock")
	a.log.await(t, "no attestation: this process cannot prove what it is")
	a.log.await(t, "no evidence: registering without, which only an insecure hub accepts")
	a.log.await(t, "registered")
	if status, answers := putQuestion(t, h.api); status != 200 || answers.Answers[0].Answer != "forty-two" {
		t.Errorf("%d %+v", status, answers)
	}
}

// TestAgentKeepsEvidenceFromUnappraisedHub: an agent that can attest and was not told how to judge its hub does not register.
func TestAgentKeepsEvidenceFromUnappraisedHub(t *testing.T) {
	h := start(t, hubEnv(), true, "/nonexistent/dstack.sock")
	a := start(t, agentEnv(h.api, ""), false, simGuestAgent(t))
	if line := a.log.await(t, "registration failed"); !strings.Contains(line["error"].(string), "AGENT_HUB_REFERENCE_VALUES") {
		t.Errorf("the agent logs %v", line["error"])
	}
	var listing hub.Listing
	if getJSON(t, h.api+"/v1/agents", &listing); len(listing.Agents) != 0 {
		t.Errorf("registered all the same: %+v", listing)
	}
	for _, url := range []string{h.api, h.attestation, a.api, a.attestation} {
		var found agent.Attestations
		if status := getJSON(t, url+"/v1/attestations", &found); status != 200 || found.Configured || found.Attestations == nil || len(found.Attestations) != 0 {
			t.Errorf("%s: %d %+v", url, status, found)
		}
	}
}

func TestStrictHubRefuses(t *testing.T) {
	for name, c := range map[string]struct{ socket, code string }{
		"with evidence":    {"sim", "no_verifier"},
		"without evidence": {"/nonexistent/dstack.sock", "no_evidence"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.socket == "sim" {
				c.socket = simGuestAgent(t)
			}
			h := start(t, hubEnv(), false, "/nonexistent/dstack.sock")
			h.log.await(t, "no quote verifier is configured: this hub refuses every agent")
			a := start(t, agentEnv(h.api, modelServer(t)), true, c.socket)
			if line := a.log.await(t, "registration failed"); !strings.Contains(line["error"].(string), c.code) {
				t.Errorf("the agent logs %v, want %s", line["error"], c.code)
			}
			if status, _ := putQuestion(t, h.api); status != 503 {
				t.Errorf("asking nobody: %d, want 503", status)
			}
		})
	}
}

func TestAgentWithAnotherSharedSecretIsRefused(t *testing.T) {
	h := start(t, hubEnv(), true, "/nonexistent/dstack.sock")
	env := agentEnv(h.api, "")
	env["HUB_SHARED_SECRET"] = "another-" + sharedSecret
	a := start(t, env, true, simGuestAgent(t))
	if line := a.log.await(t, "registration failed"); !strings.Contains(line["error"].(string), "bad_hmac") {
		t.Errorf("the agent logs %v", line["error"])
	}
}

// TestStopFinishesARequest stops an agent while its model is at work and still gets the answer.
func TestStopFinishesARequest(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		io.WriteString(w, "whole")
	}))
	defer model.Close()
	a := start(t, agentEnv("", model.URL), false, "/nonexistent/dstack.sock")
	type result struct {
		body string
		err  error
	}
	got := make(chan result, 1)
	go func() {
		response, err := http.Post(a.api+"/v1/chat/completions", "application/json", strings.NewReader("{}"))
		if err != nil {
			got <- result{err: err}
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		got <- result{string(body), err}
	}()
	<-entered
	stopped := make(chan struct{})
	go func() { a.stop(); close(stopped) }()
	a.log.await(t, "draining")
	close(release)
	if r := <-got; r.err != nil || r.body != "whole" {
		t.Errorf("answer %q, %v", r.body, r.err)
	}
	<-stopped
}
