package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// maxVMConfig bounds the document.
const maxVMConfig = 1 << 20

// VMConfig are the members of dstack's vm_config that shape a machine (dstack/dstack-types/src/lib.rs, VmConfig). The document
// has more, and grows; members that are not here do not shape the machine or are unknown, and are passed over.
type VMConfig struct {
	CPUCount   int    `json:"cpu_count"`
	MemorySize uint64 `json:"memory_size"`
	// TwoPassAddPages has a misleading name on the wire: since dstack 0.5.4 true means that pages are added in two passes.
	TwoPassAddPages  *bool  `json:"qemu_single_pass_add_pages"`
	PIC              *bool  `json:"pic"`
	QEMUVersion      string `json:"qemu_version"`
	PCIHole64Size    uint64 `json:"pci_hole64_size"`
	HugePages        bool   `json:"hugepages"`
	NumGPUs          int    `json:"num_gpus"`
	NumNVSwitches    int    `json:"num_nvswitches"`
	HotplugOff       bool   `json:"hotplug_off"`
	HostShareMode    string `json:"host_share_mode"`
	NumNICs          *int   `json:"num_nics"`
	NumVerityVolumes int    `json:"num_verity_volumes"`
	SWTPM            bool   `json:"swtpm"`
	// OVMFVariant is what the document says about the firmware, see package image.
	OVMFVariant string `json:"ovmf_variant"`
}

// ParseVMConfig reads a vm_config document. It refuses duplicate members and anything after the document; names are compared
// exactly, and null is the same as absent.
func ParseVMConfig(data []byte) (*VMConfig, error) {
	if len(data) > maxVMConfig {
		return nil, fmt.Errorf("vm_config: expected up to %d bytes, got %d", maxVMConfig, len(data))
	}
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("vm_config: %w", err)
	}
	if members == nil {
		return nil, errors.New("vm_config: expected an object, got null")
	}
	var c VMConfig
	fields := reflect.ValueOf(&c).Elem()
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Tag.Get("json")
		value, there := members[name]
		if !there || string(value) == "null" {
			continue
		}
		if err := strictjson.Unmarshal(value, fields.Field(i).Addr().Interface()); err != nil {
			return nil, fmt.Errorf("vm_config: %s: %w", name, err)
		}
	}
	return &c, nil
}

// FromVMConfig is [VMConfig.Machine] of a document.
func FromVMConfig(data []byte) (Machine, error) {
	c, err := ParseVMConfig(data)
	if err != nil {
		return Machine{}, err
	}
	return c.Machine()
}

// Machine is the machine that a vm_config document describes, with dstack-mr's rules for what it leaves out: QEMU 9.1.0;
// PIC and two passes for QEMU 8.x only; edge-triggered interrupts before 9.2; huge pages are one NUMA node, which has an
// expander bus if there are GPUs. The width of guest physical addresses is not in the document: it is 46 bits, as on every
// host that dstack runs on, and may be changed in the result.
func (c *VMConfig) Machine() (Machine, error) {
	var err error
	m := Default()
	m.QEMU = Version{9, 1, 0}
	if c.QEMUVersion != "" {
		if m.QEMU, err = ParseVersion(c.QEMUVersion); err != nil {
			return Machine{}, fmt.Errorf("vm_config: qemu_version: %w", err)
		}
	}
	if !m.QEMU.AtLeast(8, 0, 0) {
		return Machine{}, &FieldError{"QEMU", "a release that dstack supports, 8.0 or later", m.QEMU.String()}
	}
	m.CPUs, m.Memory = c.CPUCount, c.MemorySize
	m.TDX = TDXUpstream
	if !m.QEMU.AtLeast(9, 2, 0) {
		m.TDX = TDXDownstream
	}
	m.PIC = m.QEMU.Major == 8
	if c.PIC != nil {
		m.PIC = *c.PIC
	}
	m.PageAdd = m.PageAddOrder()
	if c.TwoPassAddPages != nil {
		m.PageAdd = OnePass
		if *c.TwoPassAddPages {
			m.PageAdd = TwoPass
		}
	}
	m.PCIHole64Size, m.HotplugOff = c.PCIHole64Size, c.HotplugOff
	m.GPUs, m.NVSwitches, m.VerityVolumes = c.NumGPUs, c.NumNVSwitches, c.NumVerityVolumes
	if c.NumNICs != nil {
		m.NICs = *c.NumNICs
	}
	switch c.HostShareMode {
	case "":
		m.HostShare = Share9P
	case string(Share9P), string(ShareVVFAT), string(ShareVHD):
		m.HostShare = HostShare(c.HostShareMode)
	default:
		return Machine{}, &FieldError{"HostShare", "9p, vvfat or vhd", fmt.Sprintf("%q", c.HostShareMode)}
	}
	if c.SWTPM {
		m.TPM = TPMTIS
	}
	if c.HugePages {
		m.NUMA = []NUMANode{{CPUs: m.CPUs, Memory: m.Memory, Expander: m.GPUs > 0, GPUs: m.GPUs}}
	}
	return m, m.Validate()
}
