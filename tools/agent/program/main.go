package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/dstack/guestagent"
	"github.com/boardroom-tee/boardroom/tools/evidence/verifier"
)

// Exit codes of the program.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// drain is how long requests in flight may take after a signal: less than the 10 seconds that docker waits before it kills.
const drain = 8 * time.Second

// probeTimeout is less than the interval of any sensible health check.
const probeTimeout = 3 * time.Second

const usage = `usage: agent [--check | --probe | --version] [--insecure-accept-unverified]

Runs a boardroom agent, or the hub, as the environment says.

  --check                       check the configuration and exit
  --probe                       ask the agent with this configuration on this machine for its health and exit
  --version                     print the version and exit
  --insecure-accept-unverified  a hub registers agents, or an agent at a hub, without verifying; for development
`

// Process is what the program gets from the operating system.
type Process struct {
	Args      []string // without the program's name
	LookupEnv func(string) (string, bool)
	Unsetenv  func(string) error
	Stdout    io.Writer
	Stderr    io.Writer
}

// Main runs the program until ctx ends and returns its exit code.
func Main(ctx context.Context, p Process) int {
	flags := flag.NewFlagSet("agent", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // Main prints errors and usage itself, each once
	check := flags.Bool("check", false, "")
	probe := flags.Bool("probe", false, "")
	version := flags.Bool("version", false, "")
	insecure := flags.Bool("insecure-accept-unverified", false, "")
	err := flags.Parse(p.Args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err == nil && (*check && *probe || *check && *version || *probe && *version) {
		err = errors.New("choose one of --check, --probe and --version")
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(p.Stdout, usage)
		return exitDone
	case err != nil:
		fmt.Fprintf(p.Stderr, "agent: %v\n%s", err, usage)
		return exitUsage
	case *version:
		fmt.Fprintf(p.Stdout, "agent %s\n", agent.Version)
		return exitDone
	}
	log := slog.New(slog.NewJSONHandler(p.Stderr, nil))
	config, err := configure(p, *insecure)
	var peers *verifier.Verifier
	if err == nil && !*probe {
		peers, err = loadVerifier(config, *insecure, log)
	}
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintf(p.Stderr, "agent: %s\n", strings.TrimSuffix(line, "\n"))
		}
		return exitUsage
	}
	switch {
	case *check:
		fmt.Fprintf(p.Stdout, "configuration of %s is good\n", config.ID)
		return exitDone
	case *probe:
		err = ask(ctx, config.APIPort)
	default:
		err = serve(ctx, config, *insecure, peers, log)
	}
	if err != nil {
		fmt.Fprintf(p.Stderr, "agent: %v\n", err)
		return exitFailed
	}
	return exitDone
}

// configure reads the configuration and takes the secrets out of the environment, so that nothing started later inherits
// them. The kernel keeps showing the original block in /proc/PID/environ to the same user.
func configure(p Process, insecure bool) (agent.Config, error) {
	config, err := agent.Load(p.LookupEnv)
	for _, name := range agent.SecretVariables {
		if e := p.Unsetenv(name); e != nil {
			return agent.Config{}, fmt.Errorf("%s: remove it from the environment: %w", name, e)
		}
	}
	if err == nil && insecure && !config.IsHub() && config.Hub.IsZero() {
		err = errors.New("--insecure-accept-unverified: want a hub's configuration or an agent's with HUB_ENDPOINT, got that of an agent " +
			"that registers nowhere")
	}
	return config, err
}

// loadVerifier reads the reference values that the configuration names, if any.
func loadVerifier(config agent.Config, insecure bool, log *slog.Logger) (*verifier.Verifier, error) {
	if config.ReferenceValues == "" {
		return nil, nil //nolint:nilnil // no verifier is configured, which is no error
	}
	name := config.ReferenceVariable()
	if insecure {
		return nil, fmt.Errorf("%s: want it unset with --insecure-accept-unverified, which verifies nobody, got a path", name)
	}
	v, err := verifier.Load(config.ReferenceValues, nil, log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}

// serve listens on the configured ports of all addresses and runs until ctx ends.
func serve(ctx context.Context, config agent.Config, insecure bool, peers *verifier.Verifier, log *slog.Logger) error {
	debug.SetMemoryLimit(config.MaxMemory)
	api, err := listen(ctx, config.APIPort)
	if err != nil {
		return err
	}
	attestation, err := listen(ctx, config.AttestationPort)
	if err != nil {
		return errors.Join(err, api.Close())
	}
	return Run(ctx, Options{
		Config:      config,
		Insecure:    insecure,
		Verifier:    peers,
		Socket:      guestagent.DefaultSocket,
		API:         api,
		Attestation: attestation,
		Drain:       drain,
		Log:         log,
	})
}

func listen(ctx context.Context, port uint16) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", net.JoinHostPort("", strconv.Itoa(int(port))))
}

// ask gets the health of the agent on this machine; an answer is good whatever it says, because the agent serves.
func ask(ctx context.Context, port uint16) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	url := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))) + "/health"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := web.NewClient(nil).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d, want 200", url, response.StatusCode)
	}
	return nil
}
