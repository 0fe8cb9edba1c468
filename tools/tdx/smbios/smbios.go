package smbios

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// Options are what the table depends on beside the machine.
type Options struct {
	// System are the strings of -smbios type=1; empty ones have QEMU's defaults.
	System System
	// Processor identifies the processor.
	Processor Processor
}

// System describes the machine as a product.
type System struct {
	Manufacturer, Product, Version, Serial, SKU, Family string
	// UUID is in the byte order of the table.
	UUID [16]byte
}

// Processor is what CPUID leaf 1 says: the signature in EAX, the features in EDX.
type Processor struct{ Signature, Features uint32 }

// Table is the structure table as QEMU makes it; see [Guest] and [Measured] for what becomes of it.
type Table struct {
	// QEMU is the fw_cfg file.
	QEMU []byte
}

// Structure types.
const (
	typeFirmware  = 0
	typeSystem    = 1
	typeBoard     = 2
	typeEnclosure = 3
	typeProcessor = 4
	typeArray     = 16
	typeDevice    = 17
	typeMapped    = 19
	typeBoot      = 32
	typeEnd       = 127
	typeOEM       = 128 // and all after it
)

// Handles are the type times 0x100, plus the number of the structure.
const (
	handleArray  = 0x1000
	handleDevice = 0x1100
	handleMapped = 0x1300
	// handleGap is how many memory devices fit before the handles of what follows.
	handleGap = handleMapped - handleDevice
	// handleEnd is firmware's handle for the end of its table.
	handleEnd = 0xfeff
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40

	// maxTable32 is the longest table that an entry point of SMBIOS 2.x can name.
	maxTable32 = 0xffff
)

// Build makes the tables of a machine.
func Build(m machine.Machine, o Options) (Table, error) {
	if err := m.Validate(); err != nil {
		return Table{}, err
	}
	if err := o.check(); err != nil {
		return Table{}, err
	}
	version3 := isVersion3(&m)
	t := Table{QEMU: serialize(append(qemuStructures(&m, &o, version3), structure{kind: typeEnd, handle: typeEnd << 8}))}
	if !version3 && len(t.QEMU) > maxTable32 {
		return Table{}, &machine.FieldError{Field: "Memory", Want: "memory devices that a table of SMBIOS 2.8 can describe", Got: fmt.Sprintf("a table of %d bytes", len(t.QEMU))}
	}
	return t, nil
}

// check refuses strings that cannot be in a table.
func (o *Options) check() error {
	s := &o.System
	for _, x := range []struct{ name, value string }{
		{"Manufacturer", s.Manufacturer}, {"Product", s.Product}, {"Version", s.Version}, {"Serial", s.Serial}, {"SKU", s.SKU}, {"Family", s.Family},
	} {
		if strings.ContainsRune(x.value, 0) || len(x.value) > kib {
			return &machine.FieldError{Field: x.name, Want: "a string of up to 1024 bytes without NUL", Got: fmt.Sprintf("%q", x.value)}
		}
	}
	return nil
}

// isVersion3 tells whether QEMU makes a table of SMBIOS 3.0: always in 8.1 and 8.2; since 9.0 only when there are more cores than
// version 2 can count.
func isVersion3(m *machine.Machine) bool {
	if m.QEMU.AtLeast(9, 0, 0) {
		return m.PossibleCPUs() >= 255
	}
	return m.QEMU.AtLeast(8, 1, 0)
}

// deviceSize is the largest memory device that the machine type describes.
func deviceSize(v machine.Version) uint64 {
	switch {
	case v.AtLeast(10, 2, 0):
		return 2 * tib
	case v.AtLeast(9, 1, 0):
		return 2047 * tib
	}
	return 16 * gib
}

func machineType(m *machine.Machine) string {
	if m.MachineType != "" {
		return m.MachineType
	}
	return fmt.Sprintf("pc-q35-%d.%d", m.QEMU.Major, m.QEMU.Minor)
}

// qemuStructures are QEMU's structures without the one that ends the table.
func qemuStructures(m *machine.Machine, o *Options, version3 bool) []structure {
	name := machineType(m)
	all := []structure{systemStructure(&o.System, name), enclosureStructure(name), processorStructure(m, &o.Processor, name, version3)}

	largest := deviceSize(m.QEMU)
	devices := int((m.Memory + largest - 1) / largest)
	all = append(all, arrayStructure(m.Memory, devices))
	for i := range devices {
		all = append(all, deviceStructure(i, min(largest, m.Memory-uint64(i)*largest)))
	}
	shift := max(0, devices-handleGap)
	for i, r := range m.RAM() {
		all = append(all, mappedStructure(handleMapped+shift+i, r))
	}
	return append(all, structure{kind: typeBoot, handle: uint16(typeBoot<<8 + shift), area: make([]byte, 7)})
}

func systemStructure(o *System, name string) structure {
	s := structure{kind: typeSystem, handle: typeSystem << 8}
	s.str(orDefault(o.Manufacturer, "QEMU"))
	s.str(orDefault(o.Product, "Standard PC (Q35 + ICH9, 2009)"))
	s.str(orDefault(o.Version, name))
	s.str(o.Serial)
	s.bytes(o.UUID[:]...)
	s.bytes(6) // woken by the power switch
	s.str(o.SKU)
	s.str(o.Family)
	return s
}

func enclosureStructure(name string) structure {
	s := structure{kind: typeEnclosure, handle: typeEnclosure << 8}
	s.str("QEMU")
	s.bytes(1) // other
	s.str(name)
	s.bytes(0, 0)       // serial number, asset tag
	s.bytes(3, 3, 3, 2) // boot, power and thermal state safe; security unknown
	s.u32(0)            // OEM
	s.bytes(0, 0, 0, 0) // height, power cords, contained elements
	s.bytes(0)          // SKU
	return s
}

func processorStructure(m *machine.Machine, p *Processor, name string, version3 bool) structure {
	// All processors are cores of one socket.
	cores := uint16(m.PossibleCPUs())
	count := uint8(min(cores, 0xff))
	family := uint8(1) // other
	if m.QEMU.AtLeast(9, 0, 0) {
		family = 0xfe // see family 2
	}
	s := structure{kind: typeProcessor, handle: typeProcessor << 8}
	s.str("CPU 0")
	s.bytes(3, family) // central processor
	s.str("QEMU")
	s.u32(p.Signature)
	s.u32(p.Features)
	s.str(name)
	s.bytes(0)  // voltage
	s.u16(0)    // external clock
	s.u16(2000) // maximum and current speed in MHz
	s.u16(2000)
	s.bytes(0x41, 1) // populated and enabled; upgrade other
	for range 3 {
		s.u16(0xffff) // no cache
	}
	s.bytes(0, 0, 0)             // serial number, asset tag, part number
	s.bytes(count, count, count) // cores, enabled cores, threads
	s.u16(2)                     // characteristics unknown
	s.u16(1)                     // family 2: other
	if version3 {
		s.u16(cores)
		s.u16(cores)
		s.u16(cores)
	}
	return s
}

func arrayStructure(memory uint64, devices int) structure {
	s := structure{kind: typeArray, handle: handleArray}
	s.bytes(1, 3, 6) // location other, system memory, multi-bit error correction
	large := memory/kib >= 1<<31
	if large {
		s.u32(1 << 31)
	} else {
		s.u32(uint32(memory / kib))
	}
	s.u16(0xfffe) // no error information
	s.u16(uint16(devices))
	if large {
		s.u64(memory)
	} else {
		s.u64(0)
	}
	return s
}

func deviceStructure(i int, size uint64) structure {
	// From 32 GiB - 1 MiB on the size is in a field of its own.
	const extended = 0x7fff
	megabytes := (size + mib - 1) / mib
	s := structure{kind: typeDevice, handle: uint16(handleDevice + i)}
	s.u16(handleArray)
	s.u16(0xfffe)
	s.u16(0xffff) // widths unknown
	s.u16(0xffff)
	s.u16(uint16(min(megabytes, extended)))
	s.bytes(9, 0) // DIMM, of no set
	s.str(fmt.Sprintf("DIMM %d", i))
	s.bytes(0) // bank
	s.bytes(7) // RAM
	s.u16(2)   // detail other
	s.u16(0)   // speed
	s.str("QEMU")
	s.bytes(0, 0, 0, 0) // serial number, asset tag, part number, attributes
	if megabytes >= extended {
		s.u32(uint32(megabytes))
	} else {
		s.u32(0)
	}
	s.u64(0) // speed and voltages
	return s
}

func mappedStructure(handle int, r machine.Range) structure {
	s := structure{kind: typeMapped, handle: uint16(handle)}
	large := r.Last/kib >= 0xffffffff
	if large {
		s.u32(0xffffffff)
		s.u32(0xffffffff)
	} else {
		s.u32(uint32(r.First / kib))
		s.u32(uint32(r.Last / kib))
	}
	s.u16(handleArray)
	s.bytes(1) // one device per row
	if large {
		s.u64(r.First)
		s.u64(r.Last)
	} else {
		s.u64(0)
		s.u64(0)
	}
	return s
}

func orDefault(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// structure is an SMBIOS structure: a formatted area after the header, and strings (6.1).
type structure struct {
	kind    uint8
	handle  uint16
	area    []byte
	strings []string
}

func (s *structure) bytes(b ...byte) { s.area = append(s.area, b...) }
func (s *structure) u16(v uint16)    { s.area = binary.LittleEndian.AppendUint16(s.area, v) }
func (s *structure) u32(v uint32)    { s.area = binary.LittleEndian.AppendUint32(s.area, v) }
func (s *structure) u64(v uint64)    { s.area = binary.LittleEndian.AppendUint64(s.area, v) }

// str appends the number of a string, 0 for none.
func (s *structure) str(v string) {
	if v == "" {
		s.bytes(0)
		return
	}
	s.strings = append(s.strings, v)
	s.bytes(byte(len(s.strings)))
}

const headerSize = 4

func serialize(structures []structure) []byte {
	var out []byte
	for _, s := range structures {
		out = append(out, s.kind, byte(headerSize+len(s.area)))
		out = binary.LittleEndian.AppendUint16(out, s.handle)
		out = append(out, s.area...)
		for _, v := range s.strings {
			out = append(append(out, v...), 0)
		}
		if len(s.strings) == 0 {
			out = append(out, 0)
		}
		out = append(out, 0)
	}
	return out
}
