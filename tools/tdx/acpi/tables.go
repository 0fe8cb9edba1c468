package acpi

import (
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// Addresses of the timer (include/hw/timer/hpet.h) and of interrupt controllers.
const (
	hpetBase   = 0xfed00000
	hpetLen    = 0x400
	lapicBase  = 0xfee00000
	ioapicBase = 0xfec00000
)

// firstX2APIC is the first APIC ID that an 8-bit field cannot hold.
const firstX2APIC = 255

// facs is shared memory between firmware and operating system; it has a length but no header (ACPI 5.2.10).
var facs = "FACS" + u32(64) + term(make([]byte, 56))

// gas is a generic address of a register (ACPI 5.2.3.2).
func gas(space, bits uint8, address uint64) term {
	return u8(space) + u8(bits) + "\x00\x00" + u64(address)
}

// FADT flags (ACPI 5.2.9).
const (
	fadtWBINVD        = 1 << 0
	fadtC1            = 1 << 2
	fadtSleepButton   = 1 << 5
	fadtRTCWakesS4    = 1 << 7
	fadtResetRegister = 1 << 10
	fadtPlatformClock = 1 << 15
	fadtClusterModel  = 1 << 18
)

// fadt is the body of the fixed ACPI description table, revision 3, with pointers left for the loader.
func fadt(m *machine.Machine) term {
	flags := uint32(fadtWBINVD | fadtC1 | fadtSleepButton | fadtRTCWakesS4 | fadtResetRegister | fadtPlatformClock)
	// Flat logical destination mode has bits for eight processors.
	if m.PossibleCPUs() > 8 {
		flags |= fadtClusterModel
	}
	smi := term("\x00\x00\x00\x00\x00\x00")
	if m.SMM {
		// The port, and the values that enable and disable ACPI through it (include/hw/southbridge/ich9.h).
		smi = u32(smiCommand) + "\x02\x03"
	}
	none := gas(systemMemory, 0, 0)
	return concat(
		u32(0), u32(0), // FIRMWARE_CTRL, DSDT
		"\x01\x00",  // reserved, formerly the interrupt model; profile
		u16(sciIRQ), // SCI_INT
		smi,
		"\x00\x00",          // S4BIOS_REQ, PSTATE_CNT
		u32(pmBase), u32(0), // PM1a_EVT_BLK, PM1b_EVT_BLK
		u32(pmBase+4), u32(0), // PM1a_CNT_BLK, PM1b_CNT_BLK
		u32(0), u32(pmBase+8), // PM2_CNT_BLK, PM_TMR_BLK
		u32(gpe0Base), u32(0), // GPE0_BLK, GPE1_BLK
		u8(4), u8(2), u8(0), u8(4), // lengths of PM1 event, PM1 control, PM2 control, timer
		u8(gpe0Len), u8(0), u8(0), // GPE0_BLK_LEN, GPE1_BLK_LEN, GPE1_BASE
		u8(0), u16(0xfff), u16(0xfff), // CST_CNT, latencies that say that C2 and C3 are not there
		u32(0), u32(0), // flush size and stride; duty offset and width, day and month alarm
		u8(0x32),                    // CENTURY
		u16(2),                      // IAPC_BOOT_ARCH: there is a keyboard controller
		u8(0),                       // reserved
		u32(flags),                  // Flags
		gas(systemIO, 8, resetPort), // RESET_REG
		u8(0x0f),                    // RESET_VALUE
		"\x00\x00\x00",              // reserved
		u64(0), u64(0),              // X_FIRMWARE_CTRL, X_DSDT
		gas(systemIO, 32, pmBase), none, // X_PM1a_EVT_BLK, X_PM1b_EVT_BLK
		gas(systemIO, 16, pmBase+4), none, // X_PM1a_CNT_BLK, X_PM1b_CNT_BLK
		none, gas(systemIO, 32, pmBase+8), // X_PM2_CNT_BLK, X_PM_TMR_BLK
		gas(systemIO, 8*gpe0Len, gpe0Base), none) // X_GPE0_BLK, X_GPE1_BLK
}

// hpet is the body of the timer's table.
func hpet() term {
	return u32(0x8086a201) + gas(systemMemory, 0, hpetBase) + "\x00\x00\x00\x00"
}

// mcfg is the body of the table that gives the ECAM window: segment 0, buses 0 to 255.
func mcfg() term {
	return u64(0) + u64(ecamBase) + u16(0) + u8(0) + u8(ecamSize>>20-1) + u32(0)
}

// waet is the body of the table that tells Windows that the power management timer can be trusted.
func waet() term { return u32(1 << 1) }

// Start methods of a TPM (TCG ACPI Specification, table 7).
const (
	tpmStartMMIO = 6
	tpmStartCRB  = 7
)

// tpmLogSize is the size of the area for the firmware's event log.
const tpmLogSize = 0x10000

// tpm2 is the body of the TPM's table, with the log's address left for the loader.
func tpm2(kind machine.TPM) term {
	control, start := uint64(0), uint32(tpmStartMMIO)
	if kind == machine.TPMCRB {
		control, start = tpmControl, tpmStartCRB
	}
	return u32(0) + u64(control) + u32(start) + term(make([]byte, 12)) + u32(tpmLogSize) + u64(0)
}
