package machine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	for text, want := range map[string]Version{"7.2.22": {7, 2, 22}, "10.0": {10, 0, 0}, "9.2.1": {9, 2, 1}} {
		if v, err := ParseVersion(text); err != nil || v != want {
			t.Errorf("%s: got %v, %v", text, v, err)
		}
	}
	for _, text := range []string{"", "10", "10.0.0.1", "v10.0", "10.0.x", "8.2.2+ds-0ubuntu1", "010.0", "10.-1", "99999.1"} {
		if v, err := ParseVersion(text); err == nil {
			t.Errorf("%q: got %v", text, v)
		}
	}
	var v Version
	if err := v.UnmarshalText([]byte("8.2.9")); err != nil || v.String() != "8.2.9" {
		t.Errorf("text: %v, %v", v, err)
	}
	if !v.AtLeast(8, 2, 9) || !v.AtLeast(7, 9, 0) || v.AtLeast(8, 2, 10) || v.AtLeast(8, 3, 0) || v.AtLeast(9, 0, 0) {
		t.Error("AtLeast")
	}
}

func TestFeatures(t *testing.T) {
	for _, x := range []struct {
		feature Feature
		version Version
		want    bool
	}{
		{DescribeFunctions, Version{7, 2, 22}, false}, {DescribeFunctions, Version{8, 0, 0}, true},
		{PackageNames, Version{8, 0, 5}, false}, {PackageNames, Version{8, 1, 0}, true},
		{MADTRevision3, Version{8, 0, 5}, false}, {MADTRevision3, Version{8, 1, 0}, true},
		{PICFlag, Version{9, 0, 4}, false}, {PICFlag, Version{9, 1, 0}, true},
		{FixedRoutes, Version{9, 1, 3}, false}, {FixedRoutes, Version{9, 2, 0}, true},
		{PCILabel, Version{7, 2, 15}, false}, {PCILabel, Version{7, 2, 16}, true}, {PCILabel, Version{8, 1, 99}, false},
		{PCILabel, Version{8, 2, 8}, false}, {PCILabel, Version{8, 2, 9}, true}, {PCILabel, Version{9, 0, 4}, false},
		{PCILabel, Version{9, 1, 2}, false}, {PCILabel, Version{9, 1, 3}, true}, {PCILabel, Version{9, 2, 0}, false}, {PCILabel, Version{9, 2, 1}, true},
		{CPURemoval, Version{9, 2, 4}, false}, {CPURemoval, Version{10, 0, 0}, true},
		{NoCPUInit, Version{10, 2, 1}, false}, {NoCPUInit, Version{11, 0, 0}, true},
		{SerialIRQ, Version{11, 0, 1}, false}, {SerialIRQ, Version{11, 1, 0}, true},
		{"unheard-of", Version{11, 1, 0}, false},
	} {
		if got := x.feature.In(x.version); got != x.want {
			t.Errorf("%s in %s: %t", x.feature, x.version, got)
		}
	}
	for _, f := range Features {
		if got, err := ParseFeature(string(f)); err != nil || got != f {
			t.Errorf("%s: %v", f, err)
		}
	}
	if _, err := ParseFeature("unheard-of"); err == nil {
		t.Error("parsed an unknown feature")
	}
	m := Default()
	m.QEMU, m.Backports = Version{8, 2, 2}, []Feature{PCILabel}
	if !m.Has(PCILabel) || m.Has(CPURemoval) {
		t.Error("backport")
	}
}

// TestRefusals names, for each impossible machine, the field that the error must name.
func TestRefusals(t *testing.T) {
	gpus := func(m *Machine) {
		m.CPUs, m.GPUs = 2, 1
		m.NUMA = []NUMANode{{CPUs: 2, Memory: m.Memory, Expander: true, GPUs: 1}}
	}
	for _, x := range []struct {
		field  string
		change func(m *Machine)
	}{
		{"QEMU", func(m *Machine) { m.QEMU = Version{} }},
		{"QEMU", func(m *Machine) { m.QEMU = Version{7, 1, 9} }},
		{"QEMU", func(m *Machine) { m.QEMU = Version{12, 0, 0} }},
		{"Backports[1]", func(m *Machine) { m.Backports = []Feature{PCILabel, "x"} }},
		{"TDX", func(m *Machine) { m.TDX = "other" }},
		{"TDX", func(m *Machine) { m.TDX, m.QEMU = TDXDownstream, Version{10, 1, 0} }},
		{"PageAdd", func(m *Machine) { m.PageAdd = "three-pass" }},
		{"TPM", func(m *Machine) { m.TPM = "tpm-spapr" }},
		{"SMICPUHotplug", func(m *Machine) { m.SMICPUHotplug = true }},
		{"CPUs", func(m *Machine) { m.CPUs = 0 }},
		{"CPUs", func(m *Machine) { m.CPUs = 4097 }},
		{"CPUs", func(m *Machine) { m.CPUs, m.QEMU = 289, Version{7, 2, 0} }},
		{"CPUs", func(m *Machine) { m.CPUs, m.QEMU = 1025, Version{8, 2, 0} }},
		{"MaxCPUs", func(m *Machine) { m.CPUs, m.MaxCPUs = 4, 3 }},
		{"Memory", func(m *Machine) { m.Memory = 8 << 20 }},
		{"Memory", func(m *Machine) { m.Memory++ }},
		{"Memory", func(m *Machine) { m.Memory = 1 << 60 }},
		{"NICs", func(m *Machine) { m.NICs = -1 }},
		{"GPUs", func(m *Machine) { m.GPUs = 31 }},
		{"PCI devices", func(m *Machine) { m.GPUs = 30 }},
		{"HostShare", func(m *Machine) { m.HostShare = "nfs" }},
		{"NUMA", func(m *Machine) { m.NUMA = make([]NUMANode, 16) }},
		{"NUMA", func(m *Machine) { m.NUMA = []NUMANode{{CPUs: 0, Memory: m.Memory}} }},
		{"NUMA", func(m *Machine) { m.NUMA = []NUMANode{{CPUs: 1, Memory: m.Memory / 2}} }},
		{"NUMA", func(m *Machine) { m.GPUs, m.NUMA = 1, []NUMANode{{CPUs: 1, Memory: m.Memory}} }},
		{"NUMA[0].CPUs", func(m *Machine) { m.NUMA = []NUMANode{{CPUs: 2, Memory: m.Memory}} }},
		{"NUMA[0].Memory", func(m *Machine) { m.NUMA = []NUMANode{{CPUs: 1, Memory: 1}} }},
		{"NUMA[0].GPUs", func(m *Machine) { m.NUMA = []NUMANode{{CPUs: 1, Memory: m.Memory, Expander: true, GPUs: 33}} }},
		{"NUMA[0].Expander", func(m *Machine) { gpus(m); m.NUMA[0].Expander = false }},
		{"NUMA[0].Resources", func(m *Machine) {
			m.NUMA = []NUMANode{{CPUs: 1, Memory: m.Memory, Resources: &BusResources{LastBus: 6}}}
		}},
		{"NUMA[0].Resources.LastBus", func(m *Machine) { gpus(m); m.NUMA[0].Resources = &BusResources{} }},
		{"NUMA[0].Resources.IO", func(m *Machine) {
			gpus(m)
			m.NUMA[0].Resources = &BusResources{LastBus: 6, IO: []Range{{0xcf8, 0xcff}}}
		}},
		{"NUMA[0].Resources.Mem32", func(m *Machine) {
			gpus(m)
			m.NUMA[0].Resources = &BusResources{LastBus: 6, Mem32: []Range{{0xf0100000, 0xf01fffff}, {0xf0000000, 0xf0100000}}}
		}},
		{"NUMA[0].Resources.Mem64", func(m *Machine) {
			gpus(m)
			m.NUMA[0].Resources = &BusResources{LastBus: 6, Mem64: []Range{{1 << 40, 1 << 39}}}
		}},
		{"PCIHole64Size", func(m *Machine) { m.PCIHole64Size = 1 << 60 }},
		{"NoBAR64", func(m *Machine) { m.NoBAR64, m.BAR64Base = true, 1<<40 }},
		{"GuestPhysBits", func(m *Machine) { m.GuestPhysBits = 40 }},
		{"GuestPhysBits", func(m *Machine) { m.GuestPhysBits = 0 }},
		{"GuestPhysBits", func(m *Machine) { m.GuestPhysBits, m.Memory = 41, 4<<40 }},
		{"BAR64Base", func(m *Machine) { m.BAR64Base = 1 << 30 }},
		{"BAR64Base", func(m *Machine) { m.BAR64Base = 1<<40 + 1 }},
		{"BAR64End", func(m *Machine) { m.BAR64End = 1 << 40 }},
		{"BootOrder[0]", func(m *Machine) { m.BootOrder = []string{"a\nb"} }},
		{"MachineType", func(m *Machine) { m.MachineType = strings.Repeat("x", 65) }},
		{"Extra[0].Slot", func(m *Machine) { m.Extra = []Device{{Kind: Endpoint, Slot: 32}} }},
		{"Extra[0].Slot", func(m *Machine) { m.Extra = []Device{{Kind: Endpoint, Slot: 1}} }},
		{"Extra[0].Slot", func(m *Machine) { m.Extra = []Device{{Kind: Endpoint, Slot: 1, Function: 1}} }},
		{"Extra[1].Slot", func(m *Machine) { m.Extra = []Device{{Kind: Endpoint, Slot: 6, Function: 1}, {Kind: Endpoint}} }},
		{"Extra[0].Kind", func(m *Machine) { m.Extra = []Device{{}} }},
		{"Extra[0].Function", func(m *Machine) { m.Extra = []Device{{Kind: Endpoint, Function: 1}} }},
		{"Extra[0].Function", func(m *Machine) { m.Extra = []Device{{Kind: Endpoint, Slot: 9, Function: 8}} }},
		{"Extra[0].Children", func(m *Machine) { m.Extra = []Device{{Kind: Endpoint, Children: []Device{{Kind: Endpoint}}}} }},
		{"Extra[0].Children[0]", func(m *Machine) { m.Extra = []Device{{Kind: RootPort, Children: []Device{{Kind: RootPort}}}} }},
		{"Extra[0].Children[1]", func(m *Machine) {
			m.Extra = []Device{{Kind: RootPort, Children: []Device{{Kind: Endpoint}, {Kind: Endpoint}}}}
		}},
		{"Extra[0].Bus", func(m *Machine) { m.Extra = []Device{{Kind: Endpoint, Bus: 3}} }},
		{"Extra[0].Bus", func(m *Machine) { m.Extra = []Device{{Kind: Expander, NUMANode: -1}} }},
		{"Extra[1].Bus", func(m *Machine) {
			m.Extra = []Device{{Kind: Expander, Bus: 9, NUMANode: -1}, {Kind: Expander, Bus: 9, NUMANode: -1}}
		}},
		{"Extra[0].NUMANode", func(m *Machine) { m.Extra = []Device{{Kind: Expander, Bus: 9}} }},
		{"Extra[0].Children[0].Kind", func(m *Machine) {
			m.Extra = []Device{{Kind: Expander, Bus: 9, NUMANode: -1, Children: []Device{{Kind: Expander, Bus: 10}}}}
		}},
		{"Extra[0].Children", func(m *Machine) {
			m.Extra = []Device{{Kind: Expander, Bus: 9, NUMANode: -1, Children: make([]Device, 33)}}
		}},
		{"Extra[0].Resources.LastBus", func(m *Machine) {
			m.Extra = []Device{{Kind: Expander, Bus: 9, NUMANode: -1, Resources: &BusResources{LastBus: 8}}}
		}},
	} {
		m := Default()
		if err := m.Validate(); err != nil {
			t.Fatalf("default: %v", err)
		}
		x.change(&m)
		var field *FieldError
		err := m.Validate()
		if !errors.As(err, &field) || field.Field != x.field {
			t.Errorf("%s: got %v", x.field, err)
			continue
		}
		if text := err.Error(); !strings.HasPrefix(text, "machine: "+x.field+": expected ") || !strings.Contains(text, ", got ") || field.Got == "" {
			t.Errorf("%s: text %q", x.field, text)
		}
	}
}

func TestSlots(t *testing.T) {
	m := Default()
	m.NICs, m.VerityVolumes, m.CPUs = 2, 1, 4
	m.GPUs, m.NVSwitches = 3, 1
	half := m.Memory / 2
	m.NUMA = []NUMANode{{CPUs: 2, Memory: half, Expander: true, GPUs: 2}, {CPUs: 2, Memory: half, Expander: true, GPUs: 1}}
	m.Extra = []Device{{Kind: Endpoint}, {Kind: RootPort, Slot: 0x1e}}
	devices, err := m.Devices()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range devices {
		got = append(got, fmt.Sprintf("%s@%x/%d*%d", d.Kind, d.Slot, d.Bus, len(d.Children)))
	}
	want := "endpoint@1/0*0 endpoint@2/0*0 endpoint@3/0*0 endpoint@4/0*0 endpoint@5/0*0 endpoint@6/0*0 endpoint@7/0*0 " +
		"pxb-pcie@10/5*2 pxb-pcie@11/8*1 root-port@8/0*1 endpoint@9/0*0 root-port@1e/0*0"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestMemory(t *testing.T) {
	for _, x := range []struct {
		memory uint64
		want   string
	}{
		{512 << 20, "[{0 1fffffff}]"},
		{2815 << 20, "[{0 afefffff}]"},
		{2816 << 20, "[{0 7fffffff} {100000000 12fffffff}]"},
		{16 << 30, "[{0 7fffffff} {100000000 47fffffff}]"},
	} {
		m := Machine{Memory: x.memory}
		if got := fmt.Sprintf("%x", m.RAM()); got != x.want {
			t.Errorf("%d: got %s, want %s", x.memory, got, x.want)
		}
	}
}

func TestPCIHole64(t *testing.T) {
	for _, x := range []struct {
		name   string
		change func(m *Machine)
		want   Range
	}{
		{"46 bits", func(*Machine) {}, Range{0x380000000000, 0x3807ffffffff}},
		{"48 bits", func(m *Machine) { m.GuestPhysBits = 48 }, Range{0xe00000000000, 0xe007ffffffff}},
		{"given", func(m *Machine) { m.BAR64Base = 0x800000000 }, Range{0x800000000, 0xfffffffff}},
		{"size", func(m *Machine) { m.PCIHole64Size = 1 << 40 }, Range{0x380000000000, 0x38ffffffffff}},
		{"beyond the size", func(m *Machine) { m.BAR64End = 0x381000000000 }, Range{0x380000000000, 0x380fffffffff}},
		{"no BAR", func(m *Machine) { m.NoBAR64, m.Memory = true, 3<<30 }, Range{0x140000000, 0x93fffffff}},
		{"no device", func(m *Machine) { *m = Machine{Memory: 1 << 30} }, Range{0x100000000, 0x8ffffffff}},
	} {
		m := Default()
		x.change(&m)
		if got := m.PCIHole64(); got != x.want {
			t.Errorf("%s: got %x, want %x", x.name, got, x.want)
		}
	}
}

func TestPageAddOrder(t *testing.T) {
	for _, x := range []struct {
		version Version
		said    PageAdd
		want    PageAdd
	}{{Version{7, 2, 0}, "", OnePass}, {Version{8, 2, 2}, "", TwoPass}, {Version{9, 0, 0}, "", OnePass}, {Version{8, 2, 2}, OnePass, OnePass}, {Version{10, 1, 0}, TwoPass, TwoPass}} {
		m := Machine{QEMU: x.version, PageAdd: x.said}
		if got := m.PageAddOrder(); got != x.want {
			t.Errorf("%s %q: %s", x.version, x.said, got)
		}
	}
}

func TestNotes(t *testing.T) {
	m := Default()
	if notes := m.Notes(); len(notes) != 0 {
		t.Errorf("default: %v", notes)
	}
	m.QEMU, m.TDX, m.GPUs = Version{9, 1, 0}, TDXDownstream, 1
	m.NUMA = []NUMANode{{CPUs: 1, Memory: m.Memory, Expander: true, GPUs: 1}}
	if notes := strings.Join(m.Notes(), "\n"); !strings.Contains(notes, "QEMU 9.1.0") || !strings.Contains(notes, "edge-triggered") || !strings.Contains(notes, "bus 5") {
		t.Errorf("notes %q", notes)
	}
}
