package squashfs

import "encoding/binary"

// The superblock and its values (squashfs_fs.h, struct squashfs_super_block). All numbers are little-endian.
const (
	magic          = 0x73717368
	major, minor   = 4, 0
	superblockSize = 96
	zstdID         = 6
	// flags: equal files are stored once, there is a table for NFS handles, there are no extended attributes.
	flags = 0x0040 | 0x0080 | 0x0200
	none  = 1<<64 - 1
)

const (
	// metadataBlock is the size of metadata before compression.
	metadataBlock = 8192
	// storedMetadata marks a metadata block, and storedData a data block, that is not compressed.
	storedMetadata = 1 << 15
	storedData     = 1 << 24

	minBlock, maxBlock = 4 << 10, 1 << 20
	// pad is what images are padded to: the kernel reads devices in pages.
	pad = 4096
	// maxIDs is what the 16-bit number of owners in the superblock holds.
	maxIDs = 1<<16 - 1
)

// Types of inodes. A directory entry always has the basic one.
const (
	basicFolder    = 1
	basicFile      = 2
	basicSymlink   = 3
	basicBlock     = 4
	basicChar      = 5
	basicFIFO      = 6
	extendedFolder = 8
	extendedFile   = 9
)

const (
	// noFragment and noXattr stand for "none" in an inode.
	noFragment = 1<<32 - 1
	noXattr    = 1<<32 - 1
	// maxRun is how many entries one header of a directory may have (SQUASHFS_DIR_COUNT).
	maxRun = 256
	// dots is what the size of a directory counts for "." and "..".
	dots = 3
)

type superblock struct {
	inodes, time, blockSize, fragments              uint32
	ids                                             uint16
	root                                            uint64
	bytes                                           uint64
	idTable, inodeTable, folderTable, fragmentTable uint64
	exportTable                                     uint64
}

func (s *superblock) encode() []byte {
	b := make([]byte, 0, superblockSize)
	u16 := func(v uint16) { b = binary.LittleEndian.AppendUint16(b, v) }
	u32 := func(v uint32) { b = binary.LittleEndian.AppendUint32(b, v) }
	u64 := func(v uint64) { b = binary.LittleEndian.AppendUint64(b, v) }
	u32(magic)
	u32(s.inodes)
	u32(s.time)
	u32(s.blockSize)
	u32(s.fragments)
	u16(zstdID)
	u16(log2(s.blockSize))
	u16(flags)
	u16(s.ids)
	u16(major)
	u16(minor)
	u64(s.root)
	u64(s.bytes)
	u64(s.idTable)
	u64(none) // extended attributes
	u64(s.inodeTable)
	u64(s.folderTable)
	u64(s.fragmentTable)
	u64(s.exportTable)
	return b
}

func log2(n uint32) uint16 {
	var l uint16
	for n > 1 {
		n >>= 1
		l++
	}
	return l
}
