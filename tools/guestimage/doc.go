// Package guestimage assembles and reads dstack guest images: a folder with firmware, kernel, initramfs and a read-only root file
// system whose hash tree stands behind it, in the form that dstack-vmm and dstack's verifier take (Dstack-TEE/dstack, os/image and
// dstack/vmm/src/app/image.rs).
//
// [Build] is a function of a [Definition], locked Debian packages, our guest program and a CA bundle; both build paths, Nix and plain
// Go, end in it. [Inspect] believes nothing that an image says of itself: every file is hashed, every block of the root file system is
// checked against the command line, and what dstack's measurement says is computed again. [Import] takes an image that somebody else
// built, if it has the digest that was asked for.
//
// The layout is that of dstack 0.6: one partition named dstack-rootfs. dstack-vmm from 0.5 on starts it too, because it reads the name of
// the root file system from metadata.json and leaves finding it to the image's own initramfs.
package guestimage
