// Package smbios generates the SMBIOS structure table that QEMU's q35 machine hands to firmware (fw_cfg file
// etc/smbios/smbios-tables) and what OVMF measures of it: since edk2-stable202505 firmware extends RTMR0 with the digest of the
// table after it has added its own structure and blanked the fields that differ between equal machines.
//
// Two inputs are not in the shape of a machine and are fields of [Options]: the processor's signature and features, which with
// -cpu host are the host's, and the firmware's vendor, version and date.
//
// References: DMTF DSP0134 3.7 (SMBIOS; "7.x" in comments); what QEMU fills in was learnt from its output and from
// hw/smbios/smbios.c and hw/i386/pc_q35.c there, what firmware blanks from MdeModulePkg/Universal/SmbiosMeasurementDxe in edk2.
package smbios
