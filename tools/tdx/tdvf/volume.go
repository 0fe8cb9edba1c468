package tdvf

import (
	"encoding/binary"
	"fmt"
)

// Firmware volumes, files and sections (UEFI PI 1.8 volume 3 sections 2 and 3).
const (
	fvExtHeaderOffset = 52
	fileHeaderSize    = 24
	fileLargeHeader   = 32
	fileLarge         = 0x01 // FFS_ATTRIB_LARGE_FILE
	filePad           = 0xF0
	fileTypeImage     = 0x0B // EFI_FV_FILETYPE_FIRMWARE_VOLUME_IMAGE
	sectionHeader     = 4
	sectionLarge      = 8
	sectionGUIDed     = 0x02
	sectionVolume     = 0x17
	maxUnpacked       = 32 << 20
	maxVolumeDepth    = 3
	maxFiles          = 4096
	volumeStep        = 4096 // volumes in flash begin at blocks
)

var (
	ffs2GUID = mustGUID("8c8ce578-8a3d-4f1c-9935-896185c32dd3")
	ffs3GUID = mustGUID("5473c07a-3dcb-4dca-bd6f-1e9689e7349a")
	lzmaGUID = mustGUID("ee4e5898-3914-4259-9d6e-dc7bd79403cf") // MdeModulePkg LzmaCustomDecompress
)

// fileKey names a file: the volume it is in and its own name.
type fileKey struct {
	volume, file GUID
}

// volumes collects the files of all firmware volumes of an image.
type volumes struct {
	files  map[fileKey][]byte
	budget uint64
}

// readVolumes unpacks the code volumes. The content of files aliases the image or what was unpacked.
func (im *Image) readVolumes() (*volumes, error) {
	v := &volumes{files: make(map[fileKey][]byte), budget: maxUnpacked}
	for _, s := range im.Sections {
		if s.Type != SectionBFV {
			continue
		}
		data := im.data(s)
		for at := 0; len(data)-at >= fvHeaderMin; {
			if string(data[at+40:at+44]) != fvSignature {
				at += volumeStep
				continue
			}
			size := binary.LittleEndian.Uint64(data[at+fvLengthOffset:])
			if size < fvHeaderMin || size > uint64(len(data)-at) {
				return nil, fmt.Errorf("%w: firmware volume of %d bytes", ErrProfile, size)
			}
			if err := v.volume(data[at:at+int(size)], 0); err != nil {
				return nil, err
			}
			at += int(size)
		}
	}
	return v, nil
}

func (v *volumes) volume(fv []byte, depth int) error {
	if depth > maxVolumeDepth || len(fv) < fvHeaderMin || string(fv[40:44]) != fvSignature {
		return fmt.Errorf("%w: no firmware volume where one should be", ErrProfile)
	}
	if system := GUID(fv[16:32]); system != ffs2GUID && system != ffs3GUID {
		return nil
	}
	at := int(binary.LittleEndian.Uint16(fv[fvHeaderLengthOffset:]))
	var name GUID
	if ext := int(binary.LittleEndian.Uint16(fv[fvExtHeaderOffset:])); ext != 0 {
		if ext+20 > len(fv) {
			return fmt.Errorf("%w: extended volume header outside of the volume", ErrProfile)
		}
		name = GUID(fv[ext : ext+16])
		at = ext + int(min(binary.LittleEndian.Uint32(fv[ext+16:]), uint32(len(fv))))
	}
	for at = align(at, 8); len(fv)-at >= fileHeaderSize; {
		size, head := uint64(u24(fv[at+20:])), fileHeaderSize
		if fv[at+19]&fileLarge != 0 {
			if len(fv)-at < fileLargeHeader {
				break
			}
			size, head = binary.LittleEndian.Uint64(fv[at+24:]), fileLargeHeader
		}
		if size < uint64(head) || size > uint64(len(fv)-at) {
			break // free space, which is filled with 0xFF
		}
		if fv[at+18] != filePad {
			if err := v.file(name, fv[at:at+int(size)], head, depth); err != nil {
				return err
			}
		}
		at = align(at+int(size), 8)
	}
	return nil
}

func (v *volumes) file(volume GUID, file []byte, head, depth int) error {
	key := fileKey{volume, GUID(file[:16])}
	if _, twice := v.files[key]; !twice {
		if len(v.files) == maxFiles {
			return fmt.Errorf("%w: more than %d files", ErrProfile, maxFiles)
		}
		v.files[key] = file[head:]
	}
	if file[18] != fileTypeImage {
		return nil
	}
	return v.sections(file[head:], depth)
}

// sections looks for volumes in the sections of a file.
func (v *volumes) sections(data []byte, depth int) error {
	for at := 0; len(data)-at >= sectionHeader; {
		size, head := uint64(u24(data[at:])), sectionHeader
		if size == 0xFFFFFF && len(data)-at >= sectionLarge {
			size, head = uint64(binary.LittleEndian.Uint32(data[at+4:])), sectionLarge
		}
		if size < uint64(head) || size > uint64(len(data)-at) {
			return nil
		}
		body := data[at+head : at+int(size)]
		switch data[at+3] {
		case sectionVolume:
			if err := v.volume(body, depth+1); err != nil {
				return err
			}
		case sectionGUIDed:
			if err := v.guided(data[at:at+int(size)], head, depth); err != nil {
				return err
			}
		}
		at = align(at+int(size), 4)
	}
	return nil
}

// guided unpacks a section compressed with LZMA. Other encapsulations are left alone.
func (v *volumes) guided(section []byte, head, depth int) error {
	if len(section) < head+20 || GUID(section[head:head+16]) != lzmaGUID {
		return nil
	}
	offset := int(binary.LittleEndian.Uint16(section[head+16:]))
	if offset > len(section) || depth >= maxVolumeDepth {
		return fmt.Errorf("%w: compressed section with data at %d of %d bytes", ErrProfile, offset, len(section))
	}
	unpacked, err := decodeLZMA(section[offset:], v.budget)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProfile, err)
	}
	v.budget -= uint64(len(unpacked))
	return v.sections(unpacked, depth+1)
}

func u24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

// align rounds n up to a multiple of unit, a power of two.
func align(n, unit int) int { return (n + unit - 1) &^ (unit - 1) }
