// Package registers holds the guest's measurement registers: what the TDX module measured before it, RTMR3, which it extends itself, and
// the quotes over all of them.
//
// There are two kinds. A TD's own are those of the TDX module, through Linux (Documentation/ABI/testing/configfs-tsm-report and
// sysfs-devices-virtual-misc-tdx_guest). In the development flavour, with build tag simtee, they are simulated over what the real firmware
// measured into a TPM. No program has both, and the one never stands in for the other.
package registers
