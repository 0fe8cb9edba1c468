package acpi

import (
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// The chipset's addresses: the ECAM window that OVMF sets up, the block of power management ports, and hotplug ports
// (hw/i386/ich9.h, include/hw/acpi/ich9.h, hw/acpi/pcihp.c).
const (
	ecamBase = 0xe0000000
	ecamSize = 0x10000000

	pmBase    = 0x600
	gpe0Base  = pmBase + 0x20
	gpe0Len   = 16
	sciIRQ    = 9
	resetPort = 0xcf9

	smiCommand = 0xb2

	cpuHotplugBase = 0xcd8
	cpuHotplugLen  = 12
	pciHotplugBase = 0xcc0
	pciHotplugLen  = 0x18

	lastIOAPIC = 0xfebfffff
)

// dsdt is the body of the DSDT: the hardware that cannot be found by enumeration.
func dsdt(m *machine.Machine, root *bus) []term {
	edge := m.EdgeInterrupts()
	sb := []term{hostBridge(m), memoryController()}
	if m.SMICPUHotplug {
		sb = append(sb, smiPort())
	}
	body := []term{debugPort(), scope("_SB", sb...)}
	if root.hotplug {
		body = append(body, hotplugPorts(m))
	}
	body = append(body, routing(edge))
	if m.HPET {
		body = append(body, hpetDevice())
	}
	body = append(body, scope("_GPE", named("_HID", str("ACPI0006"))), cpuDevices(m), method(`\_GPE._E02`, 0, call(`\_SB.CPUS.CSCN`)))
	windows := windowsOf(m)
	for _, e := range root.expanders {
		body = append(body, scope(`\_SB`, expander(m, e, windows)))
	}
	body = append(body, scope(`\_SB.PCI0`, rootResources(m, root, windows)...), sleepStates(), scope(`\_SB.PCI0`, fwcfgDevice()))
	sb = []term{scope("PCI0", busDevices(m, root)...)}
	if m.TPM == machine.TPMCRB {
		sb = append(sb, tpmCRB())
	}
	body = append(body, scope(`\_SB`, sb...))
	if root.hotplug {
		body = append(body, hotplugEvents(m, root)...)
	}
	return body
}

// debugPort is a method that prints a number to the port of the firmware's debug console.
var debugPort = constant(func() term {
	return scope(`\`,
		region("DBG", systemIO, integer(0x402), 1),
		field("DBG", byteAccess, element{"DBGB", 8}),
		method("DBUG", 1,
			toHex(arg0, local0),
			toBuffer(local0, local0),
			subtract(sizeOf(local0), one, local1),
			store(zero, local2),
			while(less(local2, local1),
				store(deref(index(local0, local2)), name("DBGB")),
				increment(local2)),
			store(integer(0x0a), name("DBGB"))))
})

// memoryController reserves the ECAM window.
var memoryController = constant(func() term {
	return device("DRAC",
		named("_HID", str("PNP0C01")),
		named("_CRS", resources(dwordSpace(spaceMemory, memoryUncached, ecamBase, ecamBase+ecamSize-1))))
})

// smiPort is the port that calls firmware.
var smiPort = constant(func() term {
	return device("PCI0.SMI0",
		named("_HID", eisaID("PNP0A06")),
		named("_UID", str("SMI resources")),
		named("_CRS", resources(ioPorts(smiCommand, 1, 2))),
		region("SMIR", systemIO, integer(smiCommand), 2),
		field("SMIR", byteAccess|writeAsZeros, element{"SMIC", 8}, element{"", 8}))
})

var hpetDevice = constant(func() term {
	return scope("_SB", device("HPET",
		named("_HID", eisaID("PNP0103")),
		named("_UID", zero),
		region("HPTM", systemMemory, integer(hpetBase), hpetLen),
		field("HPTM", dwordAccess|locked, element{"VEND", 32}, element{"PRD", 32}),
		method("_STA", 0,
			store(name("VEND"), local0),
			store(name("PRD"), local1),
			shiftRight(local0, integer(16), local0),
			ifThen(either(equal(local0, zero), equal(local0, integer(0xffff))), ret(zero)),
			ifThen(either(equal(local1, zero), greater(local1, integer(100_000_000))), ret(zero)),
			ret(integer(0x0f))),
		named("_CRS", resources(memory32(hpetBase, hpetLen, false)))))
})

// sleepStates are the values that put the machine into S3, S4 and S5.
var sleepStates = constant(func() term {
	state := func(path string, value uint64) term {
		return named(path, pkg(4, integer(value), integer(value), zero, zero))
	}
	return scope(`\`, state("_S3", 1), state("_S4", 2), state("_S5", 0))
})

var fwcfgDevice = constant(func() term {
	return device("FWCF",
		named("_HID", str("QEMU0002")),
		named("_STA", integer(0x0b)),
		named("_CRS", resources(ioPorts(0x510, 1, 0x0c))))
})

// reserved is a device that only holds ports: present, functioning, decoding, not shown.
func reserved(path, uid string, base uint16, length uint8) term {
	return device(path,
		named("_HID", str("PNP0A06")),
		named("_UID", str(uid)),
		named("_STA", integer(0x0b)),
		named("_CRS", resources(ioPorts(base, 1, length))))
}
