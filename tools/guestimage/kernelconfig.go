package guestimage

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Requirement is what one option of the kernel's configuration has to be.
type Requirement struct {
	// Option is its name, such as CONFIG_DM_VERITY.
	Option string `json:"option"`
	// Values are those that will do: "y", "m", or "n" for an option that is off or that this kernel does not have.
	Values []string `json:"values"`
	// Reason says what the guest needs it for.
	Reason string `json:"reason"`
	// Flavour limits the requirement to one flavour. Optional.
	Flavour Flavour `json:"flavour,omitempty"`
}

func checkRequirements(all []Requirement) error {
	seen := make(map[string]bool)
	for i, r := range all {
		if !optionPattern.MatchString(r.Option) || seen[r.Option] {
			return fmt.Errorf("kernel_config[%d].option: expected the name of an option, each once, got %q", i, r.Option)
		}
		seen[r.Option] = true
		if len(r.Values) == 0 || slices.ContainsFunc(r.Values, func(v string) bool { return v != "y" && v != "m" && v != "n" }) {
			return fmt.Errorf("kernel_config[%d].values: %s: expected some of y, m, n, got %q", i, r.Option, r.Values)
		}
		if r.Reason == "" {
			return fmt.Errorf("kernel_config[%d].reason: %s: expected a reason, got none", i, r.Option)
		}
		if r.Flavour != "" && r.Flavour != Production && r.Flavour != Development {
			return fmt.Errorf("kernel_config[%d].flavour: expected %s or %s, got %q", i, Production, Development, r.Flavour)
		}
	}
	if len(all) == 0 {
		return errors.New("kernel_config: expected requirements, got none")
	}
	return nil
}

// KernelError lists what the kernel's configuration lacks.
type KernelError struct {
	// Release is the kernel's.
	Release string
	// Unmet has one text for each requirement.
	Unmet []string
}

func (e *KernelError) Error() string {
	return fmt.Sprintf("kernel %s does not do: %s", e.Release, strings.Join(e.Unmet, "; "))
}

// parseConfig reads a kernel's configuration, as its package has it (Documentation/kbuild/kconfig-language.rst).
// Options that are off stand there as comments, and are not returned.
func parseConfig(data []byte) (map[string]string, error) {
	values := make(map[string]string)
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || !strings.HasPrefix(name, "CONFIG_") {
			return nil, fmt.Errorf("line %d: expected CONFIG_NAME=VALUE, got %.80q", n, line)
		}
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("line %d: %s stands there twice", n, name)
		}
		values[name] = value
	}
	if len(values) == 0 {
		return nil, errors.New("expected options, got none")
	}
	return values, nil
}

// checkKernel holds a configuration to the requirements of a flavour.
func checkKernel(release string, config []byte, all []Requirement, flavour Flavour) error {
	values, err := parseConfig(config)
	if err != nil {
		return fmt.Errorf("configuration of kernel %s: %w", release, err)
	}
	var unmet []string
	for _, r := range all {
		if r.Flavour != "" && r.Flavour != flavour {
			continue
		}
		got, set := values[r.Option]
		if !set {
			got = "n"
		}
		if !slices.Contains(r.Values, got) {
			unmet = append(unmet, fmt.Sprintf("%s: expected %s, got %s (%s)", r.Option, strings.Join(r.Values, " or "), got, r.Reason))
		}
	}
	if unmet != nil {
		return &KernelError{release, unmet}
	}
	return nil
}
