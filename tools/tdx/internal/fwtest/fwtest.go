package fwtest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Section is an entry of the TDVF metadata.
type Section struct {
	DataOffset uint32 `json:"data_offset"`
	RawSize    uint32 `json:"raw_size"`
	Address    uint64 `json:"gpa"`
	MemorySize uint64 `json:"mem_size"`
	Type       uint32 `json:"type"`
	Attributes uint32 `json:"attr"`
}

// IntelTdx are the TD_HOB and TempMem sections of IntelTdxX64 and of OvmfPkgX64 up to 202402, in their order.
var IntelTdx = []Section{
	{Address: 0x810000, MemorySize: 0x10000, Type: 3},
	{Address: 0x80B000, MemorySize: 0x2000, Type: 3},
	{Address: 0x809000, MemorySize: 0x2000, Type: 2},
	{Address: 0x800000, MemorySize: 0x6000, Type: 3},
}

// X64 are those of OvmfPkgX64 202502.
var X64 = []Section{
	{Address: 0x811000, MemorySize: 0xF000, Type: 3},
	{Address: 0x80B000, MemorySize: 0x2000, Type: 3},
	{Address: 0x809000, MemorySize: 0x2000, Type: 2},
	{Address: 0x800000, MemorySize: 0x6000, Type: 3},
}

const (
	unit       = 64 << 10
	fourGiB    = 1 << 32
	descriptor = 0x400 // bytes before the end where the metadata stands
)

// Image returns a firmware image with the variable store, the code volumes and the memory sections.
func Image(vars, code []byte, memory []Section) []byte {
	size := len(vars) + len(code) + 0x1000
	size = (size + unit - 1) &^ (unit - 1)
	image := append(bytes.Clone(vars), code...)
	image = append(image, bytes.Repeat([]byte{0xFF}, size-len(image))...)
	base := uint64(fourGiB - size)
	codeSize := uint32(size - len(vars))
	sections := append([]Section{
		{DataOffset: uint32(len(vars)), RawSize: codeSize, Address: base + uint64(len(vars)), MemorySize: uint64(codeSize), Type: 0, Attributes: 1},
		{RawSize: uint32(len(vars)), Address: base, MemorySize: uint64(len(vars)), Type: 1},
	}, memory...)
	d := []byte("TDVF")
	d = binary.LittleEndian.AppendUint32(d, uint32(16+32*len(sections)))
	d = binary.LittleEndian.AppendUint32(d, 1)
	d = binary.LittleEndian.AppendUint32(d, uint32(len(sections)))
	for _, s := range sections {
		d = binary.LittleEndian.AppendUint32(d, s.DataOffset)
		d = binary.LittleEndian.AppendUint32(d, s.RawSize)
		d = binary.LittleEndian.AppendUint64(d, s.Address)
		d = binary.LittleEndian.AppendUint64(d, s.MemorySize)
		d = binary.LittleEndian.AppendUint32(d, s.Type)
		d = binary.LittleEndian.AppendUint32(d, s.Attributes)
	}
	copy(image[size-descriptor:], d)
	// The table ends 32 bytes before the end: the entry with the offset, then the footer.
	table := binary.LittleEndian.AppendUint32(nil, descriptor)
	table = binary.LittleEndian.AppendUint16(table, 22)
	table = append(table, GUID("35657ae44a989847865e4685a7bf8ec2")...)
	table = binary.LittleEndian.AppendUint16(table, uint16(len(table)+18))
	table = append(table, GUID("de82b596b21ff745baeaa366c55a082d")...)
	copy(image[size-32-len(table):], table)
	return image
}

// GUID decodes the 16 bytes of a GUID as they stand in an image.
func GUID(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// File is a driver in a volume.
type File struct {
	GUID    []byte
	Content []byte
}

// Volume returns a firmware volume of the name with the files.
func Volume(name []byte, files ...File) []byte {
	const header, ext = 72, 20
	body := append(bytes.Clone(name), ext, 0, 0, 0)
	for len(body)%8 != 0 {
		body = append(body, 0xFF)
	}
	for _, f := range files {
		body = append(body, ffs(f.GUID, 0x07, append(section(0x10, f.Content), 0))...)
		for len(body)%8 != 0 {
			body = append(body, 0xFF)
		}
	}
	body = append(body, bytes.Repeat([]byte{0xFF}, 64)...)
	fv := make([]byte, header, header+len(body))
	copy(fv[16:], GUID("78e58c8c3d8a1c4f9935896185c32dd3"))
	binary.LittleEndian.PutUint64(fv[32:], uint64(header+len(body)))
	copy(fv[40:], "_FVH")
	binary.LittleEndian.PutUint16(fv[48:], header)
	binary.LittleEndian.PutUint16(fv[52:], header)
	return append(fv, body...)
}

// Compressed returns a volume that contains the others in one LZMA section, as FVMAIN_COMPACT does.
func Compressed(volumes ...[]byte) []byte {
	var inner []byte
	for _, v := range volumes {
		inner = append(inner, section(0x17, v)...)
		for len(inner)%4 != 0 {
			inner = append(inner, 0)
		}
	}
	guided := append(GUID("98584eee143959429d6edc7bd79403cf"), 24, 0, 1, 0)
	guided = append(guided, LZMA(inner)...)
	file := ffs(GUID("93fd219e729c154c8c4be77f1db2d792"), 0x0B, section(0x02, guided))
	const header = 72
	fv := make([]byte, header, header+len(file))
	copy(fv[16:], GUID("78e58c8c3d8a1c4f9935896185c32dd3"))
	body := slices.Concat(file, bytes.Repeat([]byte{0xFF}, 64))
	binary.LittleEndian.PutUint64(fv[32:], uint64(header+len(body)))
	copy(fv[40:], "_FVH")
	binary.LittleEndian.PutUint16(fv[48:], header)
	return append(fv, body...)
}

func ffs(guid []byte, kind byte, content []byte) []byte {
	size := 24 + len(content)
	b := append(bytes.Clone(guid), 0, 0, kind, 0, byte(size), byte(size>>8), byte(size>>16), 0xF8)
	return append(b, content...)
}

func section(kind byte, content []byte) []byte {
	size := 4 + len(content)
	return append([]byte{byte(size), byte(size >> 8), byte(size >> 16), kind}, content...)
}

// LZMA packs data as literals only; the stream begins with the header that edk2 uses.
func LZMA(data []byte) []byte {
	out := []byte{0x5D, 0, 0, 0x80, 0}
	out = binary.LittleEndian.AppendUint64(out, uint64(len(data)))
	e := encoder{rng: 0xFFFFFFFF, pending: 1}
	match := make([]uint16, 4)
	literal := make([]uint16, 0x300*8)
	for _, p := range [][]uint16{match, literal} {
		for i := range p {
			p[i] = 1 << 10
		}
	}
	var previous byte
	for i, c := range data {
		e.bit(&match[i&3], 0)
		probs := literal[0x300*int(previous>>5):]
		m := 1
		for shift := 7; shift >= 0; shift-- {
			b := int(c>>shift) & 1
			e.bit(&probs[m], b)
			m = m<<1 | b
		}
		previous = c
	}
	for range 5 {
		e.shiftLow()
	}
	return append(out, e.out...)
}

// encoder is the range coder of the LZMA specification.
type encoder struct {
	out     []byte
	low     uint64
	rng     uint32
	cache   byte
	pending int
}

func (e *encoder) bit(p *uint16, bit int) {
	bound := e.rng >> 11 * uint32(*p)
	if bit == 0 {
		e.rng = bound
		*p += (1<<11 - *p) >> 5
	} else {
		e.low += uint64(bound)
		e.rng -= bound
		*p -= *p >> 5
	}
	for e.rng < 1<<24 {
		e.rng <<= 8
		e.shiftLow()
	}
}

func (e *encoder) shiftLow() {
	if e.low < 0xFF000000 || e.low >= 1<<32 {
		carry := byte(e.low >> 32)
		for ; e.pending > 0; e.pending-- {
			e.out = append(e.out, e.cache+carry)
			e.cache = 0xFF
		}
		e.cache = byte(e.low >> 24)
	}
	e.pending++
	e.low = e.low & 0x00FFFFFF << 8
}

// Read returns a file of test data, unpacked if its name ends in .gz.
func Read(t testing.TB, path ...string) []byte {
	t.Helper()
	name := filepath.Join(path...)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(name) != ".gz" {
		return data
	}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if data, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return data
}
