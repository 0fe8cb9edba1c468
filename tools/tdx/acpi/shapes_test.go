package acpi

import (
	"math/rand/v2"

	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// manyShapes is how many shapes are made up for each release of QEMU.
const manyShapes = 220

// generated makes up the same machines for every patch level of a release.
func generated(version machine.Version) []machine.Machine {
	r := rand.New(rand.NewPCG(uint64(version.Major), uint64(version.Minor)))
	made := make([]machine.Machine, manyShapes)
	for i := range made {
		made[i] = shape(r, version)
	}
	return made
}

// shape makes up a machine.
func shape(r *rand.Rand, version machine.Version) machine.Machine {
	for {
		m := randomMachine(r, version)
		if m.Validate() == nil {
			return m
		}
	}
}

func randomMachine(r *rand.Rand, version machine.Version) machine.Machine {
	flip := func(oneIn int) bool { return r.IntN(oneIn) == 0 }
	m := machine.Default()
	m.QEMU = version
	m.CPUs = 1 + r.IntN(24)
	if flip(4) {
		m.MaxCPUs = m.CPUs + r.IntN(40)
	}
	if flip(20) {
		m.MaxCPUs = 200 + r.IntN(56)
		if version.AtLeast(10, 0, 0) {
			m.MaxCPUs += r.IntN(300)
			if flip(3) {
				m.MaxCPUs = 1400 + r.IntN(2696)
			}
		}
	}
	m.Memory = uint64(64+r.IntN(3500)) << 20
	if flip(3) {
		m.Memory = []uint64{128 << 20, 1 << 30, 2815 << 20, 2816 << 20, 3 << 30, 16 << 30, 512 << 30}[r.IntN(7)]
	}
	m.RootDisk, m.DataDisk, m.VSock = !flip(4), !flip(4), !flip(4)
	m.NICs, m.VerityVolumes = r.IntN(4), r.IntN(3)
	if flip(4) {
		m.HostShare = machine.ShareNone
	}
	m.HotplugOff, m.HPET, m.SMM, m.PIC, m.Serial = flip(5), flip(4), flip(5), flip(3), !flip(4)
	switch r.IntN(6) {
	case 0:
		m.PCIHole64Size = uint64(1+r.IntN(4096)) << 30
	case 1:
		m.PCIHole64Size = uint64(1+r.IntN(1<<20)) << 20
	}
	switch r.IntN(5) {
	case 0:
		m.NoBAR64 = true
	case 1:
		m.BAR64Base = uint64(1+r.IntN(1<<10)) << 32
	case 2:
		m.GuestPhysBits = 41 + r.IntN(11)
	}
	if flip(12) {
		m.TPM = []machine.TPM{machine.TPMTIS, machine.TPMCRB}[r.IntN(2)]
	}
	if flip(3) {
		m.GPUs, m.NVSwitches = r.IntN(9), r.IntN(5)
	}
	if flip(4) {
		nodes(r, &m)
	}
	for range r.IntN(5) * r.IntN(2) {
		m.Extra = append(m.Extra, randomDevice(r, len(m.NUMA)))
	}
	return m
}

// nodes splits the machine's memory, processors and GPUs between NUMA nodes.
func nodes(r *rand.Rand, m *machine.Machine) {
	n := 1 + r.IntN(4)
	m.Memory = uint64(n*(1+r.IntN(64))) << 28
	gpus := m.GPUs
	for i := range n {
		node := machine.NUMANode{CPUs: m.PossibleCPUs() / n, Memory: m.Memory / uint64(n), Expander: r.IntN(2) == 0}
		if i == n-1 {
			node.CPUs += m.PossibleCPUs() % n
		}
		if node.Expander {
			node.GPUs = r.IntN(gpus + 1)
			gpus -= node.GPUs
			if node.GPUs > 0 && r.IntN(2) == 0 {
				node.Resources = assigned(r, m, i, node.GPUs)
			}
		}
		m.NUMA = append(m.NUMA, node)
	}
	m.GPUs -= gpus
}

// assigned makes up what firmware assigned to the bus of node i: up to one range of each kind for each GPU, at random among
// places of its own, some of which touch.
func assigned(r *rand.Rand, m *machine.Machine, i, gpus int) *machine.BusResources {
	var b machine.BusResources
	b.LastBus = uint8(0x60 + r.IntN(0x80))
	place := func(first, unit uint64) []machine.Range {
		var ranges []machine.Range
		for range r.IntN(gpus + 1) {
			first += unit * uint64(r.IntN(2))
			ranges = append(ranges, machine.Range{First: first, Last: first + unit - 1})
			first += unit
		}
		r.Shuffle(len(ranges), func(a, b int) { ranges[a], ranges[b] = ranges[b], ranges[a] })
		return ranges
	}
	if gpus == 1 {
		b.IO = place(0x6000+uint64(i)*0x2000, 0x1000)
	}
	b.Mem32 = place(0xf0000000+uint64(i)<<25, 1<<20)
	b.Mem64 = place(m.PCIHole64().First+uint64(i)<<40, uint64(1)<<(20+r.IntN(18)))
	return &b
}

func randomDevice(r *rand.Rand, numa int) machine.Device {
	var d machine.Device
	if r.IntN(3) == 0 {
		d.Slot = 1 + r.IntN(31)
		d.Function = r.IntN(3)
	}
	switch r.IntN(4) {
	case 0, 1:
		d.Kind = machine.Endpoint
	case 2:
		d.Kind = machine.RootPort
		for i := range r.IntN(4) {
			d.Children = append(d.Children, machine.Device{Kind: machine.Endpoint, Function: i})
		}
	case 3:
		d.Kind = machine.Expander
		d.Function = 0
		d.Bus = uint8(0x40 + r.IntN(0xb0))
		d.NUMANode = -1
		if numa > 0 {
			d.NUMANode = r.IntN(numa+1) - 1
		}
	}
	return d
}
