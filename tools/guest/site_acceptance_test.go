//go:build acceptance

package guest_test

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
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/guestimage/guestimagetest"
	"github.com/boardroom-tee/boardroom/tools/oci/registry/registrytest"
)

const (
	// patience is how long a boot may take. It takes less than a minute; this is for a hanging guest to be told from a slow machine.
	patience = 10 * time.Minute
	// simSeed is that of the simulated platform, and nonce what evidence is asked with.
	simSeed = "5151515151515151515151515151515151515151515151515151515151515151"
	nonce   = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a"
)

// facility is what the tests share, made by the first of them: programs, the development image, and a registry with the finance agent.
type facility struct {
	dir       string
	boardroom string
	image     string
	registry  string // host and port
	// compose is the path of the app-compose.json of the finance agent.
	compose string
	end     func()
}

var (
	once   sync.Once
	shared *facility
	// scratch is gone when the tests are over.
	scratch string
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == qemuName {
		fmt.Fprintln(os.Stderr, lyingHost())
		os.Exit(1)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "guest"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	defer func() {
		if shared != nil {
			shared.end()
		}
	}()
	return m.Run()
}

// site makes what the tests share.
func site(t *testing.T) *facility {
	t.Helper()
	once.Do(func() { shared = build(t) })
	if shared == nil {
		t.Fatal("what this test starts from could not be made; see the first test that failed")
	}
	return shared
}

func build(t *testing.T) *facility {
	t.Helper()
	s := &facility{dir: scratch, boardroom: filepath.Join(scratch, "boardroom"), image: filepath.Join(scratch, "image"), compose: filepath.Join(scratch, "app-compose.json")}
	tree := filepath.Join(scratch, "tree")
	guestimagetest.CopySource(t, "../..", tree)
	guestimagetest.FetchPackages(t, tree)
	compile := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-tags", "simtee", "-o", s.boardroom, "./tools/cmd/boardroom")
	compile.Dir = tree
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Logf("%s", s.succeeds(t, "guest", "build", "--dev", "--source", tree, "--to", s.image))

	layout := filepath.Join(scratch, "layout")
	s.succeeds(t, "image", "build", "finance-agent", "--source", tree, "--to", layout)
	// It outlives the test that needs it first.
	host, stop, err := registrytest.Serve(scratch)
	if err != nil {
		t.Fatal(err)
	}
	s.registry, s.end = host, stop
	const repository = "boardroom/finance-boardroom-tee"
	var pushed struct{ Digest string }
	if err := json.Unmarshal([]byte(s.succeeds(t, "image", "push", layout, s.registry+"/"+repository+":v1", "--output", "json")), &pushed); err != nil {
		t.Fatal(err)
	}
	s.succeeds(t, "compose", "render", "finance", "--source", tree, "--image", "finance-agent=docker.io/"+repository+"@"+pushed.Digest,
		"--development", "--env", "CLIENT_ID=acceptance", "--to", s.compose)
	return s
}

// try runs boardroom to its end.
func (s *facility) try(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), s.boardroom, args...)
	var out, complaints bytes.Buffer
	command.Stdout, command.Stderr = &out, &complaints
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), out.String(), complaints.String()
}

// succeeds runs boardroom and returns what it printed.
func (s *facility) succeeds(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := s.try(t, args...)
	if code != 0 {
		t.Fatalf("boardroom %s: exit code %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// prediction is the file of what "measure" says of the image in the machine that "guest run" makes here.
func (s *facility) prediction(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), qemuName, "--version").Output()
	version := regexp.MustCompile(`version (\d+\.\d+\.\d+)`).FindSubmatch(out)
	if err != nil || version == nil {
		t.Fatalf("%s --version: %v: %s", qemuName, err, out)
	}
	file := filepath.Join(t.TempDir(), "prediction.json")
	writeFile(t, file, []byte(s.succeeds(t, "measure", s.image, "--cpus", "2", "--memory", "2G", "--qemu", string(version[1]), "--tpm", "tpm-tis", "--tdx", "upstream",
		// Where this firmware puts 64-bit BARs with the 40 address bits of the emulated processor: 2^40 - 2^38.
		"--bar64-base", "0xC000000000", "--explain", "--output", "json")))
	return file
}

// simulation is what "dev quote" says of the application on top of that: the file of a quote with its log, and values by name.
func (s *facility) simulation(t *testing.T, compose, vmConfig string) (quote string, values map[string]any) {
	t.Helper()
	quote = filepath.Join(t.TempDir(), "quote.json")
	out := s.succeeds(t, "dev", "quote", "--seed", simSeed, "--measurements", s.prediction(t), "--app-compose", compose, "--vm-config", vmConfig,
		"--to", quote, "--output", "json")
	if err := json.Unmarshal([]byte(out), &values); err != nil {
		t.Fatal(err)
	}
	return quote, values
}

// expect is a file of reference values: all registers, as predicted.
func (s *facility) expect(t *testing.T, compose, vmConfig string) string {
	t.Helper()
	_, values := s.simulation(t, compose, vmConfig)
	expected := make(map[string]any)
	// The first four are those of the prediction, which it was given.
	for _, name := range []string{"mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mrconfigid", "compose_hash"} {
		expected[name] = values[name]
	}
	data, err := json.Marshal(expected)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "expected.json")
	writeFile(t, file, data)
	return file
}

// collateral is a folder with the simulated platform's collateral and root.
func (s *facility) collateral(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(s.dir, "collateral")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		s.succeeds(t, "dev", "quote", "--seed", simSeed, "--collateral-to", dir, "--to", filepath.Join(s.dir, "other-quote.json"))
	}
	return dir
}

// verify is the call that verifies evidence under the simulated root.
func (s *facility) verify(t *testing.T, evidence string, more ...string) []string {
	t.Helper()
	dir := s.collateral(t)
	return append([]string{"quote", "verify", evidence, "--collateral", dir, "--trust-root", filepath.Join(dir, "root_ca.pem")}, more...)
}

// hash is the compose hash of a file.
func (s *facility) hash(t *testing.T, compose string) string {
	t.Helper()
	return strings.TrimSpace(s.succeeds(t, "compose", "hash", compose))
}

// machine is a running "boardroom guest run".
type machine struct {
	facility *facility
	// Addresses of the agent's API, its attestation port and the guest agent's public port.
	api, attestation, public string
	// Files: the guest's console, what the program says, and the vm_config; and the folder for temporary ones.
	console, progress, vmConfig, temporary string
	command                                *exec.Cmd
	ended                                  chan struct{}
}

// freePort is a port that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// start runs the image with an application, on a host that tells the named lie.
func (s *facility) start(t *testing.T, compose, lie string) *machine {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "run")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{
		facility: s, console: filepath.Join(dir, "console"), progress: filepath.Join(dir, "progress"), vmConfig: filepath.Join(dir, "vm-config.json"),
		temporary: filepath.Join(dir, "tmp"), ended: make(chan struct{}),
	}
	if err := os.Mkdir(m.temporary, 0o700); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(s.registry)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"guest", "run", s.image, "--app-compose", compose, "--registry", "http://10.0.2.2:" + port, "--seed", simSeed, "--vm-config", m.vmConfig}
	for inside, address := range map[int]*string{8081: &m.api, 29344: &m.attestation, 8090: &m.public} {
		outside := freePort(t)
		*address = fmt.Sprintf("http://127.0.0.1:%d", outside)
		args = append(args, "--port", fmt.Sprintf("%d:%d", outside, inside))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	m.command = exec.CommandContext(ctx, s.boardroom, args...)
	m.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	m.command.Env = append(os.Environ(), "TMPDIR="+m.temporary)
	if lie != "" {
		m.command.Env = append(m.command.Env, "PATH="+lyingPath(t, dir)+string(os.PathListSeparator)+os.Getenv("PATH"), lieVariable+"="+lie)
	}
	for _, stream := range []struct {
		path string
		to   *io.Writer
	}{{m.console, &m.command.Stdout}, {m.progress, &m.command.Stderr}} {
		file, err := os.Create(stream.path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		*stream.to = file
	}
	if err := m.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(m.ended)
		_ = m.command.Wait() // its exit code is kept
	}()
	t.Cleanup(func() {
		cancel()
		m.wait()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return m
}

// wait waits for the end and returns the exit code.
func (m *machine) wait() int {
	<-m.ended
	return m.command.ProcessState.ExitCode()
}

// output is what the guest wrote to its console so far, without the kernel's lines and the ends of lines of terminals.
func (m *machine) output(t *testing.T) string {
	t.Helper()
	return regexp.MustCompile(`(?m)^\[ *[0-9]+\.[0-9]+\].*\n`).ReplaceAllString(strings.ReplaceAll(read(t, m.console), " \n", "\n"), "")
}

// await asks until the agent answers, and fails when the machine has ended before.
func (m *machine) await(t *testing.T) {
	t.Helper()
	for {
		response, err := http.Get(m.api + "/health")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-m.ended:
			t.Fatalf("the machine ended:\n%s\n%s", read(t, m.console), read(t, m.progress))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// collect fetches evidence over our nonce into a file.
func (m *machine) collect(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "evidence.json")
	m.facility.succeeds(t, "evidence", "collect", "--from", m.attestation, "--nonce", nonce, "--to", file)
	return file
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func readJSON(t *testing.T, file string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, file)), to); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func writeFile(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
