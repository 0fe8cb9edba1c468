package compose

import (
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/dstack"
)

// Render makes the agent's app-compose.json. Every image that a service names has to be among images, under its definition's name. The
// error is a [*RefusedError].
func (a *Agent) Render(d Definition, images Images) (*dstack.AppCompose, error) {
	file, err := a.dockerCompose(&checker{definition: d, images: images})
	if err != nil {
		return nil, err
	}
	app := a.Settings.App
	id, err := hex.DecodeString(app.KeyProviderID)
	if err != nil {
		return nil, &RefusedError{a.settingsFile, "app.key_provider_id", err.Error()}
	}
	return a.render(&dstack.AppCompose{
		Name:              d.Name,
		DockerComposeFile: file,
		KeyProvider:       app.KeyProvider,
		KeyProviderID:     id,
		Gateway:           app.Gateway,
		AllowedEnvs:       slices.Sorted(slices.Values(a.Settings.Environment.names())),
		PublicLogs:        app.PublicLogs,
		PublicSysinfo:     app.PublicSysinfo,
		PublicTCBInfo:     app.PublicTCBInfo,
		SecureTime:        app.SecureTime,
		StorageFS:         app.StorageFS,
	})
}

// RenderDevelopment makes an app-compose.json like that of [Agent.Render] for a guest that has neither key management nor a gateway: keys are
// new at each start, the clock is the host's, and logs, metrics and measurements are public. Variables have the given values, in clear text;
// those without one are left out, but for required ones, and secrets get none.
func (a *Agent) RenderDevelopment(d Definition, images Images, values map[string]string) (*dstack.AppCompose, error) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		environment := a.Settings.Environment
		if slices.Contains(environment.Secret, name) {
			return nil, &RefusedError{a.settingsFile, "environment.secret", name + ": a value (not shown) would stand in clear text in what is rendered"}
		}
		if known := slices.Concat(environment.Required, environment.Optional); !slices.Contains(known, name) {
			return nil, &RefusedError{a.settingsFile, "environment", fmt.Sprintf("expected values for %v alone, got one for %q", known, name)}
		}
	}
	file, err := a.dockerCompose(&checker{definition: d, images: images, development: true, values: values})
	if err != nil {
		return nil, err
	}
	return a.render(&dstack.AppCompose{
		Name: d.Name, DockerComposeFile: file, KeyProvider: dstack.KeyProviderNone, PublicLogs: true, PublicSysinfo: true, PublicTCBInfo: true,
		// RTMR3 can be predicted without a random instance id.
		NoInstanceID: true,
	})
}

// render gives a document what all have in common.
func (a *Agent) render(app *dstack.AppCompose) (*dstack.AppCompose, error) {
	app.ManifestVersion = 2 // 3 is for what only dstack 0.6 has
	app.Runner, app.EventVersion = dstack.RunnerDockerCompose, dstack.EventV1
	rendered, err := app.Render()
	if err != nil {
		return nil, &RefusedError{File: a.settingsFile, Reason: err.Error()}
	}
	return rendered, nil
}

// dockerCompose makes the docker-compose file.
func (a *Agent) dockerCompose(c *checker) (string, error) {
	c.reader, c.agent, c.hostPorts, c.used = reader{file: a.composeFile}, a, make(map[int]string), make(map[string]bool)
	d := c.definition
	if d.Name != a.Settings.Image {
		return "", &RefusedError{a.settingsFile, "image", fmt.Sprintf("expected %q, the definition at hand, got %q", d.Name, a.Settings.Image)}
	}
	// The limit is the program's own; kernel, container engine and dstack's guest need the rest.
	if need := d.MemoryLimitMB + guestMemoryMB; a.Settings.Machine.MemoryMB < need {
		return "", &RefusedError{a.settingsFile, "machine.memory_mb",
			fmt.Sprintf("expected at least %d, the image's memory limit and %d for the guest, got %d", need, guestMemoryMB, a.Settings.Machine.MemoryMB)}
	}
	services := make(map[string]any)
	for _, s := range a.services {
		services[s.name] = c.service(s)
	}
	c.finish()
	if c.err != nil {
		return "", c.err
	}
	return string(appendYAML(nil, 0, map[string]any{"services": services})), nil
}

const guestMemoryMB = 1024

// checker turns services into what is written, and refuses on the way.
type checker struct {
	reader
	agent      *Agent
	definition Definition
	images     Images
	hostPorts  map[int]string  // where each port of the guest is published
	used       map[string]bool // variables
	own        bool            // a service runs the agent's image

	development bool
	values      map[string]string // for development: of variables
}

var placeholder = regexp.MustCompile(`\$\{definition\.([^}]*)\}`)

// fill replaces ${definition.MEMBER}.
func (c *checker) fill(text, at string) string {
	facts := map[string]string{
		"name": c.definition.Name, "repository": c.definition.Repository, "type": c.definition.Type, "model": c.definition.Model,
		"memory_limit_mb": strconv.Itoa(c.definition.MemoryLimitMB), "ports.api": strconv.Itoa(c.definition.APIPort),
		"ports.attestation": strconv.Itoa(c.definition.AttestationPort),
	}
	return placeholder.ReplaceAllStringFunc(text, func(match string) string {
		name := placeholder.FindStringSubmatch(match)[1]
		fact, ok := facts[name]
		if !ok {
			c.refuse(at, "${definition.%s}: expected one of %v", name, slices.Sorted(maps.Keys(facts)))
		}
		return fact
	})
}

// literal fills a text that stands for itself.
func (c *checker) literal(text, at string) string {
	text = c.fill(text, at)
	if what, yes := looksSecret(text); yes {
		c.refuse(at, "the text looks like %s (not shown); give secrets encrypted at deployment", what)
	}
	if strings.Contains(text, "$") {
		c.refuse(at, "expected no $ but in ${definition.…}, and ${NAME} as the whole value of environment variable NAME, got %q", text)
	}
	return text
}

func (c *checker) service(s service) map[string]any {
	at := "services." + s.name
	m := map[string]any{"image": c.image(s.image, at+".image"), "restart": s.restart}
	own := s.image == c.definition.Name
	c.own = c.own || own
	if s.restart != "always" {
		c.refuse(at+".restart", "expected always, got %q", s.restart)
	}
	if s.containerName != "" {
		name := c.literal(s.containerName, at+".container_name")
		if !imageName.MatchString(name) {
			c.refuse(at+".container_name", "expected lower-case words joined by hyphens, got %q", name)
		}
		m["container_name"] = name
	}
	put(m, "ports", c.ports(s, own, at+".ports"))
	put(m, "volumes", c.volumes(s, own, at+".volumes"))
	put(m, "command", c.literals(s.command, at+".command"))
	put(m, "depends_on", c.dependsOn(s, at+".depends_on"))
	if environment := c.environment(s.environment, at+".environment"); len(environment) > 0 {
		m["environment"] = environment
	}
	if s.readOnly {
		m["read_only"] = true
	}
	if s.dropAll {
		m["cap_drop"] = []string{"ALL"}
	}
	if s.noPrivileges {
		m["security_opt"] = []string{"no-new-privileges:true"}
	}
	return m
}

func put(m map[string]any, name string, list []string) {
	if len(list) > 0 {
		m[name] = list
	}
}

func (c *checker) literals(texts []string, at string) []string {
	list := make([]string, 0, len(texts))
	for i, text := range texts {
		list = append(list, c.literal(text, fmt.Sprintf("%s[%d]", at, i)))
	}
	return list
}

// image resolves the name of a definition, or takes a reference that is pinned where it stands.
func (c *checker) image(text, at string) string {
	if text == "" {
		c.refuse(at, "the key is missing")
		return ""
	}
	if imageName.MatchString(text) {
		ref, ok := c.images[text]
		if !ok {
			c.refuse(at, "image %q has no digest; give one with --image %s=REPOSITORY@sha256:…", text, text)
		}
		return ref.String()
	}
	ref, err := ParseReference(text)
	if err != nil {
		c.refuse(at, "%v", err)
	}
	return ref.String()
}

// guestPorts are taken in the guest: dstack's guest agent listens on 8090 of every address (guest-agent/dstack.toml).
var guestPorts = map[int]string{8090: "dstack's guest agent"}

var portPattern = regexp.MustCompile(`^([0-9]{1,5}):([0-9]{1,5})$`)

func (c *checker) ports(s service, own bool, at string) []string {
	list := make([]string, 0, len(s.ports))
	published := make(map[int]bool)
	for i, text := range s.ports {
		at := fmt.Sprintf("%s[%d]", at, i)
		text = c.literal(text, at)
		m := portPattern.FindStringSubmatch(text)
		if m == nil {
			c.refuse(at, "expected PORT:PORT, got %q", text)
			return nil
		}
		host, inside := c.port(m[1], at), c.port(m[2], at)
		if other, taken := c.hostPorts[host]; taken {
			c.refuse(at, "port %d is already taken by %s", host, other)
		}
		if other, taken := guestPorts[host]; taken {
			c.refuse(at, "port %d of the guest is already taken by %s", host, other)
		}
		c.hostPorts[host] = at
		if own && inside != c.definition.APIPort && inside != c.definition.AttestationPort {
			c.refuse(at, "image %s listens on ports %d and %d, not on %d", c.definition.Name, c.definition.APIPort, c.definition.AttestationPort, inside)
		}
		published[inside] = true
		list = append(list, fmt.Sprintf("%d:%d", host, inside))
	}
	for _, port := range []int{c.definition.APIPort, c.definition.AttestationPort} {
		if own && !published[port] {
			c.refuse(at, "port %d of image %s is not published", port, c.definition.Name)
		}
	}
	return list
}

func (c *checker) port(text, at string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != text {
		c.refuse(at, "expected a port from 1 to 65535, got %q", text)
	}
	return n
}

// guestSocket is dstack's guest agent; it has one place on both sides.
const guestSocket = "/var/run/dstack.sock"

// guestPaths are the paths of the guest that a container may see.
var guestPaths = []string{"./data", "./logs", "./config", guestSocket}

func (c *checker) volumes(s service, own bool, at string) []string {
	list := make([]string, 0, len(s.volumes))
	mounted := make(map[string]bool)
	for i, text := range s.volumes {
		at := fmt.Sprintf("%s[%d]", at, i)
		text = c.literal(text, at)
		parts := strings.Split(text, ":")
		if len(parts) < 2 || len(parts) > 3 || (len(parts) == 3 && parts[2] != "ro") {
			c.refuse(at, "expected SOURCE:TARGET or SOURCE:TARGET:ro, got %q", text)
			return nil
		}
		source, target := parts[0], parts[1]
		switch {
		case strings.HasSuffix(path.Clean(source), "docker.sock") || strings.HasSuffix(path.Clean(source), "containerd.sock"):
			c.refuse(at, "%q is not allowed: who reaches the container engine is root on the guest", source)
		case !slices.Contains(guestPaths, source):
			c.refuse(at, "host path %q is not allowed; expected one of %v", source, guestPaths)
		case !path.IsAbs(target) || path.Clean(target) != target || target == "/":
			c.refuse(at, "expected an absolute path without . or .. as the target, got %q", target)
		case (source == guestSocket) != (target == guestSocket):
			c.refuse(at, "%s goes to the same path inside, and nothing else goes there, got %q", guestSocket, text)
		case mounted[target]:
			c.refuse(at, "%q is already mounted over", target)
		case own && source != guestSocket && !slices.Contains(c.definition.Volumes, target):
			c.refuse(at, "image %s has the volumes %v, not %q", c.definition.Name, c.definition.Volumes, target)
		}
		mounted[target] = true
		list = append(list, text)
	}
	for _, volume := range c.definition.Volumes {
		if own && !mounted[volume] {
			c.refuse(at, "volume %q of image %s is not mounted; what the agent writes there would not be kept", volume, c.definition.Name)
		}
	}
	return list
}

func (c *checker) dependsOn(s service, at string) []string {
	for i, name := range s.dependsOn {
		if name == s.name || !slices.ContainsFunc(c.agent.services, func(other service) bool { return other.name == name }) {
			c.refuse(fmt.Sprintf("%s[%d]", at, i), "expected another service, got %q", name)
		}
	}
	return s.dependsOn
}

func (c *checker) environment(variables []variable, at string) map[string]any {
	m := make(map[string]any)
	for _, v := range variables {
		at := at + "." + v.name
		if v.value == "${"+v.name+"}" {
			if !slices.Contains(c.agent.Settings.Environment.names(), v.name) {
				c.refuse(at, "is given at deployment, but no list of environment in %s has it", c.agent.settingsFile)
			}
			c.used[v.name] = true
			if value, given := c.value(v, at); given {
				m[v.name] = value
			}
			continue
		}
		if slices.Contains(c.agent.Settings.Environment.Secret, v.name) || slices.Contains(knownSecrets, v.name) || namesSecret(v.name) {
			c.refuse(at, "is a secret in clear text (not shown); write ${%s}, and give it encrypted at deployment", v.name)
		}
		m[v.name] = c.literal(v.value, at)
	}
	return m
}

// value is what stands for a variable that is given at deployment; false leaves it out.
func (c *checker) value(v variable, at string) (string, bool) {
	if !c.development {
		return v.value, true
	}
	value, given := c.values[v.name]
	if !given && slices.Contains(c.agent.Settings.Environment.Required, v.name) {
		c.refuse(at, "is required; give it a value with --env %s=VALUE", v.name)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
		c.refuse(at, "expected printable ASCII, got %q", value)
	}
	return c.literal(value, at), given
}

// finish checks what only all services together can violate.
func (c *checker) finish() {
	if !c.own {
		c.refuse("services", "no service runs image %q, which %s names", c.definition.Name, c.agent.settingsFile)
	}
	names := make(map[string]bool)
	for _, s := range c.agent.services {
		name := c.fill(s.containerName, "services."+s.name+".container_name")
		if name != "" && names[name] {
			c.refuse("services."+s.name+".container_name", "%q is already taken", name)
		}
		names[name] = true
	}
	for _, name := range c.agent.Settings.Environment.names() {
		if !c.used[name] && c.err == nil {
			c.err = &RefusedError{c.agent.settingsFile, "environment", fmt.Sprintf("%s is given at deployment, but no service of %s has it", name, c.agent.composeFile)}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.images)) {
		if !slices.ContainsFunc(c.agent.services, func(s service) bool { return s.image == name }) {
			c.refuse("services", "no service names image %q, which a digest was given for", name)
		}
	}
}

// appendYAML writes block style with every text in double quotes, which YAML 1.1 and 1.2 read alike. Texts are printable ASCII,
// where Go's quoting and YAML's are the same.
func appendYAML(to []byte, depth int, value any) []byte {
	indent := strings.Repeat("  ", depth)
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			to = append(to, indent+name+":"...)
			switch inner := v[name].(type) {
			case string:
				to = append(strconv.AppendQuote(append(to, ' '), inner), '\n')
			case bool:
				to = append(strconv.AppendBool(append(to, ' '), inner), '\n')
			default:
				to = appendYAML(append(to, '\n'), depth+1, inner)
			}
		}
	case []string:
		for _, text := range v {
			to = append(strconv.AppendQuote(append(to, indent+"- "...), text), '\n')
		}
	}
	return to
}
