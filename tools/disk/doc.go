// Package disk describes what a file system is made of, before any file system is: a [Tree] of folders, files, links, device nodes and
// FIFOs, checked and in one order. The packages below it write trees and devices, each one format, and each with output that is a pure
// function of the input: cpio (an initramfs), squashfs (the read-only root), verity (the hash tree over it), gpt (the partition table),
// fat (the EFI system partition), uki (the program on that). Package dm opens a verity device in a running kernel.
//
// No package reads a clock, an environment, a user's database or the order of a folder. Times are given as one number for everything.
package disk
