package acpi

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// term is encoded AML (ACPI 20.2).
type term string

// Terms without operands.
const (
	zero     term = "\x00"
	one      term = "\x01"
	breakOp  term = "\xa5"
	debugObj term = "\x5b\x31"
	nullName term = "\x00"
)

// Arguments and local variables of a method.
const (
	local0 term = "\x60"
	local1 term = "\x61"
	local2 term = "\x62"
	local3 term = "\x63"
	local4 term = "\x64"
	local5 term = "\x65"
	arg0   term = "\x68"
	arg1   term = "\x69"
	arg2   term = "\x6a"
	arg3   term = "\x6b"
	arg4   term = "\x6c"
)

func concat(terms ...term) term {
	var n int
	for _, t := range terms {
		n += len(t)
	}
	var b strings.Builder
	b.Grow(n)
	for _, t := range terms {
		b.WriteString(string(t))
	}
	return term(b.String())
}

// Fixed-size little-endian numbers, without a prefix.
func u8(v uint8) term { return term([]byte{v}) }

func u16(v uint16) term { return term([]byte{byte(v), byte(v >> 8)}) }

func u32(v uint32) term {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], v)
	return term(b[:])
}

func u64(v uint64) term {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	return term(b[:])
}

// integer is a constant in the shortest form (ACPI 20.2.3).
func integer(v uint64) term {
	switch {
	case v == 0:
		return zero
	case v == 1:
		return one
	case v <= 0xff:
		return "\x0a" + u8(uint8(v))
	case v <= 0xffff:
		return "\x0b" + u16(uint16(v))
	case v <= 0xffffffff:
		return "\x0c" + u32(uint32(v))
	}
	return "\x0e" + u64(v)
}

func str(s string) term { return term("\x0d" + s + "\x00") }

// name is a path (ACPI 20.2.2): "\_SB.PCI0", "^S30.PCNT", "\". Short segments are padded.
func name(path string) term {
	rest := strings.TrimLeft(path, `\^`)
	if len(rest) == len(path) && len(path) == 4 {
		return term(path)
	}
	b := make([]byte, 0, 32)
	b = append(b, path[:len(path)-len(rest)]...)
	switch n := strings.Count(rest, ".") + 1; {
	case rest == "":
		return term(append(b, 0))
	case n == 2:
		b = append(b, 0x2e)
	case n > 2:
		b = append(b, 0x2f, byte(n))
	}
	for more := true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, ".")
		b = append(append(b, segment...), "____"[len(segment):]...)
	}
	return term(b)
}

// appendLength appends the encoding of a length (ACPI 20.2.4). A package counts its own length bytes, a field element does not.
func appendLength(b []byte, n int, self bool) []byte {
	size := 4
	switch {
	case n+1 < 1<<6:
		size = 1
	case n+2 < 1<<12:
		size = 2
	case n+3 < 1<<20:
		size = 3
	}
	if self {
		n += size
	}
	if size == 1 {
		return append(b, byte(n))
	}
	b = append(b, byte(size-1)<<6|byte(n&0xf))
	n >>= 4
	for range size - 1 {
		b = append(b, byte(n))
		n >>= 8
	}
	return b
}

// block is an operator with a length, what the grammar has first, and a body.
func block(op, first term, body ...term) term {
	n := len(first)
	for _, t := range body {
		n += len(t)
	}
	var length [4]byte
	var b strings.Builder
	b.Grow(len(op) + len(length) + n)
	b.WriteString(string(op))
	b.Write(appendLength(length[:0], n, true))
	b.WriteString(string(first))
	for _, t := range body {
		b.WriteString(string(t))
	}
	return term(b.String())
}

// Operators of devices and of the deprecated object for a processor, and an address and length that say that it has no P_BLK.
const (
	deviceOp    term = "\x5b\x82"
	processorOp term = "\x5b\x83"
	noPBLK      term = "\x00\x00\x00\x00\x00"
)

func scope(path string, body ...term) term  { return block("\x10", name(path), body...) }
func device(path string, body ...term) term { return block(deviceOp, name(path), body...) }

func method(path string, args uint8, body ...term) term {
	return block("\x14", name(path)+u8(args), body...)
}

// serialized is a method that runs for one caller at a time.
func serialized(path string, args uint8, body ...term) term {
	return block("\x14", name(path)+u8(args|8), body...)
}

func ifThen(condition term, body ...term) term { return block("\xa0", condition, body...) }
func otherwise(body ...term) term              { return block("\xa1", "", body...) }
func while(condition term, body ...term) term  { return block("\xa2", condition, body...) }

func named(path string, value term) term { return "\x08" + name(path) + value }

func buffer(data term) term { return block("\x11", integer(uint64(len(data))), data) }

// pkg is a package of n elements, of which the first are given.
func pkg(n uint8, elements ...term) term { return block("\x12", u8(n), elements...) }

func store(value, target term) term { return "\x70" + value + target }
func ret(value term) term           { return "\xa4" + value }
func call(path string, args ...term) term {
	return name(path) + concat(args...)
}

func and(a, b, target term) term        { return "\x7b" + a + b + target }
func or(a, b, target term) term         { return "\x7d" + a + b + target }
func add(a, b, target term) term        { return "\x72" + a + b + target }
func subtract(a, b, target term) term   { return "\x74" + a + b + target }
func shiftLeft(a, b term) term          { return "\x79" + a + b + nullName }
func shiftRight(a, b, target term) term { return "\x7a" + a + b + target }
func increment(a term) term             { return "\x75" + a }
func not(a term) term                   { return "\x92" + a }
func both(a, b term) term               { return "\x90" + a + b }
func either(a, b term) term             { return "\x91" + a + b }
func equal(a, b term) term              { return "\x93" + a + b }
func greater(a, b term) term            { return "\x94" + a + b }
func less(a, b term) term               { return "\x95" + a + b }
func index(of, at term) term            { return "\x88" + of + at + nullName }
func deref(a term) term                 { return "\x83" + a }
func sizeOf(a term) term                { return "\x87" + a }
func toHex(a, target term) term         { return "\x98" + a + target }
func toBuffer(a, target term) term      { return "\x96" + a + target }
func notify(object, value term) term    { return "\x86" + object + value }

// acquire waits for a mutex without limit.
func acquire(path string) term { return "\x5b\x23" + name(path) + u16(0xffff) }
func release(path string) term { return "\x5b\x27" + name(path) }
func mutex(path string) term   { return "\x5b\x01" + name(path) + u8(0) }

func dwordField(of term, at uint64, path string) term { return "\x8a" + of + integer(at) + name(path) }

// Address spaces of operation regions (ACPI 20.2.5.2).
const (
	systemMemory = 0
	systemIO     = 1
	pciConfig    = 2
)

func region(path string, space uint8, offset term, length uint64) term {
	return "\x5b\x80" + name(path) + u8(space) + offset + integer(length)
}

// Flags of fields: access size, locking, and what happens to bits that are not written.
const (
	anyAccess    = 0
	byteAccess   = 1
	dwordAccess  = 3
	locked       = 1 << 4
	writeAsZeros = 2 << 5
)

// element is a member of a field: bits with a name, or reserved bits without.
type element struct {
	name string
	bits int
}

func field(path string, flags uint8, elements ...element) term {
	var b []byte
	for _, e := range elements {
		if e.name == "" {
			b = append(b, 0)
		} else {
			b = append(b, name(e.name)...)
		}
		b = appendLength(b, e.bits, false)
	}
	return block("\x5b\x81", name(path)+u8(flags), term(b))
}

// eisaID is a compressed hardware ID: three letters of five bits and four hexadecimal digits, big endian (ACPI 6.1.5).
func eisaID(id string) term {
	letters := uint32(id[0]-'@')<<26 | uint32(id[1]-'@')<<21 | uint32(id[2]-'@')<<16
	digits, err := hex.DecodeString(id[3:])
	if err != nil {
		panic(fmt.Sprintf("acpi: hardware ID %q: %v", id, err))
	}
	return "\x0c" + term(binary.BigEndian.AppendUint32(nil, letters|uint32(binary.BigEndian.Uint16(digits))))
}

// uuid is a UUID in a buffer, its first three fields little endian (ACPI 19.6.142).
func uuid(s string) term {
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(b) != 16 {
		panic(fmt.Sprintf("acpi: UUID %q: %v", s, err))
	}
	return buffer(term([]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]}) + term(b[8:]))
}
