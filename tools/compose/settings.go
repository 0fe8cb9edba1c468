package compose

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// Files of a compose folder.
const (
	DockerComposeFile = "docker-compose.yaml"
	SettingsFile      = "deployment.json"
)

// maxFile bounds each of them, in bytes: what does not fit an app-compose.json need not be read.
const maxFile = dstack.MaxAppCompose

// RefusedError names the file, and the member in it, that can not be deployed.
type RefusedError struct {
	File string
	// Member is a path such as "services.hub.ports[0]"; it is empty for the file as a whole.
	Member string
	Reason string
}

func (e *RefusedError) Error() string {
	if e.Member == "" {
		return e.File + ": " + e.Reason
	}
	return e.File + ": " + e.Member + ": " + e.Reason
}

// Definition is what a deployment takes from the definition of the agent's image.
type Definition struct {
	Name, Repository, Type, Model string
	MemoryLimitMB                 int
	APIPort, AttestationPort      int
	// Volumes are the folders of the image that belong to the agent's user.
	Volumes []string
}

// Settings are a deployment.json. Every member is required.
type Settings struct {
	// Image is the name of the agent's image definition.
	Image   string  `json:"image"`
	Machine Machine `json:"machine"`
	// Domain is the gateway's base domain; the agent is TYPE-${CLIENT_ID}.DOMAIN there.
	Domain      string      `json:"domain"`
	Environment Environment `json:"environment"`
	App         App         `json:"app"`
}

// Machine is the shape of the confidential VM.
type Machine struct {
	VCPUs    int `json:"vcpus"`
	MemoryMB int `json:"memory_mb"`
	DiskGB   int `json:"disk_gb"`
}

// Environment names the variables that are given at deployment, encrypted on the client. All of them end in allowed_envs.
type Environment struct {
	Required []string `json:"required"`
	Optional []string `json:"optional"`
	// Secret are optional for the agents' program; their values are never shown.
	Secret []string `json:"secret"`
}

func (e Environment) names() []string { return slices.Concat(e.Required, e.Optional, e.Secret) }

// App are members of app-compose.json, in its spelling.
type App struct {
	KeyProvider   dstack.KeyProvider `json:"key_provider"`
	KeyProviderID string             `json:"key_provider_id"`
	Gateway       bool               `json:"gateway_enabled"`
	PublicLogs    bool               `json:"public_logs"`
	PublicSysinfo bool               `json:"public_sysinfo"`
	PublicTCBInfo bool               `json:"public_tcbinfo"`
	SecureTime    bool               `json:"secure_time"`
	StorageFS     string             `json:"storage_fs"`
}

// Agent is a compose folder that was read and checked as far as its images do not matter.
type Agent struct {
	Settings Settings
	services []service
	// files are for errors.
	settingsFile, composeFile string
}

// ImageNames are the names of image definitions that services run, sorted.
func (a *Agent) ImageNames() []string {
	var names []string
	for _, s := range a.services {
		if imageName.MatchString(s.image) {
			names = append(names, s.image)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Load reads a compose folder. What it holds and can not be deployed is a [*RefusedError].
func Load(dir string) (*Agent, error) {
	settings, err := readFile(filepath.Join(dir, SettingsFile))
	if err != nil {
		return nil, err
	}
	dockerCompose, err := readFile(filepath.Join(dir, DockerComposeFile))
	if err != nil {
		return nil, err
	}
	return Parse(dir, settings, dockerCompose)
}

// Parse is [Load] for the two files of a folder; dir is what errors call it.
func Parse(dir string, settings, dockerCompose []byte) (*Agent, error) {
	a := &Agent{settingsFile: filepath.Join(dir, SettingsFile), composeFile: filepath.Join(dir, DockerComposeFile)}
	if err := a.parseSettings(settings); err != nil {
		return nil, err
	}
	if err := a.parseCompose(dockerCompose); err != nil {
		return nil, err
	}
	return a, nil
}

// LoadNamed reads the folder of an agent below dir. The name is that of the folder, or of the agent's image.
func LoadNamed(dir, name string) (*Agent, error) {
	folders, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("compose folders: %w", err)
	}
	var known []string
	for _, folder := range folders {
		if !folder.IsDir() {
			continue
		}
		if folder.Name() == name {
			return Load(filepath.Join(dir, name))
		}
		known = append(known, folder.Name())
	}
	for _, folder := range known {
		a := &Agent{settingsFile: filepath.Join(dir, folder, SettingsFile)}
		text, err := readFile(a.settingsFile)
		if err != nil {
			return nil, err
		}
		if err := a.parseSettings(text); err != nil {
			return nil, err
		}
		if a.Settings.Image == name {
			return Load(filepath.Join(dir, folder))
		}
	}
	return nil, fmt.Errorf("%w: %q: expected one of %v", ErrUnknownAgent, name, known)
}

// ErrUnknownAgent is returned for a name that no compose folder has.
var ErrUnknownAgent = errors.New("no such agent")

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1)) // one more than is parsed
}

var (
	envPattern    = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
	domainPattern = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
)

// knownSecrets are the variables that the agents' program reads secrets from (tools/agent/config.go SecretVariables).
var knownSecrets = []string{"AGENT_PRIVATE_KEY", "HUB_SHARED_SECRET", "CLIENT_ENCRYPTION_KEY"}

// Bounds of a machine shape. The upper ones are dstack-vmm's own orders of magnitude, and catch a wrong unit.
const (
	maxVCPUs    = 1024
	minMemoryMB = 1024
	maxMemoryMB = 16 << 20
	maxDiskGB   = 1 << 16
)

func (a *Agent) parseSettings(text []byte) error {
	refuse := func(member, format string, args ...any) error {
		return &RefusedError{a.settingsFile, member, fmt.Sprintf(format, args...)}
	}
	s := &a.Settings
	if len(text) > maxFile {
		return refuse("", "expected at most %d bytes, got more", maxFile)
	}
	if err := strictjson.Unmarshal(text, s); err != nil {
		return refuse("", "%v", err)
	}
	for _, bound := range []struct {
		member            string
		got, least, limit int
	}{
		{"machine.vcpus", s.Machine.VCPUs, 1, maxVCPUs},
		{"machine.memory_mb", s.Machine.MemoryMB, minMemoryMB, maxMemoryMB},
		{"machine.disk_gb", s.Machine.DiskGB, 1, maxDiskGB},
	} {
		if bound.got < bound.least || bound.got > bound.limit {
			return refuse(bound.member, "expected %d to %d, got %d", bound.least, bound.limit, bound.got)
		}
	}
	if !imageName.MatchString(s.Image) {
		return refuse("image", "expected the name of an image definition, got %q", s.Image)
	}
	if !domainPattern.MatchString(s.Domain) || len(s.Domain) > 253 {
		return refuse("domain", "expected a DNS domain in lower case, got %q", s.Domain)
	}
	seen := make(map[string]bool)
	for _, list := range []struct {
		member string
		names  []string
		secret bool
	}{{"required", s.Environment.Required, false}, {"optional", s.Environment.Optional, false}, {"secret", s.Environment.Secret, true}} {
		if list.names == nil {
			return refuse("environment."+list.member, "the member is missing; write [] for none")
		}
		for i, name := range list.names {
			member := fmt.Sprintf("environment.%s[%d]", list.member, i)
			switch {
			case !envPattern.MatchString(name):
				return refuse(member, "expected a name of A-Z, 0-9 and _, and never a value, got %q", name)
			case seen[name]:
				return refuse(member, "%s stands twice", name)
			case !list.secret && (slices.Contains(knownSecrets, name) || namesSecret(name)):
				return refuse(member, "%s is a secret and stands among others; move it to environment.secret", name)
			}
			seen[name] = true
		}
	}
	if s.App.StorageFS != dstack.StorageZFS && s.App.StorageFS != dstack.StorageExt4 {
		return refuse("app.storage_fs", "expected zfs or ext4, got %q", s.App.StorageFS)
	}
	if s.App.KeyProvider != dstack.KeyProviderKMS {
		// Only a KMS gives an agent the same keys on another machine, and only through one do secrets reach it encrypted.
		return refuse("app.key_provider", "expected kms, got %q", s.App.KeyProvider)
	}
	if _, err := hex.DecodeString(s.App.KeyProviderID); err != nil || strings.ToLower(s.App.KeyProviderID) != s.App.KeyProviderID {
		return refuse("app.key_provider_id", "expected lower-case hex, got %q", s.App.KeyProviderID)
	}
	return nil
}
