package tdx

import (
	"fmt"

	"github.com/boardroom-tee/boardroom/tools/tdx/acpi"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/smbios"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// SetMachine fills in what follows from the shape of the machine: QEMU, memory, page order, ACPI tables, fw_cfg items and SMBIOS
// tables. The firmware's strings in the options are not used, those of the inputs or of the image are.
func (in *Inputs) SetMachine(m machine.Machine, o smbios.Options) error {
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
