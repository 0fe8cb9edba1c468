package acpi

import "github.com/boardroom-tee/boardroom/tools/tdx/machine"

// labelUUID is the function set of device labels (PCI Firmware Specification, 4.6).
const labelUUID = "e5c937d0-3553-4d7a-9117-ea4d19c3434d"

// hostBridge is the root of the PCI hierarchy.
func hostBridge(m *machine.Machine) term {
	body := []term{named("_HID", eisaID("PNP0A08")), named("_CID", eisaID("PNP0A03"))}
	if !m.Has(machine.PackageNames) {
		body = append(body, named("_ADR", zero))
	}
	body = append(body, named("_UID", zero), osc(m.HotplugOff))
	if m.Has(machine.DescribeFunctions) {
		body = append(body, labelByIndex())
	}
	return device("PCI0", body...)
}

// osc grants PCI Express features to the operating system: power management events, error reporting and hotplug of standard
// bridges always, native hotplug where ACPI does not do it (ACPI 6.2.11).
var osc = perFlag(func(native bool) term {
	granted := uint64(0x1e)
	if native {
		granted |= 1
	}
	return method("_OSC", 4,
		dwordField(arg3, 0, "CDW1"),
		ifThen(equal(arg0, uuid("33db4d5b-1ff7-401c-9657-7441c03dd766")),
			dwordField(arg3, 4, "CDW2"),
			dwordField(arg3, 8, "CDW3"),
			store(name("CDW3"), local0),
			and(local0, integer(granted), local0),
			ifThen(not(equal(arg1, one)), or(name("CDW1"), integer(0x08), name("CDW1"))),
			ifThen(not(equal(name("CDW3"), local0)), or(name("CDW1"), integer(0x10), name("CDW1"))),
			store(local0, name("CDW3"))),
		otherwise(or(name("CDW1"), integer(4), name("CDW1"))),
		ret(arg3))
})

// refuseLabel answers callers who ask for another function set or an old revision.
func refuseLabel() term {
	return concat(
		ifThen(not(equal(arg0, uuid(labelUUID))), ret(local0)),
		ifThen(less(arg1, integer(2)), ret(local0)))
}

// labelByIndex gives the label of devices whose index is fixed.
var labelByIndex = constant(func() term {
	return serialized("EDSM", 5,
		ifThen(equal(arg2, zero),
			store(buffer(zero), local0),
			refuseLabel(),
			store(integer(0x81), index(local0, zero)),
			ret(local0)),
		ifThen(equal(arg2, integer(7)),
			store(pkg(2, zero, str("")), local0),
			store(deref(index(arg4, zero)), local1),
			store(local1, index(local0, zero)),
			ret(local0)))
})

// hotplugPorts are the registers of ACPI PCI hotplug and the methods that use them.
func hotplugPorts(m *machine.Machine) term {
	flags := uint8(dwordAccess | writeAsZeros)
	return scope("_SB.PCI0",
		region("PCST", systemIO, integer(pciHotplugBase), 8),
		field("PCST", flags, element{"PCIU", 32}, element{"PCID", 32}),
		region("SEJ", systemIO, integer(pciHotplugBase+8), 4),
		field("SEJ", flags, element{"B0EJ", 32}),
		region("BNMR", systemIO, integer(pciHotplugBase+0x10), 8),
		field("BNMR", flags, element{"BNUM", 32}, element{"PIDX", 32}),
		mutex("BLCK"),
		method("PCEJ", 2,
			acquire("BLCK"),
			store(arg0, name("BNUM")),
			store(shiftLeft(one, arg1), name("B0EJ")),
			release("BLCK"),
			ret(zero)),
		method("AIDX", 2,
			acquire("BLCK"),
			store(arg0, name("BNUM")),
			store(shiftLeft(one, arg1), name("PIDX")),
			store(name("PIDX"), local0),
			release("BLCK"),
			ret(local0)),
		labelBySlot(m))
}

// labelBySlot gives the label of a device in a hotplug slot, by asking QEMU for its index: 0 is no label, all ones no support.
func labelBySlot(m *machine.Machine) term {
	bnum, slot := deref(index(arg4, zero)), deref(index(arg4, one))
	ask := store(call("AIDX", bnum, slot), local2)
	unsupported := equal(local2, integer(0xffffffff))

	// Where the buffer is cleared moved when the checks were put into a function of their own.
	supported := []term{store(buffer(zero), local0), refuseLabel(), store(zero, local1)}
	if !m.Has(machine.DescribeFunctions) {
		supported = []term{store(buffer(zero), local0), store(zero, local1), refuseLabel()}
	}
	supported = append(supported,
		ask,
		ifThen(not(or(equal(local2, zero), unsupported, nullName)),
			or(local1, one, local1),
			or(local1, shiftLeft(one, integer(7)), local1)),
		store(local1, index(local0, zero)),
		ret(local0))

	var label []term
	if m.Has(machine.PCILabel) {
		label = []term{ask, store(pkg(2), local0),
			ifThen(not(either(equal(local2, zero), unsupported)),
				store(local2, index(local0, zero)),
				store(str(""), index(local0, one))),
			ret(local0)}
	} else {
		label = []term{store(pkg(2, zero, str("")), local0), ask, store(local2, index(local0, zero)), ret(local0)}
	}
	return serialized("PDSM", 5,
		ifThen(equal(arg2, zero), supported...),
		ifThen(equal(arg2, integer(7)), label...))
}
