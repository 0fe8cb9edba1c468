package tdvf

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// GUID is in the byte order of UEFI structures: the first three fields are little-endian, the rest is as written.
type GUID [16]byte

// String returns the usual form, 8-4-4-4-12 lower-case hexadecimal digits.
func (g GUID) String() string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x",
		binary.LittleEndian.Uint32(g[0:]), binary.LittleEndian.Uint16(g[4:]), binary.LittleEndian.Uint16(g[6:]), g[8:10], g[10:])
}

// mustGUID converts a literal of this package.
func mustGUID(s string) GUID {
	raw, err := hex.DecodeString(s[0:8] + s[9:13] + s[14:18] + s[19:23] + s[24:])
	if err != nil || len(raw) != 16 {
		panic("tdvf: bad GUID literal " + s)
	}
	g := GUID(raw)
	binary.LittleEndian.PutUint32(g[0:], binary.BigEndian.Uint32(raw[0:]))
	binary.LittleEndian.PutUint16(g[4:], binary.BigEndian.Uint16(raw[4:]))
	binary.LittleEndian.PutUint16(g[6:], binary.BigEndian.Uint16(raw[6:]))
	return g
}
