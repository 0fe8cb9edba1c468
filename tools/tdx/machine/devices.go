package machine

import (
	"fmt"
	"strconv"
	"strings"
)

// Slots of the root bus that the chipset takes: the host bridge, and the LPC bridge with SATA and SMBus.
const (
	slotHost = 0
	slotLPC  = 0x1f
)

// dstack-vmm gives the expander of node i this slot and numbers their buses from 5, leaving a bus number for each GPU. It says
// addr=10+i in decimal digits, and QEMU reads them as hexadecimal.
const (
	expanderSlot = 0x10
	expanderBus  = 5
)

// Devices are the devices on the root bus in the order of the command line, each with its slot. The chipset's are not among
// them.
func (m *Machine) Devices() ([]Device, error) {
	var devices []Device
	endpoints := m.VerityVolumes + m.NICs
	for _, there := range []bool{m.RootDisk, m.DataDisk, m.VSock, m.HostShare != "" && m.HostShare != ShareNone} {
		if there {
			endpoints++
		}
	}
	for range endpoints {
		devices = append(devices, Device{Kind: Endpoint})
	}
	port := Device{Kind: RootPort, Children: []Device{{Kind: Endpoint}}}
	bus := expanderBus
	for i, node := range m.NUMA {
		if !node.Expander {
			continue
		}
		if bus > 0xff {
			return nil, &FieldError{fmt.Sprintf("NUMA[%d].GPUs", i), "bus numbers up to 255", fmt.Sprintf("bus %d", bus)}
		}
		d := Device{Kind: Expander, Slot: expanderSlot + i, Bus: uint8(bus), NUMANode: i, Resources: node.Resources}
		for range node.GPUs {
			d.Children = append(d.Children, port)
		}
		devices = append(devices, d)
		bus += node.GPUs + 1
	}
	ports := m.NVSwitches
	if len(m.NUMA) == 0 {
		ports += m.GPUs
	}
	for range ports {
		devices = append(devices, port)
	}
	extra := len(devices)
	devices = append(devices, m.Extra...)
	return devices, m.place(devices, extra)
}

// place gives slots to devices without one; what starts at index extra is reported as a member of Extra. Devices without a slot
// are of a single function, so that their slot has no place for another.
func (m *Machine) place(devices []Device, extra int) error {
	used := map[[2]int]bool{{slotHost, 0}: true, {slotLPC, 0}: true, {slotLPC, 2}: true, {slotLPC, 3}: true}
	var single [32]bool
	var buses [256]bool
	single[slotHost] = true
	for i := range devices {
		field := "PCI devices"
		if i >= extra {
			field = fmt.Sprintf("Extra[%d].Slot", i-extra)
		}
		d := &devices[i]
		if d.Slot == 0 {
			for d.Slot < 32 && used[[2]int{d.Slot, 0}] {
				d.Slot++
			}
			if d.Slot == 32 {
				return &FieldError{field, "a free slot on the root bus", fmt.Sprintf("%d devices for 30 slots", len(devices))}
			}
			for f := 1; f < 8; f++ {
				if used[[2]int{d.Slot, f}] {
					return &FieldError{field, fmt.Sprintf("function 0 of slot %#x before its other functions", d.Slot), fmt.Sprintf("function %d", f)}
				}
			}
			single[d.Slot] = true
		}
		at := [2]int{d.Slot, d.Function}
		if used[at] || (d.Function != 0 && single[d.Slot]) {
			return &FieldError{field, "a slot of its own", fmt.Sprintf("%#x.%d, which is taken", d.Slot, d.Function)}
		}
		used[at] = true
		if d.Kind == Expander {
			if buses[d.Bus] {
				return &FieldError{strings.TrimSuffix(field, ".Slot") + ".Bus", "a bus number of its own", strconv.Itoa(int(d.Bus))}
			}
			buses[d.Bus] = true
		}
	}
	return nil
}
