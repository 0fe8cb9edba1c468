//go:build linux

// Command guest is the init of the virtual machine of an acceptance test: it opens disks through dm-verity, mounts what is on them as
// squashfs, lists it with digests of all files, and powers off. The command line says which disks: open=NAME,DEVICE,SIZE,ROOT for each.
// A listing is one line: "@", name, gzip in base64. The line "@done" is the last.
package main
