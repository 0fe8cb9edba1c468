// Package squashfs writes a read-only file system in the format squashfs 4.0 with zstd, as the kernel reads it
// (Linux, fs/squashfs/squashfs_fs.h; Documentation/filesystems/squashfs.rst).
//
// Like mksquashfs it stores equal files once, blocks of zeros as holes, and files shorter than a block together in fragment blocks.
// There are no extended attributes, and ends of long files are blocks of their own. Blocks are compressed at the same time and written
// in the order of the tree, so that the bytes depend on the tree, the options and the [Version], and not on the machine.
//
// The compressor is that of github.com/klauspost/compress at the version that go.mod names. TestGolden fixes the SHA-256 of images of
// synthetic trees; a new version of the compressor that moves a digest is a new Version here.
package squashfs

// Version identifies the mapping from trees to bytes. It is raised by every change after which some tree has other bytes.
const Version = 1
