package eventlog

import (
	"encoding/binary"
	"fmt"
)

const (
	// algSHA384 is TPM_ALG_SHA384 of the TCG Algorithm Registry.
	algSHA384 = 0x000C
	// maxAlgorithms bounds the algorithm list; the registry has fewer hash algorithms.
	maxAlgorithms = 16
	// maxDigestSize is the size of SHA-512, the largest hash of the registry.
	maxDigestSize = 64
	// sha1Size is the length of the digest in the legacy header event.
	sha1Size = 20
	// specIDSignature heads the first event of a crypto-agile log (PFP 1.06 section 10.4.5.1).
	specIDSignature = "Spec ID Event03\x00"
)

// ParseCCEL reads a CC measurement event log. Bytes 0xFF or 0x00 up to the end of the buffer are padding.
func ParseCCEL(data []byte) (*Log, error) { return parseBinary(data, KindCCEL) }

// ParseTPM reads a crypto-agile TPM event log. Bytes 0xFF or 0x00 up to the end of the buffer are padding.
func ParseTPM(data []byte) (*Log, error) { return parseBinary(data, KindTPM) }

// cursor walks the input; after the first failure all reads return zero and err stays.
type cursor struct {
	data  []byte
	pos   int
	event int
	err   *ParseError
}

func (c *cursor) fail(err error, offset int, format string, args ...any) {
	if c.err == nil {
		c.err = &ParseError{Event: c.event, Offset: offset, Err: err, Detail: fmt.Sprintf(format, args...)}
	}
}

func (c *cursor) bytes(n uint64, what string) []byte {
	if c.err != nil {
		return nil
	}
	if left := len(c.data) - c.pos; n > uint64(left) {
		c.fail(ErrTruncated, c.pos, "%s needs %d bytes, %d are left", what, n, left)
		return nil
	}
	b := c.data[c.pos : c.pos+int(n) : c.pos+int(n)]
	c.pos += int(n)
	return b
}

func (c *cursor) u16(what string) uint16 {
	if b := c.bytes(2, what); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32(what string) uint32 {
	if b := c.bytes(4, what); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// padding reports whether everything that is left repeats the byte 0x00 or 0xFF.
func (c *cursor) padding() bool {
	if c.pos == len(c.data) {
		return true
	}
	pad := c.data[c.pos]
	if pad != 0x00 && pad != 0xFF {
		return false
	}
	for _, b := range c.data[c.pos:] {
		if b != pad {
			return false
		}
	}
	return true
}

func parseBinary(data []byte, kind Kind) (*Log, error) {
	c := &cursor{data: data, event: -1}
	if len(data) > MaxSize {
		c.fail(ErrTooLarge, 0, "%d bytes, at most %d are read", len(data), MaxSize)
		return nil, c.err
	}
	sizes := c.specID()
	log := &Log{Kind: kind}
	for c.err == nil && !c.padding() {
		c.event = len(log.Events)
		e := c.readEvent(kind, sizes)
		e.Index = c.event
		log.Events = append(log.Events, e)
	}
	if c.err != nil {
		return nil, c.err
	}
	return log, nil
}

// specID reads the first event: TCG_PCR_EVENT with a SHA-1 digest, whose data is TCG_EfiSpecIDEvent (PFP 1.06 section 10.4.5.1).
// It returns the digest size of each algorithm.
func (c *cursor) specID() map[uint16]uint16 {
	c.u32("register")
	typ := EventType(c.u32("event type"))
	c.bytes(sha1Size, "digest")
	size := c.u32("event size")
	start := c.pos
	body := c.bytes(uint64(size), "Spec ID event")
	if c.err != nil {
		return nil
	}
	if typ != EvNoAction || len(body) < len(specIDSignature) || string(body[:len(specIDSignature)]) != specIDSignature {
		c.fail(ErrNoSpecID, start, "a log with SHA-1 digests only, or not an event log")
		return nil
	}
	h := &cursor{data: body, pos: len(specIDSignature), event: -1}
	h.bytes(8, "platform class and version")
	count := h.u32("algorithm count")
	if h.err == nil && (count == 0 || count > maxAlgorithms) {
		h.fail(ErrAlgorithm, h.pos-4, "%d algorithms, want 1 to %d", count, maxAlgorithms)
	}
	sizes := make(map[uint16]uint16)
	for i := uint32(0); i < count && h.err == nil; i++ {
		alg, n := h.u16("algorithm"), h.u16("digest size")
		if _, twice := sizes[alg]; twice || n > maxDigestSize || alg == algSHA384 && n != uint16(len(Digest{})) {
			h.fail(ErrAlgorithm, h.pos-4, "algorithm 0x%04x of %d bytes twice, or of a size it does not have", alg, n)
		}
		sizes[alg] = n
	}
	vendor := h.bytes(1, "vendor information size")
	if h.err == nil {
		h.bytes(uint64(vendor[0]), "vendor information")
	}
	if h.err == nil && h.pos != len(body) {
		h.fail(ErrAfterEnd, h.pos, "%d bytes after the vendor information", len(body)-h.pos)
	}
	if h.err != nil {
		h.err.Offset += start
		c.err = h.err
		return nil
	}
	if sizes[algSHA384] == 0 {
		c.fail(ErrNoSHA384, start, "the header declares no SHA-384 bank")
		return nil
	}
	return sizes
}

// readEvent reads a TCG_PCR_EVENT2 or a CC event, which have the same form.
func (c *cursor) readEvent(kind Kind, sizes map[uint16]uint16) Event {
	start := c.pos
	number := c.u32("register")
	var e Event
	e.Type = EventType(c.u32("event type"))
	if c.err != nil {
		return e
	}
	switch {
	case number == 0xFFFFFFFF:
		c.fail(ErrAfterEnd, start, "an end marker is followed by something other than padding")
	case kind == KindCCEL && number >= 1 && number <= rtmrCount:
		e.Register = Register(number - 1)
	case kind == KindTPM && number < PCRCount:
		e.Register = PCR(int(number))
	case kind == KindCCEL:
		c.fail(ErrRegister, start, "measurement register %d, want 1 (RTMR0) to %d (RTMR3)", number, rtmrCount)
	default:
		c.fail(ErrRegister, start, "PCR %d, want 0 to %d", number, PCRCount-1)
	}
	at := c.pos
	count := c.u32("digest count")
	if c.err == nil && (count == 0 || uint64(count) > uint64(len(sizes))) {
		c.fail(ErrAlgorithm, at, "%d digests, the header declares %d algorithms", count, len(sizes))
	}
	if c.err != nil {
		return e
	}
	e.Digests = make([]BankDigest, 0, count)
	found := false
	for range count {
		at = c.pos
		alg := c.u16("digest algorithm")
		size, known := sizes[alg]
		if c.err == nil && !known {
			c.fail(ErrAlgorithm, at, "algorithm 0x%04x is not declared in the header", alg)
		}
		for _, d := range e.Digests {
			if d.Algorithm == alg {
				c.fail(ErrAlgorithm, at, "algorithm 0x%04x twice", alg)
			}
		}
		value := c.bytes(uint64(size), "digest")
		if c.err != nil {
			return e
		}
		if alg == algSHA384 {
			copy(e.Digest[:], value)
			found = true
		}
		e.Digests = append(e.Digests, BankDigest{Algorithm: alg, Value: value})
	}
	size := c.u32("event size")
	e.Data = c.bytes(uint64(size), "event data")
	if c.err == nil && !found && e.Type != EvNoAction {
		c.fail(ErrNoSHA384, start, "the event has digests of other algorithms only")
	}
	return e
}
