// Package acpi generates, byte for byte, what QEMU's q35 machine hands to firmware about its hardware: the fw_cfg files
// etc/acpi/tables, etc/table-loader and etc/acpi/rsdp, and the small files beside them that edk2 measures. A trust domain's
// firmware extends RTMR0 with their digests, so that whoever can generate them can predict RTMR0 without QEMU.
//
// [Build] writes every table from a [machine.Machine]; nothing is stored or patched. The AML of the DSDT is made of [term]
// values, which are encoded bytes: each constructor in aml.go and resource.go is one production of the ACPI grammar, and since
// AML is a prefix code, a composite term is the concatenation of its parts. Terms that are the same in every machine are made
// once.
//
// References, as ACPI x.y for sections of the ACPI Specification 6.5: 20.2 AML grammar, 6.4 resource data types, 5.2.5 RSDP,
// 5.2.7 RSDT, 5.2.9 FADT, 5.2.10 FACS, 5.2.12 MADT, 5.2.16 SRAT; PCI Firmware Specification 3.3 section 4.1.2 (MCFG), 4.6.7
// (_DSM for naming devices); IA-PC HPET 1.0a section 3.2.4; TCG ACPI Specification 1.4 (TPM2); TCG PC Client Physical Presence
// Interface 1.3; Windows ACPI Emulated Devices Table 1.0. What QEMU puts into them was learnt from its behaviour (the vectors
// and the differential test in this package) and from its sources: hw/i386/acpi-build.c, hw/i386/acpi-common.c,
// hw/acpi/{aml-build,cpu,pci,pcihp,tpm,bios-linker-loader}.c, hw/isa/lpc_ich9.c, hw/acpi/ich9.c, hw/pci-host/q35.c. No code is taken from there.
//
// The state that tables describe is that of a machine whose firmware (OVMF) has set up the ECAM window and the power
// management block and has assigned addresses, since QEMU rebuilds the tables when firmware first reads one.
package acpi
