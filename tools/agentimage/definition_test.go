package agentimage_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/agentimage"
)

// sound is a definition that loads; tests change single members of it.
const sound = `{
  "name": "finance-agent",
  "repository": "finance-boardroom-tee",
  "title": "Finance",
  "description": "Answers questions",
  "version": "0.1.0",
  "licenses": "Apache-2.0",
  "source": "https://example.org/source",
  "program": "tools/cmd/agent",
  "type": "finance",
  "model": "a/model",
  "memory_limit_mb": 7000,
  "ports": {"api": 8081, "attestation": 29344},
  "user": {"name": "agent", "uid": 10001, "gid": 10002},
  "volumes": ["/app/data"],
  "environment": {"EXTRA": "value"},
  "files": [{"from": "files/notice", "to": "/usr/share/notice"}]
}`

// writeDefinition makes dir/NAME/image.json with the files that the definition names.
func writeDefinition(t *testing.T, dir, name, text string) string {
	t.Helper()
	folder := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Join(folder, "files"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "files", "notice"), []byte("notice\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, agentimage.DefinitionFile)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// with returns the sound definition with one member set to a JSON value, or without it where value is empty.
func with(t *testing.T, member, value string) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(sound), &members); err != nil {
		t.Fatal(err)
	}
	if value == "" {
		delete(members, member)
	} else {
		members[member] = json.RawMessage(value)
	}
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLoadRefuses(t *testing.T) {
	tests := []struct{ name, member, value, want string }{
		{"unknown member", "prots", `1`, `unknown member "prots"`},
		{"unknown nested member", "ports", `{"api":8081,"attestation":29344,"http":80}`, `ports: unknown member "http"`},
		{"no name", "name", ``, `name: expected lower-case words joined by hyphens, got ""`},
		{"bad name", "name", `"Finance Agent"`, `name: expected lower-case words joined by hyphens, got "Finance Agent"`},
		{"long name", "name", `"` + strings.Repeat("a", 64) + `"`, `name: expected at most 63 characters, got 64`},
		{"bad type", "type", `"-"`, `type: expected`},
		{"registry in repository", "repository", `"host:5000/name"`, `repository: expected a repository name without a registry`},
		{"bad version", "version", `"latest"`, `version: expected a semantic version`},
		{"program outside", "program", `"../agent"`, `program: expected the folder of a Go main package`},
		{"program as a flag", "program", `"-exec"`, `program: expected the folder of a Go main package`},
		{"absolute program", "program", `"/bin/agent"`, `program: expected`},
		{"no title", "title", ``, `title: expected a text, got none`},
		{"two lines", "description", `"a\nb"`, `description: expected one line`},
		{"no model", "model", `""`, `model: expected a text, got none`},
		{"no memory limit", "memory_limit_mb", ``, `memory_limit_mb: expected 16 to 1048576, got 0`},
		{"memory limit as a text", "memory_limit_mb", `"7000"`, `memory_limit_mb: expected a whole number`},
		{"privileged port", "ports", `{"api":80,"attestation":29344}`, `ports.api: expected a port from 1024 to 65535, got 80`},
		{"port too high", "ports", `{"api":8081,"attestation":65536}`, `ports.attestation: expected a port from 1024 to 65535, got 65536`},
		{"no port", "ports", `{"api":8081}`, `ports.attestation: expected a port`},
		{"duplicate port", "ports", `{"api":8081,"attestation":8081}`, `ports.attestation: port 8081 is already taken by ports.api`},
		{"root", "user", `{"name":"root","uid":1,"gid":1}`, `user.name: expected a user name other than root`},
		{"passwd injection", "user", `{"name":"a:x:0:0","uid":1,"gid":1}`, `user.name: expected a user name`},
		{"uid 0", "user", `{"name":"agent","uid":0,"gid":1}`, `user.uid: expected 1 to 65533, got 0`},
		{"gid 0", "user", `{"name":"agent","uid":1,"gid":0}`, `user.gid: expected 1 to 65533, got 0`},
		{"relative volume", "volumes", `["data"]`, `volumes[0]: expected an absolute path`},
		{"volume twice", "volumes", `["/a","/a"]`, `volumes[1]: "/a" stands twice`},
		{"bad environment name", "environment", `{"a b":"c"}`, `environment: expected names of A-Z, 0-9 and _, got "a b"`},
		{"secret", "environment", `{"HUB_SHARED_SECRET":"hunter2"}`, `environment.HUB_SHARED_SECRET: is a secret`},
		{"control character", "environment", `{"A":"b\u0000"}`, `environment.A: expected no control characters`},
		{"derived environment", "environment", `{"AGENT_API_PORT":"1"}`, `environment.AGENT_API_PORT: is set from another member`},
		{"file outside", "files", `[{"from":"../x","to":"/x"}]`, `files[0].from: expected a path inside the definition's folder, got "../x"`},
		{"absolute file", "files", `[{"from":"/etc/shadow","to":"/x"}]`, `files[0].from: expected a path inside`},
		{"relative target", "files", `[{"from":"x","to":"x"}]`, `files[0].to: expected an absolute path`},
		{"bad pin", "files", `[{"from":"x","to":"/x","sha256":"abc"}]`, `files[0].sha256: expected 64 lower-case hex digits, got "abc"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := writeDefinition(t, t.TempDir(), "finance", with(t, tt.member, tt.value))
			_, err := agentimage.Load(file)
			var malformed *agentimage.DefinitionError
			if !errors.As(err, &malformed) || malformed.File != file {
				t.Fatalf("error is %v, want a *DefinitionError that names the file", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q lacks %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q shows a secret or has more than one line", err)
			}
		})
	}
}

func TestLoadMissingFile(t *testing.T) {
	_, err := agentimage.Load(filepath.Join(t.TempDir(), "image.json"))
	var malformed *agentimage.DefinitionError
	if !errors.Is(err, os.ErrNotExist) || errors.As(err, &malformed) {
		t.Errorf("error is %v, want a fault that is os.ErrNotExist", err)
	}
	big := filepath.Join(t.TempDir(), "image.json")
	if err := os.WriteFile(big, make([]byte, 1<<20+1), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := agentimage.Load(big); !errors.As(err, &malformed) {
		t.Errorf("oversized: error is %v, want a *DefinitionError", err)
	}
}

func TestLoadAllRefusesClashes(t *testing.T) {
	second := func(name, repository string, api, attestation string) string {
		text := strings.NewReplacer("finance-agent", name, "finance-boardroom-tee", repository, "8081", api, "29344", attestation).Replace(sound)
		return text
	}
	tests := []struct{ name, second, want string }{
		{"none", second("sales-agent", "sales-boardroom-tee", "8083", "29346"), ""},
		{"name", second("finance-agent", "sales-boardroom-tee", "8083", "29346"), `name "finance-agent" is already taken by`},
		{"repository", second("sales-agent", "finance-boardroom-tee", "8083", "29346"), `repository "finance-boardroom-tee" is already taken by`},
		{"api", second("sales-agent", "sales-boardroom-tee", "8081", "29346"), `port 8081 is already taken by`},
		{"crosswise", second("sales-agent", "sales-boardroom-tee", "29344", "29346"), `port 29344 is already taken by`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			writeDefinition(t, dir, "finance", sound)
			writeDefinition(t, dir, "sales", tt.second)
			all, err := agentimage.LoadAll(dir)
			if tt.want == "" {
				if err != nil || len(all) != 2 {
					t.Fatalf("LoadAll = %v, %v", all, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one with %q", err, tt.want)
			}
		})
	}
	if _, err := agentimage.LoadAll(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder without definitions: error is %v", err)
	}
}

func TestNamed(t *testing.T) {
	dir := t.TempDir()
	writeDefinition(t, dir, "finance", sound)
	all, err := agentimage.LoadAll(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"finance-agent", "finance"} {
		if d, err := agentimage.Named(all, name); err != nil || d.Name != "finance-agent" {
			t.Errorf("Named(%q) = %v, %v", name, d, err)
		}
	}
	if _, err := agentimage.Named(all, "fiance"); !errors.Is(err, agentimage.ErrUnknownImage) || !strings.Contains(err.Error(), "finance-agent") {
		t.Errorf("unknown name: error is %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(sound))
	file := filepath.Join(f.TempDir(), "image.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := agentimage.Load(file)
		if err != nil {
			return
		}
		// What loads can be assembled, but for the files it names.
		d.Files = nil
		if _, err := agentimage.Assemble(d, agentimage.Inputs{}); err != nil && !strings.Contains(err.Error(), "layer:") {
			t.Errorf("%s: %v", data, err)
		}
	})
}
