package tdx

import (
	"errors"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// ErrUnsupported: the inputs describe a boot whose measurements are not modelled. The message says what to change.
var ErrUnsupported = errors.New("not supported")

// ErrInput: an input is missing or malformed.
var ErrInput = errors.New("input")

// ErrProcessor: the firmware measures what the processor is, and that was not said. A prediction with any other processor would be met by
// no machine.
var ErrProcessor = errors.New("processor is not known")

// Inputs determine all measurements. Byte slices are not copied.
type Inputs struct {
	// Firmware is the whole image given to -bios.
	Firmware []byte
	// Profile says how the firmware measures; nil has it read from the image.
	Profile *tdvf.Profile
	// Layout overrides the layout of the profile, unless it is empty.
	Layout tdvf.Layout
	// LayoutInDoubt is used where the image leaves open which of two layouts it has, unless it is empty.
	LayoutInDoubt tdvf.Layout
	layoutAssumed bool // it was used
	// PageOrder is that of the host.
	PageOrder tdvf.PageOrder

	QEMU machine.Version
	// RAM is where the machine has its memory, see [tdvf.RAM]; Memory is how much it is, in bytes.
	RAM    []tdvf.Range
	Memory uint64
	ACPI   ACPI
	FwCfg  FwCfg
	// SMBIOS is the content of etc/smbios/smbios-tables. Used by layouts C and D.
	SMBIOS []byte
	// FirmwareStrings go into SMBIOS type 0; nil takes those found in the image.
	FirmwareStrings *tdvf.Strings
	// NoFirmwareSetup: the guest is run with fw_cfg opt/org.tianocore/FirmwareSetupSupport=no.
	NoFirmwareSetup bool
	// DBEntry is the EFI_SIGNATURE_DATA (owner GUID and certificate or hash, bytes of the variable db) by which an enrolled
	// secure boot accepts the kernel.
	DBEntry []byte

	// Exactly one of the two is set.
	Direct *DirectBoot
	Disk   *DiskBoot

	// machine is that of SetMachine, with the defaults that were applied.
	machine *machine.Machine
	// noProcessor: SMBIOS was made for a processor that is none.
	noProcessor bool
}

// ACPI is what QEMU hands over as ACPI tables: the contents of fw_cfg files.
type ACPI struct {
	// Loader is etc/table-loader, with its padding.
	Loader []byte
	// Files are the files that the loader allocates, by name: etc/acpi/rsdp, etc/acpi/tables, and with a TPM etc/tpm/log.
	Files map[string][]byte
}

// FwCfg holds the fw_cfg items that layouts C and D measure, as the guest reads them. An empty item does not exist.
type FwCfg struct {
	ExtraPCIRoots     []byte // etc/extra-pci-roots, 8 bytes
	BootMenu          []byte // selector 0x000E, 2 bytes; measured as zero when empty
	BootMenuWait      []byte // etc/boot-menu-wait, 2 bytes
	ReservedMemoryEnd []byte // etc/reserved-memory-end, 8 bytes
	PCIMMIO64MB       []byte // opt/ovmf/X-PciMmio64Mb
	BootOrder         []byte // bootorder
}

// StubEvents says what the EFI stub of the kernel measures into RTMR2.
type StubEvents string

// What kernels measure. The zero value decides by the version in the kernel's header: nothing before 6.9, all from then on.
const (
	StubAuto        StubEvents = ""
	StubNothing     StubEvents = "nothing"
	StubLoadOptions StubEvents = "load-options"
	StubAll         StubEvents = "all"
)

// DirectBoot is a boot with -kernel.
type DirectBoot struct {
	// Kernel is a bzImage or a UKI.
	Kernel []byte
	// Initrd is the file given to -initrd; HasInitrd says that there is one.
	Initrd    []byte
	HasInitrd bool
	// Cmdline is the text given to -append.
	Cmdline string
	// Normalized: the firmware fills in the kernel's header itself before it measures, see package pe.
	Normalized bool
	Stub       StubEvents
}

// DiskBoot is a boot of a UKI from a disk with a GUID partition table.
type DiskBoot struct {
	// Table is the beginning of the disk, with the partition table.
	Table []byte
	// Loader is the EFI application that the firmware starts: a UKI.
	Loader []byte
	// Devices are the boot options of devices, in the order in which the firmware enumerates them.
	Devices []DeviceOption
	// BootOrder overrides the order of boot options, by their numbers; nil is ascending.
	BootOrder []uint16
	Stub      StubEvents
}

// DeviceOption is the boot option that firmware makes for a device.
type DeviceOption struct {
	Description string
	// DevicePath is the binary path including its end node.
	DevicePath []byte
}

// Input names what an event comes from.
type Input string

// The inputs of events.
const (
	FromFirmware  Input = "firmware image"
	FromMemory    Input = "memory size"
	FromVariables Input = "firmware variables"
	FromFwCfg     Input = "fw_cfg items"
	FromACPI      Input = "ACPI tables"
	FromSMBIOS    Input = "SMBIOS tables"
	FromBoot      Input = "boot options"
	FromKernel    Input = "kernel"
	FromCmdline   Input = "kernel command line"
	FromInitrd    Input = "initrd"
	FromDisk      Input = "disk"
	FromGuest     Input = "guest" // what dstack's guest measures of an application, into RTMR3
	FromNothing   Input = "constant"
)

// Event is one measurement in a register.
type Event struct {
	Register eventlog.Register  `json:"register"`
	Type     eventlog.EventType `json:"type"`
	Name     string             `json:"name"`
	Input    Input              `json:"input"`
	Digest   eventlog.Digest    `json:"digest"`
	// Value is the content of the register after the event.
	Value eventlog.Digest `json:"value"`

	// guest is the name of an event that dstack's guest measured.
	guest string
}

// Prediction is the result of [Predict].
type Prediction struct {
	MRTD  eventlog.Digest
	RTMR0 eventlog.Digest
	RTMR1 eventlog.Digest
	RTMR2 eventlog.Digest
	// Events are in the order of the registers; within a register they are in the order of extension.
	Events []Event
	// Profile is what was assumed about the firmware.
	Profile *tdvf.Profile
	// Machine is the shape that [Inputs.SetMachine] was given, nil if it was not called.
	Machine *machine.Machine
	// Notes are conditions that the prediction depends on and that the inputs do not show.
	Notes []string
}
