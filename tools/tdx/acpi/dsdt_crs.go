package acpi

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// windows collects the address ranges that the root bus does not have, and says which it could have.
type windows struct {
	io, mem32, mem64 []machine.Range
	hole64           machine.Range
	below4G          uint64
}

func windowsOf(m *machine.Machine) *windows {
	return &windows{hole64: m.PCIHole64(), below4G: m.Below4G()}
}

// merged are the ranges in order, those that touch put together.
func merged(ranges []machine.Range) []machine.Range {
	sorted := slices.SortedFunc(slices.Values(ranges), byStart)
	var out []machine.Range
	for _, r := range sorted {
		if n := len(out); n > 0 && out[n-1].Last+1 == r.First {
			out[n-1].Last = r.Last
			continue
		}
		out = append(out, r)
	}
	return out
}

func byStart(a, b machine.Range) int { return cmp.Compare(a.First, b.First) }

// free is what the taken ranges leave of a range.
func free(within machine.Range, taken []machine.Range) []machine.Range {
	var out []machine.Range
	next := within.First
	for _, r := range slices.SortedFunc(slices.Values(taken), byStart) {
		if next < r.First {
			out = append(out, machine.Range{First: next, Last: r.First - 1})
		}
		next = r.Last + 1
	}
	if next < within.Last {
		out = append(out, machine.Range{First: next, Last: within.Last})
	}
	return out
}

// expander is the host bridge of an expander bus. ACPI does no hotplug there, so that the operating system may.
func expander(m *machine.Machine, d *machine.Device, w *windows) term {
	last := d.Bus
	var crs []term
	if r := d.Resources; r != nil {
		last = r.LastBus
		io, mem32, mem64 := merged(r.IO), merged(r.Mem32), merged(r.Mem64)
		for _, x := range io {
			crs = append(crs, dwordSpace(spaceIO, entireRange, uint32(x.First), uint32(x.Last)))
		}
		for _, x := range mem32 {
			crs = append(crs, dwordSpace(spaceMemory, memoryUncached, uint32(x.First), uint32(x.Last)))
		}
		for _, x := range mem64 {
			crs = append(crs, qwordSpace(spaceMemory, memoryUncached, x.First, x.Last))
		}
		w.io, w.mem32, w.mem64 = append(w.io, io...), append(w.mem32, mem32...), append(w.mem64, mem64...)
	}
	crs = append(crs, wordSpace(spaceBus, 0, uint16(d.Bus), uint16(last)))

	body := []term{
		named("_UID", integer(uint64(d.Bus))),
		named("_BBN", integer(uint64(d.Bus))),
		named("_HID", eisaID("PNP0A08")),
		named("_CID", eisaID("PNP0A03")),
		osc(true),
	}
	if d.NUMANode >= 0 {
		body = append(body, named("_PXM", integer(uint64(d.NUMANode))))
	}
	body = append(body, expanderRoutes(m.Has(machine.FixedRoutes)), named("_CRS", resources(crs...)))
	return device(fmt.Sprintf("PC%02X", d.Bus), body...)
}

// rootResources are the root bus's resources and the devices that reserve ports in them.
func rootResources(m *machine.Machine, root *bus, w *windows) []term {
	lastBus := uint16(0xff)
	for _, d := range root.expanders {
		if n := uint16(d.Bus); n < lastBus {
			lastBus = n - 1
		}
	}
	w.mem32 = append(w.mem32, machine.Range{First: ecamBase, Last: ecamBase + ecamSize - 1})

	crs := []term{
		wordSpace(spaceBus, 0, 0, lastBus),
		ioPorts(0xcf8, 1, 8),
		wordSpace(spaceIO, entireRange, 0, 0xcf7),
	}
	for _, r := range free(machine.Range{First: 0xd00, Last: 0xffff}, w.io) {
		crs = append(crs, wordSpace(spaceIO, entireRange, uint16(r.First), uint16(r.Last)))
	}
	crs = append(crs, dwordSpace(spaceMemory, memoryCacheable, 0xa0000, 0xbffff))
	for _, r := range free(machine.Range{First: w.below4G, Last: lastIOAPIC}, w.mem32) {
		crs = append(crs, dwordSpace(spaceMemory, memoryUncached, uint32(r.First), uint32(r.Last)))
	}
	for _, r := range free(w.hole64, w.mem64) {
		crs = append(crs, qwordSpace(spaceMemory, memoryCacheable, r.First, r.Last))
	}
	if m.TPM == machine.TPMTIS {
		crs = append(crs, memory32(tpmBase, tpmSize, true))
	}
	body := []term{
		named("_CRS", resources(crs...)),
		reserved("GPE0", "GPE0 resources", gpe0Base, gpe0Len),
	}
	if root.hotplug {
		body = append(body, reserved("PHPR", "PCI Hotplug resources", pciHotplugBase, pciHotplugLen))
	}
	return body
}
