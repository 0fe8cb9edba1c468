package acpi

// routing says where the interrupt pins of PCI slots go: to the links LNKA to LNKH with a PIC, to GSIA to GSIH with an I/O APIC
// (ACPI 6.2.13; hw/isa/lpc_ich9.c for the chipset's defaults).
var routing = perFlag(func(edge bool) term {
	sb := []term{
		scope("PCI0",
			named("PRTP", routes("LNK")),
			named("PRTA", routes("GSI")),
			method("_PRT", 0,
				ifThen(equal(name("PICF"), zero), ret(name("PRTP"))),
				otherwise(ret(name("PRTA"))))),
		method("IQST", 1,
			ifThen(and(integer(0x80), arg0, nullName), ret(integer(0x09))),
			ret(integer(0x0b))),
		serialized("IQCR", 1,
			named("PRR0", resources(interrupts(edge, 0))),
			dwordField(name("PRR0"), 5, "PRRI"),
			store(and(arg0, integer(0x0f), nullName), name("PRRI")),
			ret(name("PRR0"))),
	}
	for i := range uint64(8) {
		letter := string(rune('A' + i))
		sb = append(sb, link("LNK"+letter, i, name("PRQ"+letter), edge))
	}
	for i := range uint64(8) {
		sb = append(sb, fixedLink("GSI"+string(rune('A'+i)), 16+i, edge))
	}
	return concat(
		named("PICF", zero),
		method("_PIC", 1, store(arg0, name("PICF"))),
		scope("_SB", sb...))
})

// routes is the table of 32 slots with four pins each. Slots up to 23 rotate through the upper four links, 24 and the bridge at
// 30 start with the first of them, the others start with the first of the lower four.
func routes(prefix string) term {
	var entries []term
	for slot := range uint64(32) {
		group, first := uint64('A'), uint64(0)
		switch {
		case slot < 24:
			group, first = 'E', slot%4
		case slot == 24 || slot == 30:
			group = 'E'
		}
		for pin := range uint64(4) {
			target := prefix + string(rune(group+(first+pin)%4))
			entries = append(entries, route(slot, pin, target))
		}
	}
	return pkg(128, entries...)
}

func route(slot, pin uint64, target string) term {
	return pkg(4, integer(slot<<16|0xffff), integer(pin), name(target), zero)
}

// expanderRoutes gives the routes of an expander's bus: to the four lower links, each pin one further than the slot.
var expanderRoutes = perFlag(func(fixed bool) term {
	if !fixed {
		return computedRoutes()
	}
	var entries []term
	for i := range uint64(128) {
		slot := i / 4
		target := "LNK" + string("DABC"[(slot+i)%4])
		entries = append(entries, route(slot, i%4, target))
	}
	return method("_PRT", 0, ret(pkg(128, entries...)))
})

// computedRoutes is a method that makes the table: local0 is the table, local1 counts pins of slots, local2 is the slot, local3
// which link, local4 the entry.
func computedRoutes() term {
	body := []term{
		store(shiftRight(local1, integer(2), nullName), local2),
		store(and(add(local1, local2, nullName), integer(3), nullName), local3),
	}
	for i, target := range []string{"LNKD", "LNKA", "LNKB", "LNKC"} {
		body = append(body, ifThen(equal(local3, integer(uint64(i))), store(pkg(4, zero, zero, name(target), zero), local4)))
	}
	body = append(body,
		store(or(shiftLeft(local2, integer(16)), integer(0xffff), nullName), index(local4, zero)),
		store(and(local1, integer(3), nullName), index(local4, one)),
		store(local4, index(local0, local1)),
		increment(local1))
	return method("_PRT", 0,
		store(pkg(128), local0),
		store(zero, local1),
		while(less(local1, integer(128)), body...),
		ret(local0))
}

// link is an interrupt link whose register is in the LPC bridge.
func link(path string, uid uint64, register term, edge bool) term {
	return device(path,
		named("_HID", eisaID("PNP0C0F")),
		named("_UID", integer(uid)),
		named("_PRS", resources(interrupts(edge, 5, 10, 11))),
		method("_STA", 0, ret(call("IQST", register))),
		method("_DIS", 0, or(register, integer(0x80), register)),
		method("_CRS", 0, ret(call("IQCR", register))),
		method("_SRS", 1, dwordField(arg0, 5, "PRRI"), store(name("PRRI"), register)))
}

// fixedLink is an interrupt link that is wired to an input of the I/O APIC.
func fixedLink(path string, gsi uint64, edge bool) term {
	wired := resources(interrupts(edge, uint32(gsi)))
	return device(path,
		named("_HID", eisaID("PNP0C0F")),
		named("_UID", integer(gsi)),
		named("_PRS", wired),
		named("_CRS", wired),
		method("_DIS", 0),
		method("_SRS", 1))
}
