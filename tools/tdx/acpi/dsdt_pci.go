package acpi

import "github.com/boardroom-tee/boardroom/tools/tdx/machine"

// busDevices describe the functions of a bus, with the buses behind bridges.
func busDevices(m *machine.Machine, b *bus) []term {
	if !m.Has(machine.DescribeFunctions) {
		return busDevicesBefore8(m, b)
	}
	var body []term
	for i := range b.functions {
		f := &b.functions[i]
		body = append(body, device(f.path(), named("_ADR", integer(f.address())), functionBody(m, f)))
	}
	return body
}

// functionBody is what a function says beside its address.
func functionBody(m *machine.Machine, f *function) term {
	switch {
	case f.device == nil && f.devfn == devfnLPC:
		return lpcBridge(m)
	case f.child != nil:
		body := concat(busDevices(m, f.child)...)
		if f.child.selector >= 0 {
			body += hotplugSlots(m, f.child)
		}
		return body
	}
	return ""
}

// hotplugSlots describe the slots of a bus with hotplug: those that are taken, and the one that can be if none is, since a
// PCI Express port has only slot 0.
func hotplugSlots(m *machine.Machine, b *bus) term {
	slot := hotplugSlot(m.Has(machine.PackageNames))
	body := []term{named("BSEL", integer(uint64(b.selector)))}
	var events []term
	for i := range b.functions {
		body = append(body, scope(b.functions[i].path(), slot))
		events = append(events, slotEvent())
	}
	if len(b.functions) == 0 {
		body = append(body, device("S00", named("_ADR", zero), slot))
		events = append(events, slotEvent())
	}
	return concat(append(body, method("DVNT", 2, events...))...)
}

// slotEvent notifies slot 0 of an event if its bit is set.
var slotEvent = constant(func() term {
	return ifThen(and(arg0, one, nullName), notify(name("S00"), arg1))
})

// hotplugSlot is what makes slot 0 of a port a hotplug slot.
var hotplugSlot = perFlag(func(packageNames bool) term { return slotLabel(packageNames) + slotEject() })

func slotLabel(packageNames bool) term {
	fill := store(pkg(2, name("BSEL"), name("ASUN")), local0)
	if packageNames {
		fill = concat(store(pkg(2, zero, zero), local0), store(name("BSEL"), index(local0, zero)), store(name("ASUN"), index(local0, one)))
	}
	return named("ASUN", zero) + serialized("_DSM", 4, fill, ret(call("PDSM", arg0, arg1, arg2, arg3, local0)))
}

func slotEject() term {
	return named("_SUN", zero) + method("_EJ0", 1, call("PCEJ", name("BSEL"), name("_SUN")))
}

// busDevicesBefore8 describes a bus as QEMU 7.2 did: functions other than 0 only if they are bridges or describe themselves,
// hotplug slots and event methods together with the functions.
func busDevicesBefore8(m *machine.Machine, b *bus) []term {
	var body, events []term
	hotplug := b.selector >= 0
	if hotplug {
		body = append(body, named("BSEL", integer(uint64(b.selector))))
	}
	for i := range b.functions {
		f := &b.functions[i]
		describesItself := f.device == nil && (f.devfn == devfnLPC || f.devfn == devfnSMBus)
		if f.devfn&7 != 0 && !describesItself && (f.child == nil || !b.hotplug) {
			continue
		}
		this := []term{named("_ADR", integer(f.address()))}
		if hotplug {
			this = append(this, slotLabel(false))
		}
		if describesItself && f.devfn == devfnLPC {
			this = append(this, lpcBridge(m))
		}
		if f.child != nil && b.hotplug {
			this = append(this, busDevicesBefore8(m, f.child)...)
		}
		if hotplug {
			this = append(this, slotEject())
			events = append(events, slotEvent())
		}
		body = append(body, device(f.path(), this...))
	}
	if hotplug && len(b.functions) == 0 {
		body = append(body, device("S00", named("_ADR", zero), hotplugSlot(false)))
		events = append(events, slotEvent())
	}
	if hotplug {
		body = append(body, method("DVNT", 2, events...))
	}
	if b.hotplug {
		body = append(body, busEvents(b, b.bridges))
	}
	return body
}

// busEvents is the method that notifies the slots of a bus, and of the buses below through the given bridges.
func busEvents(b *bus, bridges []int) term {
	var body []term
	if b.selector >= 0 {
		body = append(body,
			store(integer(uint64(b.selector)), name("BNUM")),
			call("DVNT", name("PCIU"), deviceCheck),
			call("DVNT", name("PCID"), ejectRequest))
	}
	for _, i := range bridges {
		body = append(body, name("^"+b.functions[i].path()+".PCNT"))
	}
	return method("PCNT", 0, body...)
}

// hotplugEvents are the handler of the hotplug event and, since QEMU 8.0, the methods that it calls.
func hotplugEvents(m *machine.Machine, root *bus) []term {
	handle := concat(acquire(`\_SB.PCI0.BLCK`), name(`\_SB.PCI0.PCNT`), release(`\_SB.PCI0.BLCK`))
	if !m.Has(machine.DescribeFunctions) {
		return []term{scope("_GPE", method("_E01", 0, handle))}
	}
	if len(root.bridges) == 0 {
		return []term{scope("_GPE", method("_E01", 0))}
	}
	var body []term
	for _, i := range root.bridges {
		f := &root.functions[i]
		body = append(body, scope(f.path(), busEvents(f.child, nil)))
	}
	body = append(body, busEvents(root, root.bridges))
	return []term{scope(`\_SB.PCI0`, body...), scope("_GPE", method("_E01", 0, handle))}
}
