package tdx

import (
	"encoding/binary"
	"fmt"
	"unicode/utf16"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// utf16z returns s in UTF-16 with a terminating NUL, little-endian.
func utf16z(s string) []byte {
	units := utf16.Encode([]rune(s))
	b := make([]byte, 0, 2*len(units)+2)
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return append(b, 0, 0)
}

// variableDigest is that of EV_EFI_VARIABLE_DRIVER_CONFIG and EV_EFI_VARIABLE_AUTHORITY: UEFI_VARIABLE_DATA (PFP 1.06 section
// 10.2.6).
func variableDigest(vendor tdvf.GUID, name string, data []byte) eventlog.Digest {
	text := utf16z(name)
	text = text[:len(text)-2]
	b := append([]byte(nil), vendor[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(text)/2))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	return eventlog.Sum(append(b, text...), data)
}

// Device path nodes (UEFI 2.10 section 10.3).
const (
	pathMedia    = 4
	pathFVFile   = 6
	pathFV       = 7
	guidNodeSize = 20
)

var endNode = []byte{0x7F, 0xFF, 4, 0}

// loadOption is EFI_LOAD_OPTION (UEFI 2.10 section 3.1.3).
func loadOption(attributes uint32, description string, path, optional []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, attributes)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(path)))
	b = append(b, utf16z(description)...)
	return append(append(b, path...), optional...)
}

// firmwareOption is the option of an application in the firmware: Fv(...)/FvFile(...).
func firmwareOption(o tdvf.BootOption) []byte {
	volume := tdvf.DXEVolume()
	path := append([]byte{pathMedia, pathFV, guidNodeSize, 0}, volume[:]...)
	path = append(append(path, pathMedia, pathFVFile, guidNodeSize, 0), o.File[:]...)
	return loadOption(o.Attributes, o.Description, append(path, endNode...), nil)
}

// autoCreated marks options that the firmware made for devices (MdeModulePkg UefiBootManagerLib, mBmAutoCreateBootOptionGuid:
// 8108ac4e-9f11-4d59-850e-e21a522c59b2).
var autoCreated = []byte{0x4E, 0xAC, 0x08, 0x81, 0x11, 0x9F, 0x59, 0x4D, 0x85, 0x0E, 0xE2, 0x1A, 0x52, 0x2C, 0x59, 0xB2}

const optionActive = 1 // LOAD_OPTION_ACTIVE

func deviceOption(d DeviceOption) []byte {
	return loadOption(optionActive, d.Description, d.DevicePath, autoCreated)
}

// VirtioBlk returns the boot option of a virtio-blk-pci disk in a slot of the root bus of a q35 machine.
func VirtioBlk(slot, function uint8) DeviceOption {
	// PciRoot(0x0) is ACPI(PNP0A03,0), then Pci(slot,function).
	path := []byte{2, 1, 12, 0, 0xD0, 0x41, 0x03, 0x0A, 0, 0, 0, 0, 1, 1, 6, 0, function, slot}
	return DeviceOption{Description: "UEFI Misc Device", DevicePath: append(path, endNode...)}
}

// loaderFiles returns the files that the commands of etc/table-loader allocate, in order (QEMU hw/acpi/bios-linker-loader.c):
// commands of 128 bytes, u32 1 is ALLOCATE with the name at 4.
func loaderFiles(loader []byte) ([]string, error) {
	const commandSize, commandAllocate, nameSize = 128, 1, 56
	if len(loader) == 0 || len(loader)%commandSize != 0 || len(loader) > 1<<20 {
		return nil, fmt.Errorf("%w: ACPI table loader of %d bytes, want commands of 128 bytes", ErrInput, len(loader))
	}
	var files []string
	for ; len(loader) > 0; loader = loader[commandSize:] {
		if binary.LittleEndian.Uint32(loader) != commandAllocate {
			continue
		}
		name := loader[4 : 4+nameSize]
		for i, c := range name {
			if c == 0 {
				name = name[:i]
				break
			}
		}
		files = append(files, string(name))
	}
	return files, nil
}
