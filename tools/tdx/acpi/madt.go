package acpi

import "github.com/boardroom-tee/boardroom/tools/tdx/machine"

// Flags of interrupt source overrides: as the bus has it; active high with a trigger.
const (
	overrideBus   = 0
	overrideEdge  = 0x05
	overrideLevel = 0x0d
)

// madt is the body of the table of interrupt controllers.
func madt(m *machine.Machine) term {
	var flags uint32
	if m.PIC || !m.Has(machine.PICFlag) {
		flags = 1
	}
	n := m.PossibleCPUs()
	body := []term{u32(lapicBase) + u32(flags)}
	for i := range n {
		body = append(body, madtCPU(i, i < m.CPUs))
	}
	body = append(body, "\x01\x0c\x00\x00"+u32(ioapicBase)+u32(0))
	if m.EdgeInterrupts() {
		body = append(body, override(0, 2, overrideEdge))
		for i := range uint8(15) {
			body = append(body, override(i+1, i+1, overrideEdge))
		}
	} else {
		body = append(body, override(0, 2, overrideBus))
		for _, i := range []uint8{5, 9, 10, 11} {
			body = append(body, override(i, i, overrideLevel))
		}
	}
	// The pin LINT1 of every processor is for non-maskable interrupts.
	if n > firstX2APIC {
		body = append(body, "\x0a\x0c\x00\x00"+u32(0xffffffff)+"\x01\x00\x00\x00")
	} else {
		body = append(body, "\x04\x06\xff\x00\x00\x01")
	}
	return concat(body...)
}

// madtCPU is the entry of a processor, whose APIC ID equals its number since all are cores of one socket.
func madtCPU(i int, enabled bool) term {
	var flags uint32
	if enabled {
		flags = 1
	}
	if i < firstX2APIC {
		return "\x00\x08" + u8(uint8(i)) + u8(uint8(i)) + u32(flags)
	}
	return "\x09\x10\x00\x00" + u32(uint32(i)) + u32(flags) + u32(uint32(i))
}

func override(source, gsi uint8, flags uint16) term {
	return "\x02\x0a\x00" + u8(source) + u32(uint32(gsi)) + u16(flags)
}
