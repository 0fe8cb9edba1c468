package machine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// FieldError says which field of a machine is impossible or not modelled.
type FieldError struct {
	// Field is the name of the field, as in "CPUs" or "NUMA[1].Memory".
	Field string
	// Want is what is possible.
	Want string
	// Got is what was said.
	Got string
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("machine: %s: expected %s, got %s", e.Field, e.Want, e.Got)
}

const (
	// minMemory is what the firmware's own sections need, rounded up: they reach up to 0x830000.
	minMemory = 16 * mib
	// memoryUnit is what QEMU rounds the size of RAM to (system/vl.c, set_memory_options).
	memoryUnit = 8 << 10
	// maxExpanders is how many expanders have slots of their own before the chipset's.
	maxExpanders = slotLPC - expanderSlot
	// maxBootPath bounds a firmware path.
	maxBootPath = 1 << 10
)

// maxCPUs is the limit of the versioned machine type (hw/i386/pc_q35.c).
func maxCPUs(v Version) int {
	switch {
	case v.AtLeast(9, 0, 0):
		return 4096
	case v.AtLeast(8, 1, 0):
		return 1024
	}
	return 288
}

// Validate refuses, with a FieldError, a machine that QEMU would refuse or that is not modelled.
func (m *Machine) Validate() error {
	for _, check := range []func() error{m.checkQEMU, m.checkCPUs, m.checkMemory, m.checkCounts, m.checkNUMA, m.checkWindow, m.checkBoot, m.checkExtra} {
		if err := check(); err != nil {
			return err
		}
	}
	_, err := m.Devices()
	return err
}

func (m *Machine) checkQEMU() error {
	if !m.QEMU.AtLeast(oldest.Major, oldest.Minor, oldest.Patch) || m.QEMU.AtLeast(beyond.Major, beyond.Minor, beyond.Patch) {
		return &FieldError{"QEMU", fmt.Sprintf("a release from %s to before %s", oldest, beyond), m.QEMU.String()}
	}
	for i, f := range m.Backports {
		if !slices.Contains(Features, f) {
			return &FieldError{fmt.Sprintf("Backports[%d]", i), fmt.Sprintf("one of %q", Features), fmt.Sprintf("%q", f)}
		}
	}
	if err := oneOf("TDX", m.TDX, "", TDXUpstream, TDXDownstream); err != nil {
		return err
	}
	if m.TDX == TDXDownstream && m.QEMU.AtLeast(10, 1, 0) {
		return &FieldError{"TDX", "upstream support, which QEMU has since 10.1", fmt.Sprintf("%q with QEMU %s", m.TDX, m.QEMU)}
	}
	if err := oneOf("PageAdd", m.PageAdd, "", OnePass, TwoPass); err != nil {
		return err
	}
	if m.SMICPUHotplug && !m.SMM {
		return &FieldError{"SMICPUHotplug", "false without SMM", "true"}
	}
	return oneOf("TPM", m.TPM, TPMNone, TPMTIS, TPMCRB)
}

func (m *Machine) checkCPUs() error {
	limit := maxCPUs(m.QEMU)
	if m.CPUs < 1 || m.CPUs > limit {
		return &FieldError{"CPUs", fmt.Sprintf("1 to %d for QEMU %s", limit, m.QEMU), strconv.Itoa(m.CPUs)}
	}
	if m.MaxCPUs != 0 && (m.MaxCPUs < m.CPUs || m.MaxCPUs > limit) {
		return &FieldError{"MaxCPUs", fmt.Sprintf("%d to %d", m.CPUs, limit), strconv.Itoa(m.MaxCPUs)}
	}
	return nil
}

func (m *Machine) checkMemory() error {
	if m.Memory < minMemory || m.Memory%memoryUnit != 0 || m.Memory > 1<<51 {
		return &FieldError{"Memory", "16 MiB to 2 PiB in units of 8 KiB", fmt.Sprintf("%d bytes", m.Memory)}
	}
	return nil
}

func (m *Machine) checkCounts() error {
	for _, c := range []struct {
		field string
		n     int
	}{{"VerityVolumes", m.VerityVolumes}, {"NICs", m.NICs}, {"GPUs", m.GPUs}, {"NVSwitches", m.NVSwitches}} {
		if c.n < 0 || c.n > 30 {
			return &FieldError{c.field, "0 to 30, the free slots of the root bus", strconv.Itoa(c.n)}
		}
	}
	return oneOf("HostShare", m.HostShare, "", ShareNone, Share9P, ShareVVFAT, ShareVHD)
}

func (m *Machine) checkNUMA() error {
	if len(m.NUMA) == 0 {
		return nil
	}
	// QEMU allows 128 nodes, but each here may have an expander in a slot.
	if len(m.NUMA) > maxExpanders {
		return &FieldError{"NUMA", fmt.Sprintf("up to %d nodes", maxExpanders), strconv.Itoa(len(m.NUMA))}
	}
	var cpus, gpus int
	var memory uint64
	bus := expanderBus
	for i, n := range m.NUMA {
		name := fmt.Sprintf("NUMA[%d]", i)
		switch {
		case n.CPUs < 0 || n.CPUs > m.PossibleCPUs():
			return &FieldError{name + ".CPUs", fmt.Sprintf("0 to %d", m.PossibleCPUs()), strconv.Itoa(n.CPUs)}
		case n.Memory > m.Memory || n.Memory%mib != 0:
			return &FieldError{name + ".Memory", "whole MiB up to the machine's memory", fmt.Sprintf("%d bytes", n.Memory)}
		case n.GPUs < 0 || n.GPUs > 32:
			return &FieldError{name + ".GPUs", "0 to 32, the slots of an expander bus", strconv.Itoa(n.GPUs)}
		case n.GPUs > 0 && !n.Expander:
			return &FieldError{name + ".Expander", "an expander bus for the node's GPUs", "none"}
		}
		if n.Resources != nil && !n.Expander {
			return &FieldError{name + ".Resources", "nothing without an expander bus", "resources"}
		}
		if err := n.Resources.check(name+".Resources", m, bus); err != nil {
			return err
		}
		if n.Expander {
			bus += n.GPUs + 1
		}
		cpus, memory, gpus = cpus+n.CPUs, memory+n.Memory, gpus+n.GPUs
	}
	switch {
	case cpus != m.PossibleCPUs():
		return &FieldError{"NUMA", fmt.Sprintf("nodes with all %d vCPUs", m.PossibleCPUs()), strconv.Itoa(cpus)}
	case memory != m.Memory:
		return &FieldError{"NUMA", fmt.Sprintf("nodes with all %d bytes of memory", m.Memory), strconv.FormatUint(memory, 10)}
	case gpus != m.GPUs:
		return &FieldError{"NUMA", fmt.Sprintf("nodes with all %d GPUs", m.GPUs), strconv.Itoa(gpus)}
	}
	return nil
}

// check refuses ranges that are empty, overlap or lie where no such resources are.
func (r *BusResources) check(field string, m *Machine, bus int) error {
	if r == nil {
		return nil
	}
	if int(r.LastBus) < bus {
		return &FieldError{field + ".LastBus", fmt.Sprintf("at least %d", bus), strconv.Itoa(int(r.LastBus))}
	}
	for _, set := range []struct {
		name   string
		ranges []Range
		within Range
	}{{"IO", r.IO, Range{0xd00, 0xffff}}, {"Mem32", r.Mem32, Range{m.Below4G(), 0xfebfffff}}, {"Mem64", r.Mem64, Range{m.MemoryEnd(), 1<<52 - 1}}} {
		sorted := slices.SortedFunc(slices.Values(set.ranges), func(a, b Range) int {
			if a.First < b.First {
				return -1
			}
			return 1
		})
		next := set.within.First
		for _, x := range sorted {
			if x.First < next || x.Last < x.First || x.Last > set.within.Last {
				return &FieldError{field + "." + set.name, fmt.Sprintf("ranges of their own within %#x to %#x", set.within.First, set.within.Last), fmt.Sprintf("%#x to %#x", x.First, x.Last)}
			}
			next = x.Last + 1
		}
	}
	return nil
}

func (m *Machine) checkWindow() error {
	if m.PCIHole64Size > 1<<51 {
		return &FieldError{"PCIHole64Size", "up to 2 PiB", fmt.Sprintf("%#x", m.PCIHole64Size)}
	}
	if m.NoBAR64 && (m.BAR64Base != 0 || m.BAR64End != 0) {
		return &FieldError{"NoBAR64", "false when BAR64Base or BAR64End is set", "true"}
	}
	// Below 41 bits edk2 mistrusts the value and uses its classic window: that address is then given as BAR64Base.
	if m.GuestPhysBits != 0 && (m.GuestPhysBits < 41 || m.GuestPhysBits > 52) {
		return &FieldError{"GuestPhysBits", "41 to 52, or 0 with BAR64Base", strconv.Itoa(m.GuestPhysBits)}
	}
	if m.NoBAR64 || !m.hasEndpoint() {
		return nil
	}
	if m.BAR64Base == 0 && m.GuestPhysBits == 0 {
		return &FieldError{"GuestPhysBits", "the width of guest physical addresses, which decides where firmware puts 64-bit BARs, or BAR64Base", "0"}
	}
	base := m.BAR64()
	if base%mib != 0 || base < m.MemoryEnd() || base >= 1<<52 {
		field := "BAR64Base"
		if m.BAR64Base == 0 {
			field = "GuestPhysBits"
		}
		return &FieldError{field, fmt.Sprintf("a 64-bit window in units of 1 MiB after RAM, which ends at %#x", m.MemoryEnd()), fmt.Sprintf("%#x", base)}
	}
	if m.BAR64End != 0 && (m.BAR64End <= base || m.BAR64End > 1<<52) {
		return &FieldError{"BAR64End", fmt.Sprintf("an address after %#x", base), fmt.Sprintf("%#x", m.BAR64End)}
	}
	return nil
}

func (m *Machine) checkBoot() error {
	for i, p := range m.BootOrder {
		if p == "" || len(p) > maxBootPath || strings.ContainsAny(p, "\n\x00") {
			return &FieldError{fmt.Sprintf("BootOrder[%d]", i), "a firmware path", fmt.Sprintf("%q", p)}
		}
	}
	if len(m.MachineType) > 64 || strings.ContainsRune(m.MachineType, 0) {
		return &FieldError{"MachineType", "a name of up to 64 characters", fmt.Sprintf("%q", m.MachineType)}
	}
	return nil
}

func (m *Machine) checkExtra() error {
	for i := range m.Extra {
		d, name := &m.Extra[i], fmt.Sprintf("Extra[%d]", i)
		if d.Slot < 0 || d.Slot > 31 {
			return &FieldError{name + ".Slot", "0 to 31", strconv.Itoa(d.Slot)}
		}
		if err := m.checkDevice(name, d, true); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) checkDevice(name string, d *Device, root bool) error {
	if err := oneOf(name+".Kind", d.Kind, Endpoint, RootPort, Expander); err != nil {
		return err
	}
	if d.Function < 0 || d.Function > 7 || (root && d.Function != 0 && d.Slot == 0) {
		return &FieldError{name + ".Function", "0 to 7, and 0 without a slot", strconv.Itoa(d.Function)}
	}
	if d.Kind != Expander && (d.Resources != nil || d.Bus != 0) {
		return &FieldError{name + ".Bus", "a bus number and resources for expanders only", string(d.Kind)}
	}
	switch d.Kind {
	case Endpoint:
		if len(d.Children) > 0 {
			return &FieldError{name + ".Children", "none behind an endpoint", strconv.Itoa(len(d.Children))}
		}
	case RootPort:
		functions := map[int]bool{}
		for i := range d.Children {
			c, child := &d.Children[i], fmt.Sprintf("%s.Children[%d]", name, i)
			if c.Kind != Endpoint || c.Slot != 0 || functions[c.Function] {
				return &FieldError{child, "an endpoint with a function of its own in slot 0", fmt.Sprintf("%s %#x.%d", c.Kind, c.Slot, c.Function)}
			}
			functions[c.Function] = true
			if err := m.checkDevice(child, c, false); err != nil {
				return err
			}
		}
	case Expander:
		if !root {
			return &FieldError{name + ".Kind", "an expander on the root bus only", string(d.Kind)}
		}
		if d.Bus == 0 {
			return &FieldError{name + ".Bus", "1 to 255", "0"}
		}
		if d.NUMANode < -1 || d.NUMANode >= max(len(m.NUMA), 1) || (len(m.NUMA) == 0 && d.NUMANode != -1) {
			return &FieldError{name + ".NUMANode", fmt.Sprintf("-1 or one of %d nodes", len(m.NUMA)), strconv.Itoa(d.NUMANode)}
		}
		if len(d.Children) > 32 {
			return &FieldError{name + ".Children", "up to 32", strconv.Itoa(len(d.Children))}
		}
		for i := range d.Children {
			if err := m.checkDevice(fmt.Sprintf("%s.Children[%d]", name, i), &d.Children[i], false); err != nil {
				return err
			}
		}
		return d.Resources.check(name+".Resources", m, int(d.Bus))
	}
	return nil
}

func oneOf[T ~string](field string, got T, want ...T) error {
	if slices.Contains(want, got) {
		return nil
	}
	return &FieldError{field, fmt.Sprintf("one of %q", want), fmt.Sprintf("%q", got)}
}
