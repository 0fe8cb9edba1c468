// Package guest is the program of the confidential VM: process 1, from the initramfs to the running application, as a sequence of steps
// (Dstack-TEE/dstack, os/common/rootfs/dstack-prepare.sh, dstack/dstack-util/src/system_setup.rs and os/common/rootfs/app-compose.sh).
//
// Everything that comes from the host is untrusted. A step that finds something else than it expects ends the boot: the reason is written
// to the console, and the machine is powered off. The order of the steps makes sure that this comes before there are secrets: what was
// read is checked, then measured into RTMR3, one event at a time when it has become true, and only then are keys made. Everything that the
// application stores is in memory, which the TEE encrypts; there is no data disk. A host that listens is told of each step.
//
// With secure_time the clock is set once there is a network, by package securetime. That is after the application is measured, and before it in
// dstack, where nothing of it is measured either.
//
// The guest ends when its power button is pressed, when the host asks it to over vsock, and when its container engine has ended.
//
// Not built yet, and refused: the key providers kms, local and tpm, an encrypted environment, encrypted data disks, and dstack's
// gateway. Scripts of an app-compose.json are refused because there is no shell, on purpose.
//
// # What the image has to hold
//
// The initramfs: this program as init, the device dev/console (5:1), and the modules of [modules.Initramfs] with the files that package depmod
// writes. It needs no other folder.
//
// The root file system, which is read-only: this program as sbin/init; the modules of [modules.Root] and of [modules.TDX] or
// [modules.Simulated]; empty folders dev, dstack, proc, run, sys, tmp and var; etc/resolv.conf as a link to /run/resolv.conf; etc/passwd and
// etc/group with root; the certificates of authorities, for registries and time servers; usr/bin/containerd with its shim, usr/bin/runc, usr/sbin/dockerd,
// usr/bin/docker-init, usr/libexec/docker/cli-plugins/docker-compose, and iptables and ip6tables on the path, which Debian links to
// xtables-nft-multi in a maintainer script.
//
// What the kernel has to have stands in images/guest/image.json, each option with its reason; in a TD it has to be Linux 6.16 or later, which
// extends RTMRs.
package guest
