package pe

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// Patch is a change that QEMU makes to the file given to -kernel before the guest reads it.
type Patch struct {
	Offset uint32
	Bytes  []byte
	// Or: the bytes are not written but combined with what is there.
	Or bool
}

func (p Patch) end() uint64 { return uint64(p.Offset) + uint64(len(p.Bytes)) }

// apply writes the patch into part, which begins at offset from of the image.
func (p Patch) apply(part []byte, from uint64) {
	for i, b := range p.Bytes {
		at := uint64(p.Offset) + uint64(i)
		if at < from || at-from >= uint64(len(part)) {
			continue
		}
		if p.Or {
			b |= part[at-from]
		}
		part[at-from] = b
	}
}

func patchEnd(patches []Patch) uint64 {
	var end uint64
	for _, p := range patches {
		end = max(end, p.end())
	}
	return end
}

// The boot protocol of Linux (Documentation/arch/x86/boot.rst): offsets in the file, and protocol versions.
const (
	setupVidMode      = 0x1FA // u16
	setupMagic        = 0x202 // "HdrS"
	setupVersion      = 0x206 // u16
	setupLoader       = 0x210 // u8
	setupLoadFlags    = 0x211 // u8
	setupInitrd       = 0x218 // u32 address, u32 size
	setupHeapEnd      = 0x224 // u16
	setupCmdline      = 0x228 // u32
	setupInitrdMax    = 0x22C // u32
	setupXLoadFlags   = 0x236 // u16
	setupEnd          = 0x250
	oldCmdlineMagic   = 0x20 // u16, offset in 0x22
	loadedHigh        = 0x01
	canUseHeap        = 0x80
	loadedAbove4G     = 0x02
	protocolVideo     = 0x200
	protocolHeap      = 0x201
	protocolCmdline   = 0x202
	protocolInitrdMax = 0x203
	protocolXLoad     = 0x20C
)

// Values that QEMU writes (hw/i386/x86-common.c, x86_load_linux).
const (
	loaderQEMU     = 0xB0
	oldMagic       = 0xA33F
	realHigh       = 0x10000
	cmdlineHigh    = 0x20000
	realLow        = 0x90000
	cmdlineLow     = 0x9A000
	initrdMaxOld   = 0x37FFFFFF
	initrdMaxAny   = 0xFFFFFFFF
	acpiDataSize   = 0x20000 + 0x8000 // reserved below the end of low memory on q35
	lowMemoryLimit = 0xB0000000       // see tdvf.RAM
	lowMemorySplit = 0x80000000
)

// Loader is what determines the patches besides the kernel itself.
type Loader struct {
	// Cmdline is the text given to -append, in bytes.
	Cmdline string
	// InitrdSize is the length of the file given to -initrd, in bytes; HasInitrd says whether there is one.
	InitrdSize uint64
	HasInitrd  bool
	// Memory is that of the machine in bytes; a q35 machine with the default memory split is assumed.
	Memory uint64
	// PatchesNonLinux: QEMU up to 9.1, which writes to files without a Linux header, too.
	PatchesNonLinux bool
}

// LinuxPatches returns what QEMU writes into a kernel image: the fields of the boot protocol that it fills in.
func LinuxPatches(image []byte, l Loader) ([]Patch, error) {
	protocol, flags := uint16(0), byte(0)
	if IsLinux(image) {
		protocol = binary.LittleEndian.Uint16(image[setupVersion:])
		flags = image[setupLoadFlags]
	} else if !l.PatchesNonLinux {
		return nil, nil
	}
	realAddr, cmdlineAddr := uint32(realHigh), uint32(cmdlineHigh)
	if protocol < protocolCmdline || flags&loadedHigh == 0 {
		// The command line with its NUL, rounded up to 16 bytes, ends at a fixed place.
		size := (uint64(len(l.Cmdline)) + 16) &^ 15
		if size > cmdlineLow-realLow {
			return nil, fmt.Errorf("%w: command line of %d bytes for a kernel of boot protocol 0x%04x", ErrFormat, len(l.Cmdline), protocol)
		}
		realAddr, cmdlineAddr = realLow, cmdlineLow-uint32(size)
	}
	var patches []Patch
	if protocol >= protocolCmdline {
		patches = append(patches, patch32(setupCmdline, cmdlineAddr))
	} else {
		patches = append(patches, patch16(oldCmdlineMagic, oldMagic), patch16(oldCmdlineMagic+2, uint16(cmdlineAddr-realAddr)))
	}
	if mode, ok, err := videoMode(l.Cmdline); err != nil {
		return nil, err
	} else if ok {
		patches = append(patches, patch16(setupVidMode, mode))
	}
	if protocol >= protocolVideo {
		patches = append(patches, Patch{Offset: setupLoader, Bytes: []byte{loaderQEMU}})
	}
	if protocol >= protocolHeap {
		patches = append(patches, Patch{Offset: setupLoadFlags, Bytes: []byte{canUseHeap}, Or: true},
			patch16(setupHeapEnd, uint16(cmdlineAddr-realAddr-0x200)))
	}
	if l.HasInitrd {
		address, err := initrdAddress(image, protocol, l)
		if err != nil {
			return nil, err
		}
		patches = append(patches, patch32(setupInitrd, address), patch32(setupInitrd+4, uint32(l.InitrdSize)))
	}
	return patches, nil
}

// NormalizedPatches returns what firmware writes that fills in the fields of the boot protocol itself before it measures a kernel, as dstack's
// does from 0.5.13 and 0.6.0 on: what QEMU up to 10.1 wrote in a machine of 2.75 GiB and more, in machines of any size. A kernel that it would
// leave as QEMU hands it over is refused (dstack os/image/normalize-kernel-header.py, and 0007-OvmfPkg-QemuKernelLoaderFsDxe beside it).
func NormalizedPatches(image []byte, l Loader) ([]Patch, error) {
	switch {
	case !IsLinux(image):
		return nil, fmt.Errorf("%w: expected a kernel with a Linux setup header, which the firmware fills in, got none", ErrFormat)
	case binary.LittleEndian.Uint16(image[setupVersion:]) < protocolXLoad || image[setupLoadFlags]&loadedHigh == 0 ||
		binary.LittleEndian.Uint16(image[setupXLoadFlags:])&loadedAbove4G == 0:
		return nil, fmt.Errorf("%w: expected a kernel that is loaded high and can be above 4 GiB, as the firmware that fills in its header does, got another", ErrFormat)
	}
	l.Memory = lowMemoryLimit
	l.HasInitrd = l.HasInitrd && l.InitrdSize > 0
	patches, err := LinuxPatches(image, l)
	if err != nil {
		return nil, err
	}
	// The firmware writes the heap's end with 32 bits.
	return append(patches, patch16(setupHeapEnd+2, 0)), nil
}

// IsLinux reports whether the image has a Linux setup header.
func IsLinux(image []byte) bool {
	return len(image) >= setupEnd && string(image[setupMagic:setupMagic+4]) == "HdrS"
}

func initrdAddress(image []byte, protocol uint16, l Loader) (uint32, error) {
	if protocol < protocolVideo {
		return 0, fmt.Errorf("%w: QEMU refuses -initrd for a file that is not a Linux kernel", ErrFormat)
	}
	limit := uint64(initrdMaxOld)
	switch {
	case protocol >= protocolXLoad && binary.LittleEndian.Uint16(image[setupXLoadFlags:])&loadedAbove4G != 0:
		limit = initrdMaxAny
	case protocol >= protocolInitrdMax:
		limit = uint64(binary.LittleEndian.Uint32(image[setupInitrdMax:]))
	}
	below4G := l.Memory
	if below4G >= lowMemoryLimit {
		below4G = lowMemorySplit
	}
	if below4G <= acpiDataSize {
		return 0, fmt.Errorf("%w: %d bytes of memory can not hold a kernel", ErrFormat, l.Memory)
	}
	if limit >= below4G-acpiDataSize {
		limit = below4G - acpiDataSize - 1
	}
	if l.InitrdSize >= limit {
		return 0, fmt.Errorf("%w: initrd of %d bytes, QEMU accepts less than %d here", ErrFormat, l.InitrdSize, limit)
	}
	return uint32((limit - l.InitrdSize) &^ 4095), nil
}

// videoMode reads the vga= option as QEMU does: the first occurrence, ended by a blank.
func videoMode(cmdline string) (mode uint16, ok bool, err error) {
	_, value, found := strings.Cut(cmdline, "vga=")
	if !found {
		return 0, false, nil
	}
	value, _, _ = strings.Cut(value, " ")
	switch {
	case strings.HasPrefix(value, "normal"):
		return 0xFFFF, true, nil
	case strings.HasPrefix(value, "ext"):
		return 0xFFFE, true, nil
	case strings.HasPrefix(value, "ask"):
		return 0xFFFD, true, nil
	}
	n, err := strconv.ParseUint(value, 0, 16)
	// Unlike C, Go reads underscores and the prefixes 0b and 0o.
	if err != nil || strings.ContainsAny(value, "_oO") || strings.HasPrefix(strings.ToLower(value), "0b") {
		return 0, false, fmt.Errorf("%w: vga=%q on the command line", ErrFormat, value)
	}
	return uint16(n), true, nil
}

func patch16(offset uint32, v uint16) Patch {
	return Patch{Offset: offset, Bytes: binary.LittleEndian.AppendUint16(nil, v)}
}

func patch32(offset, v uint32) Patch {
	return Patch{Offset: offset, Bytes: binary.LittleEndian.AppendUint32(nil, v)}
}
