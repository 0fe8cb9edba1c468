// Package difference says what differs between an artifact as it was published and as somebody built it, not only that it does.
//
// A place in an artifact has a path, outermost first: the file, the layer of an image, the file in the layer, the section of a program, the
// member of a JSON document. Where bytes differ, the offset is that of the first one, in the innermost file. What is looked into: OCI
// layouts (image-spec 1.1), tar and gzip, cpio (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst), ELF programs
// with what the Go linker leaves in them (debug/buildinfo, debug/gosym), PE programs, JSON, disks with a partition table and dm-verity.
//
// Both sides are outside bytes. Sizes are bounded, and what is malformed is compared as bytes.
package difference
