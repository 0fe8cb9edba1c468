package acpi

// resources is a resource template: descriptors and an end tag whose checksum is not used (ACPI 6.4.2.9).
func resources(descriptors ...term) term {
	return buffer(concat(descriptors...) + "\x79\x00")
}

// ioPorts is an I/O port descriptor with 16 decoded bits (ACPI 6.4.2.5).
func ioPorts(base uint16, align, length uint8) term {
	return "\x47\x01" + u16(base) + u16(base) + u8(align) + u8(length)
}

// irq is an interrupt descriptor without flags: edge triggered, active high (ACPI 6.4.2.1).
func irq(n uint) term { return "\x22" + u16(1<<n) }

// irqShared is an interrupt descriptor: level triggered, active low, shared.
func irqShared(n uint) term { return "\x23" + u16(1<<n) + "\x18" }

// memory32 is a fixed memory range (ACPI 6.4.3.4).
func memory32(base, length uint32, writable bool) term {
	var flags uint8
	if writable {
		flags = 1
	}
	return "\x86\x09\x00" + u8(flags) + u32(base) + u32(length)
}

// interrupts is an extended interrupt descriptor: consumer, active high, shared (ACPI 6.4.3.6).
func interrupts(edge bool, numbers ...uint32) term {
	flags := uint8(0x09)
	if edge {
		flags |= 2
	}
	t := "\x89" + u16(uint16(2+4*len(numbers))) + u8(flags) + u8(uint8(len(numbers)))
	for _, n := range numbers {
		t += u32(n)
	}
	return t
}

// Types and flags of address space descriptors (ACPI 6.4.3.5). All have both ends fixed, positive decode, no granularity and no
// translation.
const (
	spaceMemory = 0
	spaceIO     = 1
	spaceBus    = 2
	fixedRange  = 0x0c

	entireRange     = 3
	memoryUncached  = 1
	memoryCacheable = 3
)

func wordSpace(kind, flags uint8, first, last uint16) term {
	return "\x88\x0d\x00" + u8(kind) + u8(fixedRange) + u8(flags) + u16(0) + u16(first) + u16(last) + u16(0) + u16(last-first+1)
}

func dwordSpace(kind, flags uint8, first, last uint32) term {
	return "\x87\x17\x00" + u8(kind) + u8(fixedRange) + u8(flags) + u32(0) + u32(first) + u32(last) + u32(0) + u32(last-first+1)
}

func qwordSpace(kind, flags uint8, first, last uint64) term {
	return "\x8a\x2b\x00" + u8(kind) + u8(fixedRange) + u8(flags) + u64(0) + u64(first) + u64(last) + u64(0) + u64(last-first+1)
}
