package tdvf

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// MaxImageSize is the largest image that is read, in bytes. Distribution images have 2 or 4 MiB.
	MaxImageSize = 16 << 20
	// imageUnit is what QEMU wants the size of a -bios image to be a multiple of (hw/i386/x86-common.c, x86_bios_rom_init).
	imageUnit = 64 << 10
	pageSize  = 4096
	// maxSections and maxSectionMemory bound the work that metadata can ask for; real images have 6 or 7 sections of 4 MiB in all.
	maxSections      = 64
	maxSectionMemory = 128 << 20
)

// The reasons for which an image is refused.
var (
	// ErrImage: the image or its metadata is malformed.
	ErrImage = errors.New("not a TDX firmware image")
	// ErrSplitImage: only one half of a split firmware was given.
	ErrSplitImage = errors.New("half of a split firmware image")
	// ErrVariables: the variable store is malformed, or of a kind that is not read.
	ErrVariables = errors.New("variable store can not be read")
	// ErrMemory: the memory of the machine can not hold what the firmware wants.
	ErrMemory = errors.New("memory does not fit the firmware")
	// ErrProfile: how the firmware measures can not be learned from the image.
	ErrProfile = errors.New("firmware can not be identified")
	// ErrLayout: all but the layout can. It comes with [ErrProfile].
	ErrLayout = errors.New("layout is in doubt")
)

// SectionType says what a section of the metadata is for (TDVF design guide table 11-4).
type SectionType uint32

// The section types that QEMU accepts, and permanent memory.
const (
	SectionBFV     SectionType = 0 // boot firmware volume: code, measured into MRTD
	SectionCFV     SectionType = 1 // configuration firmware volume: variables
	SectionTDHOB   SectionType = 2 // where the VMM puts the TD HOB list
	SectionTempMem SectionType = 3
	SectionPermMem SectionType = 4
)

func (t SectionType) String() string {
	switch t {
	case SectionBFV:
		return "BFV"
	case SectionCFV:
		return "CFV"
	case SectionTDHOB:
		return "TD_HOB"
	case SectionTempMem:
		return "TempMem"
	case SectionPermMem:
		return "PermMem"
	default:
		return fmt.Sprintf("type %d", uint32(t))
	}
}

// The attributes of a section.
const (
	// AttributeExtend: the content is measured into MRTD.
	AttributeExtend = 1 << 0
	// AttributeAug: pages are added after the TD was built, and are no part of MRTD.
	AttributeAug = 1 << 1
)

// Section is one entry of the metadata.
type Section struct {
	// DataOffset and RawSize locate the initial content in the image, in bytes.
	DataOffset, RawSize uint32
	// Address is the guest physical address, MemorySize the length in memory; both are multiples of 4096 bytes.
	Address, MemorySize uint64
	Type                SectionType
	Attributes          uint32
}

// Image is a firmware image whose metadata was read.
type Image struct {
	// Sections are in the order of the metadata, which is the order in which QEMU adds and measures them.
	Sections []Section
	raw      []byte
}

var (
	footerGUID     = mustGUID("96b582de-1fb2-45f7-baea-a366c55a082d") // OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm
	descriptorGUID = mustGUID("e47a6535-984a-4798-865e-4685a7bf8ec2") // same file, the offset of the TDX metadata
	nvramGUID      = mustGUID("fff12b8d-7696-4c8b-a985-2747075b4f50") // EFI_SYSTEM_NV_DATA_FV_GUID
)

const (
	footerFromEnd   = 32      // the GUID table ends 32 bytes before the end of the image
	tableEntryTail  = 16 + 2  // each entry ends with its u16 length and GUID
	descriptorHead  = 4 * 4   // signature, length, version, section count
	sectionSize     = 32      // bytes per section
	descriptorMagic = "TDVF"  // signature
	fvSignature     = "_FVH"  // at byte 40 of a firmware volume header
	fvHeaderMin     = 56 + 16 // header with the block map that every volume has
)

// Parse reads the metadata of an image. The image must be whole: for a firmware that is distributed as two files, the VARS file
// followed by the CODE file. It is not copied and must not change afterwards. Errors wrap [ErrImage] or [ErrSplitImage].
func Parse(image []byte) (*Image, error) {
	if len(image) > MaxImageSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrImage, len(image), MaxImageSize)
	}
	if isVariableHalf(image) {
		return nil, fmt.Errorf("%w: these are the variables only; append the CODE file that belongs to them", ErrSplitImage)
	}
	descriptor, err := findDescriptor(image)
	if err != nil {
		return nil, err
	}
	sections, err := parseDescriptor(image, descriptor)
	if err != nil {
		return nil, err
	}
	if err := checkSections(image, sections); err != nil {
		return nil, err
	}
	if len(image)%imageUnit != 0 {
		return nil, fmt.Errorf("%w: size %d is not a multiple of 64 KiB, QEMU refuses it", ErrImage, len(image))
	}
	return &Image{Sections: sections, raw: image}, nil
}

// isVariableHalf recognises a file that holds nothing but one firmware volume with variables.
func isVariableHalf(image []byte) bool {
	if len(image) < fvHeaderMin || string(image[40:44]) != fvSignature || GUID(image[16:32]) != nvramGUID {
		return false
	}
	return binary.LittleEndian.Uint64(image[32:]) >= uint64(len(image))
}

// findDescriptor walks the GUID table backwards and returns the file offset of the TDVF descriptor.
func findDescriptor(image []byte) (int, error) {
	end := len(image) - footerFromEnd
	if end < tableEntryTail || GUID(image[end-16:end]) != footerGUID {
		return 0, fmt.Errorf("%w: no OVMF GUID table in front of the reset vector", ErrImage)
	}
	total := int(binary.LittleEndian.Uint16(image[end-tableEntryTail:]))
	low := max(end-total, 0)
	for p := end - tableEntryTail; p-tableEntryTail >= low; {
		size := int(binary.LittleEndian.Uint16(image[p-tableEntryTail:]))
		if size < tableEntryTail || p-size < low {
			return 0, fmt.Errorf("%w: entry of %d bytes in the OVMF GUID table", ErrImage, size)
		}
		if GUID(image[p-16:p]) == descriptorGUID {
			if size != tableEntryTail+4 {
				return 0, fmt.Errorf("%w: TDX metadata entry of %d bytes, want %d", ErrImage, size, tableEntryTail+4)
			}
			offset := int64(binary.LittleEndian.Uint32(image[p-size:]))
			at := int64(len(image)) - offset
			if at < 0 || offset < descriptorHead {
				return 0, fmt.Errorf("%w: TDX metadata %d bytes before the end of a %d byte image", ErrImage, offset, len(image))
			}
			return int(at), nil
		}
		p -= size
	}
	return 0, fmt.Errorf("%w: no TDX metadata; this build has no support for TDX", ErrImage)
}

func parseDescriptor(image []byte, at int) ([]Section, error) {
	d := image[at:]
	if len(d) < descriptorHead || string(d[:4]) != descriptorMagic {
		return nil, fmt.Errorf("%w: no TDVF signature at byte %d", ErrImage, at)
	}
	length, version, count := binary.LittleEndian.Uint32(d[4:]), binary.LittleEndian.Uint32(d[8:]), binary.LittleEndian.Uint32(d[12:])
	if version != 1 {
		return nil, fmt.Errorf("%w: TDVF metadata version %d, want 1", ErrImage, version)
	}
	if count == 0 || count > maxSections || length != descriptorHead+count*sectionSize || uint64(length) > uint64(len(d)) {
		return nil, fmt.Errorf("%w: TDVF metadata of %d bytes with %d sections", ErrImage, length, count)
	}
	sections := make([]Section, count)
	for i := range sections {
		e := d[descriptorHead+i*sectionSize:]
		sections[i] = Section{
			DataOffset: binary.LittleEndian.Uint32(e[0:]),
			RawSize:    binary.LittleEndian.Uint32(e[4:]),
			Address:    binary.LittleEndian.Uint64(e[8:]),
			MemorySize: binary.LittleEndian.Uint64(e[16:]),
			Type:       SectionType(binary.LittleEndian.Uint32(e[24:])),
			Attributes: binary.LittleEndian.Uint32(e[28:]),
		}
	}
	return sections, nil
}

// checkSections makes the checks of QEMU (hw/i386/tdvf.c) and those without which a measurement has no meaning.
func checkSections(image []byte, sections []Section) error {
	hobs, memory, codeEnd := 0, uint64(0), uint64(0)
	for i, s := range sections {
		bad := func(format string, args ...any) error {
			return fmt.Errorf("%w: section %d (%s): %s", ErrImage, i, s.Type, fmt.Sprintf(format, args...))
		}
		if s.Address%pageSize != 0 || s.MemorySize%pageSize != 0 || s.MemorySize == 0 {
			return bad("0x%x bytes at 0x%x, want whole pages of 4096 bytes", s.MemorySize, s.Address)
		}
		if s.Address+s.MemorySize < s.Address {
			return bad("0x%x bytes at 0x%x pass the end of the address space", s.MemorySize, s.Address)
		}
		if uint64(s.RawSize) > s.MemorySize {
			return bad("%d bytes of data for %d bytes of memory", s.RawSize, s.MemorySize)
		}
		if memory += min(s.MemorySize, maxSectionMemory+1); memory > maxSectionMemory {
			return bad("sections want more than %d bytes", maxSectionMemory)
		}
		switch s.Type {
		case SectionBFV, SectionCFV:
			if s.RawSize == 0 {
				return bad("no data")
			}
			codeEnd = max(codeEnd, uint64(s.DataOffset)+uint64(s.RawSize))
		case SectionTDHOB, SectionTempMem, SectionPermMem:
			if s.RawSize != 0 || s.DataOffset != 0 {
				return bad("%d bytes of data at %d, want none", s.RawSize, s.DataOffset)
			}
		default:
			return bad("QEMU does not load sections of this type")
		}
		if s.Type == SectionTDHOB {
			hobs++
		}
	}
	if hobs != 1 {
		return fmt.Errorf("%w: %d TD_HOB sections, want 1", ErrImage, hobs)
	}
	if size := uint64(len(image)); codeEnd > size {
		return fmt.Errorf("%w: the metadata describes %d bytes, the file has %d; this looks like the CODE file of a firmware that is split in two: "+
			"put the VARS file of %d bytes in front of it, or use the unsplit OVMF.fd", ErrSplitImage, codeEnd, size, codeEnd-size)
	}
	return nil
}

// data returns the initial content of a section.
func (im *Image) data(s Section) []byte {
	return im.raw[s.DataOffset : uint64(s.DataOffset)+uint64(s.RawSize)]
}

// cfv returns the one CFV section.
func (im *Image) cfv() ([]byte, error) {
	var found []byte
	for _, s := range im.Sections {
		if s.Type != SectionCFV {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%w: more than one CFV section", ErrImage)
		}
		found = im.data(s)
	}
	if found == nil {
		return nil, fmt.Errorf("%w: no CFV section", ErrImage)
	}
	return found, nil
}
