package tdvf

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Range is a range of guest physical memory, in bytes.
type Range struct {
	Start, Length uint64
}

const (
	// lowMemoryLimit is how much memory a q35 machine can have before it moves some above 4 GiB, lowMemorySplit how much it then
	// keeps below (QEMU hw/i386/pc_q35.c, pc_q35_init).
	lowMemoryLimit = 0xB0000000
	lowMemorySplit = 0x80000000
	fourGiB        = 1 << 32
	// maxMemory is the reach of 52 address bits, the most that TDX has.
	maxMemory = 1 << 52
)

// RAM returns where a q35 machine with that many bytes of memory has it, unless it was told otherwise with max-ram-below-4g.
// Memory must be whole pages.
func RAM(memory uint64) ([]Range, error) {
	if memory == 0 || memory%pageSize != 0 || memory > maxMemory {
		return nil, fmt.Errorf("%w: %d bytes, want a multiple of 4096 up to 2^52", ErrMemory, memory)
	}
	if memory < lowMemoryLimit {
		return []Range{{0, memory}}, nil
	}
	return []Range{{0, lowMemorySplit}, {fourGiB, memory - lowMemorySplit}}, nil
}

// The HOB list (UEFI PI 1.8 volume 3 section 5): types, lengths and the values QEMU gives them (hw/i386/tdx.c and tdvf-hob.c).
const (
	hobHandoff       = 1
	hobResource      = 3
	hobHandoffSize   = 56
	hobResourceSize  = 48
	hobEndSize       = 8
	hobVersion       = 9
	hobPresentTested = 7 // present, initialized, tested
	memoryAccepted   = 0 // EFI_RESOURCE_SYSTEM_MEMORY
	memoryUnaccepted = 7 // EFI_RESOURCE_MEMORY_UNACCEPTED
)

// TDHOB returns the HOB list that the VMM hands to the firmware for the given memory, without the END HOB: the bytes that the
// firmware measures as the first event of RTMR0. RAM must be ascending and must contain all TD_HOB and TempMem sections, which
// must not overlap; otherwise the error wraps [ErrMemory].
func (im *Image) TDHOB(ram []Range) ([]byte, error) {
	type block struct {
		Range
		kind uint32
	}
	var blocks []block
	added, base := im.addedMemory()
	for _, r := range ram {
		end, next := r.Start+r.Length, r.Start
		if r.Length == 0 || end < r.Start {
			return nil, fmt.Errorf("%w: range of 0x%x bytes at 0x%x", ErrMemory, r.Length, r.Start)
		}
		if len(blocks) > 0 && blocks[len(blocks)-1].Start+blocks[len(blocks)-1].Length > r.Start {
			return nil, fmt.Errorf("%w: ranges are not ascending at 0x%x", ErrMemory, r.Start)
		}
		for len(added) > 0 && added[0].Start < end {
			a := added[0]
			if a.Start < next || a.Start+a.Length > end {
				return nil, fmt.Errorf("%w: the firmware wants 0x%x bytes at 0x%x, which overlap or are outside of memory", ErrMemory, a.Length, a.Start)
			}
			if a.Start > next {
				blocks = append(blocks, block{Range{next, a.Start - next}, memoryUnaccepted})
			}
			blocks = append(blocks, block{a, memoryAccepted})
			next, added = a.Start+a.Length, added[1:]
		}
		if next < end {
			blocks = append(blocks, block{Range{next, end - next}, memoryUnaccepted})
		}
	}
	if len(added) > 0 {
		return nil, fmt.Errorf("%w: the firmware wants 0x%x bytes at 0x%x", ErrMemory, added[0].Length, added[0].Start)
	}

	size := hobHandoffSize + len(blocks)*hobResourceSize
	list := make([]byte, size)
	binary.LittleEndian.PutUint16(list[0:], hobHandoff)
	binary.LittleEndian.PutUint16(list[2:], hobHandoffSize)
	binary.LittleEndian.PutUint32(list[8:], hobVersion)
	binary.LittleEndian.PutUint64(list[48:], base+uint64(size)+hobEndSize)
	for i, b := range blocks {
		hob := list[hobHandoffSize+i*hobResourceSize:]
		binary.LittleEndian.PutUint16(hob[0:], hobResource)
		binary.LittleEndian.PutUint16(hob[2:], hobResourceSize)
		binary.LittleEndian.PutUint32(hob[24:], b.kind)
		binary.LittleEndian.PutUint32(hob[28:], hobPresentTested)
		binary.LittleEndian.PutUint64(hob[32:], b.Start)
		binary.LittleEndian.PutUint64(hob[40:], b.Length)
	}
	return list, nil
}

// addedMemory returns the ranges that the VMM adds to the TD before it runs, ascending, and the address of the HOB list.
func (im *Image) addedMemory() (added []Range, hobBase uint64) {
	for _, s := range im.Sections {
		if s.Type == SectionTDHOB {
			hobBase = s.Address
		}
		if s.Type == SectionTDHOB || s.Type == SectionTempMem {
			added = append(added, Range{s.Address, s.MemorySize})
		}
	}
	slices.SortFunc(added, func(a, b Range) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		default:
			return 0
		}
	})
	return added, hobBase
}
