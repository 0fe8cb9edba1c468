package machine

// TDX says whose TDX support QEMU has. It is a property of the code base, not of the release number.
type TDX string

const (
	// TDXUpstream is QEMU as released (10.1 and later), and any machine that is no trust domain: level-triggered interrupts.
	TDXUpstream TDX = "upstream"
	// TDXDownstream is the code before its acceptance (Canonical's 8.2.2+tdx, Intel's 8.x and 9.x): every interrupt is
	// described as edge triggered, because end-of-interrupt cannot be intercepted there.
	TDXDownstream TDX = "downstream"
)

// PageAdd is the order in which the VMM adds and measures the firmware's pages.
type PageAdd string

const (
	// OnePass measures each page as it is added (upstream Linux 6.16 and QEMU 10.1, and later; Canonical's 9.x).
	OnePass PageAdd = "one-pass"
	// TwoPass adds all pages of a section, then measures them (Canonical's and Intel's 8.x).
	TwoPass PageAdd = "two-pass"
)

// HostShare is the way in which the host hands files to the guest.
type HostShare string

const (
	ShareNone  HostShare = "none"
	Share9P    HostShare = "9p"
	ShareVVFAT HostShare = "vvfat"
	ShareVHD   HostShare = "vhd"
)

// TPM is the model of a TPM 2.0 device.
type TPM string

const (
	TPMNone TPM = ""
	TPMTIS  TPM = "tpm-tis"
	TPMCRB  TPM = "tpm-crb"
)

// Machine is what QEMU is told. See Default for a machine to start from, and Validate for the limits. Its JSON form has the names of the
// command line's flags; what is empty and has a default may be left out.
type Machine struct {
	// CPUs is the number of vCPUs that are there at start.
	CPUs int `json:"cpus"`
	// MaxCPUs is the number of vCPUs that there can be; 0 means CPUs. Tables describe every possible vCPU.
	MaxCPUs int `json:"max_cpus,omitempty"`
	// Memory is the size of RAM in bytes.
	Memory uint64 `json:"memory"`

	// QEMU is the release that runs the machine.
	QEMU Version `json:"qemu"`
	// Backports are features of later releases that this QEMU has nevertheless.
	Backports []Feature `json:"qemu_features,omitempty"`
	// TDX says which TDX support it has; empty means TDXUpstream.
	TDX TDX `json:"tdx,omitempty"`
	// PageAdd is the order of page addition; empty means TwoPass for QEMU 8.x, OnePass for others.
	PageAdd PageAdd `json:"page_order,omitempty"`

	// RootDisk is the disk with the root file system.
	RootDisk bool `json:"root_disk"`
	// DataDisk is the disk for data.
	DataDisk bool `json:"data_disk"`
	// VerityVolumes is the number of further read-only disks.
	VerityVolumes int `json:"verity_volumes"`
	// NICs is the number of network devices.
	NICs int `json:"nics"`
	// VSock is the device for sockets between host and guest.
	VSock bool `json:"vsock"`
	// HostShare is how files come from the host; empty means ShareNone.
	HostShare HostShare `json:"share,omitempty"`
	// GPUs is the number of GPUs, each behind a root port of its own.
	GPUs int `json:"gpus"`
	// NVSwitches is the number of NVSwitch bridges, each behind a root port of its own.
	NVSwitches int `json:"nvswitches"`
	// NUMA are the nodes of memory and CPUs. dstack-vmm makes nodes when it uses huge pages. Empty means none.
	NUMA []NUMANode `json:"numa,omitempty"`
	// Extra are further devices, after all others on the command line.
	Extra []Device `json:"devices,omitempty"`

	// HotplugOff is ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off.
	HotplugOff bool `json:"hotplug_off"`
	// PCIHole64Size is q35-pcihost.pci-hole64-size; 0 means QEMU's default, 32 GiB.
	PCIHole64Size uint64 `json:"pci_hole64_size,omitempty"`
	// GuestPhysBits is the width of guest physical addresses that firmware uses. It decides where firmware puts 64-bit BARs.
	GuestPhysBits int `json:"phys_bits,omitempty"`
	// BAR64Base overrides GuestPhysBits: the lowest address that firmware gives to a 64-bit BAR or prefetchable window.
	BAR64Base uint64 `json:"bar64_base,omitempty"`
	// BAR64End is the end of the highest 64-bit BAR or prefetchable window. 0 means that it is within the 64-bit PCI window.
	BAR64End uint64 `json:"bar64_end,omitempty"`
	// NoBAR64 says that no device has a 64-bit BAR, or that firmware assigned none.
	NoBAR64 bool `json:"no_bar64"`

	// PIC is the legacy interrupt controller. A trust domain has none, downstream QEMU 8.x says that it has.
	PIC bool `json:"pic"`
	// SMM is system management mode. A trust domain has none.
	SMM bool `json:"smm"`
	// SMICPUHotplug says that firmware handles CPU hotplug in SMM, as an OVMF built with SMM_REQUIRE does.
	SMICPUHotplug bool `json:"smi_cpu_hotplug"`
	// HPET is the high precision event timer.
	HPET bool `json:"hpet"`
	// Serial is the first serial port.
	Serial bool `json:"serial"`
	// TPM is the TPM device.
	TPM TPM `json:"tpm,omitempty"`

	// DirectBoot says that QEMU loads a kernel (-kernel).
	DirectBoot bool `json:"direct_boot"`
	// BootOrder are the firmware paths of devices with a bootindex, in order.
	BootOrder []string `json:"boot_order,omitempty"`
	// MachineType is the name of the versioned machine type; empty means "pc-q35-" and the first two numbers of QEMU's release.
	MachineType string `json:"machine_type,omitempty"`
}

// NUMANode is a node of memory and CPUs, with the GPUs near it.
type NUMANode struct {
	// CPUs is the number of vCPUs of the node. Nodes take vCPUs in order.
	CPUs int
	// Memory is the size of the node's RAM in bytes.
	Memory uint64
	// Expander says that the node has a PCI expander bus (pxb-pcie), as it must to have GPUs.
	Expander bool
	// GPUs is how many of the machine's GPUs are on the node's expander bus.
	GPUs int
	// Resources is what firmware assigned to the expander bus. Nil means nothing: the tables are those of a machine whose
	// firmware reads them before it assigns resources, which is what dstack-mr computes.
	Resources *BusResources
}

// BusResources is what firmware assigned to the devices of an expander bus.
type BusResources struct {
	// LastBus is the highest bus number below the expander.
	LastBus uint8
	// IO, Mem32 and Mem64 are the address ranges of BARs and bridge windows. Ranges that touch are merged, as QEMU does.
	IO, Mem32, Mem64 []Range
}

// Range is an address range with its last address.
type Range struct{ First, Last uint64 }

// Kind tells devices apart as far as tables do.
type Kind string

const (
	// Endpoint is any device without a bus behind it: virtio, VFIO, NVMe.
	Endpoint Kind = "endpoint"
	// RootPort is a PCI Express root port (pcie-root-port).
	RootPort Kind = "root-port"
	// Expander is a PCI Express expander (pxb-pcie).
	Expander Kind = "pxb-pcie"
)

// Device is a PCI device.
type Device struct {
	Kind Kind
	// Slot is the slot on the bus. On the root bus 0 means the first free one; behind a root port only 0 exists.
	Slot int
	// Function is the function in the slot, for slots that are given.
	Function int
	// Bus is the number of an expander's bus.
	Bus uint8
	// NUMANode is the NUMA node of an expander's bus, -1 for none.
	NUMANode int
	// Resources is what firmware assigned to an expander's bus.
	Resources *BusResources
	// Children are the devices behind a root port or on an expander bus.
	Children []Device
}

// PossibleCPUs is the number of vCPUs that tables describe.
func (m *Machine) PossibleCPUs() int {
	if m.MaxCPUs == 0 {
		return m.CPUs
	}
	return m.MaxCPUs
}

// EdgeInterrupts tells whether interrupts are described as edge triggered.
func (m *Machine) EdgeInterrupts() bool { return m.TDX == TDXDownstream }

// PageAddOrder is PageAdd with its default applied.
func (m *Machine) PageAddOrder() PageAdd {
	switch {
	case m.PageAdd != "":
		return m.PageAdd
	case m.QEMU.Major == 8:
		return TwoPass
	}
	return OnePass
}

// Default is a machine as dstack-vmm makes it for QEMU 9.2.1 when nothing is asked for: 1 vCPU, 2 GiB, root and data disk, one
// NIC, vsock, a 9p share, direct kernel boot, and guest physical addresses of 46 bits.
func Default() Machine {
	return Machine{
		CPUs: 1, Memory: 2 << 30, QEMU: Version{9, 2, 1},
		RootDisk: true, DataDisk: true, NICs: 1, VSock: true, HostShare: Share9P,
		GuestPhysBits: 46, Serial: true, DirectBoot: true,
	}
}
