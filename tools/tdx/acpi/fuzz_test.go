package acpi

import (
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// FuzzBuild makes machines of vm_config documents and of numbers, and builds what is valid.
func FuzzBuild(f *testing.F) {
	f.Add([]byte(`{"cpu_count":2,"memory_size":2147483648,"qemu_version":"8.2.2"}`), uint16(0), uint8(0), uint8(0), uint64(0))
	f.Add([]byte(`{"cpu_count":4,"memory_size":8589934592,"qemu_version":"10.0.0","hugepages":true,"num_gpus":4,"swtpm":true}`), uint16(300), uint8(3), uint8(0xa5), uint64(1)<<46)
	f.Fuzz(func(t *testing.T, config []byte, cpus uint16, slot, flags uint8, base uint64) {
		m, err := machine.FromVMConfig(config)
		if err != nil {
			return
		}
		m.MaxCPUs, m.BAR64Base = int(cpus), base
		m.HPET, m.SMM, m.NoBAR64, m.Serial = flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0
		if flags&0x10 != 0 {
			m.Extra = []machine.Device{{Kind: machine.RootPort, Slot: int(slot), Children: endpoints(int(flags >> 7))}}
		}
		if flags&0x20 != 0 {
			m.Extra = append(m.Extra, machine.Device{Kind: machine.Expander, Bus: slot, NUMANode: -1,
				Resources: &machine.BusResources{LastBus: flags, Mem64: []machine.Range{{First: base, Last: base + uint64(cpus)}}}})
		}
		got, err := Build(m)
		if err != nil {
			return
		}
		last := got.List[len(got.List)-1]
		if len(got.Tables)%tablesUnit != 0 || len(got.Loader) != loaderUnit || last.Signature != "RSDT" || last.Offset+last.Length > len(got.Tables) {
			t.Errorf("sizes %d and %d, last table %v", len(got.Tables), len(got.Loader), last)
		}
	})
}
