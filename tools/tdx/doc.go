// Package tdx predicts the measurements of a TDX guest that QEMU boots with OVMF: MRTD and RTMR0 to RTMR2, event by event, from
// the files and settings that determine them. Nothing is run and nothing is looked up: [Predict] is a function of its [Inputs].
//
// What happens in which register:
//
//   - MRTD: the firmware image, by the host, before the guest runs (package tdvf);
//   - RTMR0: what the host hands to the firmware (memory map, variables, fw_cfg items, ACPI and SMBIOS tables) and boot options;
//   - RTMR1: the images that the firmware starts (package pe), and how it leaves the stage;
//   - RTMR2: what systemd-stub and the EFI stub of Linux 6.9 and later start with: UKI sections, command line, initrd;
//   - RTMR3: nothing, that is for applications.
//
// Events and their order follow edk2 (OvmfPkg, MdeModulePkg, SecurityPkg) in four layouts, see [tdvf.Layout]. The sources of each
// digest rule are named in the code. Lists of events from a prediction, a CC event log or a TPM log can be compared with [Diff].
package tdx
