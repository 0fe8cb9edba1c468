package eventlog

import (
	"fmt"
	"strconv"
)

// Register names a measurement register of a TD or a PCR of a TPM.
type Register uint8

// The registers of a TD. MRTD is filled while the TD is built; no log records it.
const (
	RTMR0 Register = iota
	RTMR1
	RTMR2
	RTMR3
	MRTD

	// firstPCR is where the numbering of [PCR] starts, so that one type can name both kinds.
	firstPCR Register = 0x40
)

const (
	rtmrCount = 4
	// PCRCount is the number of platform configuration registers of a PC Client TPM.
	PCRCount = 24
)

// PCR returns the register of PCR n, which must be below [PCRCount].
func PCR(n int) Register { return firstPCR + Register(n) }

// PCRIndex returns n when r is PCR n.
func (r Register) PCRIndex() (n int, ok bool) {
	if r < firstPCR || r >= firstPCR+PCRCount {
		return 0, false
	}
	return int(r - firstPCR), true
}

// TDX returns the register in which a TD keeps what a TPM keeps in r: PCR 0 is MRTD, 1 and 7 are RTMR0, 2 to 6 are RTMR1, 8 to
// 15 are RTMR2 (UEFI 2.10 section 38.4.1). Higher PCRs have no counterpart. Registers of a TD are their own counterpart.
func (r Register) TDX() (Register, bool) {
	n, isPCR := r.PCRIndex()
	switch {
	case !isPCR:
		return r, r <= MRTD
	case n == 0:
		return MRTD, true
	case n == 1 || n == 7:
		return RTMR0, true
	case n < 7:
		return RTMR1, true
	case n < 16:
		return RTMR2, true
	default:
		return 0, false
	}
}

// String returns "rtmr0" to "rtmr3", "mrtd" or "pcr0" to "pcr23".
func (r Register) String() string {
	if n, ok := r.PCRIndex(); ok {
		return "pcr" + strconv.Itoa(n)
	}
	switch {
	case r < rtmrCount:
		return "rtmr" + strconv.Itoa(int(r))
	case r == MRTD:
		return "mrtd"
	default:
		return fmt.Sprintf("register(%d)", uint8(r))
	}
}

// MarshalText returns [Register.String], so that registers can be keys of JSON objects.
func (r Register) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Bank holds register contents while events are extended. The zero value is no bank; use [NewBank].
type Bank struct {
	values map[Register]Digest
}

// NewBank returns the registers that logs of the given kind extend, as they are after reset: zero, except PCR 17 to 22, which
// hold ones until a dynamic launch (PFP 1.06 section 3.3.1, table 1).
func NewBank(kind Kind) *Bank {
	b := &Bank{values: make(map[Register]Digest)}
	if kind != KindTPM {
		for r := range Register(rtmrCount) {
			b.values[r] = Digest{}
		}
		return b
	}
	var ones Digest
	for i := range ones {
		ones[i] = 0xFF
	}
	for n := range PCRCount {
		if n >= 17 && n <= 22 {
			b.values[PCR(n)] = ones
		} else {
			b.values[PCR(n)] = Digest{}
		}
	}
	return b
}

// Extend extends d into r and returns the new content.
func (b *Bank) Extend(r Register, d Digest) Digest {
	v := b.values[r].Extend(d)
	b.values[r] = v
	return v
}

// Values returns the registers and their contents. The map belongs to the caller.
func (b *Bank) Values() map[Register]Digest {
	values := make(map[Register]Digest, len(b.values))
	for r, d := range b.values {
		values[r] = d
	}
	return values
}
