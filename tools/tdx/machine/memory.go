package machine

// Boundaries of q35's memory map.
const (
	mib = uint64(1) << 20
	gib = uint64(1) << 30

	// splitAt is the size from which RAM is split: below it RAM is one piece from address 0 (hw/i386/pc_q35.c).
	splitAt = 0xB0000000
	// lowWhenSplit is what stays below 4 GiB of RAM that is split.
	lowWhenSplit = 0x80000000
	// fourGiB is where the rest of the RAM goes.
	fourGiB = 4 * gib
	// defaultHole64 is the size of the 64-bit PCI window.
	defaultHole64 = 32 * gib
)

// Below4G is how much RAM is below 4 GiB.
func (m *Machine) Below4G() uint64 {
	if m.Memory < splitAt {
		return m.Memory
	}
	return lowWhenSplit
}

// Above4G is how much RAM is at and above 4 GiB.
func (m *Machine) Above4G() uint64 { return m.Memory - m.Below4G() }

// MemoryEnd is the first address after all RAM, at least 4 GiB.
func (m *Machine) MemoryEnd() uint64 { return fourGiB + m.Above4G() }

// RAM is where RAM is, lowest first.
func (m *Machine) RAM() []Range {
	r := []Range{{0, m.Below4G() - 1}}
	if m.Above4G() > 0 {
		r = append(r, Range{fourGiB, m.MemoryEnd() - 1})
	}
	return r
}

// BAR64 is the lowest address that firmware gives to a 64-bit BAR; 0 when there is no such BAR.
func (m *Machine) BAR64() uint64 {
	switch {
	case m.NoBAR64 || !m.hasEndpoint():
		return 0
	case m.BAR64Base != 0:
		return m.BAR64Base
	}
	return mmio64Base(m.GuestPhysBits)
}

// mmio64Base is where edk2 puts the 64-bit window when it trusts the width of addresses: the top eighth (PlatformInitLib,
// PlatformDynamicMmioWindow, edk2-stable202211 and later).
func mmio64Base(bits int) uint64 { return 1<<bits - 1<<(bits-3) }

// PCIHole64 is the 64-bit PCI window as QEMU reports it once firmware has assigned addresses (hw/pci-host/q35.c,
// q35_host_get_pci_hole64_start and _end): from the lowest 64-bit address in use, or else from the end of RAM, for the
// configured size, and further if something in use ends further.
func (m *Machine) PCIHole64() Range {
	size := m.PCIHole64Size
	if size == 0 {
		size = defaultHole64
	}
	start := m.BAR64()
	if start == 0 {
		start = roundUp(m.MemoryEnd(), gib)
	}
	return Range{start, max(m.BAR64End, roundUp(start+size, gib)) - 1}
}

func roundUp(v, to uint64) uint64 { return (v + to - 1) / to * to }

// hasEndpoint tells whether the root bus has a device with a 64-bit BAR, or a bridge to one.
func (m *Machine) hasEndpoint() bool {
	if m.RootDisk || m.DataDisk || m.VerityVolumes > 0 || m.NICs > 0 || m.VSock || (m.HostShare != ShareNone && m.HostShare != "") ||
		m.NVSwitches > 0 || (m.GPUs > 0 && len(m.NUMA) == 0) {
		return true
	}
	for _, d := range m.Extra {
		if d.Kind == Endpoint || (d.Kind == RootPort && len(d.Children) > 0) {
			return true
		}
	}
	return false
}
