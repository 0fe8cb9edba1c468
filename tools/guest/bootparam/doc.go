// Package bootparam reads the kernel command line that starts a dstack guest: where the root file system is, and which hash it must
// have (Dstack-TEE/dstack, os/image and os/*/initramfs*/init; contract: dstack.rootfs_hash, dstack.rootfs_size, dstack.rootfs_device).
//
// The command line is measured into RTMR2, so what is read here is what a verifier has seen. A parameter of dstack that this guest does
// not act on is refused rather than left aside: whoever set it expects something that would not happen.
package bootparam
