package agent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

var agentEnv = map[string]string{
	"AGENT_TYPE":             "finance",
	"AGENT_MODEL_NAME":       "AdaptLLM/finance-LLM",
	"AGENT_API_PORT":         "8081",
	"AGENT_ATTESTATION_PORT": "29344",
	"AGENT_MAX_MEMORY_MB":    "7000",
	"CLIENT_ID":              "acme",
}

var hubEnv = map[string]string{
	"HUB_MODEL_NAME":       "meta-llama/Llama-3.2-1B-Instruct",
	"HUB_API_PORT":         "8080",
	"HUB_ATTESTATION_PORT": "29343",
	"HUB_MAX_MEMORY_MB":    "3000",
	"CLIENT_ID":            "acme",
}

// lookup reads from a map with changes made to it; a change to "-" unsets.
func lookup(env map[string]string, changes ...string) func(string) (string, bool) {
	env = maps.Clone(env)
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		if env[name] = value; value == "-" {
			delete(env, name)
		}
	}
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

var seed = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

func TestLoadAgent(t *testing.T) {
	c, err := Load(lookup(agentEnv,
		"HUB_ENDPOINT=https://hub-acme.example.com",
		"AGENT_PUBLIC_URL=https://finance-acme.example.com",
		"AGENT_PUBLIC_ATTESTATION_URL=https://finance-acme-29344.example.com",
		"MODEL_ENDPOINT=http://127.0.0.1:8000",
		"AGENT_PRIVATE_KEY="+seed,
		"HUB_SHARED_SECRET=0123456789abcdef0123456789abcdef",
		"CLIENT_ENCRYPTION_KEY=any thing",
	))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.Type, c.ID, c.ClientID, c.Model, c.ModelEndpoint, c.APIPort, c.AttestationPort, c.MaxMemory, c.Hub, c.Public,
		c.Seed.Reveal(), c.SharedSecret.Reveal(), c.EncryptionKey.Reveal(), c.Warnings, c.IsHub())
	want := fmt.Sprint("finance", "finance-acme", "acme", "AdaptLLM/finance-LLM", "http://127.0.0.1:8000", 8081, 29344, 7000<<20,
		"https://hub-acme.example.com", "{https://finance-acme.example.com https://finance-acme-29344.example.com}",
		"0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef", "any thing", "[]", false)
	if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("configuration\n got %s\nwant %s", got, want)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		text := fmt.Sprintf(verb, c)
		for _, value := range []string{"0123456789abcdef", "any thing", seed, fmt.Sprintf("%x", "0123456789abcdef"), fmt.Sprintf("%x", "any thing")} {
			if strings.Contains(text, value) {
				t.Errorf("%s of the configuration shows a secret: %s", verb, text)
			}
		}
	}
}

func TestLoadMinimal(t *testing.T) {
	c, err := Load(lookup(agentEnv, "HUB_ENDPOINT=", "MODEL_ENDPOINT=", "HUB_MODEL_NAME="))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Hub.IsZero() || !c.ModelEndpoint.IsZero() || c.Seed.IsSet() || c.SharedSecret.IsSet() || c.EncryptionKey.IsSet() || c.Warnings != nil {
		t.Errorf("configuration %+v", c)
	}
	if c, err = Load(lookup(agentEnv, "AGENT_ID=finance.2")); err != nil || c.ID != "finance.2" {
		t.Errorf("id %q, %v", c.ID, err)
	}
}

func TestLoadHub(t *testing.T) {
	c, err := Load(lookup(hubEnv, "HUB_SHARED_SECRET=0123456789abcdef0123456789abcdef", "AGENT_PRIVATE_KEY="+seed))
	if err != nil {
		t.Fatal(err)
	}
	if !c.IsHub() || c.ID != "hub-acme" || c.APIPort != 8080 || c.AttestationPort != 29343 || c.MaxMemory != 3000<<20 ||
		c.Model != "meta-llama/Llama-3.2-1B-Instruct" || !c.SharedSecret.IsSet() || !c.Seed.IsSet() {
		t.Errorf("configuration %+v", c)
	}
}

func TestLoadReferenceValues(t *testing.T) {
	c, err := Load(lookup(hubEnv, "HUB_REFERENCE_VALUES=/app/config/agents.json"))
	if err != nil || c.ReferenceValues != "/app/config/agents.json" || c.ReferenceVariable() != "HUB_REFERENCE_VALUES" {
		t.Errorf("hub: %q, %v", c.ReferenceValues, err)
	}
	if c, err := Load(lookup(hubEnv, `HUB_REFERENCE_VALUES={"agents":{}}`)); err != nil || c.ReferenceValues != `{"agents":{}}` {
		t.Errorf("values themselves: %q, %v", c.ReferenceValues, err)
	}
	c, err = Load(lookup(agentEnv, "HUB_ENDPOINT=https://hub.example.com", "AGENT_PUBLIC_URL=https://a.example.com",
		"AGENT_PUBLIC_ATTESTATION_URL=https://b.example.com", "AGENT_HUB_REFERENCE_VALUES=/app/config/hub.json"))
	if err != nil || c.ReferenceValues != "/app/config/hub.json" || c.ReferenceVariable() != "AGENT_HUB_REFERENCE_VALUES" {
		t.Errorf("agent: %q, %v", c.ReferenceValues, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	const hubSet, url, attestation = "HUB_ENDPOINT=https://hub.example.com", "AGENT_PUBLIC_URL=https://a.example.com",
		"AGENT_PUBLIC_ATTESTATION_URL=https://b.example.com"
	for name, c := range map[string]struct {
		env      map[string]string
		changes  string // separated by |
		variable string
		reason   string
	}{
		"values of a hub relative":    {hubEnv, "HUB_REFERENCE_VALUES=values.json", "HUB_REFERENCE_VALUES", "absolute path"},
		"values of a hub with dots":   {hubEnv, "HUB_REFERENCE_VALUES=/app/../values.json", "HUB_REFERENCE_VALUES", "absolute path"},
		"values of an agent relative": {agentEnv, hubSet + "|" + url + "|" + attestation + "|AGENT_HUB_REFERENCE_VALUES=v", "AGENT_HUB_REFERENCE_VALUES", "absolute path"},
		"values without a hub":        {agentEnv, "AGENT_HUB_REFERENCE_VALUES=/app/config/hub.json", "AGENT_HUB_REFERENCE_VALUES", "HUB_ENDPOINT"},
		"values of the other":         {agentEnv, "HUB_REFERENCE_VALUES=/app/config/agents.json", "AGENT_TYPE and HUB_REFERENCE_VALUES", "got both"},
		"nothing":                     {nil, "", "AGENT_TYPE", "got neither"},
		"only the client":             {nil, "CLIENT_ID=acme", "AGENT_TYPE", "got neither"},
		"only secrets":                {nil, "HUB_SHARED_SECRET=x|AGENT_PRIVATE_KEY=x", "AGENT_TYPE", "got neither"},
		"both":                        {agentEnv, "HUB_API_PORT=1", "AGENT_TYPE and HUB_API_PORT", "got both"},
		"hub with AGENT_TYPE":         {hubEnv, "AGENT_TYPE=hub", "AGENT_TYPE and HUB_MODEL_NAME", "got both"},
		"hub with HUB_ENDPOINT":       {hubEnv, hubSet, "HUB_ENDPOINT and HUB_MODEL_NAME", "got both"},
		"agent without type":          {agentEnv, "AGENT_TYPE=-", "AGENT_TYPE", "got nothing"},
		"agent with empty type":       {agentEnv, "AGENT_TYPE=", "AGENT_TYPE", "got nothing"},
		"type hub":                    {agentEnv, "AGENT_TYPE=hub", "AGENT_TYPE", "reserved"},
		"type all":                    {agentEnv, "AGENT_TYPE=all", "AGENT_TYPE", "reserved"},
		"type upper case":             {agentEnv, "AGENT_TYPE=Finance", "AGENT_TYPE", `"Finance"`},
		"no client":                   {agentEnv, "CLIENT_ID=-", "CLIENT_ID", "got nothing"},
		"client upper case":           {agentEnv, "CLIENT_ID=Acme", "CLIENT_ID", `"Acme"`},
		"client with dot":             {agentEnv, "CLIENT_ID=a.b", "CLIENT_ID", `"a.b"`},
		"client ends in a hyphen":     {agentEnv, "CLIENT_ID=a-", "CLIENT_ID", `"a-"`},
		"client too long":             {agentEnv, "CLIENT_ID=" + strings.Repeat("a", 41), "CLIENT_ID", "40"},
		"id":                          {agentEnv, "AGENT_ID=A", "AGENT_ID", `"A"`},
		"no model":                    {agentEnv, "AGENT_MODEL_NAME=-", "AGENT_MODEL_NAME", "got nothing"},
		"model with space":            {agentEnv, "AGENT_MODEL_NAME=a b", "AGENT_MODEL_NAME", `"a b"`},
		"port not a number":           {agentEnv, "AGENT_API_PORT=http", "AGENT_API_PORT", `"http"`},
		"port zero":                   {agentEnv, "AGENT_API_PORT=0", "AGENT_API_PORT", `"0"`},
		"port too large":              {agentEnv, "AGENT_API_PORT=65536", "AGENT_API_PORT", `"65536"`},
		"port negative":               {agentEnv, "AGENT_API_PORT=-1", "AGENT_API_PORT", `"-1"`},
		"port with plus":              {agentEnv, "AGENT_API_PORT=+8081", "AGENT_API_PORT", `"+8081"`},
		"port with zero in front":     {agentEnv, "AGENT_API_PORT=08081", "AGENT_API_PORT", `"08081"`},
		"port with space":             {agentEnv, "AGENT_API_PORT= 8081", "AGENT_API_PORT", `" 8081"`},
		"one port for both":           {agentEnv, "AGENT_ATTESTATION_PORT=8081", "AGENT_ATTESTATION_PORT", "8081 for both"},
		"no attestation port":         {agentEnv, "AGENT_ATTESTATION_PORT=-", "AGENT_ATTESTATION_PORT", "got nothing"},
		"memory with unit":            {agentEnv, "AGENT_MAX_MEMORY_MB=7000MB", "AGENT_MAX_MEMORY_MB", `"7000MB"`},
		"memory in bytes":             {agentEnv, "AGENT_MAX_MEMORY_MB=7340032000", "AGENT_MAX_MEMORY_MB", "1048576"},
		"memory too small":            {agentEnv, "AGENT_MAX_MEMORY_MB=63", "AGENT_MAX_MEMORY_MB", `"63"`},
		"memory fraction":             {agentEnv, "AGENT_MAX_MEMORY_MB=7e3", "AGENT_MAX_MEMORY_MB", `"7e3"`},
		"hub without port":            {hubEnv, "HUB_API_PORT=-", "HUB_API_PORT", "got nothing"},
		"hub memory":                  {hubEnv, "HUB_MAX_MEMORY_MB=x", "HUB_MAX_MEMORY_MB", `"x"`},
		"model endpoint":              {agentEnv, "MODEL_ENDPOINT=unix:/x", "MODEL_ENDPOINT", "unix:/x"},
		"model endpoint with v1":      {agentEnv, "MODEL_ENDPOINT=http://m:8000/v1", "MODEL_ENDPOINT", "without /v1"},
		"model password":              {agentEnv, "MODEL_ENDPOINT=http://u:hunter2@m", "MODEL_ENDPOINT", "user information"},
		"hub endpoint":                {agentEnv, "HUB_ENDPOINT=hub:8080|" + url + "|" + attestation, "HUB_ENDPOINT", "hub:8080"},
		"hub password":                {agentEnv, "HUB_ENDPOINT=http://u:hunter2@h|" + url + "|" + attestation, "HUB_ENDPOINT", "not shown"},
		"no public URL":               {agentEnv, hubSet + "|" + attestation, "AGENT_PUBLIC_URL", "because HUB_ENDPOINT is set"},
		"no public attestation":       {agentEnv, hubSet + "|" + url, "AGENT_PUBLIC_ATTESTATION_URL", "because HUB_ENDPOINT is set"},
		"public URL for nobody":       {agentEnv, url, "AGENT_PUBLIC_URL", "HUB_ENDPOINT is unset"},
		"public URL":                  {agentEnv, hubSet + "|" + attestation + "|AGENT_PUBLIC_URL=ftp://x", "AGENT_PUBLIC_URL", "ftp://x"},
		"key not base64":              {agentEnv, "AGENT_PRIVATE_KEY=hunter2!", "AGENT_PRIVATE_KEY", "8 characters (not shown)"},
		"key too short":               {agentEnv, "AGENT_PRIVATE_KEY=aHVudGVyMg==", "AGENT_PRIVATE_KEY", "not shown"},
		"key in PEM":                  {agentEnv, "AGENT_PRIVATE_KEY=-----BEGIN PRIVATE KEY-----\nhunter2", "AGENT_PRIVATE_KEY", "not shown"},
		"key of zeros":                {agentEnv, "AGENT_PRIVATE_KEY=" + strings.Repeat("A", 43) + "=", "AGENT_PRIVATE_KEY", "random"},
		"key with line break":         {agentEnv, "AGENT_PRIVATE_KEY=" + seed + "\n", "AGENT_PRIVATE_KEY", "not shown"},
		"shared secret short":         {agentEnv, "HUB_SHARED_SECRET=hunter2", "HUB_SHARED_SECRET", "7 bytes (not shown)"},
		"shared secret spaces":        {hubEnv, "HUB_SHARED_SECRET=hunter2 " + strings.Repeat("a", 40), "HUB_SHARED_SECRET", "not shown"},
		"encryption key long":         {agentEnv, "CLIENT_ENCRYPTION_KEY=hunter2" + strings.Repeat("a", 4096), "CLIENT_ENCRYPTION_KEY", "not shown"},
		"encryption key binary":       {agentEnv, "CLIENT_ENCRYPTION_KEY=hunter2\x00", "CLIENT_ENCRYPTION_KEY", "not shown"},
	} {
		env := c.env
		if env == nil {
			env = map[string]string{}
		}
		_, err := Load(lookup(env, strings.Split(c.changes, "|")...))
		var all ConfigError
		if !errors.As(err, &all) {
			t.Errorf("%s: error %v, want a ConfigError", name, err)
			continue
		}
		if len(all) != 1 || all[0].Variable != c.variable || !strings.Contains(all[0].Reason, c.reason) {
			t.Errorf("%s: problems %v, want one of %s with %q", name, all, c.variable, c.reason)
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), seed) {
			t.Errorf("%s: the error shows a secret: %v", name, err)
		}
	}
}

func TestLoadReportsEverythingAtOnce(t *testing.T) {
	_, err := Load(lookup(map[string]string{"AGENT_TYPE": "finance", "AGENT_API_PORT": "x", "HUB_SHARED_SECRET": "short"}))
	var got []string
	var all ConfigError
	if errors.As(err, &all) {
		for _, p := range all {
			got = append(got, p.Variable)
		}
	}
	want := []string{"CLIENT_ID", "AGENT_MODEL_NAME", "AGENT_API_PORT", "AGENT_ATTESTATION_PORT", "AGENT_MAX_MEMORY_MB", "HUB_SHARED_SECRET"}
	if !slices.Equal(got, want) {
		t.Errorf("problems of %v, want %v", got, want)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(want) {
		t.Errorf("%d lines, want one per problem:\n%v", len(lines), err)
	}
}

func TestLoadWarns(t *testing.T) {
	c, err := Load(lookup(agentEnv, "HUB_ENDPOINT=http://hub:8080", "AGENT_PUBLIC_URL=http://finance:8081",
		"AGENT_PUBLIC_ATTESTATION_URL=http://finance:29344", "MODEL_ENDPOINT=http://localhost:8000"))
	if err != nil || len(c.Warnings) != 2 || !strings.Contains(c.Warnings[0], "AGENT_PUBLIC_URL") || !strings.Contains(c.Warnings[1], "HUB_ENDPOINT") {
		t.Errorf("warnings %q, %v", c.Warnings, err)
	}
	for endpoint, want := range map[string]int{"http://inference:8000": 0, "http://10.0.0.1:8000": 1, "http://[fd00::1]:8000": 1} {
		if c, err = Load(lookup(agentEnv, "MODEL_ENDPOINT="+endpoint)); err != nil || len(c.Warnings) != want {
			t.Errorf("%s: warnings %q, %v, want %d", endpoint, c.Warnings, err, want)
		}
	}
	c, err = Load(lookup(agentEnv, "HUB_SHARED_SECRET=0123456789abcdef0123456789abcdef"))
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "HUB_SHARED_SECRET") {
		t.Errorf("warnings %q, %v", c.Warnings, err)
	}
}
