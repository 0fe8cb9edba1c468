package acpi

import "github.com/boardroom-tee/boardroom/tools/tdx/machine"

// lpcBridge is the bridge to legacy devices, with the registers of interrupt links.
func lpcBridge(m *machine.Machine) term {
	var tpm, serial term
	if m.TPM == machine.TPMTIS {
		tpm = tpmTIS()
	}
	if m.Serial {
		serial = serialPort(m.Has(machine.SerialIRQ))
	}
	return concat(pirqRegisters(), tpm, keyboardAndMouse(), serial, clock())
}

var pirqRegisters = constant(func() term {
	return concat(
		region("PIRQ", pciConfig, integer(0x60), 0x0c),
		scope(`\_SB`, field("PCI0.SF8.PIRQ", byteAccess,
			element{"PRQA", 8}, element{"PRQB", 8}, element{"PRQC", 8}, element{"PRQD", 8},
			element{"", 32},
			element{"PRQE", 8}, element{"PRQF", 8}, element{"PRQG", 8}, element{"PRQH", 8})))
})

var keyboardAndMouse = constant(func() term {
	return concat(
		device("KBD",
			named("_HID", eisaID("PNP0303")),
			named("_STA", integer(0x0f)),
			named("_CRS", resources(ioPorts(0x60, 1, 1), ioPorts(0x64, 1, 1), irq(1)))),
		device("MOU",
			named("_HID", eisaID("PNP0F13")),
			named("_STA", integer(0x0f)),
			named("_CRS", resources(irq(12)))))
})

var serialPort = perFlag(func(shared bool) term {
	interrupt := irq(4)
	if shared {
		interrupt = irqShared(4)
	}
	return device("COM1",
		named("_HID", eisaID("PNP0501")),
		named("_UID", one),
		named("_STA", integer(0x0f)),
		named("_CRS", resources(ioPorts(0x3f8, 0, 8), interrupt)))
})

var clock = constant(func() term {
	return device("RTC",
		named("_HID", eisaID("PNP0B00")),
		named("_CRS", resources(ioPorts(0x70, 1, 8), irq(8))))
})
