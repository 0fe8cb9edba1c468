package uki

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/tdx/pe"
)

// Places in the headers of a PE image (Microsoft PE Format), from the PE signature, from the optional header, and in an entry of the
// section table. All numbers are little-endian.
const (
	newHeaderAt = 0x3C

	machineAt       = 4
	sectionsAt      = 6
	symbolTableAt   = 12
	symbolCountAt   = 16
	optionalSizeAt  = 20
	optionalAt      = 24
	machineAMD64    = 0x8664
	maxSections     = 96
	sectionSize     = 40
	sectionsInStubs = 64 // what a stub may have; more is none

	magicAt       = 0
	codeSizeAt    = 4
	dataSizeAt    = 8
	sectionAlign  = 32
	fileAlign     = 36
	imageSizeAt   = 56
	headersSizeAt = 60
	checksumAt    = 64
	certificateAt = 112 + 4*8 // entry 4 of the directories of PE32+
	magicPE32Plus = 0x20B

	virtualSizeAt = 8
	addressAt     = 12
	rawSizeAt     = 16
	offsetAt      = 20
	flagsAt       = 36

	flagCode       = 0x00000020
	flagData       = 0x00000040
	flagExecutable = 0x20000000
	flagReadable   = 0x40000000
)

// Image is what is added to a stub.
type Image struct {
	// OSRelease is os-release(5), Cmdline the command line of the kernel; neither ends in NUL.
	OSRelease, Cmdline string
	// Kernel is a bzImage with EFI stub, Initrd an initramfs, which may be compressed.
	Kernel, Initrd []byte
}

// ErrStub is wrapped by what [Build] refuses of a stub.
var ErrStub = errors.New("not a stub that sections can be added to")

// Build returns the stub with the sections .osrel, .cmdline, .initrd and .linux, in the order in which ukify adds them: the kernel is the
// last, because it may use memory behind it.
func Build(stub []byte, image Image) ([]byte, error) {
	for _, text := range []struct{ name, content string }{{".osrel", image.OSRelease}, {".cmdline", image.Cmdline}} {
		if text.content == "" || strings.Contains(text.content, "\x00") {
			return nil, fmt.Errorf("UKI: section %s: expected text without NUL, got %d bytes", text.name, len(text.content))
		}
	}
	if _, err := pe.Parse(image.Kernel); err != nil {
		return nil, fmt.Errorf("UKI: section .linux: %w", err)
	}
	if len(image.Initrd) == 0 {
		return nil, errors.New("UKI: section .initrd: expected an initramfs, got none")
	}
	b, err := newBuilder(stub)
	if err != nil {
		return nil, fmt.Errorf("UKI: %w: %w", ErrStub, err)
	}
	for _, s := range []struct {
		name    string
		content []byte
		flags   uint32
	}{
		{".osrel", []byte(image.OSRelease), flagData | flagReadable},
		{".cmdline", []byte(image.Cmdline), flagData | flagReadable},
		{".initrd", image.Initrd, flagData | flagReadable},
		{".linux", image.Kernel, flagCode | flagExecutable | flagReadable},
	} {
		if err := b.add(s.name, s.content, s.flags); err != nil {
			return nil, fmt.Errorf("UKI: section %s: %w", s.name, err)
		}
	}
	return b.image, nil
}

type builder struct {
	image []byte
	pe    int
	// headers is how long the headers may be, aligned where in memory and where in the file sections begin.
	headers, memoryAlign, alignment uint32
	// next is the first address behind all sections.
	next uint64
}

func newBuilder(stub []byte) (*builder, error) {
	parsed, err := pe.Parse(stub)
	if err != nil {
		return nil, err
	}
	at := int(binary.LittleEndian.Uint32(stub[newHeaderAt:]))
	b := &builder{image: append([]byte(nil), stub...), pe: at}
	if machine, magic := b.u16(machineAt), b.u16(optionalAt+magicAt); machine != machineAMD64 || magic != magicPE32Plus {
		return nil, fmt.Errorf("expected a PE32+ image for x86-64, got machine %#x and magic %#x", machine, magic)
	}
	if n := len(parsed.Sections); n == 0 || n > sectionsInStubs {
		return nil, fmt.Errorf("expected 1 to %d sections, got %d", sectionsInStubs, n)
	}
	for _, s := range parsed.Sections {
		switch s.Name {
		case ".osrel", ".cmdline", ".initrd", ".linux":
			return nil, fmt.Errorf("expected a stub without a section %s", s.Name)
		}
	}
	b.headers, b.memoryAlign, b.alignment = b.u32(optionalAt+headersSizeAt), b.u32(optionalAt+sectionAlign), b.u32(optionalAt+fileAlign)
	for _, a := range []uint32{b.memoryAlign, b.alignment} {
		if a < 16 || a > 1<<16 || a&(a-1) != 0 {
			return nil, fmt.Errorf("expected sections aligned to a power of two from 16 to 65536, got %d", a)
		}
	}
	if b.u16(optionalSizeAt) >= certificateAt+8 && (b.u32(optionalAt+certificateAt) != 0 || b.u32(optionalAt+certificateAt+4) != 0) {
		return nil, errors.New("expected a stub without signature")
	}
	for i := range parsed.Sections {
		s := b.section(i)
		if binary.LittleEndian.Uint32(s[offsetAt:]) != 0 {
			b.headers = min(b.headers, binary.LittleEndian.Uint32(s[offsetAt:]))
		}
		end := uint64(binary.LittleEndian.Uint32(s[addressAt:])) + uint64(max(binary.LittleEndian.Uint32(s[virtualSizeAt:]), binary.LittleEndian.Uint32(s[rawSizeAt:])))
		b.next = max(b.next, end)
	}
	// Symbols stand behind the sections; nobody reads them, and a checksum is not checked.
	b.set(symbolTableAt, 0)
	b.set(symbolCountAt, 0)
	b.set(optionalAt+checksumAt, 0)
	return b, nil
}

func (b *builder) u16(at int) uint16     { return binary.LittleEndian.Uint16(b.image[b.pe+at:]) }
func (b *builder) u32(at int) uint32     { return binary.LittleEndian.Uint32(b.image[b.pe+at:]) }
func (b *builder) set(at int, v uint32)  { binary.LittleEndian.PutUint32(b.image[b.pe+at:], v) }
func (b *builder) table() int            { return b.pe + optionalAt + int(b.u16(optionalSizeAt)) }
func (b *builder) section(i int) []byte  { return b.image[b.table()+i*sectionSize:][:sectionSize] }
func roundUp(n uint64, to uint32) uint64 { return (n + uint64(to) - 1) &^ (uint64(to) - 1) }

// add appends a section to the file and to what is in memory.
func (b *builder) add(name string, content []byte, flags uint32) error {
	n := int(b.u16(sectionsAt))
	if end := b.table() + (n+1)*sectionSize; n == maxSections || end > int(b.headers) {
		return fmt.Errorf("expected room for the header in %d bytes of headers", b.headers)
	}
	address, offset := roundUp(b.next, b.memoryAlign), roundUp(uint64(len(b.image)), b.alignment)
	size := roundUp(uint64(len(content)), b.alignment)
	if max(address, offset)+size > math.MaxInt32 {
		return fmt.Errorf("%d bytes: expected an image of less than 2 GiB", len(content))
	}
	header := b.section(n)
	clear(header)
	copy(header, name)
	binary.LittleEndian.PutUint32(header[virtualSizeAt:], uint32(len(content)))
	binary.LittleEndian.PutUint32(header[addressAt:], uint32(address))
	binary.LittleEndian.PutUint32(header[rawSizeAt:], uint32(size))
	binary.LittleEndian.PutUint32(header[offsetAt:], uint32(offset))
	binary.LittleEndian.PutUint32(header[flagsAt:], flags)
	binary.LittleEndian.PutUint16(b.image[b.pe+sectionsAt:], uint16(n+1))
	of := optionalAt + dataSizeAt
	if flags&flagCode != 0 {
		of = optionalAt + codeSizeAt
	}
	b.set(of, b.u32(of)+uint32(size))
	b.next = address + size
	b.set(optionalAt+imageSizeAt, uint32(roundUp(b.next, b.memoryAlign)))
	b.image = append(b.image, make([]byte, offset-uint64(len(b.image)))...)
	b.image = append(b.image, content...)
	b.image = append(b.image, make([]byte, size-uint64(len(content)))...)
	return nil
}
