// Package machine is the one description of a virtual machine that every part of the measurement predictor works from: what
// QEMU was told, and what the firmware finds because of it.
//
// A [Machine] is plain data. [Machine.Validate] refuses what QEMU would refuse and what this predictor does not model, as a
// [FieldError] that names the field, what was expected and what came. Nothing is guessed: a value that the tables depend on
// and that cannot be known from the shape (the width of guest physical addresses, what firmware assigned to an expander bus)
// is a field.
//
// The shape of dstack-vmm is first class: [Default] gives its defaults, [FromVMConfig] reads the JSON document that its guests
// return beside a quote, and [Machine.Devices] places devices on slots in the order of its QEMU command line
// (dstack/vmm/src/app/qemu.rs). [Machine.Extra] takes any further devices, for machines that are no dstack machines.
//
// What differs between QEMU releases is a [Feature]: it belongs to a release by number, or to a package of a distribution that
// carries it as a backport ([Machine.Backports]).
//
// Facts of QEMU used here: RAM is split at 2.75 GiB (hw/i386/pc_q35.c, pc_q35_init), the 64-bit PCI window is 32 GiB by default
// (include/hw/pci-host/q35.h, Q35_PCI_HOST_HOLE64_SIZE_DEFAULT), a device without an address takes the first free slot
// (hw/pci/pci.c, do_pci_register_device), an address is hexadecimal (hw/core/qdev-properties-system.c, set_pci_devfn). Facts of
// edk2: the 64-bit window is the top eighth of the guest's address space (OvmfPkg/Library/PlatformInitLib/MemDetect.c).
package machine
