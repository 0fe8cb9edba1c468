package imagetest

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"unicode/utf16"

	"github.com/boardroom-tee/boardroom/tools/tdx/image"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
)

// Names of the files of an image.
const (
	Firmware = "ovmf.fd"
	Kernel   = "bzImage"
	Initrd   = "initramfs.cpio.gz"
)

// Cmdline is the command line of an image.
const Cmdline = "console=ttyS0 init=/init dstack.rootfs_hash=00 dstack.rootfs_size=4096"

// Volumes and files of edk2, as they stand in an image.
var (
	dxeVolume     = fwtest.GUID("c9bdb87cebf8344faaea3ee4af6516a1")
	measurement   = fwtest.GUID("1e2262f007c6c244b0b4c3886331d351") // OvmfPkg/Tcg/TdTcg2Dxe
	acpiPlatform  = fwtest.GUID("6f5e981778e7944daefac5dd2b77e186") // OvmfPkg/AcpiPlatformDxe
	bootManager   = fwtest.GUID("4a94336d75ec5548a54d809c75241f6c") // MdeModulePkg/Universal/BdsDxe
	uiApplication = fwtest.GUID("21aa2c4614760345836e8ab6f4662331") // MdeModulePkg/Application/UiApp
)

// Write makes an image in dir. Its firmware has the given variable store and is of layout B, with the memory sections of dstack's.
func Write(dir string, vars []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	metadata, err := json.Marshal(map[string]any{
		"bios": Firmware, "kernel": Kernel, "cmdline": Cmdline, "initrd": Initrd, "rootfs": "rootfs.img.verity", "version": "0.5.11",
		"git_revision": "0123456789abcdef", "shared_ro": true, "is_dev": false, "ovmf_variant": "pre202505",
	})
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		image.MetadataFile: metadata, Firmware: firmware(vars, true), Kernel: kernel("6.9.0"), Initrd: []byte("initrd"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// WriteOldFirmware makes a firmware of 2022, which does not measure ACPI tables.
func WriteOldFirmware(path string, vars []byte) error {
	return os.WriteFile(path, firmware(vars, false), 0o600)
}

func firmware(vars []byte, measuresACPI bool) []byte {
	boot := append([]byte(" initrd=initrd\x00"), uiApplication...)
	for _, unit := range utf16.Encode([]rune("eMMC User Data")) {
		boot = binary.LittleEndian.AppendUint16(boot, unit)
	}
	files := []fwtest.File{{GUID: measurement}, {GUID: bootManager, Content: boot}, {GUID: uiApplication}}
	if measuresACPI {
		files = append(files, fwtest.File{GUID: acpiPlatform, Content: []byte("ACPI DATA")})
	}
	return fwtest.Image(vars, fwtest.Compressed(fwtest.Volume(dxeVolume, files...)), fwtest.IntelTdx)
}

// kernel is a PE file with the setup header of Linux (Documentation/arch/x86/boot.rst) and nothing to run.
func kernel(version string) []byte {
	b := make([]byte, 0x1400)
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[0x3C:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[0x46:], 1)      // one section
	binary.LittleEndian.PutUint16(b[0x54:], 160)    // optional header
	binary.LittleEndian.PutUint16(b[0x58:], 0x20B)  // PE32+
	binary.LittleEndian.PutUint32(b[0x94:], 0x1000) // size of headers
	binary.LittleEndian.PutUint32(b[0xC4:], 6)      // directories
	copy(b[0xF8:], ".text")
	binary.LittleEndian.PutUint32(b[0x100:], 0x400)
	binary.LittleEndian.PutUint32(b[0x108:], 0x400)
	binary.LittleEndian.PutUint32(b[0x10C:], 0x1000)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x206:], 0x20F)
	binary.LittleEndian.PutUint16(b[0x20E:], 0x800-0x200)
	b[0x211] = 1
	binary.LittleEndian.PutUint16(b[0x236:], 0x3F)
	copy(b[0x800:], version)
	return b
}
