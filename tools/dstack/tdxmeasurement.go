package dstack

import (
	"bytes"
	"cmp"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// OVMFPre202505 is the only OVMF variant that dstack knows: edk2 before the stable release of May 2025, with 13 events in RTMR0
// (dstack-types/src/lib.rs OvmfVariant).
const OVMFPre202505 = "pre202505"

// TDXMeasurement is an image's measurement.tdx.cbor: what of MRTD and RTMR0 to RTMR2 does not depend on the machine. dstack 0.6
// ships it so that a verifier can do without the image.
type TDXMeasurement struct {
	// Version is [TDXMeasurementVersion], or 3 in release candidates of dstack 0.6.0, which have the digest in place of the text.
	Version int
	// Cmdline is the kernel command line in metadata.json. Version 3 does not have it.
	Cmdline string
	// CommandLine is the digest of the event that OVMF extends for the kernel command line.
	CommandLine Register
	// Kernel is the Authenticode digest of the kernel as QEMU patches it for 2 GiB of memory, or 2.75 GiB and more. dstack's own
	// tool computes it with rules that hold for its kernels; see the contracts' tdx-measurement page for the differences.
	Kernel Register
	// Normalized: the firmware fills in the kernel's header itself, so that Kernel is the digest with any memory.
	Normalized bool
	Initrd     Register
	// MRTD in both orders in which QEMU has added pages.
	MRTDSinglePass, MRTDTwoPass Register
	// HOB tells the ranges of memory that firmware declares accepted.
	HOB HOBWitness
}

// TDXMeasurementVersion is that of the documents that dstack writes and reads since 0.6.0 (dstack-types/src/lib.rs TdxOsImageMeasurement).
const TDXMeasurementVersion = 4

// versionWithDigest is that of the release candidates of 0.6.0.
const versionWithDigest = 3

// maxCmdline is the longest command line of a measurement, in bytes: Linux's COMMAND_LINE_SIZE on x86, which dstack's verifier asks for, too.
const maxCmdline = 2048

// initrdSuffix is what OVMF before 202508 puts behind the command line when there is an initrd (OvmfPkg/Library/GenericQemuLoadImageLib).
const initrdSuffix = " initrd=initrd"

// CommandLineDigest is that of the event by which a kernel's EFI stub measures its command line: in UTF-16LE, with what the firmware puts
// behind it and a NUL.
func CommandLineDigest(cmdline string) Register {
	var data []byte
	for _, c := range []byte(cmdline + initrdSuffix + "\x00") {
		data = binary.LittleEndian.AppendUint16(data, uint16(c))
	}
	return sha512.Sum384(data)
}

// PageRange is a range of memory in pages of 4096 bytes.
type PageRange struct{ Start, Count uint64 }

// HOBWitness is dstack's TdHobWitnessV1: the sections of type TD_HOB and TEMP_MEM of a firmware, from which the TD HOB of any
// memory size follows. Ranges are sorted and do not overlap; adjacent ones are kept apart, as firmware lists them.
type HOBWitness struct {
	// HOB is the page of the TD_HOB section, which is the start of one of the ranges.
	HOB    uint64
	Ranges []PageRange
}

// Bounds of a witness. Firmware has about four such sections, all below 4 GiB; a page number below 2^36 keeps every address
// within 48 bits.
const (
	maxHOBRanges = 64
	maxPage      = 1 << 36
)

// check holds the witness to what dstack-mr writes (dstack/dstack-mr/src/tdvf.rs td_hob_witness_v1).
func (w HOBWitness) check() error {
	if len(w.Ranges) == 0 || len(w.Ranges) > maxHOBRanges {
		return fmt.Errorf("expected 1 to %d ranges, got %d", maxHOBRanges, len(w.Ranges))
	}
	found := false
	for i, r := range w.Ranges {
		if r.Count == 0 || r.Start >= maxPage || r.Count >= maxPage {
			return fmt.Errorf("range %d: expected a range of pages below %#x, got %#x pages from %#x", i, uint64(maxPage), r.Count, r.Start)
		}
		if i > 0 && r.Start < w.Ranges[i-1].Start+w.Ranges[i-1].Count {
			return fmt.Errorf("range %d: starts at page %#x, before the one before it ends", i, r.Start)
		}
		found = found || r.Start == w.HOB
	}
	if !found {
		return fmt.Errorf("expected a range that starts at the TD HOB's page %#x, got none", w.HOB)
	}
	return nil
}

// NewHOBWitness takes the page ranges of the TD_HOB section and of the TEMP_MEM sections, in any order.
func NewHOBWitness(hob PageRange, temporary ...PageRange) (HOBWitness, error) {
	w := HOBWitness{HOB: hob.Start, Ranges: append([]PageRange{hob}, temporary...)}
	slices.SortStableFunc(w.Ranges, func(a, b PageRange) int { return cmp.Compare(a.Start, b.Start) })
	if err := w.check(); err != nil {
		return HOBWitness{}, fmt.Errorf("TD HOB witness: %w", err)
	}
	return w, nil
}

// Bytes writes the witness: unsigned LEB128 numbers, pages relative to the first range.
func (w HOBWitness) Bytes() ([]byte, error) {
	if err := w.check(); err != nil {
		return nil, fmt.Errorf("TD HOB witness: %w", err)
	}
	base := w.Ranges[0].Start
	data := binary.AppendUvarint(nil, base)
	data = binary.AppendUvarint(data, w.HOB-base)
	data = binary.AppendUvarint(data, uint64(len(w.Ranges)))
	for _, r := range w.Ranges {
		data = binary.AppendUvarint(data, r.Start-base)
		data = binary.AppendUvarint(data, r.Count)
	}
	return data, nil
}

// ParseHOBWitness reads a witness; every accepted one is what [HOBWitness.Bytes] writes.
func ParseHOBWitness(data []byte) (HOBWitness, error) {
	rest := data
	var err error
	number := func() uint64 {
		n, used := binary.Uvarint(rest)
		if used <= 0 {
			err = errors.New("TD HOB witness: it ends within a number, or the number is too large")
			rest = nil
			return 0
		}
		rest = rest[used:]
		return n
	}
	base, hob, count := number(), number(), number()
	switch {
	case err != nil:
		return HOBWitness{}, err
	case base >= maxPage || hob >= maxPage:
		return HOBWitness{}, fmt.Errorf("TD HOB witness: expected pages below %#x, got %#x and %#x", uint64(maxPage), base, hob)
	case count > maxHOBRanges:
		return HOBWitness{}, fmt.Errorf("TD HOB witness: expected at most %d ranges, got %d", maxHOBRanges, count)
	}
	w := HOBWitness{HOB: base + hob}
	for range count {
		start, pages := number(), number()
		if err != nil {
			return HOBWitness{}, err
		}
		if start >= maxPage {
			return HOBWitness{}, fmt.Errorf("TD HOB witness: expected pages below %#x, got %#x", uint64(maxPage), start)
		}
		w.Ranges = append(w.Ranges, PageRange{base + start, pages})
	}
	again, err := w.Bytes()
	if err != nil {
		return HOBWitness{}, err
	}
	if !bytes.Equal(again, data) {
		return HOBWitness{}, errors.New("TD HOB witness: expected the shortest form, relative to the first range and with nothing behind it")
	}
	return w, nil
}

// The parts of the document that are the same in every image: CBOR (RFC 8949) with definite lengths, members in the order of
// dstack's structs, and every digest a byte string of 48. Major types: 3 text (0x60), 5 map (0xa0), 2 bytes (0x40), 7 true (0xf5).
const (
	cborVersion    = "\xa3" + "\x67version"
	cborImage      = "\x65image"
	cborMembers    = 0xa3 // of the image, one more with cborNormalized
	cborDigest     = "\x6ecmdline_sha384"
	cborCmdline    = "\x67cmdline"
	cborKernel     = "\x73kernel_authenticode"
	cborNormalized = "\x78\x18kernel_header_normalized" + "\xf5"
	cborInitrd     = "\x6dinitrd_sha384"
	cborTDVF       = "\x64tdvf" + "\xa3" + "\x64ovmf" + "\x69" + OVMFPre202505 + "\x64mrtd" + "\xa2" + "\x6bsingle_pass"
	cborTwoPass    = "\x68two_pass"
	cborHOB        = "\x66td_hob"
	cborBytes      = 0x40
	cborText       = 0x60
	cborBytes48    = "\x58\x30" // major type 2 with a length in one byte: 48
	maxHOBWitness  = 1 << 12
)

// Bytes writes measurement.tdx.cbor as dstack's image build does, bit for bit.
func (m *TDXMeasurement) Bytes() ([]byte, error) {
	if m.Version != TDXMeasurementVersion && m.Version != versionWithDigest {
		return nil, fmt.Errorf("%s: version: expected %d or %d, got %d", TDXMeasurementFile, versionWithDigest, TDXMeasurementVersion, m.Version)
	}
	witness, err := m.HOB.Bytes()
	if err != nil {
		return nil, err
	}
	data := append([]byte(cborVersion), byte(m.Version))
	digest := func(before string, value Register) {
		data = append(append(append(data, before...), cborBytes48...), value[:]...)
	}
	data = append(data, cborImage...)
	if m.Normalized {
		data = append(data, cborMembers+1)
	} else {
		data = append(data, cborMembers)
	}
	if m.Version == versionWithDigest {
		digest(cborDigest, m.CommandLine)
	} else {
		if err := checkCmdline(m.Cmdline); err != nil {
			return nil, err
		}
		data = append(append(append(data, cborCmdline...), cborLength(cborText, len(m.Cmdline))...), m.Cmdline...)
	}
	digest(cborKernel, m.Kernel)
	if m.Normalized {
		data = append(data, cborNormalized...)
	}
	digest(cborInitrd, m.Initrd)
	digest(cborTDVF, m.MRTDSinglePass)
	digest(cborTwoPass, m.MRTDTwoPass)
	data = append(append(data, cborHOB...), cborLength(cborBytes, len(witness))...)
	return append(data, witness...), nil
}

// checkCmdline refuses command lines whose digest is not known: what firmware makes of other characters is not modelled.
func checkCmdline(s string) error {
	if len(s) == 0 || len(s) > maxCmdline {
		return fmt.Errorf("%s: cmdline: expected 1 to %d bytes, got %d", TDXMeasurementFile, maxCmdline, len(s))
	}
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return fmt.Errorf("%s: cmdline: expected printable ASCII, got %s", TDXMeasurementFile, shown(s))
		}
	}
	return nil
}

// cborLength is the head of a string of a major type, shortest form, for lengths below 65536.
func cborLength(major byte, n int) []byte {
	switch {
	case n < 24:
		return []byte{major | byte(n)}
	case n < 1<<8:
		return []byte{major | 24, byte(n)}
	default:
		return []byte{major | 25, byte(n >> 8), byte(n)}
	}
}

// ParseTDXMeasurement reads a measurement.tdx.cbor. It takes the one encoding that dstack writes and no other: the file is
// bound by its hash, and a second spelling of the same facts would be a second image.
func ParseTDXMeasurement(file []byte) (*TDXMeasurement, error) {
	c := &cborReader{rest: file, size: len(file)}
	m := new(TDXMeasurement)
	digest := func(before string, to *Register) {
		c.expect(before)
		c.expect(cborBytes48)
		copy(to[:], c.take(len(to)))
	}
	c.expect(cborVersion)
	m.Version = int(c.one("version", versionWithDigest, TDXMeasurementVersion))
	c.expect(cborImage)
	m.Normalized = c.one("image", cborMembers, cborMembers+1) == cborMembers+1
	if m.Version == versionWithDigest {
		digest(cborDigest, &m.CommandLine)
	} else {
		c.expect(cborCmdline)
		m.Cmdline = string(c.string(cborText, maxCmdline))
		m.CommandLine = CommandLineDigest(m.Cmdline)
	}
	digest(cborKernel, &m.Kernel)
	if m.Normalized {
		c.expect(cborNormalized)
	}
	digest(cborInitrd, &m.Initrd)
	digest(cborTDVF, &m.MRTDSinglePass)
	digest(cborTwoPass, &m.MRTDTwoPass)
	c.expect(cborHOB)
	witness := c.string(cborBytes, maxHOBWitness)
	if c.err == nil && len(c.rest) > 0 {
		c.err = c.fail("the end", fmt.Sprintf("%d bytes more", len(c.rest)))
	}
	if c.err == nil && m.Version != versionWithDigest {
		c.err = checkCmdline(m.Cmdline)
	}
	if c.err != nil {
		return nil, c.err
	}
	var err error
	if m.HOB, err = ParseHOBWitness(witness); err != nil {
		return nil, fmt.Errorf("%s: %w", TDXMeasurementFile, err)
	}
	return m, nil
}

type cborReader struct {
	rest []byte
	size int
	err  error
}

func (c *cborReader) fail(want, got string) error {
	return fmt.Errorf("%s: byte %d: expected %s, got %s", TDXMeasurementFile, c.size-len(c.rest), want, got)
}

func (c *cborReader) take(n int) []byte {
	if c.err == nil && len(c.rest) < n {
		c.err = c.fail(fmt.Sprintf("%d bytes", n), strconv.Itoa(len(c.rest)))
	}
	if c.err != nil {
		return nil
	}
	taken := c.rest[:n]
	c.rest = c.rest[n:]
	return taken
}

func (c *cborReader) expect(what string) {
	if c.err != nil {
		return
	}
	if got := c.rest[:min(len(what), len(c.rest))]; string(got) != what {
		c.err = c.fail(fmt.Sprintf("%q", what), fmt.Sprintf("%q", got))
		return
	}
	c.rest = c.rest[len(what):]
}

// one reads a byte that has to be one of two.
func (c *cborReader) one(what string, a, b byte) byte {
	head := c.take(1)
	if c.err != nil {
		return 0
	}
	if head[0] != a && head[0] != b {
		c.err = c.fail(fmt.Sprintf("%s: %#x or %#x", what, a, b), fmt.Sprintf("%#x", head[0]))
		return 0
	}
	return head[0]
}

// string reads a string of a major type in its shortest form.
func (c *cborReader) string(major byte, limit int) []byte {
	head := c.take(1)
	if c.err != nil {
		return nil
	}
	var n int
	switch head[0] {
	case major | 24:
		n = int(bigEndian(c.take(1)))
	case major | 25:
		n = int(bigEndian(c.take(2)))
	default:
		n = int(head[0]) - int(major)
	}
	if c.err == nil && (n < 0 || n > limit || !bytes.HasPrefix(cborLength(major, n), head)) {
		c.err = c.fail(fmt.Sprintf("a string of at most %d bytes, with its length in the shortest form", limit), fmt.Sprintf("head %#x", head[0]))
	}
	if c.err != nil {
		return nil
	}
	return c.take(n)
}

func bigEndian(digits []byte) (n uint64) {
	for _, d := range digits {
		n = n<<8 | uint64(d)
	}
	return n
}
