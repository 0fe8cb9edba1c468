package acpi

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// Functions of the chipset on the root bus (hw/i386/pc_q35.c).
const (
	devfnHost  = 0x00
	devfnLPC   = 0xf8
	devfnSATA  = 0xfa
	devfnSMBus = 0xfb
)

// bus is a PCI bus with what is on it.
type bus struct {
	// functions are ordered by number.
	functions []function
	// bridges are indices of functions with a bus behind them, the last that was made first: QEMU keeps child buses that way.
	bridges []int
	// hotplug says that ACPI handles hotplug on buses below.
	hotplug bool
	// expanders are the expanders, the last that was made first.
	expanders []*machine.Device
	// selector is the number by which hotplug registers select this bus, -1 for a bus without hotplug.
	selector int
}

// function is a PCI function.
type function struct {
	devfn  uint8
	device *machine.Device
	// child is the bus behind a root port, nil for other functions.
	child *bus
}

func (f *function) path() string { return fmt.Sprintf("S%02X", f.devfn) }

// address is _ADR: slot and function (ACPI 6.1.1).
func (f *function) address() uint64 { return uint64(f.devfn>>3)<<16 | uint64(f.devfn&7) }

// rootBus is the root bus with the chipset's functions and the machine's devices.
func rootBus(m *machine.Machine, devices []machine.Device) *bus {
	root := &bus{hotplug: !m.HotplugOff, selector: -1}
	for _, devfn := range []uint8{devfnHost, devfnLPC, devfnSATA, devfnSMBus} {
		root.functions = append(root.functions, function{devfn: devfn})
	}
	var made []uint8
	for i := range devices {
		d := &devices[i]
		f := function{devfn: uint8(d.Slot<<3 | d.Function), device: d}
		if d.Kind == machine.RootPort {
			f.child = &bus{hotplug: root.hotplug, selector: -1}
			for j := range d.Children {
				c := &d.Children[j]
				f.child.functions = append(f.child.functions, function{devfn: uint8(c.Function), device: c})
			}
			slices.SortFunc(f.child.functions, byNumber)
			made = append(made, f.devfn)
		}
		if d.Kind == machine.Expander {
			root.expanders = append(root.expanders, d)
		}
		root.functions = append(root.functions, f)
	}
	slices.Reverse(root.expanders)
	slices.SortFunc(root.functions, byNumber)
	slices.Reverse(made)
	for _, devfn := range made {
		i := slices.IndexFunc(root.functions, func(f function) bool { return f.devfn == devfn })
		root.bridges = append(root.bridges, i)
		if root.hotplug {
			root.functions[i].child.selector = len(root.bridges) - 1
		}
	}
	return root
}

func byNumber(a, b function) int { return cmp.Compare(a.devfn, b.devfn) }
