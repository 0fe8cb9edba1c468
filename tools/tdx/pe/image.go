package pe

import (
	"cmp"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
)

// ErrFormat is the reason for every refusal: the image is not one that edk2 would load and measure.
var ErrFormat = errors.New("not a PE image that firmware can measure")

// Field offsets of the PE format (Microsoft PE Format specification; edk2 MdePkg/Include/IndustryStandard/PeImage.h).
const (
	dosMagic         = 0x5A4D // "MZ"
	dosNewHeader     = 0x3C
	dosHeaderSize    = 64
	peSignature      = 0x00004550 // "PE\0\0"
	coffSections     = 6          // from the PE signature
	coffOptionalSize = 20
	optionalHeader   = 24 // from the PE signature
	magicPE32        = 0x10B
	magicPE32Plus    = 0x20B
	sizeOfHeaders    = 60 // from the optional header, here and below
	checkSum         = 64
	directories32    = 96
	directories64    = 112
	directorySize    = 8
	securityIndex    = 4
	sectionSize      = 40
	maxSections      = 96 // the Windows loader has this limit; kernels and UKIs have up to 20
)

// Section is a section of an image.
type Section struct {
	Name string
	// VirtualSize is the length of the content in memory, RawSize that in the file, where it begins at Offset.
	VirtualSize, RawSize, Offset uint32
}

// Image is a parsed PE image.
type Image struct {
	// Sections are in the order of the section table.
	Sections []Section

	raw           []byte
	headers       uint32 // SizeOfHeaders
	checkSumAt    int
	securityAt    int // offset of the certificate directory, 0 if there is none
	certificates  uint32
	hashedOutside uint64 // headers and sections, in bytes
}

// Parse reads the headers of an image, which is not copied and must not change afterwards.
func Parse(image []byte) (*Image, error) {
	bad := func(format string, args ...any) (*Image, error) {
		return nil, fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
	}
	if len(image) < dosHeaderSize || binary.LittleEndian.Uint16(image) != dosMagic {
		return bad("no MZ header in %d bytes", len(image))
	}
	pe := uint64(binary.LittleEndian.Uint32(image[dosNewHeader:]))
	opt := pe + optionalHeader
	if opt+directories64 > uint64(len(image)) || binary.LittleEndian.Uint32(image[pe:]) != peSignature {
		return bad("no PE header at byte %d", pe)
	}
	im := &Image{raw: image, headers: binary.LittleEndian.Uint32(image[opt+sizeOfHeaders:]), checkSumAt: int(opt + checkSum)}
	directories := uint64(directories64)
	switch magic := binary.LittleEndian.Uint16(image[opt:]); magic {
	case magicPE32Plus:
	case magicPE32:
		directories = directories32
	default:
		return bad("optional header of type 0x%x", magic)
	}
	optional := uint64(binary.LittleEndian.Uint16(image[pe+coffOptionalSize:]))
	count := binary.LittleEndian.Uint32(image[opt+directories-4:])
	table := opt + optional
	sections := uint64(binary.LittleEndian.Uint16(image[pe+coffSections:]))
	end := table + sections*sectionSize
	if uint64(count)*directorySize > optional || optional < directories || optional-directories < uint64(count)*directorySize {
		return bad("optional header of %d bytes with %d directories", optional, count)
	}
	if sections > maxSections || end > uint64(im.headers) || uint64(im.headers) > uint64(len(image)) {
		return bad("%d sections in headers of %d bytes, file of %d", sections, im.headers, len(image))
	}
	if count > securityIndex {
		at := opt + directories + securityIndex*directorySize
		im.securityAt = int(at)
		im.certificates = binary.LittleEndian.Uint32(image[at+4:])
	}
	return im, im.readSections(image[table:end])
}

func (im *Image) readSections(table []byte) error {
	im.Sections = make([]Section, 0, len(table)/sectionSize)
	im.hashedOutside = uint64(im.headers)
	for i := 0; len(table) > 0; i++ {
		name := table[:8]
		for len(name) > 0 && name[len(name)-1] == 0 {
			name = name[:len(name)-1]
		}
		s := Section{
			Name:        string(name),
			VirtualSize: binary.LittleEndian.Uint32(table[8:]),
			RawSize:     binary.LittleEndian.Uint32(table[16:]),
			Offset:      binary.LittleEndian.Uint32(table[20:]),
		}
		table = table[sectionSize:]
		if s.RawSize != 0 && uint64(s.Offset)+uint64(s.RawSize) > uint64(len(im.raw)) {
			return fmt.Errorf("%w: section %d (%q): %d bytes at %d in a file of %d", ErrFormat, i, s.Name, s.RawSize, s.Offset, len(im.raw))
		}
		im.hashedOutside += uint64(s.RawSize)
		im.Sections = append(im.Sections, s)
	}
	// Sections that overlap would let a small file ask for many times its length of hashing.
	if im.hashedOutside > 2*uint64(len(im.raw)) {
		return fmt.Errorf("%w: sections of %d bytes in a file of %d", ErrFormat, im.hashedOutside, len(im.raw))
	}
	if size := uint64(len(im.raw)); size > im.hashedOutside && size < im.hashedOutside+uint64(im.certificates) {
		return fmt.Errorf("%w: certificate table of %d bytes with %d left", ErrFormat, im.certificates, size-im.hashedOutside)
	}
	return nil
}

// Section returns the content of the first section of that name as it is in memory: VirtualSize bytes, of which at most RawSize are
// in the file and the rest would be zero. The result aliases the image; content that is longer in memory than in the file is
// refused, no tool makes such sections for data.
func (im *Image) Section(name string) ([]byte, bool, error) {
	for _, s := range im.Sections {
		if s.Name != name {
			continue
		}
		if s.VirtualSize > s.RawSize {
			return nil, false, fmt.Errorf("%w: section %s has %d bytes in memory and %d in the file", ErrFormat, name, s.VirtualSize, s.RawSize)
		}
		if s.VirtualSize == 0 {
			// The offset of what is not in the file means nothing.
			return nil, true, nil
		}
		return im.raw[s.Offset : s.Offset+s.VirtualSize : s.Offset+s.VirtualSize], true, nil
	}
	return nil, false, nil
}

// Authenticode returns the SHA-384 digest that edk2 logs when it loads the image with the patches applied.
func (im *Image) Authenticode(patches ...Patch) eventlog.Digest {
	w := &patchedHash{Hash: sha512.New384(), image: im.raw, patches: patches}
	w.hashRange(0, uint64(im.checkSumAt))
	next := uint64(im.checkSumAt) + 4
	if im.securityAt != 0 {
		w.hashRange(next, uint64(im.securityAt))
		next = uint64(im.securityAt) + directorySize
	}
	w.hashRange(next, uint64(im.headers))
	// edk2 sorts by insertion, so sections with equal offsets stay in the order of the table.
	sorted := slices.Clone(im.Sections)
	slices.SortStableFunc(sorted, func(a, b Section) int { return cmp.Compare(a.Offset, b.Offset) })
	for _, s := range sorted {
		w.hashRange(uint64(s.Offset), uint64(s.Offset)+uint64(s.RawSize))
	}
	if size := uint64(len(im.raw)); size > im.hashedOutside+uint64(im.certificates) {
		w.hashRange(im.hashedOutside, size-uint64(im.certificates))
	}
	var d eventlog.Digest
	w.Sum(d[:0])
	return d
}

// patchedHash hashes ranges of an image as if patches had been written to it.
type patchedHash struct {
	hash.Hash
	image   []byte
	patches []Patch
}

// hashRange hashes image[from:to]; from may pass to, then there is nothing to hash.
func (w *patchedHash) hashRange(from, to uint64) {
	if from >= to {
		return
	}
	// Patches touch the first kilobytes only, so the copy is small.
	if limit := patchEnd(w.patches); from < limit {
		n := min(to, limit)
		part := slices.Clone(w.image[from:n])
		for _, p := range w.patches {
			p.apply(part, from)
		}
		w.Write(part)
		from = n
	}
	if from < to {
		w.Write(w.image[from:to])
	}
}
