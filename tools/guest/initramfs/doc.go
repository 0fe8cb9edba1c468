// Package initramfs leads from the kernel to the root file system: it opens the verity device by the root hash on the measured command
// line, mounts it read-only, and hands over to the init that is inside (Dstack-TEE/dstack, os/*/initramfs*/init).
//
// The device is the host's. What is trusted of it is what the hash vouches for; a block that is not what it should be is an
// error for who reads it.
package initramfs
