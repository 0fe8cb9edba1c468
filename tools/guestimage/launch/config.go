package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// Options say how a guest is run.
type Options struct {
	// AppCompose is the file, byte for byte; its hash is measured.
	AppCompose []byte
	// UserConfig and EncryptedEnv are further files for the guest. Optional.
	UserConfig, EncryptedEnv []byte
	CPUs                     int
	// Memory and Disk are in bytes, in whole MiB. The disk is for data, and takes room as it fills.
	Memory, Disk uint64
	Ports        []Port
	// Registry is a mirror of Docker's registry. Optional.
	Registry string
	// QuotePort is the vsock port of the host's quote generation service.
	QuotePort uint16
	// Seed is that of the simulated platform, 64 hex digits; empty for a new one.
	Seed string
}

// Guest is an image that can be run.
type Guest struct {
	Options
	dir     string
	image   image.Metadata
	root    string
	dev     bool
	digest  dstack.ImageHash
	compose *dstack.AppCompose
}

// OptionError says which option can not be.
type OptionError struct {
	Option string
	Err    error
}

func (e *OptionError) Error() string { return e.Option + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *OptionError) Unwrap() error { return e.Err }

// Bounds of machines.
const (
	minMemory = 512 << 20
	maxMemory = 1 << 40
	maxCPUs   = 255
	maxDisk   = 16 << 40
	mebibyte  = 1 << 20
)

// New verifies an image, and checks the options.
func New(dir string, o Options) (*Guest, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for _, size := range []struct {
		option         string
		value, low, up uint64
	}{{"memory", o.Memory, minMemory, maxMemory}, {"disk", o.Disk, mebibyte, maxDisk}} {
		if size.value < size.low || size.value > size.up || size.value%mebibyte != 0 {
			return nil, &OptionError{size.option, fmt.Errorf("expected %d to %d bytes in whole MiB, got %d", size.low, size.up, size.value)}
		}
	}
	if o.CPUs < 1 || o.CPUs > maxCPUs {
		return nil, &OptionError{"cpus", fmt.Errorf("expected 1 to %d, got %d", maxCPUs, o.CPUs)}
	}
	seen := make(map[uint16]bool)
	for _, p := range o.Ports {
		if seen[p.Host] {
			return nil, &OptionError{"port", fmt.Errorf("%d of this machine stands there twice", p.Host)}
		}
		seen[p.Host] = true
	}
	compose, err := dstack.ParseForeignAppCompose(o.AppCompose)
	if err != nil {
		return nil, &OptionError{"app-compose", err}
	}
	if len(compose.KeyProviderID) > 0 {
		return nil, &OptionError{"app-compose", errors.New("key_provider_id: expected none, because there is no key provider here")}
	}
	inspected, err := guestimage.Inspect(dir, guestimage.Options{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	im, err := image.Read(dir)
	if err != nil {
		return nil, err
	}
	return &Guest{Options: o, dir: dir, image: im.Metadata, root: inspected.Root.File, dev: inspected.IsDev, digest: inspected.Digest, compose: compose}, nil
}

// vmConfig is dstack's document about the machine, in the order of its struct (dstack/dstack-types/src/lib.rs VmConfig).
type vmConfig struct {
	OSImageHash   dstack.ImageHash `json:"os_image_hash"`
	CPUCount      int              `json:"cpu_count"`
	MemorySize    uint64           `json:"memory_size"`
	QEMUVersion   string           `json:"qemu_version"`
	PCIHole64Size uint64           `json:"pci_hole64_size"`
	HugePages     bool             `json:"hugepages"`
	NumGPUs       int              `json:"num_gpus"`
	NumNVSwitches int              `json:"num_nvswitches"`
	HotplugOff    bool             `json:"hotplug_off"`
	Image         string           `json:"image"`
	HostShareMode string           `json:"host_share_mode"`
	OVMFVariant   string           `json:"ovmf_variant,omitempty"`
	SWTPM         bool             `json:"swtpm,omitempty"`
	SpecVersion   int              `json:"spec_version"`
}

func (g *Guest) vmConfig(qemu machine.Version) ([]byte, error) {
	return json.Marshal(vmConfig{
		OSImageHash: g.digest, CPUCount: g.CPUs, MemorySize: g.Memory, QEMUVersion: qemu.String(), Image: filepath.Base(g.dir), HostShareMode: "9p",
		OVMFVariant: g.image.OVMFVariant, SWTPM: g.dev, SpecVersion: 1,
	})
}

// sysConfig is .sys-config.json.
type sysConfig struct {
	KMSURLs     []string `json:"kms_urls"`
	GatewayURLs []string `json:"gateway_urls"`
	PCCSURL     string   `json:"pccs_url"`
	Registry    string   `json:"docker_registry"`
	HostAPIURL  string   `json:"host_api_url"`
	VMConfig    string   `json:"vm_config"`
}

// writeShare writes the host's files.
func (g *Guest) writeShare(dir string, vm []byte) error {
	system, err := json.Marshal(sysConfig{
		KMSURLs: []string{}, GatewayURLs: []string{}, Registry: g.Registry, HostAPIURL: "vsock://2:10000/api", VMConfig: string(vm),
	})
	if err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"app-compose.json": g.AppCompose, ".sys-config.json": system, ".user-config": g.UserConfig, ".encrypted-env": g.EncryptedEnv,
	} {
		if data == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
