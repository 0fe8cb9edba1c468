package agentimage

import (
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

var (
	// namePattern keeps names usable as a DNS label, a flake attribute and a file name.
	namePattern = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	// repositoryPattern is a path component of distribution-spec 1.1, "Pulling manifests".
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)
	userPattern       = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	envPattern        = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
	versionPattern    = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)
	programPattern    = regexp.MustCompile(`^(\.|[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*)$`)
)

// secrets reach an agent encrypted, at deployment; a default in an image would be public.
var secrets = []string{"AGENT_PRIVATE_KEY", "HUB_SHARED_SECRET", "CLIENT_ENCRYPTION_KEY"}

const maxName = 63 // RFC 1035 section 2.3.4: a DNS label

// validate finds the first member that does not hold.
func (d *Definition) validate() error {
	checks := []func() error{
		d.checkNames, d.checkTexts, d.checkPorts, d.checkUser, d.checkVolumes, d.checkEnvironment, d.checkFiles,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (d *Definition) checkNames() error {
	for _, m := range []struct {
		member, value, expected string
		pattern                 *regexp.Regexp
	}{
		{"name", d.Name, "lower-case words joined by hyphens", namePattern},
		{"type", d.Type, "lower-case words joined by hyphens", namePattern},
		{"repository", d.Repository, "a repository name without a registry, such as finance-boardroom-tee", repositoryPattern},
		{"version", d.Version, "a semantic version such as 0.1.0", versionPattern},
		{"program", d.Program, "the folder of a Go main package, relative to the module's root", programPattern},
	} {
		if !m.pattern.MatchString(m.value) {
			return fmt.Errorf("%s: expected %s, got %q", m.member, m.expected, m.value)
		}
		if len(m.value) > maxName && m.member != "program" {
			return fmt.Errorf("%s: expected at most %d characters, got %d", m.member, maxName, len(m.value))
		}
	}
	return nil
}

func (d *Definition) checkTexts() error {
	for _, m := range []struct{ member, value string }{
		{"title", d.Title}, {"description", d.Description}, {"licenses", d.Licenses}, {"source", d.Source}, {"model", d.Model},
	} {
		if m.value == "" {
			return fmt.Errorf("%s: expected a text, got none", m.member)
		}
		if strings.ContainsFunc(m.value, unicode.IsControl) {
			return fmt.Errorf("%s: expected one line without control characters, got %q", m.member, m.value)
		}
	}
	if d.MemoryLimitMB < 16 || d.MemoryLimitMB > 1<<20 {
		return fmt.Errorf("memory_limit_mb: expected 16 to %d, got %d", 1<<20, d.MemoryLimitMB)
	}
	return nil
}

func (d *Definition) checkPorts() error {
	for _, p := range []struct {
		member string
		port   int
	}{{"ports.api", d.Ports.API}, {"ports.attestation", d.Ports.Attestation}} {
		// A user without privileges can not listen below 1024.
		if p.port < 1024 || p.port > 65535 {
			return fmt.Errorf("%s: expected a port from 1024 to 65535, got %d", p.member, p.port)
		}
	}
	if d.Ports.API == d.Ports.Attestation {
		return fmt.Errorf("ports.attestation: port %d is already taken by ports.api", d.Ports.Attestation)
	}
	return nil
}

func (d *Definition) checkUser() error {
	if !userPattern.MatchString(d.User.Name) || d.User.Name == "root" {
		return fmt.Errorf("user.name: expected a user name other than root, got %q", d.User.Name)
	}
	for _, id := range []struct {
		member string
		value  int
	}{{"user.uid", d.User.UID}, {"user.gid", d.User.GID}} {
		// 65534 and 65535 stand for nobody and for "no change" (chown(2) in 16 bits).
		if id.value < 1 || id.value > 65533 {
			return fmt.Errorf("%s: expected 1 to 65533, got %d", id.member, id.value)
		}
	}
	return nil
}

func (d *Definition) checkVolumes() error {
	for i, volume := range d.Volumes {
		if err := checkPath(volume); err != nil {
			return fmt.Errorf("volumes[%d]: %w", i, err)
		}
		if slices.Contains(d.Volumes[:i], volume) {
			return fmt.Errorf("volumes[%d]: %q stands twice", i, volume)
		}
	}
	return nil
}

func (d *Definition) checkEnvironment() error {
	derived := d.derivedEnvironment()
	for name, value := range d.Environment {
		switch {
		case !envPattern.MatchString(name):
			return fmt.Errorf("environment: expected names of A-Z, 0-9 and _, got %q", name)
		case slices.Contains(secrets, name):
			return fmt.Errorf("environment.%s: is a secret; it is given encrypted at deployment, never in an image", name)
		case strings.ContainsFunc(value, unicode.IsControl):
			return fmt.Errorf("environment.%s: expected no control characters, got %q", name, value)
		}
		if _, ok := derived[name]; ok {
			return fmt.Errorf("environment.%s: is set from another member of the definition", name)
		}
	}
	return nil
}

func (d *Definition) checkFiles() error {
	for i, f := range d.Files {
		if f.From == "" || path.IsAbs(f.From) || path.Clean(f.From) != f.From || f.From == ".." || strings.HasPrefix(f.From, "../") {
			return fmt.Errorf("files[%d].from: expected a path inside the definition's folder, got %q", i, f.From)
		}
		if err := checkPath(f.To); err != nil {
			return fmt.Errorf("files[%d].to: %w", i, err)
		}
		if raw, err := hex.DecodeString(f.SHA256); f.SHA256 != "" && (err != nil || len(raw) != 32 || strings.ToLower(f.SHA256) != f.SHA256) {
			return fmt.Errorf("files[%d].sha256: expected 64 lower-case hex digits, got %q", i, f.SHA256)
		}
	}
	return nil
}

func checkPath(p string) error {
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" || strings.ContainsFunc(p, unicode.IsControl) {
		return fmt.Errorf("expected an absolute path without . or .., got %q", p)
	}
	return nil
}
