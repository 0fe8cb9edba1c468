package acpi

import (
	"fmt"
	"sync"

	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// Commands of the CPU hotplug device (docs/specs/acpi_cpu_hotplug.rst in QEMU).
const (
	cpuNextWithEvent = 0
	cpuOSTEvent      = 1
	cpuOSTStatus     = 2
)

// maxPerPass is how many CPUs the package has place for that collects those with events.
const maxPerPass = 255

// The events of a processor: device check and eject request (ACPI 5.6.6).
const (
	deviceCheck  = one
	ejectRequest = term("\x0a\x03")
)

// Registers of the CPU hotplug device.
var (
	cpuLock     = `\_SB.PCI0.PRES.CPLK`
	cpuEnabled  = name(`\_SB.PCI0.PRES.CPEN`)
	cpuSelector = name(`\_SB.PCI0.PRES.CSEL`)
	cpuCommand  = name(`\_SB.PCI0.PRES.CCMD`)
	cpuData     = name(`\_SB.PCI0.PRES.CDAT`)
	cpuInserted = name(`\_SB.PCI0.PRES.CINS`)
	cpuRemoved  = name(`\_SB.PCI0.PRES.CRMV`)
	cpuEject    = name(`\_SB.PCI0.PRES.CEJ0`)
	cpuFWEject  = name(`\_SB.PCI0.PRES.CEJF`)
)

// callFirmware is the command by which OVMF's SMM code comes to handle CPU hotplug.
var callFirmware = store(integer(4), name(`\_SB.PCI0.SMI0.SMIC`))

// cpuDevices are the hotplug device and every possible processor.
func cpuDevices(m *machine.Machine) term {
	n := m.PossibleCPUs()
	nodes := nodeOfCPU(m)
	events := make([]term, n)
	for i := range n {
		events[i] = cpuOf(i).event
	}
	body := []term{
		named("_HID", str("ACPI0010")),
		named("_CID", eisaID("PNP0A05")),
		method("CTFY", 2, events...),
		cpuMethods(m.SMICPUHotplug),
		cpuScan(n, m.Has(machine.CPURemoval), m.SMICPUHotplug),
		cpuOST(),
	}
	for i := range n {
		body = append(body, cpuDevice(i, nodes))
	}
	return scope("_SB", cpuHotplug(!m.Has(machine.NoCPUInit)), device(`\_SB.CPUS`, body...))
}

func cpuName(i int) string { return fmt.Sprintf("C%03X", i) }

var cpuHotplug = perFlag(func(init bool) term {
	body := []term{
		named("_HID", eisaID("PNP0A06")),
		named("_UID", str("CPU Hotplug resources")),
		mutex("CPLK"),
		named("_CRS", resources(ioPorts(cpuHotplugBase, 1, cpuHotplugLen))),
		region("PRST", systemIO, integer(cpuHotplugBase), cpuHotplugLen),
		field("PRST", byteAccess|writeAsZeros, element{"", 32},
			element{"CPEN", 1}, element{"CINS", 1}, element{"CRMV", 1}, element{"CEJ0", 1}, element{"CEJF", 1},
			element{"", 3}, element{"CCMD", 8}),
		field("PRST", dwordAccess, element{"CSEL", 32}, element{"", 32}, element{"CDAT", 32}),
	}
	if init {
		body = append(body, serialized("_INI", 0, store(zero, name("CSEL"))))
	}
	return device(`\_SB.PCI0.PRES`, body...)
})

// cpuMethods give a processor's status and eject it.
var cpuMethods = perFlag(func(smi bool) term {
	eject := store(one, cpuEject)
	if smi {
		eject = concat(store(one, cpuFWEject), callFirmware)
	}
	return concat(
		serialized("CSTA", 1,
			acquire(cpuLock),
			store(arg0, cpuSelector),
			store(zero, local0),
			ifThen(equal(cpuEnabled, one), store(integer(0x0f), local0)),
			release(cpuLock),
			ret(local0)),
		serialized("CEJ0", 1,
			acquire(cpuLock),
			store(arg0, cpuSelector),
			eject,
			release(cpuLock)))
})

// cpuScan handles the events of processors: it collects those that came, as many as the package takes, notifies the operating
// system of them and goes on until there are none left. Firmware that handles hotplug is called before.
func cpuScan(n int, batchRemoval, smi bool) term {
	added, removed := name("CNEW"), name("CEJL")
	full := equal(local1, integer(maxPerPass))
	if batchRemoval {
		full = either(full, equal(local5, integer(maxPerPass)))
	}
	collect := []term{
		store(zero, local0),
		store(local3, cpuSelector),
		store(integer(cpuNextWithEvent), cpuCommand),
		ifThen(less(cpuData, local3), breakOp),
		ifThen(full, store(one, local4), breakOp),
		store(cpuData, local3),
		ifThen(equal(cpuInserted, one),
			store(local3, index(added, local1)),
			increment(local1),
			store(one, local0)),
	}
	if batchRemoval {
		collect = append(collect, ifThen(equal(cpuRemoved, one),
			store(local3, index(removed, local5)),
			increment(local5),
			store(one, local0)))
	} else {
		collect = append(collect, otherwise(ifThen(equal(cpuRemoved, one),
			call("CTFY", local3, ejectRequest),
			store(one, cpuRemoved),
			store(one, local0))))
	}
	collect = append(collect, increment(local3))

	pass := []term{store(zero, local4), store(one, local0), store(zero, local1)}
	if batchRemoval {
		pass = append(pass, store(zero, local5))
	}
	pass = append(pass,
		while(both(equal(local0, one), less(local3, integer(uint64(n)))), collect...))
	if smi {
		pass = append(pass, ifThen(greater(local1, zero), callFirmware))
	}
	pass = append(pass,
		store(zero, local2),
		while(less(local2, local1),
			store(deref(index(added, local2)), local3),
			call("CTFY", local3, deviceCheck),
			store(local3, debugObj),
			store(local3, cpuSelector),
			store(one, cpuInserted),
			increment(local2)))
	if batchRemoval {
		pass = append(pass,
			store(zero, local2),
			while(less(local2, local5),
				store(deref(index(removed, local2)), local3),
				call("CTFY", local3, ejectRequest),
				store(local3, cpuSelector),
				store(one, cpuRemoved),
				increment(local2)))
	}

	body := []term{acquire(cpuLock), named("CNEW", pkg(maxPerPass))}
	if batchRemoval {
		body = append(body, named("CEJL", pkg(maxPerPass)))
	}
	body = append(body, store(zero, local3), store(one, local4), while(equal(local4, one), pass...), release(cpuLock))
	return serialized("CSCN", 0, body...)
}

// cpuOST takes the operating system's word on how an event went (ACPI 6.3.5).
var cpuOST = constant(func() term {
	return serialized("COST", 4,
		acquire(cpuLock),
		store(arg0, cpuSelector),
		store(integer(cpuOSTEvent), cpuCommand),
		store(arg1, cpuData),
		store(integer(cpuOSTStatus), cpuCommand),
		store(arg2, cpuData),
		release(cpuLock))
})

// cpuTerms are the terms of a processor that are the same in every machine.
type cpuTerms struct {
	// event passes an event on to the processor.
	event term
	// op and body are its object without its length and its NUMA node.
	op, body term
}

// commonCPUs are the terms of the first processors, made once.
var commonCPUs = sync.OnceValue(func() []cpuTerms {
	all := make([]cpuTerms, 256)
	for i := range all {
		all[i] = makeCPU(i)
	}
	return all
})

func cpuOf(i int) cpuTerms {
	if common := commonCPUs(); i < len(common) {
		return common[i]
	}
	return makeCPU(i)
}

// makeCPU makes processor i: a Processor object where its APIC ID fits one, a device otherwise. Its MADT entry is always that of an
// enabled processor. The first cannot be ejected.
func makeCPU(i int) cpuTerms {
	uid := integer(uint64(i))
	t := cpuTerms{event: ifThen(equal(arg0, uid), notify(name(cpuName(i)), arg1))}
	var head, eject term
	if i < firstX2APIC {
		t.op, head = processorOp, name(cpuName(i))+u8(uint8(i))+noPBLK
	} else {
		t.op, head = deviceOp, name(cpuName(i))+named("_HID", str("ACPI0007"))+named("_UID", uid)
	}
	if i > 0 {
		eject = method("_EJ0", 1, call("CEJ0", uid))
	}
	t.body = concat(head,
		serialized("_STA", 0, ret(call("CSTA", uid))),
		named("_MAT", buffer(madtCPU(i, true))),
		eject,
		serialized("_OST", 3, call("COST", uid, arg0, arg1, arg2)))
	return t
}

// cpuDevice is the object of processor i.
func cpuDevice(i int, nodes []int) term {
	t := cpuOf(i)
	if nodes == nil {
		return block(t.op, t.body)
	}
	return block(t.op, t.body, named("_PXM", integer(uint64(nodes[i]))))
}

// nodeOfCPU gives each processor's NUMA node, or nil without nodes. Nodes take processors in order.
func nodeOfCPU(m *machine.Machine) []int {
	if len(m.NUMA) == 0 {
		return nil
	}
	var nodes []int
	for i, n := range m.NUMA {
		for range n.CPUs {
			nodes = append(nodes, i)
		}
	}
	return nodes
}
