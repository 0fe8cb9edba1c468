package release

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// MachinesFile is where a source tree has its [Machines].
const MachinesFile = "compose/machines.json"

// maxHosts bounds the hosts and the further sizes, and maxMachines what comes of them; maxMachinesFile the file, in bytes.
const (
	maxHosts        = 16
	maxMachines     = 64
	maxMachinesFile = 1 << 20
)

// Machines says what the confidential VMs of a release may run on. A machine shape is a host with a size; sizes are those of the
// applications, and the further ones here.
type Machines struct {
	Hosts []Host `json:"hosts"`
	Sizes []Size `json:"sizes,omitempty"`
}

// Host is what a machine's measurements depend on besides its size: dstack-vmm and its QEMU, as members of dstack's vm_config
// (dstack-types, VmConfig), with the same names where that has them. What is absent is as dstack has it for that QEMU.
type Host struct {
	Name string `json:"name"`
	// QEMU is the release.
	QEMU string `json:"qemu_version"`
	// TDX says whose TDX support QEMU has, and PageOrder how the host adds the firmware's pages.
	TDX       machine.TDX     `json:"tdx,omitempty"`
	PageOrder machine.PageAdd `json:"page_order,omitempty"`
	PIC       *bool           `json:"pic,omitempty"`
	// PCIHole64Size is in bytes.
	PCIHole64Size uint64            `json:"pci_hole64_size,omitempty"`
	HugePages     bool              `json:"hugepages,omitempty"`
	GPUs          int               `json:"num_gpus,omitempty"`
	NVSwitches    int               `json:"num_nvswitches,omitempty"`
	HotplugOff    bool              `json:"hotplug_off,omitempty"`
	HostShare     machine.HostShare `json:"host_share_mode,omitempty"`
	NICs          *int              `json:"num_nics,omitempty"`
	VerityVolumes int               `json:"num_verity_volumes,omitempty"`
	TPM           bool              `json:"swtpm,omitempty"`
	// PhysBits is the width of guest physical addresses; 0 is that of every host that dstack runs on.
	PhysBits int `json:"phys_bits,omitempty"`
	// Processor is EAX and EDX of the guest's CPUID leaf 1, for firmware that measures them.
	Processor *Processor `json:"processor,omitempty"`
}

// Processor is what firmware of layout C or D measures of the processor.
type Processor struct {
	Signature uint32 `json:"signature"`
	Features  uint32 `json:"features"`
}

// Size is the size of a machine.
type Size struct {
	VCPUs    int `json:"vcpus"`
	MemoryMB int `json:"memory_mb"`
}

// MachinesError names the member of [MachinesFile] that is malformed.
type MachinesError struct {
	Member string
	Reason string
}

func (e *MachinesError) Error() string {
	if e.Member == "" {
		return MachinesFile + ": " + e.Reason
	}
	return MachinesFile + ": " + e.Member + ": " + e.Reason
}

// LoadMachines reads the file of a source tree. One that is there and malformed is a *MachinesError.
func LoadMachines(tree string) (*Machines, error) {
	f, err := os.Open(filepath.Join(tree, filepath.FromSlash(MachinesFile)))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxMachinesFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return ParseMachines(data)
}

// ParseMachines is [LoadMachines] for the bytes of the file.
func ParseMachines(data []byte) (*Machines, error) {
	if len(data) > maxMachinesFile {
		return nil, &MachinesError{"", fmt.Sprintf("expected at most %d bytes, got more", maxMachinesFile)}
	}
	m := new(Machines)
	if err := strictjson.Unmarshal(data, m); err != nil {
		return nil, &MachinesError{"", err.Error()}
	}
	if _, err := m.shapes(Size{VCPUs: 1, MemoryMB: 2048}); err != nil {
		return nil, err
	}
	return m, nil
}

// shape is a host with a size.
type shape struct {
	NamedMachine
	size Size
}

// shapes returns the machines of all hosts with the sizes given and the further ones, in the order of hosts and then of sizes.
func (m *Machines) shapes(sizes ...Size) ([]shape, error) {
	if len(m.Hosts) == 0 || len(m.Hosts) > maxHosts || len(m.Sizes) > maxHosts {
		return nil, &MachinesError{"hosts", fmt.Sprintf("expected 1 to %d hosts and at most as many sizes, got %d and %d", maxHosts, len(m.Hosts), len(m.Sizes))}
	}
	all := slices.Concat(sizes, m.Sizes)
	slices.SortFunc(all, func(a, b Size) int {
		if a.VCPUs != b.VCPUs {
			return a.VCPUs - b.VCPUs
		}
		return a.MemoryMB - b.MemoryMB
	})
	all = slices.Compact(all)
	var shapes []shape
	for i := range m.Hosts {
		h := &m.Hosts[i]
		at := fmt.Sprintf("hosts[%d]", i)
		if !namePattern.MatchString(h.Name) {
			return nil, &MachinesError{at + ".name", fmt.Sprintf("expected a name in lower case, got %q", h.Name)}
		}
		if slices.ContainsFunc(m.Hosts[:i], func(other Host) bool { return other.Name == h.Name }) {
			return nil, &MachinesError{at + ".name", fmt.Sprintf("expected each name once, got %q again", h.Name)}
		}
		for _, size := range all {
			shape, err := h.shape(size)
			if err != nil {
				return nil, &MachinesError{at, err.Error()}
			}
			if len(shapes) == maxMachines {
				return nil, &MachinesError{"", fmt.Sprintf("expected hosts and sizes for at most %d machines, got more", maxMachines)}
			}
			shapes = append(shapes, shape)
		}
	}
	return shapes, nil
}

// shape goes through dstack's vm_config, so that a host means the same here and there.
func (h *Host) shape(size Size) (shape, error) {
	if size.VCPUs < 1 || size.MemoryMB < 1 || size.MemoryMB > 1<<30 {
		return shape{}, fmt.Errorf("expected vCPUs and memory, got %d and %d MiB", size.VCPUs, size.MemoryMB)
	}
	document := machine.VMConfig{
		CPUCount: size.VCPUs, MemorySize: uint64(size.MemoryMB) << 20, PIC: h.PIC, QEMUVersion: h.QEMU, PCIHole64Size: h.PCIHole64Size,
		HugePages: h.HugePages, NumGPUs: h.GPUs, NumNVSwitches: h.NVSwitches, HotplugOff: h.HotplugOff, HostShareMode: string(h.HostShare),
		NumNICs: h.NICs, NumVerityVolumes: h.VerityVolumes, SWTPM: h.TPM,
	}
	if h.QEMU == "" {
		return shape{}, errors.New("qemu_version: expected a release, got none")
	}
	m, err := document.Machine()
	if err != nil {
		return shape{}, err
	}
	if h.TDX != "" {
		m.TDX = h.TDX
	}
	if h.PageOrder != "" {
		m.PageAdd = h.PageOrder
	}
	if h.PhysBits != 0 {
		m.GuestPhysBits = h.PhysBits
	}
	name := fmt.Sprintf("%s-%dcpu-%dmb", h.Name, size.VCPUs, size.MemoryMB)
	return shape{NamedMachine{name, m, h.Processor}, size}, m.Validate()
}
