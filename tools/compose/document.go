package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// service is one service of a docker-compose file. Texts may still hold ${definition.…}.
type service struct {
	name          string
	image         string
	containerName string
	restart       string
	ports         []string
	volumes       []string
	environment   []variable
	command       []string
	dependsOn     []string
	readOnly      bool
	dropAll       bool
	noPrivileges  bool
}

type variable struct{ name, value string }

// reader walks a docker-compose file and remembers the first offence.
type reader struct {
	file string
	err  error
}

func (r *reader) refuse(member, format string, args ...any) {
	if r.err == nil {
		r.err = &RefusedError{r.file, member, fmt.Sprintf(format, args...)}
	}
}

func (a *Agent) parseCompose(text []byte) error {
	r := &reader{file: a.composeFile}
	if len(text) > maxFile {
		return &RefusedError{File: a.composeFile, Reason: fmt.Sprintf("expected at most %d bytes, got more", maxFile)}
	}
	root, err := parseYAML(text)
	if err != nil {
		return &RefusedError{File: a.composeFile, Reason: err.Error()}
	}
	r.plain(root, "", 0)
	if r.err != nil {
		return r.err
	}
	for _, m := range r.members(root, "") {
		if m.name != "services" {
			r.refuse(m.name, "unknown key; only services may stand here")
			continue
		}
		for _, s := range r.members(m.value, "services") {
			if !imageName.MatchString(s.name) || yamlWord(s.name) {
				r.refuse("services", "expected lower-case words joined by hyphens as a name, got %q", s.name)
			}
			a.services = append(a.services, r.service(s.value, s.name))
		}
	}
	if r.err == nil && len(a.services) == 0 {
		r.refuse("services", "expected at least one service, got none")
	}
	return r.err
}

// parseYAML reads exactly one document. yaml.Node keeps aliases as they are, so nothing is expanded.
func parseYAML(text []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	if err := dec.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("expected a YAML document, got none")
		}
		return nil, fmt.Errorf("malformed YAML: %w", err)
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("expected one YAML document, got more behind it")
	}
	if document.Kind != yaml.DocumentNode || len(document.Content) != 1 {
		return nil, errors.New("expected a YAML document with one value")
	}
	return document.Content[0], nil
}

// maxDepth is more than a service needs: services, service, environment, value.
const maxDepth = 8

// plain refuses what lets one text mean another: anchors, aliases, merge keys, tags, keys that are not texts or stand twice.
func (r *reader) plain(n *yaml.Node, path string, depth int) {
	switch {
	case depth > maxDepth:
		r.refuse(path, "nested deeper than %d levels", maxDepth)
	case n.Kind == yaml.AliasNode:
		r.refuse(path, "YAML aliases (*%s) are not allowed; write the value out", n.Value)
	case n.Anchor != "":
		r.refuse(path, "YAML anchors (&%s) are not allowed; write the value out", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		r.refuse(path, "YAML tags (%s) are not allowed", n.Tag)
	}
	if r.err != nil {
		return
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for i, element := range n.Content {
			r.plain(element, fmt.Sprintf("%s[%d]", path, i), depth+1)
		}
	case yaml.MappingNode:
		seen := make(map[string]bool)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			switch {
			case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
				r.refuse(path, "YAML merge keys (<<) are not allowed; write the members out")
			case key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str":
				r.refuse(path, "expected texts as keys, got %q in line %d", key.Value, key.Line)
			case seen[key.Value]:
				r.refuse(join(path, key.Value), "the key stands twice, again in line %d", key.Line)
			}
			seen[key.Value] = true
			r.plain(key, path, depth)
			r.plain(value, join(path, key.Value), depth+1)
		}
	}
}

// yamlWord says whether YAML 1.1 reads a plain word as something else than a text; keys are written plain.
func yamlWord(s string) bool {
	return slices.Contains([]string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}, strings.ToLower(s))
}

func join(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }

type member struct {
	name  string
	value *yaml.Node
}

func (r *reader) members(n *yaml.Node, path string) []member {
	if n.Kind != yaml.MappingNode {
		r.refuse(path, "expected a mapping, got %s", kind(n))
		return nil
	}
	list := make([]member, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		list = append(list, member{n.Content[i].Value, n.Content[i+1]})
	}
	return list
}

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!str":
		return "a text"
	default:
		return n.Value + ", which YAML reads as no text; quote it"
	}
}

// text takes a scalar that YAML reads as a text, of printable ASCII.
func (r *reader) text(n *yaml.Node, path string) string {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		r.refuse(path, "expected a text, got %s", kind(n))
		return ""
	}
	if n.Value == "" || strings.ContainsFunc(n.Value, func(c rune) bool { return c < 0x20 || c > 0x7e }) {
		r.refuse(path, "expected a text of printable ASCII, got %q", n.Value)
		return ""
	}
	return n.Value
}

func (r *reader) texts(n *yaml.Node, path string) []string {
	if n.Kind != yaml.SequenceNode {
		r.refuse(path, "expected a list, got %s", kind(n))
		return nil
	}
	list := make([]string, 0, len(n.Content))
	for i, element := range n.Content {
		list = append(list, r.text(element, fmt.Sprintf("%s[%d]", path, i)))
	}
	return list
}

// only takes a list that may say but one thing.
func (r *reader) only(n *yaml.Node, path, want string) bool {
	if got := r.texts(n, path); !slices.Equal(got, []string{want}) {
		r.refuse(path, "expected [%q] and nothing else, got %q", want, got)
	}
	return true
}

// banned are keys of the Compose Specification that would break the VM's confinement, each with why.
var banned = map[string]string{
	"build":               "images are built and measured before they are deployed; name one by digest",
	"privileged":          "a privileged container is root on the guest",
	"network_mode":        "containers have a network of their own; the guest's reaches dstack's services",
	"pid":                 "sharing the guest's processes is not allowed",
	"ipc":                 "sharing the guest's memory segments is not allowed",
	"uts":                 "sharing the guest's host name is not allowed",
	"userns_mode":         "sharing the guest's users is not allowed",
	"cgroup":              "sharing the guest's control groups is not allowed",
	"cgroup_parent":       "sharing the guest's control groups is not allowed",
	"cap_add":             "agents need no capabilities",
	"devices":             "agents need no devices",
	"device_cgroup_rules": "agents need no devices",
	"gpus":                "agents need no devices",
	"env_file":            "a file beside the compose file is not measured, and secrets in it would be in clear text; name variables in environment",
	"extends":             "another file is not measured; write the service out",
	"secrets":             "secrets are given encrypted at deployment; name them in environment",
	"configs":             "configuration is given in environment",
	"volumes_from":        "name the volumes",
	"user":                "the image says who the program runs as",
	"entrypoint":          "the image says what is run",
	"pull_policy":         "an image named by digest is always the same",
}

var serviceKeys = []string{
	"image", "container_name", "restart", "ports", "volumes", "environment", "command", "depends_on", "read_only", "cap_drop", "security_opt",
}

func (r *reader) service(n *yaml.Node, name string) service {
	path := "services." + name
	s := service{name: name}
	for _, m := range r.members(n, path) {
		at := path + "." + m.name
		switch m.name {
		case "image":
			s.image = r.text(m.value, at)
		case "container_name":
			s.containerName = r.text(m.value, at)
		case "restart":
			s.restart = r.text(m.value, at)
		case "ports":
			s.ports = r.texts(m.value, at)
		case "volumes":
			s.volumes = r.texts(m.value, at)
		case "environment":
			s.environment = r.environment(m.value, at)
		case "command":
			s.command = r.texts(m.value, at)
		case "depends_on":
			s.dependsOn = r.texts(m.value, at)
		case "read_only":
			if m.value.Kind != yaml.ScalarNode || m.value.ShortTag() != "!!bool" || m.value.Value != "true" {
				r.refuse(at, "expected true, or the key left out, got %q", m.value.Value)
			}
			s.readOnly = true
		case "cap_drop":
			s.dropAll = r.only(m.value, at, "ALL")
		case "security_opt":
			s.noPrivileges = r.only(m.value, at, "no-new-privileges:true")
		default:
			if reason, ok := banned[m.name]; ok {
				r.refuse(at, "%s is not allowed: %s", m.name, reason)
			}
			r.refuse(at, "unknown key; expected one of %v", serviceKeys)
		}
	}
	return s
}

func (r *reader) environment(n *yaml.Node, path string) []variable {
	if n.Kind == yaml.SequenceNode {
		r.refuse(path, "expected a mapping of names to values, got a list; write NAME: value")
		return nil
	}
	var list []variable
	for _, m := range r.members(n, path) {
		if !envPattern.MatchString(m.name) || yamlWord(m.name) {
			r.refuse(path, "expected names of A-Z, 0-9 and _, got %q", m.name)
		}
		list = append(list, variable{m.name, r.text(m.value, path+"."+m.name)})
	}
	return list
}
