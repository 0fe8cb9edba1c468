package agent

import (
	"encoding/base64"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/agent/secret"
	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// HubType is the agent type of a hub.
const HubType = "hub"

// AllTypes stands for every agent where a type is asked for, in POST /v1/ask.
const AllTypes = "all"

// ReservedType says whether a word means something else than an agent's type where a type stands.
func ReservedType(s string) bool { return s == HubType || s == AllTypes }

// Variables that decide what a process is.
var (
	agentOnly = []string{
		"AGENT_TYPE", "AGENT_MODEL_NAME", "AGENT_API_PORT", "AGENT_ATTESTATION_PORT", "AGENT_MAX_MEMORY_MB", "AGENT_ID",
		"HUB_ENDPOINT", "AGENT_PUBLIC_URL", "AGENT_PUBLIC_ATTESTATION_URL", "AGENT_HUB_REFERENCE_VALUES",
	}
	hubOnly = []string{"HUB_MODEL_NAME", "HUB_API_PORT", "HUB_ATTESTATION_PORT", "HUB_MAX_MEMORY_MB", "HUB_REFERENCE_VALUES"}
)

// SecretVariables are to be removed from the process environment once [Load] has read them.
var SecretVariables = []string{"AGENT_PRIVATE_KEY", "HUB_SHARED_SECRET", "CLIENT_ENCRYPTION_KEY"}

// Config is what one process is told.
type Config struct {
	Type            string // finance, marketing, …, or HubType
	ID              string // unique per hub; AGENT_ID, else type and client joined by a hyphen
	ClientID        string
	Model           string                // name of the model, as its server knows it
	ModelEndpoint   registration.Endpoint // zero: no model server
	APIPort         uint16
	AttestationPort uint16
	MaxMemory       int64                 // bytes
	Hub             registration.Endpoint // zero: register nowhere
	Public          registration.Endpoints
	ReferenceValues string      // what to appraise agents (a hub) or the hub (an agent) by, as JSON or the path of a file; empty: none
	Seed            secret.Text // 32 bytes of an Ed25519 key; unset: make one
	SharedSecret    secret.Text
	EncryptionKey   secret.Text
	Warnings        []string // accepted, and worth a line in the log
}

// IsHub says whether this process is the hub.
func (c Config) IsHub() bool { return c.Type == HubType }

// Problem is one variable that cannot be used.
type Problem struct {
	Variable string
	Reason   string // what was expected and what came; of a secret never its value
}

// ConfigError is every problem of a configuration.
type ConfigError []Problem

func (e ConfigError) Error() string {
	lines := make([]string, len(e))
	for i, p := range e {
		lines[i] = p.Variable + ": " + p.Reason
	}
	return strings.Join(lines, "\n")
}

// reader collects values and problems.
type reader struct {
	lookup   func(string) (string, bool)
	problems ConfigError
}

func (r *reader) refuse(variable, format string, args ...any) {
	r.problems = append(r.problems, Problem{variable, fmt.Sprintf(format, args...)})
}

// get returns a value, empty when unset.
func (r *reader) get(variable string) string {
	value, _ := r.lookup(variable)
	return value
}

// need returns a value and whether there is one; if not, that is a problem.
func (r *reader) need(variable, want string) (string, bool) {
	value := r.get(variable)
	if value == "" {
		r.refuse(variable, "want %s, got nothing", want)
	}
	return value, value != ""
}

// set returns which of the variables have a value.
func (r *reader) set(variables []string) []string {
	var found []string
	for _, v := range variables {
		if r.get(v) != "" {
			found = append(found, v)
		}
	}
	return found
}

// Load reads the configuration through lookup, such as [os.LookupEnv]. The error is a [ConfigError] with every problem.
//
// A process with any agent variable and no hub variable is an agent, one with any hub variable and no agent variable is a hub.
// Both or neither is refused. HUB_ENDPOINT is an agent variable, HUB_SHARED_SECRET and the other secrets belong to both.
func Load(lookup func(string) (string, bool)) (Config, error) {
	r := &reader{lookup: lookup}
	agent, hub := r.set(agentOnly), r.set(hubOnly)
	var c Config
	switch {
	case len(agent) > 0 && len(hub) > 0:
		r.refuse(agent[0]+" and "+hub[0], "want the variables of an agent or those of a hub, got both: %s",
			strings.Join(append(agent, hub...), ", "))
		return Config{}, r.problems
	case len(hub) > 0:
		c.Type = HubType
		c.ClientID = r.clientID()
		c.ID = HubType + "-" + c.ClientID
		r.service(&c, "HUB")
		c.ReferenceValues = r.file("HUB_REFERENCE_VALUES")
	case len(agent) > 0:
		c.Type = r.agentType()
		c.ClientID = r.clientID()
		c.ID = r.agentID(c)
		r.service(&c, "AGENT")
		r.hub(&c)
	default:
		r.refuse("AGENT_TYPE", "want the variables of an agent (%s, …) or of a hub (%s, …), got neither", agentOnly[0], hubOnly[0])
		return Config{}, r.problems
	}
	r.secrets(&c)
	if len(r.problems) > 0 {
		return Config{}, r.problems
	}
	c.warn()
	return c, nil
}

func (r *reader) agentType() string {
	const want = "a type such as finance, of a-z 0-9 and -, at most 32, starting with a letter"
	value, ok := r.need("AGENT_TYPE", want)
	if !ok {
		return ""
	}
	if evidence.CheckAgentType(value) != nil {
		r.refuse("AGENT_TYPE", "want %s, got %.80q", want, value)
		return ""
	}
	if ReservedType(value) {
		r.refuse("AGENT_TYPE", "want a type other than the reserved word %q; a hub is configured with HUB_ variables", value)
	}
	return value
}

// clientForm is a part of a DNS label: public names are <agent>-${CLIENT_ID}-<port>s.<base>, 63 characters at most, of which
// "marketing-" and "-29345s" are not the client's.
var clientForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

func (r *reader) clientID() string {
	const want = "1 to 40 of a-z 0-9 and -, no hyphen at either end, as it becomes part of a DNS name"
	value, ok := r.need("CLIENT_ID", want)
	if ok && !clientForm.MatchString(value) {
		r.refuse("CLIENT_ID", "want %s, got %.80q", want, value)
		return ""
	}
	return value
}

func (r *reader) agentID(c Config) string {
	value := r.get("AGENT_ID")
	if value == "" {
		value = c.Type + "-" + c.ClientID
		if c.Type == "" || c.ClientID == "" {
			return "" // already a problem of its own
		}
	}
	if evidence.CheckAgentID(value) != nil {
		r.refuse("AGENT_ID", "want 1 to 63 of a-z 0-9 . _ - starting with a letter or digit (default: AGENT_TYPE-CLIENT_ID), got %.80q", value)
	}
	return value
}

// service reads what an agent and a hub spell alike but for the prefix.
func (r *reader) service(c *Config, prefix string) {
	const wantModel = "the name of the model"
	if value, ok := r.need(prefix+"_MODEL_NAME", wantModel); ok {
		if err := registration.CheckModel(value); err != nil {
			r.refuse(prefix+"_MODEL_NAME", "%v", err)
		}
		c.Model = value
	}
	c.APIPort = r.port(prefix + "_API_PORT")
	c.AttestationPort = r.port(prefix + "_ATTESTATION_PORT")
	if c.APIPort != 0 && c.APIPort == c.AttestationPort {
		r.refuse(prefix+"_ATTESTATION_PORT", "want another port than %s_API_PORT, got %d for both", prefix, c.APIPort)
	}
	c.MaxMemory = r.megabytes(prefix + "_MAX_MEMORY_MB")
	if value := r.get("MODEL_ENDPOINT"); value != "" {
		endpoint, err := registration.ParseEndpoint(value)
		switch {
		case err != nil:
			r.refuse("MODEL_ENDPOINT", "%v", err)
		case strings.HasSuffix(value, "/v1"):
			r.refuse("MODEL_ENDPOINT", "want the address without /v1, which the agent adds, got %.200q", value)
		}
		c.ModelEndpoint = endpoint
	}
}

func (r *reader) port(variable string) uint16 {
	const want = "a port from 1 to 65535 in decimal"
	value, ok := r.need(variable, want)
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != value {
		r.refuse(variable, "want %s, got %.80q", want, value)
		return 0
	}
	return uint16(n)
}

// Bounds of the memory limit in MB. Below the first the Go runtime does nothing but collect; above the second somebody
// wrote bytes or kilobytes.
const (
	minMegabytes = 64
	maxMegabytes = 4 << 20
)

func (r *reader) megabytes(variable string) int64 {
	want := fmt.Sprintf("a memory limit from %d to %d MB (1048576 bytes each) in decimal", minMegabytes, maxMegabytes)
	value, ok := r.need(variable, want)
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < minMegabytes || n > maxMegabytes || strconv.FormatInt(n, 10) != value {
		r.refuse(variable, "want %s, got %.80q", want, value)
		return 0
	}
	return n << 20
}

// hub reads where to register and under which addresses. The hub cannot guess how an agent is reached, and addresses that
// nobody is told would be a mistake that shows nowhere.
func (r *reader) hub(c *Config) {
	c.Hub = r.endpoint("HUB_ENDPOINT")
	for _, v := range []struct {
		name string
		to   *string
	}{
		{"AGENT_PUBLIC_URL", &c.Public.API},
		{"AGENT_PUBLIC_ATTESTATION_URL", &c.Public.Attestation},
	} {
		value := r.endpoint(v.name)
		switch {
		case r.get("HUB_ENDPOINT") != "" && r.get(v.name) == "":
			r.refuse(v.name, "want the URL at which the hub reaches this agent, because HUB_ENDPOINT is set, got nothing")
		case r.get("HUB_ENDPOINT") == "" && r.get(v.name) != "":
			r.refuse(v.name, "want it unset, because HUB_ENDPOINT is unset and nobody would be told, got a URL")
		}
		*v.to = value.String()
	}
	c.ReferenceValues = r.file("AGENT_HUB_REFERENCE_VALUES")
	if c.ReferenceValues != "" && r.get("HUB_ENDPOINT") == "" {
		r.refuse("AGENT_HUB_REFERENCE_VALUES", "want it unset, because HUB_ENDPOINT is unset and there is no hub to appraise, got a path")
	}
}

// file reads an optional path.
func (r *reader) file(variable string) string {
	value := r.get(variable)
	if value != "" && !strings.HasPrefix(value, "{") && (!path.IsAbs(value) || path.Clean(value) != value) {
		r.refuse(variable, "want a JSON object, or the absolute path of a file, without . and .. segments, got %.200q", value)
	}
	return value
}

// ReferenceVariable is the variable that names the reference values of this process.
func (c Config) ReferenceVariable() string {
	if c.IsHub() {
		return "HUB_REFERENCE_VALUES"
	}
	return "AGENT_HUB_REFERENCE_VALUES"
}

// endpoint reads an optional URL.
func (r *reader) endpoint(variable string) registration.Endpoint {
	value := r.get(variable)
	if value == "" {
		return registration.Endpoint{}
	}
	endpoint, err := registration.ParseEndpoint(value)
	if err != nil {
		r.refuse(variable, "%v", err)
	}
	return endpoint
}

// maxSecret bounds any secret, in bytes.
const maxSecret = 4096

var (
	sharedForm     = regexp.MustCompile(`^[!-~]{32,256}$`)
	encryptionForm = regexp.MustCompile(`^[ -~]+$`)
)

func (r *reader) secrets(c *Config) {
	if value := r.get("AGENT_PRIVATE_KEY"); value != "" {
		seed, err := base64.StdEncoding.Strict().DecodeString(value)
		if err != nil || len(seed) != 32 || base64.StdEncoding.EncodeToString(seed) != value {
			r.refuse("AGENT_PRIVATE_KEY", "want the 32-byte seed of an Ed25519 key in base64 with padding, 44 characters, got %d characters (not shown)", len(value))
		} else if strings.Count(string(seed), string(seed[:1])) == len(seed) {
			r.refuse("AGENT_PRIVATE_KEY", "want a random seed, got one byte 32 times (not shown)")
		}
		c.Seed = secret.New(string(seed))
	}
	c.SharedSecret = r.secret("HUB_SHARED_SECRET", sharedForm, "32 to 256 printable ASCII characters without spaces")
	c.EncryptionKey = r.secret("CLIENT_ENCRYPTION_KEY", encryptionForm, "1 to 4096 printable ASCII characters")
}

func (r *reader) secret(variable string, form *regexp.Regexp, want string) secret.Text {
	value := r.get(variable)
	if value == "" {
		return secret.Text{}
	}
	if len(value) > maxSecret || !form.MatchString(value) {
		r.refuse(variable, "want %s, got %d bytes (not shown)", want, len(value))
	}
	return secret.New(value)
}

// warn notes what is allowed and probably not meant.
func (c *Config) warn() {
	api, err := registration.ParseEndpoint(c.Public.API)
	if err != nil {
		api = registration.Endpoint{}
	}
	for _, v := range []struct {
		name string
		at   registration.Endpoint
	}{{"AGENT_PUBLIC_URL", api}, {"HUB_ENDPOINT", c.Hub}, {"MODEL_ENDPOINT", c.ModelEndpoint}} {
		// A model server named by one word is a container of the same VM, and its network ends there.
		inside := v.name == "MODEL_ENDPOINT" && !strings.ContainsAny(v.at.HostPort(), ".[")
		if v.at.InClear() && !inside {
			c.Warnings = append(c.Warnings, v.name+" is plain http to another host: who controls the network between reads and changes what is said")
		}
	}
	if !c.IsHub() && c.Hub.IsZero() && c.SharedSecret.IsSet() {
		c.Warnings = append(c.Warnings, "HUB_SHARED_SECRET is set and HUB_ENDPOINT is not: nothing uses it")
	}
}
