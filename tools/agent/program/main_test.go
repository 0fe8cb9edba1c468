package program

import (
	"bytes"
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/agent"
)

// command runs Main with an environment and returns what came of it.
func command(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string, unset []string) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a program that would serve stops at once
	code = Main(ctx, Process{
		Args:      args,
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Unsetenv:  func(name string) error { unset = append(unset, name); return nil },
		Stdout:    &out,
		Stderr:    &errs,
	})
	return code, out.String(), errs.String(), unset
}

func TestCommandLine(t *testing.T) {
	good := agentEnv("", "")
	bad := maps.Clone(good)
	bad["AGENT_API_PORT"], bad["CLIENT_ID"], bad["AGENT_PRIVATE_KEY"] = "x", "", "hunter2"
	judging, careless := maps.Clone(hubEnv()), maps.Clone(hubEnv())
	judging["HUB_REFERENCE_VALUES"], careless["HUB_REFERENCE_VALUES"] = "/nonexistent/values.json", t.TempDir()+"/values.json"
	if err := os.WriteFile(careless["HUB_REFERENCE_VALUES"], []byte(`{"peers":[{"name":"x","agent_type":"finance","application":{},"machine":[]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env            map[string]string
		args           []string
		code           int
		stdout, stderr string
	}{
		"no reference values":        {judging, nil, 2, "", "agent: HUB_REFERENCE_VALUES: /nonexistent/values.json: open"},
		"check without them":         {judging, []string{"--check"}, 2, "", "agent: HUB_REFERENCE_VALUES: "},
		"reference values of no app": {careless, nil, 2, "", "peers[0].application: want app_id or compose_hash"},
		"insecure with them":         {judging, []string{"--insecure-accept-unverified"}, 2, "", "HUB_REFERENCE_VALUES: want it unset"},
		"version":                    {nil, []string{"--version"}, 0, "agent " + agent.Version + "\n", ""},
		"help":                       {nil, []string{"--help"}, 0, "usage:", ""},
		"unknown flag":               {good, []string{"--port=1"}, 2, "", "usage:"},
		"argument":                   {good, []string{"serve"}, 2, "", `unexpected argument "serve"`},
		"two commands":               {good, []string{"--check", "--probe"}, 2, "", "choose one"},
		"check":                      {good, []string{"--check"}, 0, "configuration of finance-acme is good\n", ""},
		"check a hub":                {hubEnv(), []string{"--check", "--insecure-accept-unverified"}, 0, "hub-acme", ""},
		"check of nothing":           {nil, []string{"--check"}, 2, "", "agent: AGENT_TYPE: want"},
		"bad configuration":          {bad, nil, 2, "", "agent: AGENT_API_PORT: want a port"},
		"insecure agent":             {good, []string{"--insecure-accept-unverified"}, 2, "", "--insecure-accept-unverified: want a hub"},
		"probe without a config":     {nil, []string{"--probe"}, 2, "", "AGENT_TYPE"},
	} {
		code, stdout, stderr, unset := command(t, c.env, c.args...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q, want %d, %q, %q", name, code, stdout, stderr, c.code, c.stdout, c.stderr)
		}
		if (stdout != "") != (c.stdout != "") || (stderr != "") != (c.stderr != "") {
			t.Errorf("%s: stdout %q, stderr %q", name, stdout, stderr)
		}
		if strings.Contains(stdout+stderr, "hunter2") {
			t.Errorf("%s: a secret is printed: %s", name, stderr)
		}
		if c.env != nil && c.code == 0 && !slices.Equal(unset, agent.SecretVariables) {
			t.Errorf("%s: unset %v, want %v", name, unset, agent.SecretVariables)
		}
	}
}

func TestOneLinePerProblem(t *testing.T) {
	_, _, stderr, _ := command(t, map[string]string{"AGENT_TYPE": "finance"})
	lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
	if len(lines) != 5 {
		t.Errorf("%d lines, want one for each of the five missing variables:\n%s", len(lines), stderr)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "agent: ") {
			t.Errorf("line %q", line)
		}
	}
}
