package compose_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/compose"
	"github.com/boardroom-tee/boardroom/tools/dstack"
)

const root = "../.."

var update = flag.Bool("update", false, "write the golden files anew")

// definition reads what package agentimage reads, without its checks.
func definition(t testing.TB, folder string) compose.Definition {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "images", "agents", folder, "image.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Name, Repository, Type, Model string
		Memory                        int `json:"memory_limit_mb"`
		Ports                         struct{ API, Attestation int }
		Volumes                       []string
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return compose.Definition{Name: d.Name, Repository: d.Repository, Type: d.Type, Model: d.Model, MemoryLimitMB: d.Memory,
		APIPort: d.Ports.API, AttestationPort: d.Ports.Attestation, Volumes: d.Volumes}
}

func reference(t testing.TB, s string) compose.Reference {
	t.Helper()
	r, err := compose.ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var agents = []string{"hub", "finance", "marketing", "sales", "ceo"}

// The table of the deployment guide, against what is really deployed. The golden files are in testdata/golden; -update writes
// them anew.
func TestAgentsOfThisRepository(t *testing.T) {
	hashes := make(map[dstack.ComposeHash]string)
	for _, folder := range agents {
		t.Run(folder, func(t *testing.T) {
			d := definition(t, folder)
			agent, err := compose.Load(filepath.Join(root, "compose", folder))
			if err != nil {
				t.Fatal(err)
			}
			images := compose.Images{d.Name: reference(t, "registry.example/"+d.Repository+"@sha256:"+strings.Repeat("01", 32))}
			app, err := agent.Render(d, images)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "golden", folder+".json")
			if *update {
				if err := os.WriteFile(golden, app.Raw(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(app.Raw(), want) {
				t.Errorf("rendered\n%s\nwant\n%s", app.Raw(), want)
			}
			if other, taken := hashes[app.Hash()]; taken {
				t.Errorf("has the compose hash of %s", other)
			}
			hashes[app.Hash()] = folder

			prefix := "AGENT_"
			if folder == "hub" {
				prefix = "HUB_"
			}
			for _, name := range []string{prefix + "MODEL_NAME", prefix + "API_PORT", prefix + "ATTESTATION_PORT", prefix + "MAX_MEMORY_MB", "CLIENT_ID"} {
				if !strings.Contains(app.DockerComposeFile, "      "+name+": \"") {
					t.Errorf("%s is missing", name)
				}
			}
			for _, secret := range []string{"AGENT_PRIVATE_KEY", "HUB_SHARED_SECRET", "CLIENT_ENCRYPTION_KEY"} {
				if !strings.Contains(app.DockerComposeFile, "      "+secret+": \"${"+secret+"}\"\n") || !strings.Contains(strings.Join(app.AllowedEnvs, " "), secret) {
					t.Errorf("%s is not given at deployment", secret)
				}
			}
			if folder != "hub" && !strings.Contains(strings.Join(app.AllowedEnvs, " "), "HUB_ENDPOINT") {
				t.Error("HUB_ENDPOINT is not given at deployment")
			}
			if byName, err := compose.LoadNamed(filepath.Join(root, "compose"), d.Name); err != nil || byName.Settings.Image != d.Name {
				t.Errorf("by the image's name: %v, %v", byName, err)
			}
		})
	}
	if _, err := compose.LoadNamed(filepath.Join(root, "compose"), "nobody"); !errors.Is(err, compose.ErrUnknownAgent) {
		t.Errorf("unknown agent: %v", err)
	}
	if _, err := compose.LoadNamed(t.TempDir()+"/none", "hub"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

const (
	goodCompose = `services:
  a-agent:
    image: a-agent
    restart: always
    ports: ["${definition.ports.api}:${definition.ports.api}", "9001:${definition.ports.attestation}"]
    volumes: [./data:/app/data, /var/run/dstack.sock:/var/run/dstack.sock]
    environment:
      MODE: fast
      CLIENT_ID: ${CLIENT_ID}
      AGENT_PRIVATE_KEY: ${AGENT_PRIVATE_KEY}
  model:
    image: registry.example/model@sha256:0101010101010101010101010101010101010101010101010101010101010101
    restart: always
    command: [serve, --port=9100]
`
	goodSettings = `{"image":"a-agent","machine":{"vcpus":2,"memory_mb":4096,"disk_gb":20},"domain":"example.org",
"environment":{"required":["CLIENT_ID"],"optional":[],"secret":["AGENT_PRIVATE_KEY"]},
"app":{"key_provider":"kms","key_provider_id":"","gateway_enabled":true,"public_logs":false,"public_sysinfo":false,"public_tcbinfo":true,"secure_time":true,"storage_fs":"zfs"}}`
)

var goodDefinition = compose.Definition{Name: "a-agent", Repository: "a-boardroom-tee", Type: "a", Model: "m/M", MemoryLimitMB: 1000,
	APIPort: 8081, AttestationPort: 29344, Volumes: []string{"/app/data"}}

// try renders a folder with the two files.
func try(t testing.TB, composeText, settings string) (*dstack.AppCompose, error) {
	t.Helper()
	agent, err := compose.Parse("folder", []byte(settings), []byte(composeText))
	if err != nil {
		return nil, err
	}
	return agent.Render(goodDefinition, compose.Images{"a-agent": reference(t, "registry.example/a@sha256:"+strings.Repeat("ab", 32))})
}

func TestRenderIsAboutFacts(t *testing.T) {
	first, err := try(t, goodCompose, goodSettings)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"9001:29344", "8081:8081", `MODE: "fast"`, "- \"--port=9100\"", "registry.example/a@sha256:abab"} {
		if !strings.Contains(first.DockerComposeFile, text) {
			t.Errorf("%q is not in\n%s", text, first.DockerComposeFile)
		}
	}
	second, err := try(t, "# a comment\n"+strings.Replace(goodCompose, "MODE: fast", "'MODE':   \"fast\" # quoted", 1), goodSettings)
	if err != nil || second.Hash() != first.Hash() {
		t.Errorf("comments and quotes change the hash: %v", err)
	}
}

func TestRenderRefuses(t *testing.T) {
	const service = "services.a-agent"
	tests := []struct{ name, old, replacement, want string }{
		// Images.
		{"no image", "image: a-agent", "container_name: x", service + ".image: the key is missing"},
		{"image without digest", "image: a-agent", "image: b-agent", `image "b-agent" has no digest; give one with --image b-agent=`},
		{"tag", "image: a-agent", "image: registry.example/a:1.0", "named by a tag"},
		{"latest", "image: a-agent", "image: a:latest", "named by a tag"},
		{"no digest in a registry", "image: a-agent", "image: registry.example/a", "has no digest"},
		{"tag beside a digest", "/model@", "/model:1@", "has a tag beside its digest"},
		{"sha512", "@sha256:01", "@sha512:01", "expected REPOSITORY@sha256:"},

		// Secrets.
		{"known secret", "${AGENT_PRIVATE_KEY}", "abc", service + ".environment.AGENT_PRIVATE_KEY: is a secret in clear text (not shown)"},
		{"secret beside the variable", "AGENT_PRIVATE_KEY: ${AGENT_PRIVATE_KEY}", "AGENT_PRIVATE_KEY: x${AGENT_PRIVATE_KEY}", "secret in clear text"},
		{"other secret's variable", "AGENT_PRIVATE_KEY: ${AGENT_PRIVATE_KEY}", "AGENT_PRIVATE_KEY: ${CLIENT_ID}", "secret in clear text"},
		{"secret with default", "AGENT_PRIVATE_KEY: ${AGENT_PRIVATE_KEY}", "AGENT_PRIVATE_KEY: ${AGENT_PRIVATE_KEY:-x}", "secret in clear text"},
		{"named like one", "MODE: fast", "DB_PASSWORD: x", "secret in clear text"},
		{"token", "MODE: fast", "MODE: ghp_0123456789abcdefghij", "looks like an access token (not shown)"},
		{"hex key", "MODE: fast", "MODE: \"" + strings.Repeat("0a", 16) + "\"", "looks like a key in hex"},
		{"base64 key", "MODE: fast", "MODE: 3q2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs=", "looks like a key in base64"},
		{"PEM", "MODE: fast", "MODE: \"-----BEGIN PRIVATE\"", "looks like a PEM block"},
		{"password in an address", "MODE: fast", "MODE: http://u:p@host/", "address with a password"},
		{"secret in a command", "--port=9100", "--token=hf_0123456789abcdefghij", "services.model.command[1]: the text looks like an access token"},
		{"variable nobody lists", "MODE: fast", "MODE: ${MODE}", "no list of environment in"},
		{"listed variable nobody has", "      CLIENT_ID: ${CLIENT_ID}\n", "", "environment: CLIENT_ID is given at deployment, but no service"},
		{"other variable", "MODE: fast", "MODE: ${CLIENT_ID}", "expected no $ but"},
		{"interpolated command", "--port=9100", "--port=$PORT", "services.model.command[1]: expected no $ but"},
		{"unknown fact", "MODE: fast", "MODE: ${definition.colour}", "${definition.colour}: expected one of"},
		{"env_file", "restart: always\n    ports", "env_file: .env\n    ports", service + ".env_file: env_file is not allowed"},

		// Ports.
		{"port clash", "--port=9100]", "--port=9100]\n    ports: [\"9001:80\"]", "services.model.ports[0]: port 9001 is already taken by services.a-agent.ports[1]"},
		{"guest agent's port", "9001:", "8090:", "port 8090 of the guest is already taken by dstack's guest agent"},
		{"port nobody listens on", "9001:${definition.ports.attestation}", "9001:80", "listens on ports 8081 and 29344, not on 80"},
		{"port not published", `, "9001:${definition.ports.attestation}"`, "", "port 29344 of image a-agent is not published"},
		{"port on an address", "9001:", "127.0.0.1:9001:", "expected PORT:PORT"},
		{"port range", "9001:${definition.ports.attestation}", "9001-9002:29344", "expected PORT:PORT"},
		{"port 0", "9001:", "0:", `expected a port from 1 to 65535, got "0"`},
		{"port 65536", "9001:", "65536:", "expected a port from 1 to 65535"},
		{"port in YAML 1.1 base 60", `"9001:${definition.ports.attestation}"`, "29344", "quote it"},

		// Host paths.
		{"host path", "./data:", "/:", `host path "/" is not allowed; expected one of`},
		{"host path by detour", "./data:", "./data/../..:", "is not allowed; expected one of"},
		{"host path of the agent's state", "./data:", "/dstack/.host-shared:", "is not allowed; expected one of"},
		{"named volume", "./data:", "data:", "is not allowed; expected one of"},
		{"docker.sock", "./data:", "/var/run/docker.sock:", "who reaches the container engine is root"},
		{"docker.sock by detour", "./data:", "/var/run/../run/docker.sock:", "who reaches the container engine is root"},
		{"relative target", ":/app/data", ":app/data", "expected an absolute path"},
		{"root as target", ":/app/data", ":/", "expected an absolute path"},
		{"socket elsewhere", "/var/run/dstack.sock]", "/var/run/docker.sock]", "/var/run/dstack.sock goes to the same path inside"},
		{"folder over the socket", "./data:/app/data", "./data:/var/run/dstack.sock", "nothing else goes there"},
		{"volume twice", "./data:/app/data,", "./data:/app/data, ./logs:/app/data,", "already mounted over"},
		{"volume the image lacks", "./data:/app/data", "./data:/app/data, ./logs:/app/logs", "has the volumes"},
		{"volume not mounted", "./data:/app/data, ", "", `volume "/app/data" of image a-agent is not mounted`},
		{"volume option", ":/app/data", ":/app/data:Z", "expected SOURCE:TARGET"},
		{"long volume", "[./data:/app/data, /var/run/dstack.sock:/var/run/dstack.sock]", "[{type: bind}]", "expected a text, got a mapping"},

		// Confinement.
		{"privileged", "restart: always\n    ports", "privileged: true\n    ports", service + ".privileged: privileged is not allowed"},
		{"host network", "restart: always\n    ports", "network_mode: host\n    ports", "network_mode is not allowed"},
		{"host pid", "restart: always\n    ports", "pid: host\n    ports", "pid is not allowed"},
		{"host ipc", "restart: always\n    ports", "ipc: host\n    ports", "ipc is not allowed"},
		{"cap_add", "restart: always\n    ports", "cap_add: [SYS_ADMIN]\n    ports", "cap_add is not allowed"},
		{"devices", "restart: always\n    ports", "devices: [/dev/mem]\n    ports", "devices is not allowed"},
		{"build", "restart: always\n    ports", "build: .\n    ports", "build is not allowed"},
		{"weak cap_drop", "restart: always\n    ports", "cap_drop: [NET_RAW]\n    ports", `cap_drop: expected ["ALL"]`},
		{"weak security_opt", "restart: always\n    ports", "security_opt: [seccomp:unconfined]\n    ports", "security_opt: expected"},
		{"writable", "restart: always\n    ports", "read_only: false\n    ports", "read_only: expected true"},
		{"unknown key", "restart: always\n    ports", "colour: red\n    ports", service + ".colour: unknown key; expected one of"},
		{"unknown key at the top", "services:", "networks: {}\nservices:", "networks: unknown key; only services"},
		{"no restart", "restart: always\n    ports", "ports", service + `.restart: expected always, got ""`},
		{"other restart", "restart: always\n    ports", "restart: unless-stopped\n    ports", `.restart: expected always, got "unless-stopped"`},
		{"depends on nobody", "restart: always\n    ports", "restart: always\n    depends_on: [b]\n    ports", `depends_on[0]: expected another service, got "b"`},
		{"container name", "restart: always\n    ports", "restart: always\n    container_name: ../x\n    ports", "container_name: expected lower-case words"},

		// YAML.
		{"malformed", "services:", "services: [", "malformed YAML"},
		{"empty", goodCompose, "", "expected a YAML document, got none"},
		{"list", goodCompose, "- a", "expected a mapping, got a list"},
		{"no services", goodCompose, "services: {}", "services: expected at least one service, got none"},
		{"two documents", "services:", "---\na: 1\n---\nservices:", "expected one YAML document, got more"},
		{"duplicate key", "MODE: fast", "MODE: fast\n      MODE: slow", service + ".environment.MODE: the key stands twice, again in line 9"},
		{"duplicate service", "  model:", "  a-agent:", "services.a-agent: the key stands twice"},
		{"anchor", "MODE: fast", "MODE: &x fast", "YAML anchors (&x) are not allowed"},
		{"alias", "MODE: fast", "MODE: &x fast\n      TWO: *x", "YAML anchors (&x) are not allowed"},
		{"merge key", "MODE: fast", "<<: {MODE: fast}", "YAML merge keys (<<) are not allowed"},
		{"tag", "MODE: fast", "MODE: !!str fast", "YAML tags (!!str) are not allowed"},
		{"number", "MODE: fast", "MODE: 1", "expected a text, got 1, which YAML reads as no text; quote it"},
		{"boolean", "MODE: fast", "MODE: true", "quote it"},
		{"nothing", "MODE: fast", "MODE:", "expected a text, got nothing"},
		{"number as a key", "MODE: fast", "1: fast", "expected texts as keys"},
		{"list of variables", "environment:\n      MODE: fast\n      CLIENT_ID: ${CLIENT_ID}\n      AGENT_PRIVATE_KEY: ${AGENT_PRIVATE_KEY}", "environment: [A=b]", "got a list; write NAME: value"},
		{"variable's name", "MODE: fast", "mode: fast", "expected names of A-Z"},
		{"YAML 1.1 word", "MODE: fast", "ON: fast", "expected names of A-Z"},
		{"control character", "MODE: fast", `MODE: "a\nb"`, "printable ASCII"},
		{"service's name", "  model:", "  Model:", "expected lower-case words"},
		{"deep", "MODE: fast", "MODE: " + strings.Repeat("[", 20) + strings.Repeat("]", 20), "nested deeper than 8 levels"},
		{"large", "services:", strings.Repeat("#", 200<<10) + "\nservices:", "expected at most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(goodCompose, tt.old) {
				t.Fatalf("%q is not in the compose file", tt.old)
			}
			_, err := try(t, strings.Replace(goodCompose, tt.old, tt.replacement, 1), goodSettings)
			checkRefused(t, err, tt.want)
		})
	}
}

func checkRefused(t *testing.T, err error, want string) {
	t.Helper()
	var refused *compose.RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want a *RefusedError with %q", err, want)
	}
	if err != nil && (strings.Contains(err.Error(), "0123456789abcdefghij") || strings.Contains(err.Error(), strings.Repeat("0a", 16))) {
		t.Errorf("the error %v shows the secret", err)
	}
}

func TestSettingsRefuse(t *testing.T) {
	for _, tt := range []struct{ old, replacement, want string }{
		{goodSettings, `{`, "the JSON ends too early"},
		{`"domain"`, `"Domain"`, `unknown member "Domain" (it is written "domain")`},
		{`"domain":"example.org"`, `"domain":"a.b","domain":"c.d"`, "stands twice"},
		{`"example.org"`, `"Example"`, "domain: expected a DNS domain"},
		{`"image":"a-agent"`, `"image":"A"`, "image: expected the name of an image definition"},
		{`"image":"a-agent"`, `"image":"b-agent"`, `image: expected "a-agent", the definition at hand, got "b-agent"`},
		{`"vcpus":2`, `"vcpus":0`, "machine.vcpus: expected 1 to 1024, got 0"},
		{`"memory_mb":4096`, `"memory_mb":1500`, "machine.memory_mb: expected at least 2024"},
		{`"disk_gb":20`, `"disk_gb":-1`, "machine.disk_gb: expected"},
		{`"optional":[],`, ``, "environment.optional: the member is missing"},
		{`"optional":[]`, `"optional":["a=b"]`, "environment.optional[0]: expected a name of A-Z, 0-9 and _, and never a value"},
		{`"optional":[]`, `"optional":["CLIENT_ID"]`, "environment.optional[0]: CLIENT_ID stands twice"},
		{`"optional":[]`, `"optional":["HUB_SHARED_SECRET"]`, "move it to environment.secret"},
		{`"key_provider":"kms"`, `"key_provider":"none"`, "app.key_provider: expected kms"},
		{`"key_provider_id":""`, `"key_provider_id":"0x"`, "app.key_provider_id: expected lower-case hex"},
		{`"zfs"`, `"xfs"`, "app.storage_fs: expected zfs or ext4"},
	} {
		if !strings.Contains(goodSettings, tt.old) {
			t.Fatalf("%q is not in the settings", tt.old)
		}
		_, err := try(t, goodCompose, strings.Replace(goodSettings, tt.old, tt.replacement, 1))
		checkRefused(t, err, tt.want)
	}
	if _, err := compose.Load(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("empty folder: %v", err)
	}
}

// TestDevelopment: what a guest without key management and gateway is given. The golden file is that of finance with two variables.
func TestDevelopment(t *testing.T) {
	agent, err := compose.Load(filepath.Join(root, "compose", "finance"))
	if err != nil {
		t.Fatal(err)
	}
	d := definition(t, "finance")
	images := compose.Images{d.Name: reference(t, "registry.example/"+d.Repository+"@sha256:"+strings.Repeat("01", 32))}
	app, err := agent.RenderDevelopment(d, images, map[string]string{"CLIENT_ID": "acceptance", "HUB_ENDPOINT": "https://hub.example"})
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "golden", "finance-development.json")
	if *update {
		if err := os.WriteFile(golden, app.Raw(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(app.Raw(), want) {
		t.Errorf("rendered\n%s\nwant\n%s", app.Raw(), want)
	}
	if app.KeyProvider != dstack.KeyProviderNone || app.Gateway || app.SecureTime || len(app.AllowedEnvs) > 0 || !app.NoInstanceID || strings.Contains(app.DockerComposeFile, "$") {
		t.Errorf("got %s", app.Raw())
	}
	with := func(name, value string) map[string]string { return map[string]string{"CLIENT_ID": "a", name: value} }
	for want, values := range map[string]map[string]string{
		"environment.CLIENT_ID: is required; give it a value with --env CLIENT_ID=VALUE": nil,
		"environment.secret: HUB_SHARED_SECRET: a value (not shown)":                     with("HUB_SHARED_SECRET", "hunter2"),
		`expected values for [CLIENT_ID HUB_ENDPOINT`:                                    with("PATH", "/"),
		`environment.CLIENT_ID: expected no $`:                                           with("CLIENT_ID", "$HOME"),
		`environment.CLIENT_ID: expected printable ASCII, got "a\nb"`:                    with("CLIENT_ID", "a\nb"),
		`environment.CLIENT_ID: the text looks like a key in hex (not shown);`:           with("CLIENT_ID", strings.Repeat("0a", 32)),
	} {
		_, err := agent.RenderDevelopment(d, images, values)
		checkRefused(t, err, want)
	}
}

func TestImagesNobodyNames(t *testing.T) {
	agent, err := compose.Load(filepath.Join(root, "compose", "hub"))
	if err != nil {
		t.Fatal(err)
	}
	ref := reference(t, "a@sha256:"+strings.Repeat("0", 64))
	_, err = agent.Render(definition(t, "hub"), compose.Images{"hub": ref, "other": ref})
	checkRefused(t, err, `no service names image "other"`)
}

func TestParseReference(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0", 64)
	for _, s := range []string{"a" + digest, "registry.example/a/b_c/d-e" + digest, "localhost:5000/a" + digest, "127.0.0.1:5000/a" + digest} {
		if r, err := compose.ParseReference(s); err != nil || r.String() != s {
			t.Errorf("%s: %v, %v", s, r, err)
		}
	}
	for _, s := range []string{"", digest, "a", "a:1", "a:latest", "a:1" + digest, "localhost:5000/a", "a" + digest[:70], "a" + digest + "0", "a" + strings.ToUpper(digest),
		"A/B" + digest, "a/" + digest, "a//b" + digest, "http://a/b" + digest, "a b" + digest, "a" + digest + "@sha256:", strings.Repeat("a", 600) + digest, "a@sha256:" + strings.Repeat("G", 64)} {
		if r, err := compose.ParseReference(s); err == nil {
			t.Errorf("%q was accepted as %s", s, r)
		}
	}
}

func FuzzDockerCompose(f *testing.F) {
	f.Add(goodCompose)
	for _, folder := range agents {
		text, err := os.ReadFile(filepath.Join(root, "compose", folder, compose.DockerComposeFile))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(strings.ReplaceAll(string(text), folder+"-agent", "a-agent"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		app, err := try(t, text, goodSettings)
		if err != nil {
			var refused *compose.RefusedError
			if !errors.As(err, &refused) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		// What was rendered renders to itself: nothing hides in it that the first look did not see.
		pinned := strings.Replace(app.DockerComposeFile, `"registry.example/a@sha256:`+strings.Repeat("ab", 32)+`"`, `"a-agent"`, 1)
		again, err := try(t, pinned, goodSettings)
		if err != nil || again.DockerComposeFile != app.DockerComposeFile {
			t.Fatalf("rendered again: %v\n%s", err, app.DockerComposeFile)
		}
	})
}
