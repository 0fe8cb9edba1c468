package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// asProgram makes the test binary behave as the agent program, so that tests run real processes.
const asProgram = "BOARDROOM_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const (
	sharedSecret  = "e2e-shared-secret-0123456789abcdef"
	encryptionKey = "e2e-encryption-key"
)

// agentProgram is the agent program with an environment and nothing else.
func agentProgram(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), self, args...)
	c.Env = append([]string{asProgram + "=1"}, env...)
	return c
}

// process is a running program whose log can be waited for.
type process struct {
	*exec.Cmd
	mu    sync.Mutex
	log   strings.Builder
	lines chan map[string]any
}

func launch(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: agentProgram(t, env, args...), lines: make(chan map[string]any, 1000)}
	stderr, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		scanner := bufio.NewScanner(stderr)
		for scanner.Scan() {
			p.mu.Lock()
			fmt.Fprintln(&p.log, scanner.Text())
			p.mu.Unlock()
			var line map[string]any
			if json.Unmarshal(scanner.Bytes(), &line) == nil {
				p.lines <- line
			}
		}
	}()
	return p
}

func (p *process) await(t *testing.T, message string) {
	t.Helper()
	for line := range p.lines {
		if line["msg"] == message {
			return
		}
	}
	t.Fatalf("the program ended without saying %q:\n%s", message, p.text())
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// terminate sends SIGTERM and returns the exit code.
func (p *process) terminate(t *testing.T) int {
	t.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for range p.lines { // Wait must not close the pipe before it is read
	}
	p.Wait()
	return p.ProcessState.ExitCode()
}

// freePorts returns ports that the kernel just had to give.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	ports := make([]string, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, ports[i], _ = net.SplitHostPort(l.Addr().String())
	}
	return ports
}

func hubEnv(ports []string) []string {
	return []string{
		"HUB_MODEL_NAME=meta-llama/Llama-3.2-1B-Instruct", "HUB_MAX_MEMORY_MB=3000", "CLIENT_ID=acme",
		"HUB_API_PORT=" + ports[0], "HUB_ATTESTATION_PORT=" + ports[1], "HUB_SHARED_SECRET=" + sharedSecret,
	}
}

// TestEndToEnd runs a hub and an agent as processes, asks the hub and gets what the agent's model server says. There is no
// guest agent here, so the hub is an insecure one.
func TestEndToEnd(t *testing.T) {
	model := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"choices":[{"message":{"role":"assistant","content":"forty-two"}}]}`)
	}))
	defer model.Close()
	ports := freePorts(t, 4)
	hub := launch(t, hubEnv(ports), "--insecure-accept-unverified")
	hub.await(t, "listening")
	env := []string{
		"AGENT_TYPE=finance", "AGENT_MODEL_NAME=AdaptLLM/finance-LLM", "AGENT_MAX_MEMORY_MB=7000", "CLIENT_ID=acme",
		"AGENT_API_PORT=" + ports[2], "AGENT_ATTESTATION_PORT=" + ports[3], "MODEL_ENDPOINT=" + model.URL,
		"HUB_ENDPOINT=http://127.0.0.1:" + ports[0], "AGENT_PUBLIC_URL=http://127.0.0.1:" + ports[2],
		"AGENT_PUBLIC_ATTESTATION_URL=http://127.0.0.1:" + ports[3],
		"HUB_SHARED_SECRET=" + sharedSecret, "CLIENT_ENCRYPTION_KEY=" + encryptionKey,
	}
	agent := launch(t, env)
	agent.await(t, "registered")

	response, err := http.Post("http://127.0.0.1:"+ports[0]+"/v1/ask", "application/json", strings.NewReader(`{"to":"all","question":"?"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var got struct {
		Answers []struct {
			AgentID  string `json:"agent_id"`
			Answer   string `json:"answer"`
			Verified bool   `json:"verified"`
		} `json:"answers"`
	}
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil || len(got.Answers) != 1 ||
		got.Answers[0].AgentID != "finance-acme" || got.Answers[0].Answer != "forty-two" || got.Answers[0].Verified {
		t.Errorf("status %d, %+v, %v", response.StatusCode, got, err)
	}
	if out, err := agentProgram(t, env, "--probe").CombinedOutput(); err != nil {
		t.Errorf("probe of a running agent: %v: %s", err, out)
	}
	if code := agent.terminate(t); code != 0 {
		t.Errorf("the agent ended with %d", code)
	}
	if code := hub.terminate(t); code != 0 {
		t.Errorf("the hub ended with %d", code)
	}
	probe := agentProgram(t, env, "--probe")
	if out, err := probe.CombinedOutput(); probe.ProcessState.ExitCode() != 1 {
		t.Errorf("probe of a stopped agent: %v: %s", err, out)
	}
	for name, log := range map[string]string{"hub": hub.text(), "agent": agent.text()} {
		for _, secret := range []string{sharedSecret, encryptionKey} {
			if strings.Contains(log, secret) {
				t.Errorf("the log of the %s has a secret:\n%s", name, log)
			}
		}
	}
	if !strings.Contains(agent.text(), `"client_encryption_key":"[secret]"`) {
		t.Errorf("the agent's log does not say that the key is set:\n%s", agent.text())
	}
}

// TestOnlyStandardLibrary holds what the image's trust base is: the Go toolchain and this repository.
func TestOnlyStandardLibrary(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{.ImportPath}} {{.Standard}}", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		name, standard, _ := strings.Cut(strings.TrimSpace(line), " ")
		if standard != "true" && !strings.HasPrefix(name, "github.com/boardroom-tee/boardroom/") {
			t.Errorf("the agent links %s", name)
		}
		switch name {
		case "os/exec", "plugin", "expvar", "net/http/pprof", "html/template", "text/template":
			t.Errorf("the agent links %s", name)
		}
	}
}

func TestExitCodes(t *testing.T) {
	ports := freePorts(t, 2)
	taken, err := net.Listen("tcp", ":"+ports[0])
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		env  []string
		args []string
		code int
	}{
		"version":           {nil, []string{"--version"}, 0},
		"bad flag":          {nil, []string{"--nonsense"}, 2},
		"bad configuration": {[]string{"AGENT_TYPE=finance"}, nil, 2},
		"check":             {hubEnv(ports), []string{"--check"}, 0},
		"port taken":        {hubEnv(ports), nil, 1},
	} {
		p := agentProgram(t, c.env, c.args...)
		out, err := p.CombinedOutput()
		if got := p.ProcessState.ExitCode(); got != c.code {
			t.Errorf("%s: exit %d, %v, want %d:\n%s", name, got, err, c.code, out)
		}
	}
}
