// Package cpio writes an initramfs: a cpio archive in the format "newc" as the kernel unpacks it
// (Linux, Documentation/driver-api/early-userspace/buffer-format.rst), in one gzip member of package deflate.
//
// Everything in an initramfs belongs to root and has one time. Entries stand in the order of the tree, and their inode numbers count
// them from 1; no two share one, because hard links are files with equal content.
package cpio
