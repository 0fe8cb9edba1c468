package smbios

import (
	"bytes"
	"errors"
	"fmt"
)

// ErrTable: a structure table is malformed, or lacks what firmware would add.
var ErrTable = errors.New("SMBIOS table")

// maxTable bounds a structure table, in bytes.
const maxTable = 1 << 20

// Firmware are PcdFirmwareVendor, PcdFirmwareVersionString and PcdFirmwareReleaseDateString of an edk2 build; empty ones are
// given as "unknown".
type Firmware struct{ Vendor, Version, Date string }

// field is a field that the measurement leaves out: text becomes blanks and its index zero, anything else becomes zero.
type field struct {
	offset, size int
	text         bool
}

// filtered lists what edk2 leaves out by type; an empty list means everything after the header
// (MdeModulePkg/Universal/SmbiosMeasurementDxe, mSmbiosFilterStandardTableBlackList).
var filtered = map[byte][]field{
	typeSystem:    {{0x07, 1, true}, {0x08, 16, false}, {0x18, 1, false}},
	typeBoard:     {{0x07, 1, true}, {0x0A, 1, true}},
	typeEnclosure: {{0x07, 1, true}, {0x08, 1, true}},
	// Voltage, current speed and the counts of cores and threads, beside texts.
	typeProcessor: {
		{0x20, 1, true}, {0x21, 1, true}, {0x22, 1, true}, {0x23, 1, false}, {0x24, 1, false}, {0x25, 1, false},
		{0x2A, 2, false}, {0x2C, 2, false}, {0x2E, 2, false}, {0x11, 1, false}, {0x16, 2, false},
	},
	11:         nil, // OEM strings
	15:         nil, // system event log
	typeDevice: {{0x18, 1, true}, {0x19, 1, true}, {0x1A, 1, true}},
	18:         nil,                                                   // 32-bit memory error
	22:         {{0x07, 1, true}, {0x10, 2, false}, {0x12, 2, false}}, // battery
	23:         {{0x05, 2, false}},                                    // system reset
	27:         {{0x0C, 2, false}},                                    // cooling device
	31:         nil,                                                   // boot integrity services
	33:         nil,                                                   // 64-bit memory error
	39:         {{0x08, 1, true}, {0x09, 1, true}, {0x0A, 1, true}},   // power supply
}

// first returns the first structure of a table with its strings.
func first(table []byte) ([]byte, error) {
	if len(table) < headerSize || int(table[1]) < headerSize || len(table) < int(table[1])+2 {
		return nil, fmt.Errorf("%w: structure cut short", ErrTable)
	}
	end := bytes.Index(table[table[1]:], []byte{0, 0})
	if end < 0 {
		return nil, fmt.Errorf("%w: structure of type %d has no end", ErrTable, table[0])
	}
	return table[:int(table[1])+end+2], nil
}

// Guest returns the table that the operating system finds: QEMU's, with the firmware's own structure unless QEMU has one of that type.
// The strings may be nil in that case only. Errors wrap [ErrTable].
func Guest(qemu []byte, f *Firmware) ([]byte, error) {
	if len(qemu) == 0 || len(qemu) > maxTable {
		return nil, fmt.Errorf("%w: expected 1 to %d bytes of etc/smbios/smbios-tables, got %d", ErrTable, maxTable, len(qemu))
	}
	var out []byte
	hasFirmware, ended := false, false
	for len(qemu) > 0 && !ended {
		s, err := first(qemu)
		if err != nil {
			return nil, err
		}
		qemu = qemu[len(s):]
		if ended = s[0] == typeEnd; !ended {
			hasFirmware = hasFirmware || s[0] == typeFirmware
			out = append(out, s...)
		}
	}
	if !ended {
		return nil, fmt.Errorf("%w: no end structure", ErrTable)
	}
	if !hasFirmware {
		if f == nil {
			return nil, fmt.Errorf("%w: the firmware's vendor, version and release date are needed for type 0 and were not found in the image", ErrTable)
		}
		out = append(out, serialize([]structure{firmwareStructure(f)})...)
	}
	return append(out, serialize([]structure{{kind: typeEnd, handle: handleEnd}})...), nil
}

// Measured returns the bytes that the firmware hashes: the guest's table with the fields blanked that differ between equal machines. It
// takes what [Guest] takes.
func Measured(qemu []byte, f *Firmware) ([]byte, error) {
	table, err := Guest(qemu, f)
	if err != nil {
		return nil, err
	}
	for rest := table; len(rest) > 0; {
		s, err := first(rest)
		if err != nil {
			return nil, err
		}
		rest = rest[len(s):]
		blank(s)
	}
	return table, nil
}

// blank blanks the fields of a structure in place. A field beyond the end of the structure is not there.
func blank(s []byte) {
	fields, listed := filtered[s[0]]
	if s[0] >= typeOEM || listed && len(fields) == 0 {
		clear(s[headerSize:])
		return
	}
	for _, f := range fields {
		if f.offset+f.size > int(s[1]) {
			continue
		}
		if f.text {
			blankText(s[s[1]:], int(s[f.offset]))
		}
		clear(s[f.offset : f.offset+f.size])
	}
}

// blankText overwrites the n-th string, counted from 1.
func blankText(text []byte, n int) {
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

// firmwareStructure is OVMF's own (OvmfPkg/SmbiosPlatformDxe).
func firmwareStructure(f *Firmware) structure {
	s := structure{kind: typeFirmware, handle: typeFirmware}
	s.str(orDefault(f.Vendor, "unknown"))
	s.str(orDefault(f.Version, "unknown"))
	s.u16(0xe800) // segment
	s.str(orDefault(f.Date, "unknown"))
	s.bytes(0)          // ROM size
	s.u64(1 << 3)       // characteristics not supported
	s.bytes(0, 0x1c)    // updatable by the system's maker, UEFI, a virtual machine
	s.bytes(0, 0)       // release
	s.bytes(0xff, 0xff) // no embedded controller
	s.u16(0)            // extended ROM size
	return s
}
