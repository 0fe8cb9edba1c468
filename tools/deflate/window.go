package deflate

import "encoding/binary"

// window holds a chunk's dictionary and data. They fill a power of two, so that
// a load reduces its index, which never changes it, instead of checking it; this
// is worth a tenth of the running time. The 8 bytes after them are reached by
// 64-bit loads, have any value, and are not part of the data.
type window [windowLen + 8]byte

const windowLen = 1 << 19

func (w *window) load32(i int) uint32 {
	i &= windowLen - 1
	return binary.LittleEndian.Uint32(w[i : i+4])
}

func (w *window) load64(i int) uint64 {
	i &= windowLen - 1
	return binary.LittleEndian.Uint64(w[i : i+8])
}
