package imagetest

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"os"
	"path/filepath"
	"unicode/utf16"

	"github.com/boardroom-tee/boardroom/tools/tdx/image"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
)

// Names of the files of an image, and of those beside them: a UKI, a disk with it, and other firmware.
const (
	Firmware = "ovmf.fd"
	Kernel   = "bzImage"
	Initrd   = "initramfs.cpio.gz"
	UKI      = "uki.efi"
	Disk     = "disk.img"
	// FirmwareC is of layout C, FirmwareInDoubt of layout A or B.
	FirmwareC       = "ovmf-c.fd"
	FirmwareInDoubt = "ovmf-in-doubt.fd"
)

// Cmdline is the command line of an image.
const Cmdline = "console=ttyS0 init=/init dstack.rootfs_hash=00 dstack.rootfs_size=4096"

// Volumes and files of edk2, as they stand in an image.
var (
	dxeVolume     = fwtest.GUID("c9bdb87cebf8344faaea3ee4af6516a1")
	peiVolume     = fwtest.GUID("9b07386903b53d4e9d24b28337a25806")
	measurement   = fwtest.GUID("1e2262f007c6c244b0b4c3886331d351") // OvmfPkg/Tcg/TdTcg2Dxe
	acpiPlatform  = fwtest.GUID("6f5e981778e7944daefac5dd2b77e186") // OvmfPkg/AcpiPlatformDxe
	bootManager   = fwtest.GUID("4a94336d75ec5548a54d809c75241f6c") // MdeModulePkg/Universal/BdsDxe
	uiApplication = fwtest.GUID("21aa2c4614760345836e8ab6f4662331") // MdeModulePkg/Application/UiApp
	menu          = fwtest.GUID("dc5bc2eef267954db1d5f81b2039d11d") // MdeModulePkg BootManagerMenuApp
	platformPei   = fwtest.GUID("6d382c22bc5ab44fb124fbb82488acf4") // OvmfPkg/PlatformPei
	smbiosMeasure = fwtest.GUID("59ed7fd2b4abed4fbead2a878c7e4a7e") // MdeModulePkg SmbiosMeasurementDxe
	smbiosDriver  = fwtest.GUID("5d461041f35f4b4fb58024ed0d06747a") // OvmfPkg/SmbiosPlatformDxe
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
	uki := NewUKI(NewKernel("6.12.0"))
	for name, data := range map[string][]byte{
		image.MetadataFile: metadata, Kernel: NewKernel("6.9.0"), Initrd: []byte("initrd"), UKI: uki, Disk: newDisk(uki),
		Firmware: build{vars: vars, acpi: true, separator: true}.image(), FirmwareC: build{vars: vars, acpi: true, separator: true, modern: true}.image(),
		FirmwareInDoubt: build{vars: vars, acpi: true}.image(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// WriteOldFirmware makes a firmware of 2022, which does not measure ACPI tables.
func WriteOldFirmware(path string, vars []byte) error {
	return os.WriteFile(path, build{vars: vars, separator: true}.image(), 0o600)
}

// build says what the drivers of a firmware show.
type build struct {
	vars                    []byte
	acpi, separator, modern bool
}

func utf16le(text string) []byte {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

func (b build) image() []byte {
	var boot []byte
	if b.separator {
		boot = append(boot, utf16le("eMMC User Data")...)
	}
	files := []fwtest.File{{GUID: measurement}, {GUID: uiApplication}}
	var pei []fwtest.File
	if b.modern {
		boot = append(append(append(boot, "initrd=initrd \x00"...), menu...), utf16le("EFI Firmware Setup")...)
		files = append(files, fwtest.File{GUID: menu}, fwtest.File{GUID: smbiosMeasure}, fwtest.File{GUID: smbiosDriver, Content: firmwareStrings()})
		pei = append(pei, fwtest.File{GUID: platformPei, Content: []byte("QEMU FW CFG")})
	} else {
		boot = append(append(boot, " initrd=initrd\x00"...), uiApplication...)
	}
	files = append(files, fwtest.File{GUID: bootManager, Content: boot})
	if b.acpi {
		files = append(files, fwtest.File{GUID: acpiPlatform, Content: []byte("ACPI DATA")})
	}
	return fwtest.Image(b.vars, fwtest.Compressed(fwtest.Volume(peiVolume, pei...), fwtest.Volume(dxeVolume, files...)), fwtest.IntelTdx)
}

// firmwareStrings is the template of SMBIOS type 0 in OVMF's driver, with the string of a build that sets no other.
func firmwareStrings() []byte {
	b := []byte{0, 0x1A, 0, 0, 1, 2, 0, 0xE8, 3, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0x1C, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0}
	return append(append(b, utf16le("EDK II")...), 0, 0)
}

// NewKernel returns a PE file with the setup header of Linux (Documentation/arch/x86/boot.rst) and nothing to run.
func NewKernel(version string) []byte {
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

// NewUKI packs a kernel the way systemd-stub 252 wants it.
func NewUKI(kernel []byte) []byte {
	sections := []struct {
		name string
		data []byte
	}{{".sdmagic", []byte("#### LoaderInfo: systemd-stub 252.39-1 ####")}, {".linux", kernel}, {".cmdline", []byte("console=ttyS0 loglevel=3")}}
	b := NewKernel("")
	clear(b[0x200:0x1000])
	binary.LittleEndian.PutUint16(b[0x46:], uint16(len(sections)))
	b = b[:0x1000]
	for i, s := range sections {
		h := b[0xF8+40*i:]
		clear(h[:40])
		copy(h, s.name)
		binary.LittleEndian.PutUint32(h[8:], uint32(len(s.data)))
		binary.LittleEndian.PutUint32(h[16:], uint32(len(s.data)))
		binary.LittleEndian.PutUint32(h[20:], uint32(len(b)))
		b = append(b, s.data...)
	}
	return b
}

// newDisk returns a disk with one EFI system partition, of FAT12, and the loader in its place (UEFI 2.10 section 5.3, FAT 1.03).
func newDisk(loader []byte) []byte {
	const (
		sector               = 512
		entries, count, size = 2 * sector, 128, 128
		partition, blocks    = 64 * sector, 128
		table, root          = partition + sector, partition + 2*sector
		rootEntries, data    = 16, root + sector
	)
	disk := make([]byte, partition+blocks*sector)
	e := disk[entries:]
	copy(e, fwtest.GUID("28732ac11ff8d211ba4b00a0c93ec93b")) // EFI system partition
	copy(e[16:], fwtest.GUID("7740690500507798e4113ca963af063f"))
	binary.LittleEndian.PutUint64(e[32:], partition/sector)
	binary.LittleEndian.PutUint64(e[40:], partition/sector+blocks-1)
	h := disk[sector:]
	copy(h, "EFI PART")
	binary.LittleEndian.PutUint32(h[8:], 0x10000)
	binary.LittleEndian.PutUint32(h[12:], 92)
	binary.LittleEndian.PutUint64(h[24:], 1)
	binary.LittleEndian.PutUint64(h[72:], entries/sector)
	binary.LittleEndian.PutUint32(h[80:], count)
	binary.LittleEndian.PutUint32(h[84:], size)
	binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(disk[entries:][:count*size]))
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))

	boot := disk[partition:]
	binary.LittleEndian.PutUint16(boot[11:], sector)
	boot[13], boot[14], boot[16], boot[17] = 1, 1, 1, rootEntries // cluster of one sector, one reserved, one table
	binary.LittleEndian.PutUint16(boot[19:], blocks)
	boot[22] = 1
	binary.LittleEndian.PutUint16(boot[510:], 0xAA55)
	// Clusters 2 and 3 are \EFI and \EFI\BOOT, the loader is from 4 on.
	next := func(cluster, n int) {
		at := table + cluster*3/2
		if cluster%2 == 1 {
			n <<= 4
		}
		disk[at] |= byte(n)
		disk[at+1] |= byte(n >> 8)
	}
	place := func(at int, name string, attribute byte, cluster, length int) {
		copy(disk[at:], name)
		disk[at+11] = attribute
		binary.LittleEndian.PutUint16(disk[at+26:], uint16(cluster))
		binary.LittleEndian.PutUint32(disk[at+28:], uint32(length))
	}
	const directory, end = 0x10, 0xFFF
	place(root, "EFI        ", directory, 2, 0)
	place(data, "BOOT       ", directory, 3, 0)
	place(data+sector, "BOOTX64 EFI", 0, 4, len(loader))
	next(2, end)
	next(3, end)
	last := 4 + (len(loader)-1)/sector
	for cluster := 4; cluster < last; cluster++ {
		next(cluster, cluster+1)
	}
	next(last, end)
	copy(disk[data+2*sector:], loader)
	return disk
}
