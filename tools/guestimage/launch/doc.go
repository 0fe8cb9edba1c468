// Package launch runs a guest image on this machine with QEMU, with the arguments and the files that dstack-vmm gives a guest, in their
// order (Dstack-TEE/dstack, dstack/vmm/src/app/qemu.rs; dstack-types/src/shared_filenames.rs).
//
// A production image runs in a trust domain or not at all. A development image has quotes of the simulated TEE, over what the firmware
// measures into a TPM that swtpm simulates; it runs anywhere, with KVM where that is to be had.
//
// Everything that a run makes is in one folder of its own, which is gone when the run is over, as are the programs that it started.
package launch
