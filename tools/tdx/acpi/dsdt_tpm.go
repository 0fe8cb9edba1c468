package acpi

// Addresses of a TPM (include/hw/acpi/tpm.h).
const (
	tpmBase    = 0xfed40000
	tpmSize    = 0x5000
	tpmCRBSize = 0x1000
	tpmControl = tpmBase + 0x40
	tpmPPI     = 0xfed45000
)

// tpmTIS is a TPM with the FIFO interface, a device on the LPC bridge.
var tpmTIS = constant(func() term {
	return device("TPM",
		named("_HID", str("MSFT0101")),
		named("_STR", str("TPM 2.0 Device")),
		named("_UID", one),
		named("_STA", integer(0x0f)),
		named("_CRS", resources(memory32(tpmBase, tpmSize, true))),
		physicalPresence())
})

// tpmCRB is a TPM with the command response buffer interface, a device of its own.
var tpmCRB = constant(func() term {
	return device("TPM",
		named("_HID", str("MSFT0101")),
		named("_STR", str("TPM 2.0 Device")),
		named("_CRS", resources(memory32(tpmBase, tpmCRBSize, true))),
		named("_STA", integer(0x0f)),
		named("_UID", one),
		physicalPresence())
})

// Which operations firmware implements, as it says in the shared memory.
const (
	ppiMask    = 7
	ppiMissing = 0
	ppiBlocked = 2
)

// physicalPresence are the methods by which an operating system asks firmware for TPM operations (PPI 1.3 section 2) and for
// clearing memory (TCG Platform Reset Attack Mitigation 1.0 section 6).
func physicalPresence() term {
	request, parameter := name("PPRQ"), name("PPRM")
	operation := concat(
		store(deref(index(arg3, zero)), local0),
		store(call("TPFN", local0), local1))
	status := and(local1, integer(ppiMask), nullName)
	on := func(function uint64, body ...term) term { return ifThen(equal(arg2, integer(function)), body...) }
	revision := func(n uint64, body ...term) term { return ifThen(equal(arg1, integer(n)), body...) }
	pair, triple := name("TPM2"), name("TPM3")

	presence := ifThen(equal(arg0, uuid("3dddfaa6-361b-4eb4-a424-8d10089d1653")),
		on(0, ret(buffer("\xff\x01"))),
		on(1, ret(str("1.3"))),
		on(2,
			operation,
			ifThen(equal(status, integer(ppiMissing)), ret(one)),
			store(local0, request),
			store(zero, parameter),
			ret(zero)),
		on(3,
			revision(1, store(request, index(pair, one)), ret(pair)),
			revision(2, store(request, index(triple, one)), store(parameter, index(triple, integer(2))), ret(triple))),
		on(4, ret(integer(2))),
		on(5,
			store(name("LPPR"), index(triple, one)),
			store(name("PPRP"), index(triple, integer(2))),
			ret(triple)),
		on(6, ret(integer(3))),
		on(7,
			operation,
			ifThen(equal(status, integer(ppiMissing)), ret(one)),
			ifThen(equal(status, integer(ppiBlocked)), ret(integer(3))),
			revision(1, store(local0, request), store(zero, parameter)),
			revision(2, store(local0, request), store(deref(index(arg3, one)), parameter)),
			ret(zero)),
		on(8, operation, ret(status)),
		ret(buffer(zero)))
	clearing := ifThen(equal(arg0, uuid("376054ed-cc13-4675-901c-4756d7f2d45d")),
		on(0, ret(buffer("\x03"))),
		on(1,
			store(deref(index(arg3, zero)), local0),
			store(local0, name("MOVV")),
			ret(zero)))

	return concat(
		region("TPP2", systemMemory, integer(tpmPPI+0x100), 0x5a),
		field("TPP2", anyAccess, element{"PPIN", 8}, element{"PPIP", 32}, element{"PPRP", 32},
			element{"PPRQ", 32}, element{"PPRM", 32}, element{"LPPR", 32}),
		region("TPP3", systemMemory, integer(tpmPPI+0x15a), 1),
		field("TPP3", byteAccess, element{"MOVV", 8}),
		serialized("TPFN", 1,
			// AML has no operator for greater-or-equal: it is the negation of less.
			ifThen(not(less(arg0, integer(0x100))), ret(zero)),
			region("TPP1", systemMemory, add(integer(tpmPPI), arg0, nullName), 1),
			field("TPP1", byteAccess, element{"TPPF", 8}),
			ret(name("TPPF"))),
		named("TPM2", pkg(2, zero, zero)),
		named("TPM3", pkg(3, zero, zero, zero)),
		serialized("_DSM", 4, presence, clearing))
}
