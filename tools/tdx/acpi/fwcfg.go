package acpi

import (
	"encoding/binary"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// Item is a small fw_cfg item that edk2 measures.
type Item struct {
	// Name is the name in the event: that of the file, or of the item without a file.
	Name string
	// Data is what is measured.
	Data []byte
}

// directBootROM is the option ROM by which QEMU starts a kernel given with -kernel; it has the first boot index.
const directBootROM = "/rom@genroms/linuxboot_dma.bin"

// FWCfg are the items that edk2-stable202505 and later measure in a trust domain, in their order (OvmfPkg/Library/QemuFwCfgLib,
// QemuFwCfgCacheInit): the number of expander buses if there are any, whether there is a boot menu (there is none), and the boot
// order if there is one. Memory that can be added later (etc/reserved-memory-end) is not modelled.
func FWCfg(m machine.Machine) ([]Item, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	devices, err := m.Devices()
	if err != nil {
		return nil, err
	}
	var roots uint64
	for _, d := range devices {
		if d.Kind == machine.Expander {
			roots++
		}
	}
	var items []Item
	if roots > 0 {
		items = append(items, Item{"etc/extra-pci-roots", binary.LittleEndian.AppendUint64(nil, roots)})
	}
	items = append(items, Item{"BootMenu", []byte{0, 0}})
	order := m.BootOrder
	if m.DirectBoot {
		order = append([]string{directBootROM}, order...)
	}
	if len(order) > 0 {
		items = append(items, Item{"bootorder", []byte(strings.Join(order, "\n") + "\x00")})
	}
	return items, nil
}
