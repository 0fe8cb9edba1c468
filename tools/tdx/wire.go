package tdx

import (
	"fmt"
	"strconv"

	"github.com/boardroom-tee/boardroom/tools/tdx/acpi"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/smbios"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// SetMachine fills in what follows from the shape of the machine: QEMU, memory, page order, ACPI tables, fw_cfg items and SMBIOS
// tables. For a boot from disk it is also the boot option of the disk, see [DiskBoot].
func (in *Inputs) SetMachine(m machine.Machine, o smbios.Options) error {
	if m.DirectBoot != (in.Direct != nil) {
		return &machine.FieldError{Field: "DirectBoot", Want: "true for a kernel, false for a disk", Got: strconv.FormatBool(m.DirectBoot)}
	}
	if in.Disk != nil {
		if err := in.Disk.setMachine(&m); err != nil {
			return err
		}
	}
	tables, err := acpi.Build(m)
	if err != nil {
		return err
	}
	items, err := acpi.FWCfg(m)
	if err != nil {
		return err
	}
	structures, err := smbios.Build(m, o)
	if err != nil {
		return err
	}
	in.QEMU, in.Memory, in.PageOrder, in.SMBIOS = m.QEMU, m.Memory, tdvf.PageOrder(m.PageAddOrder()), structures.QEMU
	shape := m
	shape.PageAdd = m.PageAddOrder()
	in.machine = &shape
	in.noProcessor = o.Processor == smbios.Processor{}
	in.RAM = nil
	for _, r := range m.RAM() {
		in.RAM = append(in.RAM, tdvf.Range{Start: r.First, Length: r.Last - r.First + 1})
	}
	in.ACPI = ACPI{Loader: tables.Loader, Files: map[string][]byte{"etc/acpi/tables": tables.Tables, "etc/acpi/rsdp": tables.RSDP}}
	if tables.TPMLog != nil {
		in.ACPI.Files["etc/tpm/log"] = tables.TPMLog
	}
	return in.FwCfg.set(items)
}

func (c *FwCfg) set(items []acpi.Item) error {
	fields := map[string]*[]byte{
		"etc/extra-pci-roots": &c.ExtraPCIRoots, "BootMenu": &c.BootMenu, "etc/boot-menu-wait": &c.BootMenuWait,
		"etc/reserved-memory-end": &c.ReservedMemoryEnd, "opt/ovmf/X-PciMmio64Mb": &c.PCIMMIO64MB, "bootorder": &c.BootOrder,
	}
	*c = FwCfg{}
	for _, item := range items {
		field, ok := fields[item.Name]
		if !ok {
			return fmt.Errorf("%w: fw_cfg item %q is not one that firmware measures", ErrInput, item.Name)
		}
		*field = item.Data
	}
	return nil
}

// setMachine finds the boot option of the machine's one disk. Devices that would make firmware register further options are refused:
// other disks, and network devices, whose options have their MAC addresses.
func (d *DiskBoot) setMachine(m *machine.Machine) error {
	share := m.HostShare == machine.ShareVVFAT || m.HostShare == machine.ShareVHD
	for _, device := range []struct {
		field string
		there bool
		got   any
	}{
		{"DataDisk", m.DataDisk, m.DataDisk}, {"NICs", m.NICs != 0, m.NICs}, {"VerityVolumes", m.VerityVolumes != 0, m.VerityVolumes},
		{"HostShare", share, m.HostShare}, {"Extra", len(m.Extra) != 0, len(m.Extra)}, {"BootOrder", len(m.BootOrder) != 0, m.BootOrder},
	} {
		if device.there {
			return &machine.FieldError{Field: device.field, Want: "none for a boot from disk, which is modelled with one disk and no other boot option", Got: fmt.Sprint(device.got)}
		}
	}
	if !m.RootDisk {
		return &machine.FieldError{Field: "RootDisk", Want: "the disk to boot from", Got: "false"}
	}
	devices, err := m.Devices()
	if err != nil {
		return err
	}
	d.Devices, d.BootOrder = []DeviceOption{VirtioBlk(uint8(devices[0].Slot), uint8(devices[0].Function))}, nil
	return nil
}
