// Package verity writes and reads dm-verity hash trees behind the data they are about, with the superblock of veritysetup, format
// version 1 with SHA-256 (Linux, Documentation/admin-guide/device-mapper/verity.rst; cryptsetup, lib/verity/verity.c). The root
// [Digest] is the whole of what has to be trusted: it vouches for the tree, and the tree for each block of data.
//
// It does not vouch for the superblock. Whoever opens a device also has to know where the data ends, which [ReadSuperblock] asks for.
package verity
