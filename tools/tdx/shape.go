package tdx

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/acpi"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// shapeCause says in what two machines differ whose ACPI tables do, or nothing if that is not known. Where only one of the machines is
// known, one that differs from it in a single thing is looked for whose tables the other side has.
func shapeCause(a, b Sequence) string {
	switch {
	case a.machine != nil && b.machine != nil:
		return differentFields(a, b)
	case a.machine != nil:
		return nearbyShape(a, b)
	case b.machine != nil:
		return nearbyShape(b, a)
	default:
		return ""
	}
}

func differentFields(a, b Sequence) string {
	x, y := reflect.ValueOf(*a.machine), reflect.ValueOf(*b.machine)
	var differ []string
	for i := range x.NumField() {
		if reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			continue
		}
		name, _, _ := strings.Cut(x.Type().Field(i).Tag.Get("json"), ",")
		differ = append(differ, fmt.Sprintf("%s is %v in %s and %v in %s", name, x.Field(i), a.Label, y.Field(i), b.Label))
	}
	if differ == nil {
		return ""
	}
	return "another machine shape: " + strings.Join(differ, "; ")
}

// nearbyShape looks among the machines near that of known for one with the ACPI tables of other.
func nearbyShape(known, other Sequence) string {
	var with []string
	for _, n := range nearby(*known.machine) {
		tables, err := acpi.Build(n.machine)
		if err != nil {
			continue // an impossible machine
		}
		found := true
		for _, file := range [][]byte{tables.Loader, tables.RSDP, tables.Tables} {
			found = found && contains(other.events[eventlog.RTMR0], eventlog.Sum(file))
		}
		if found {
			with = append(with, n.with)
		}
	}
	if with == nil {
		return ""
	}
	// Tables do not tell one kind of device from another.
	return fmt.Sprintf("another machine shape: %s has the ACPI tables of one with %s, all else being as in %s", other.Label, strings.Join(with, " or "), known.Label)
}

// neighbour is a machine that differs in one thing.
type neighbour struct {
	with    string
	machine machine.Machine
}

// nearby are machines that differ from m in one thing which shows in the ACPI tables.
func nearby(m machine.Machine) []neighbour {
	const maxCPUs, maxDevices = 128, 16
	var all []neighbour
	add := func(with string, change func(*machine.Machine)) {
		other := m
		change(&other)
		all = append(all, neighbour{with, other})
	}
	for n := 1; n <= maxCPUs; n++ {
		add(fmt.Sprintf("%d vCPUs", n), func(m *machine.Machine) { m.CPUs, m.MaxCPUs = n, 0 })
	}
	for _, count := range []struct {
		name string
		of   func(*machine.Machine) *int
	}{
		{"network devices", func(m *machine.Machine) *int { return &m.NICs }}, {"verity volumes", func(m *machine.Machine) *int { return &m.VerityVolumes }},
		{"GPUs", func(m *machine.Machine) *int { return &m.GPUs }}, {"NVSwitches", func(m *machine.Machine) *int { return &m.NVSwitches }},
	} {
		for n := range maxDevices {
			add(fmt.Sprintf("%d %s", n, count.name), func(m *machine.Machine) { *count.of(m) = n })
		}
	}
	for _, flag := range []struct {
		name string
		of   func(*machine.Machine) *bool
	}{
		{"hot-plug off", func(m *machine.Machine) *bool { return &m.HotplugOff }}, {"PIC", func(m *machine.Machine) *bool { return &m.PIC }},
		{"SMM", func(m *machine.Machine) *bool { return &m.SMM }}, {"HPET", func(m *machine.Machine) *bool { return &m.HPET }},
		{"serial port", func(m *machine.Machine) *bool { return &m.Serial }}, {"vsock", func(m *machine.Machine) *bool { return &m.VSock }},
		{"root disk", func(m *machine.Machine) *bool { return &m.RootDisk }}, {"data disk", func(m *machine.Machine) *bool { return &m.DataDisk }},
		{"64-bit BARs unassigned", func(m *machine.Machine) *bool { return &m.NoBAR64 }},
	} {
		add(fmt.Sprintf("%s %t", flag.name, !*flag.of(&m)), func(m *machine.Machine) { *flag.of(m) = !*flag.of(m) })
	}
	for _, tpm := range []machine.TPM{machine.TPMNone, machine.TPMTIS, machine.TPMCRB} {
		add(fmt.Sprintf("TPM %q", tpm), func(m *machine.Machine) { m.TPM = tpm })
	}
	for _, bits := range []int{41, 42, 43, 44, 45, 46, 47, 48, 52} {
		add(fmt.Sprintf("guest addresses of %d bits", bits), func(m *machine.Machine) { m.GuestPhysBits = bits })
	}
	for _, v := range []machine.Version{
		{Major: 7, Minor: 2, Patch: 22}, {Major: 8, Minor: 2, Patch: 2}, {Major: 8, Minor: 2, Patch: 9}, {Major: 9}, {Major: 9, Minor: 1},
		{Major: 9, Minor: 2}, {Major: 9, Minor: 2, Patch: 1}, {Major: 10}, {Major: 11}, {Major: 11, Minor: 1},
	} {
		add("QEMU like "+v.String(), func(m *machine.Machine) { m.QEMU = v })
	}
	for _, variant := range []machine.TDX{machine.TDXUpstream, machine.TDXDownstream} {
		add(fmt.Sprintf("%s TDX support", variant), func(m *machine.Machine) { m.TDX = variant })
	}
	return all
}
