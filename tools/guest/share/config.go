package share

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// System is what the guest takes from .sys-config.json. Nothing of it is measured but what MRCONFIGID binds.
type System struct {
	// VMConfig is what the host says of the machine: a JSON object as text, kept as it is for verifiers.
	VMConfig string
	// MRConfig is the document of mr_config_id's form 3, byte for byte; nil where there is none.
	MRConfig []byte
	// Registry is a mirror of Docker's registry; empty where there is none.
	Registry string
	// HostAPI is the address of the host's own service; empty where there is none.
	HostAPI string
}

// ParseSystem reads .sys-config.json. Members that this guest has no use for are left aside, as dstack-vmm adds some in each release;
// those that it uses are what they should be.
func ParseSystem(file []byte) (System, error) {
	s, err := parseSystem(file)
	if err != nil {
		return System{}, &FileError{SysConfig, err}
	}
	return s, nil
}

func parseSystem(file []byte) (s System, err error) {
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(file, &members); err != nil {
		return s, err
	}
	if s.VMConfig, err = text(members, "vm_config"); err != nil {
		return s, err
	}
	var machine map[string]json.RawMessage
	if s.VMConfig == "" {
		return s, errors.New("vm_config: expected the text of a JSON object, got none")
	}
	if err := strictjson.Unmarshal([]byte(s.VMConfig), &machine); err != nil {
		return s, fmt.Errorf("vm_config: %w", err)
	}
	document, err := text(members, "mr_config")
	if err != nil {
		return s, err
	}
	if document != "" {
		s.MRConfig = []byte(document)
	}
	if s.HostAPI, err = text(members, "host_api_url"); err != nil {
		return s, err
	}
	if s.Registry, err = text(members, "docker_registry"); err != nil || s.Registry == "" {
		return s, err
	}
	if u, err := url.Parse(s.Registry); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return s, fmt.Errorf("docker_registry: expected the address of a registry, http or https, got %.200q", s.Registry)
	}
	return s, nil
}

// text is a member that is a text, null or not there.
func text(members map[string]json.RawMessage, name string) (string, error) {
	var s *string
	if raw, given := members[name]; given {
		if err := strictjson.Unmarshal(raw, &s); err != nil {
			return "", fmt.Errorf("%s: expected a text, got %.80s", name, raw)
		}
	}
	if s == nil {
		return "", nil
	}
	return *s, nil
}

// Instance is .instance_info.
type Instance struct {
	// Seed is what an instance id is derived from; nil where the host gave none.
	Seed []byte
	// App is the id that the host gives the application; nil where it gave none.
	App *dstack.AppID
}

// ParseInstance reads .instance_info; no file is one that says nothing. The instance id in it is derived again from the seed, not taken.
func ParseInstance(file []byte) (Instance, error) {
	i, err := parseInstance(file)
	if err != nil {
		return Instance{}, &FileError{InstanceInfo, err}
	}
	return i, nil
}

func parseInstance(file []byte) (i Instance, err error) {
	if len(bytes.TrimSpace(file)) == 0 {
		return i, nil
	}
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(file, &members); err != nil {
		return i, err
	}
	seed, err := text(members, "instance_id_seed")
	if err != nil {
		return i, err
	}
	if seed != "" {
		if i.Seed, err = hex.DecodeString(seed); err != nil || len(i.Seed) != seedSize {
			return i, fmt.Errorf("instance_id_seed: expected %d hex digits, got %.80q", 2*seedSize, seed)
		}
	}
	app, err := text(members, "app_id")
	if err != nil || app == "" {
		return i, err
	}
	id, err := dstack.ParseAppID(app)
	i.App = &id
	return i, err
}

// seedSize is the length of a seed, in bytes (system_setup.rs measure_app_info).
const seedSize = 20
