package dstack

import (
	"bytes"
	"cmp"
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
	// CommandLine is the digest of the event that OVMF extends for the kernel command line.
	CommandLine Register
	// Kernel is the Authenticode digest of the kernel as QEMU patches it for 2 GiB of memory, or 2.75 GiB and more. dstack's own
	// tool computes it with rules that hold for its kernels; see the contracts' tdx-measurement page for the differences.
	Kernel Register
	Initrd Register
	// MRTD in both orders in which QEMU has added pages.
	MRTDSinglePass, MRTDTwoPass Register
	// HOB tells the ranges of memory that firmware declares accepted.
	HOB HOBWitness
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
// dstack's structs, and every digest a byte string of 48. Major types: 3 text (0x60), 5 map (0xa0), 2 bytes (0x40).
const (
	cborStart     = "\xa3" + "\x67version" + "\x03" + "\x65image" + "\xa3" + "\x6ecmdline_sha384"
	cborKernel    = "\x73kernel_authenticode"
	cborInitrd    = "\x6dinitrd_sha384"
	cborTDVF      = "\x64tdvf" + "\xa3" + "\x64ovmf" + "\x69" + OVMFPre202505 + "\x64mrtd" + "\xa2" + "\x6bsingle_pass"
	cborTwoPass   = "\x68two_pass"
	cborHOB       = "\x66td_hob"
	cborBytes48   = "\x58\x30" // major type 2 with a length in one byte: 48
	maxHOBWitness = 1 << 12
)

// digests lists the digests of the document in their order, each with what stands before it.
func (m *TDXMeasurement) digests() []struct {
	before string
	value  *Register
} {
	return []struct {
		before string
		value  *Register
	}{
		{cborStart, &m.CommandLine}, {cborKernel, &m.Kernel}, {cborInitrd, &m.Initrd},
		{cborTDVF, &m.MRTDSinglePass}, {cborTwoPass, &m.MRTDTwoPass},
	}
}

// Bytes writes measurement.tdx.cbor as dstack's image build does, bit for bit.
func (m *TDXMeasurement) Bytes() ([]byte, error) {
	var data []byte
	for _, d := range m.digests() {
		data = append(data, d.before...)
		data = append(data, cborBytes48...)
		data = append(data, d.value[:]...)
	}
	witness, err := m.HOB.Bytes()
	if err != nil {
		return nil, err
	}
	data = append(data, cborHOB...)
	data = append(data, cborLength(len(witness))...)
	return append(data, witness...), nil
}

// cborLength is the head of a byte string, shortest form, for lengths below 65536.
func cborLength(n int) []byte {
	switch {
	case n < 24:
		return []byte{0x40 | byte(n)}
	case n < 1<<8:
		return []byte{0x58, byte(n)}
	default:
		return []byte{0x59, byte(n >> 8), byte(n)}
	}
}

// ParseTDXMeasurement reads a measurement.tdx.cbor. It takes the one encoding that dstack writes and no other: the file is
// bound by its hash, and a second spelling of the same facts would be a second image.
func ParseTDXMeasurement(file []byte) (*TDXMeasurement, error) {
	c := &cborReader{rest: file, size: len(file)}
	m := new(TDXMeasurement)
	for _, d := range m.digests() {
		c.expect(d.before)
		c.expect(cborBytes48)
		copy(d.value[:], c.take(len(d.value)))
	}
	c.expect(cborHOB)
	witness := c.bytes()
	if c.err == nil && len(c.rest) > 0 {
		c.err = c.fail("the end", fmt.Sprintf("%d bytes more", len(c.rest)))
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

// bytes reads a byte string in its shortest form.
func (c *cborReader) bytes() []byte {
	head := c.take(1)
	if c.err != nil {
		return nil
	}
	var n int
	switch head[0] {
	case 0x58:
		n = int(bigEndian(c.take(1)))
	case 0x59:
		n = int(bigEndian(c.take(2)))
	default:
		n = int(head[0]) - 0x40
	}
	if c.err == nil && (n < 0 || n > maxHOBWitness || !bytes.HasPrefix(cborLength(n), head)) {
		c.err = c.fail(fmt.Sprintf("a byte string of at most %d bytes, with its length in the shortest form", maxHOBWitness), fmt.Sprintf("head %#x", head[0]))
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
