package acpi

import "github.com/boardroom-tee/boardroom/tools/tdx/machine"

// The hole for legacy devices below 1 MiB.
const (
	legacyHole = 640 << 10
	legacyEnd  = 1 << 20
)

// srat is the body of the table that says which processors and memory are of which node.
func srat(m *machine.Machine) term {
	body := []term{u32(1) + u64(0)}
	for i, node := range nodeOfCPU(m) {
		body = append(body, sratCPU(i, node))
	}
	var ranges int
	add := func(first, length uint64, node int) {
		if length > 0 {
			body = append(body, sratMemory(first, length, node, true))
			ranges++
		}
	}
	below := m.Below4G()
	next := uint64(0)
	for i, n := range m.NUMA {
		first := next
		length := n.Memory
		next = first + length
		if first <= legacyHole && next > legacyHole {
			add(first, legacyHole-first, i)
			if next <= legacyEnd {
				next = legacyEnd
				continue
			}
			first, length = legacyEnd, next-legacyEnd
		}
		if first <= below && next > below {
			add(first, below-first, i)
			first = 4 << 30
			length = next - below
			next = first + length
		}
		add(first, length, i)
	}
	// QEMU pads with empty entries, for a guest that it no longer remembers.
	for ; ranges < len(m.NUMA)+2; ranges++ {
		body = append(body, sratMemory(0, 0, 0, false))
	}
	return concat(body...)
}

func sratCPU(i, node int) term {
	if i < firstX2APIC {
		return "\x00\x10" + u8(uint8(node)) + u8(uint8(i)) + u32(1) + term(make([]byte, 8))
	}
	return "\x02\x18\x00\x00" + u32(uint32(node)) + u32(uint32(i)) + u32(1) + term(make([]byte, 8))
}

func sratMemory(first, length uint64, node int, enabled bool) term {
	var flags uint32
	if enabled {
		flags = 1
	}
	return "\x01\x28" + u32(uint32(node)) + u16(0) + u64(first) + u64(length) + u32(0) + u32(flags) + u64(0)
}
