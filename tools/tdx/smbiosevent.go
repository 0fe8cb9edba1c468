package tdx

import (
	"bytes"
	"fmt"

	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// SMBIOS structures (DMTF DSP0134) have a type, the length of the formatted area and a u16 handle, then the formatted area, then
// strings that two NULs end.
const (
	smbiosHeader   = 4
	smbiosType0    = 0
	smbiosEnd      = 127
	smbiosOEM      = 128
	maxSMBIOSTable = 1 << 20
)

// smbiosField is a field that the measurement leaves out: text becomes blanks and its index zero, anything else becomes zero.
type smbiosField struct {
	offset, size int
	text         bool
}

// smbiosFiltered lists what edk2 leaves out by type; an empty list means everything after the header
// (MdeModulePkg/Universal/SmbiosMeasurementDxe, mSmbiosFilterStandardTableBlackList).
var smbiosFiltered = map[byte][]smbiosField{
	1:  {{0x07, 1, true}, {0x08, 16, false}, {0x18, 1, false}},
	2:  {{0x07, 1, true}, {0x0A, 1, true}},
	3:  {{0x07, 1, true}, {0x08, 1, true}},
	4:  {{0x20, 1, true}, {0x21, 1, true}, {0x22, 1, true}, {0x23, 1, false}, {0x24, 1, false}, {0x25, 1, false}, {0x2A, 2, false}, {0x2C, 2, false}, {0x2E, 2, false}, {0x11, 1, false}, {0x16, 2, false}},
	11: nil,
	15: nil,
	17: {{0x18, 1, true}, {0x19, 1, true}, {0x1A, 1, true}},
	18: nil,
	22: {{0x07, 1, true}, {0x10, 2, false}, {0x12, 2, false}},
	23: {{0x05, 2, false}},
	27: {{0x0C, 2, false}},
	31: nil,
	33: nil,
	39: {{0x08, 1, true}, {0x09, 1, true}, {0x0A, 1, true}},
}

// smbiosStructure returns the first structure of a table with its strings.
func smbiosStructure(table []byte) ([]byte, error) {
	if len(table) < smbiosHeader || int(table[1]) < smbiosHeader || len(table) < int(table[1])+2 {
		return nil, fmt.Errorf("%w: SMBIOS structure cut short", ErrInput)
	}
	end := bytes.Index(table[table[1]:], []byte{0, 0})
	if end < 0 {
		return nil, fmt.Errorf("%w: SMBIOS structure of type %d has no end", ErrInput, table[0])
	}
	return table[:int(table[1])+end+2], nil
}

// measuredSMBIOS returns the bytes that the firmware hashes: the structures of QEMU and of OVMF (OvmfPkg/SmbiosPlatformDxe),
// filtered.
func measuredSMBIOS(qemu []byte, firmware *tdvf.Strings) ([]byte, error) {
	if len(qemu) == 0 || len(qemu) > maxSMBIOSTable {
		return nil, fmt.Errorf("%w: SMBIOS tables of %d bytes; this firmware measures etc/smbios/smbios-tables", ErrInput, len(qemu))
	}
	var out []byte
	hasType0, ended := false, false
	for len(qemu) > 0 && !ended {
		s, err := smbiosStructure(qemu)
		if err != nil {
			return nil, err
		}
		qemu = qemu[len(s):]
		if ended = s[0] == smbiosEnd; !ended {
			hasType0 = hasType0 || s[0] == smbiosType0
			out = append(out, s...)
		}
	}
	if !ended {
		return nil, fmt.Errorf("%w: SMBIOS tables without an end structure", ErrInput)
	}
	if !hasType0 {
		if firmware == nil {
			return nil, fmt.Errorf("%w: the firmware's vendor, version and release date are needed for SMBIOS type 0 and were not found in the image", ErrInput)
		}
		out = append(out, type0(firmware)...)
	}
	filterSMBIOS(out)
	// edk2 gives its end structure the handle 0xFEFF (MdeModulePkg/Universal/SmbiosDxe).
	return append(out, smbiosEnd, smbiosHeader, 0xFF, 0xFE, 0, 0), nil
}

// type0 is OVMF's BIOS information structure (mOvmfSmbiosType0): three strings, segment 0xE800, 64 KiB, "BIOS characteristics not
// supported", UEFI and virtual machine.
func type0(s *tdvf.Strings) []byte {
	b := []byte{smbiosType0, 26, 0, 0, 1, 2, 0x00, 0xE8, 3, 0, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0x1C, 0, 0, 0xFF, 0xFF, 0, 0}
	for _, text := range []string{s.Vendor, s.Version, s.ReleaseDate} {
		b = append(append(b, text...), 0)
	}
	return append(b, 0)
}

// filterSMBIOS changes the table in place; its structures are complete.
func filterSMBIOS(table []byte) {
	for len(table) > 0 {
		s, err := smbiosStructure(table)
		if err != nil {
			return
		}
		table = table[len(s):]
		fields, listed := smbiosFiltered[s[0]]
		if s[0] >= smbiosOEM || listed && len(fields) == 0 {
			clear(s[smbiosHeader:])
			continue
		}
		for _, f := range fields {
			if f.offset+f.size > int(s[1]) {
				continue
			}
			if f.text {
				blank(s[s[1]:], int(s[f.offset]))
			}
			clear(s[f.offset : f.offset+f.size])
		}
	}
}

// blank overwrites the n-th string, counted from 1.
func blank(text []byte, n int) {
	for i := 1; n > 0 && len(text) > 0; i++ {
		end := bytes.IndexByte(text, 0)
		if end <= 0 {
			return
		}
		if i == n {
			for j := range text[:end] {
				text[j] = ' '
			}
			return
		}
		text = text[end+1:]
	}
}
