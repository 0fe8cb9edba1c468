//go:build acceptance

package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a container may take to answer, or to stop. It is there for a test to end, not to measure.
const patience = time.Minute

// An image runs as it is: it answers, tells that there is no TEE in place of making up a quote, and stops when told to.
func TestRuncRunsImages(t *testing.T) {
	for _, name := range []string{"hub", "finance-agent"} {
		t.Run(name, func(t *testing.T) {
			d, c := definitionOf(t, name), start(t, name)

			var health struct{ Status, Type, Model string }
			c.answers(t, d.Ports.API, "/health", http.StatusOK, &health)
			if health.Status == "" || health.Type != d.Type || health.Model != d.Model {
				t.Errorf("/health: %+v, want a status, type %s and model %s", health, d.Type, d.Model)
			}

			var none struct{ Error any }
			c.answers(t, d.Ports.Attestation, "/attestation?nonce="+strings.Repeat("0123456789abcdef", 4), http.StatusServiceUnavailable, &none)
			if reason := fmt.Sprint(none.Error); !strings.Contains(reason, "dstack.sock") {
				t.Errorf("/attestation: %s, want the socket that is missing", reason)
			}

			at{}.must(t, "runc", "--root", c.state, "kill", c.id, "TERM")
			c.ends(t, 0)
		})
	}
}

// container is one that runc runs, in a network of its own.
type container struct {
	state, id string
	done      chan error
	log       *bytes.Buffer // not to be read before done
	client    *http.Client
}

func start(t *testing.T, agent string) *container {
	t.Helper()
	need(t, "runc")
	dir := unpack(t, agent)
	configure(t, filepath.Join(dir, "config.json"), "CLIENT_ID=acceptance")
	c := &container{state: filepath.Join(fresh(t), "runc"), id: "boardroom-acceptance-" + agent, done: make(chan error, 1), log: new(bytes.Buffer)}
	// Not the test's context: that ends before clean-ups, which stop the container in the right order.
	cmd := exec.CommandContext(context.Background(), "runc", "--root", c.state, "run", "--bundle", dir, c.id)
	cmd.Stdout, cmd.Stderr = c.log, c.log
	check(t, cmd.Start())
	go func() { c.done <- cmd.Wait() }()
	t.Cleanup(func() {
		// A container that has ended is gone, which is no error here.
		_ = exec.Command("runc", "--root", c.state, "delete", "--force", c.id).Run()
	})
	c.client = &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			pid, err := c.pid(t)
			if err != nil {
				return nil, err
			}
			return dialInside(pid, network, address)
		},
	}}
	return c
}

// configure makes the bundle's config one for a process without terminal, with further environment. The mount of cgroups
// goes: machines mount them in too many ways, and the program has no use for it.
func configure(t *testing.T, file string, env ...string) {
	t.Helper()
	data, err := os.ReadFile(file)
	check(t, err)
	var config map[string]any
	check(t, json.Unmarshal(data, &config))
	process := config["process"].(map[string]any)
	process["terminal"] = false
	for _, e := range env {
		process["env"] = append(process["env"].([]any), e)
	}
	var mounts []any
	for _, m := range config["mounts"].([]any) {
		if m.(map[string]any)["type"] != "cgroup" {
			mounts = append(mounts, m)
		}
	}
	config["mounts"] = mounts
	data, err = json.Marshal(config)
	check(t, err)
	check(t, os.WriteFile(file, data, 0o644))
}

// pid is that of the container's program, as soon as it runs.
func (c *container) pid(t *testing.T) (int, error) {
	out, err := exec.CommandContext(t.Context(), "runc", "--root", c.state, "state", c.id).Output()
	if err != nil {
		return 0, fmt.Errorf("runc state: %w", err)
	}
	var state struct {
		Status string
		PID    int
	}
	if err := json.Unmarshal(out, &state); err != nil {
		return 0, err
	}
	if state.Status != "running" {
		return 0, fmt.Errorf("the container is %s", state.Status)
	}
	return state.PID, nil
}

// dialInside connects from within the network of a process. A socket stays in the network that it was made in.
func dialInside(pid int, network, address string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	dialled := make(chan result)
	go func() {
		// Never unlocked: the thread is in another network, and ends with this goroutine.
		runtime.LockOSThread()
		err := enterNetwork(pid)
		if err != nil {
			dialled <- result{err: err}
			return
		}
		conn, err := net.Dial(network, address)
		dialled <- result{conn, err}
	}()
	r := <-dialled
	return r.conn, r.err
}

func enterNetwork(pid int) error {
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return err
	}
	defer f.Close()
	const sysSetns = 308 // setns(2) on amd64; package syscall has no name for it
	if _, _, errno := syscall.RawSyscall(sysSetns, f.Fd(), syscall.CLONE_NEWNET, 0); errno != 0 {
		return fmt.Errorf("setns: %w", errno)
	}
	return nil
}

// answers asks until somebody listens, and reads the JSON that comes.
func (c *container) answers(t *testing.T, port int, path string, status int, into any) {
	t.Helper()
	url := fmt.Sprintf("http://127.0.0.1:%d%s", port, path)
	response := c.get(t, url)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(t, err)
	if response.StatusCode != status {
		t.Errorf("%s: status %d, want %d\n%s", path, response.StatusCode, status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Errorf("%s: %v\n%s", path, err, body)
	}
}

func (c *container) get(t *testing.T, url string) *http.Response {
	t.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		response, err := c.client.Get(url)
		if err == nil {
			return response
		}
		select {
		case <-again.C:
		case end := <-c.done:
			t.Fatalf("the container ended (%v):\n%s", end, c.log)
		case <-deadline:
			t.Fatalf("%s: no answer: %v", url, err)
		}
	}
}

func (c *container) ends(t *testing.T, code int) {
	t.Helper()
	select {
	case err := <-c.done:
		got := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			got = exit.ExitCode()
		} else {
			check(t, err)
		}
		if got != code {
			t.Errorf("the container ended with exit code %d, want %d:\n%s", got, code, c.log)
		}
	case <-time.After(patience):
		t.Fatal("the container did not end")
	}
}
