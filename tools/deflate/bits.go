package deflate

import (
	"encoding/binary"
	"slices"
)

// bitWriter packs bits into bytes starting at the least significant bit
// (RFC 1951 §3.1.1). Between calls acc holds the n < 8 bits that do not yet
// fill a byte; the bits of acc above n are zero.
type bitWriter struct {
	buf []byte
	acc uint64
	n   uint
}

// reset empties the writer and keeps its buffer.
func (b *bitWriter) reset() {
	b.buf, b.acc, b.n = b.buf[:0], 0, 0
}

// write appends the low n bits of v; n is at most 16 and the bits of v above n
// are zero.
func (b *bitWriter) write(v uint32, n uint) {
	b.acc |= uint64(v) << b.n
	b.n += n
	for b.n >= 8 {
		b.buf = append(b.buf, byte(b.acc))
		b.acc >>= 8
		b.n -= 8
	}
}

// align pads with zero bits up to the next byte boundary.
func (b *bitWriter) align() {
	if b.n > 0 {
		b.write(0, 8-b.n)
	}
}

// entry is what is emitted for one symbol: its bits above a count of them in
// the low 8. A length symbol with its extra bits is the longest, 15+5 bits
// (RFC 1951 §3.2.5, §3.2.7).
type entry uint32

func makeEntry(bits uint32, n uint) entry { return entry(bits<<8 | uint32(n)) }

func (e entry) bits() uint64 { return uint64(e >> 8) }
func (e entry) len() uint    { return uint(e & 0xff) }

// symbolTable holds the entries of one block. length is indexed by match
// length minus minMatch and includes the extra bits.
type symbolTable struct {
	literal [256]entry
	length  [256]entry
	dist    [distSlots]entry
	end     entry
}

// writeTokens appends tokens and the end-of-block symbol, bodyBits in all.
func (b *bitWriter) writeTokens(tokens []token, t *symbolTable, bodyBits int) {
	// Whole words are stored, so the last store reaches past the last bit: by
	// the 7 bits already in acc, rounding, and the 8 bytes of the word.
	p := len(b.buf)
	out := slices.Grow(b.buf, bodyBits/8+2+8)
	out = out[:cap(out)]
	acc, n := b.acc, b.n
	for _, tok := range tokens {
		if tok.isLiteral() {
			e := t.literal[uint8(tok)]
			acc |= e.bits() << (n & 63)
			n += e.len()
		} else {
			e := t.length[uint8(tok)]
			acc |= e.bits() << (n & 63)
			n += e.len()
			d := tok.dist() - 1
			code, extra := distCode(d)
			e = t.dist[code%distSlots]
			acc |= e.bits() << (n & 63)
			n += e.len()
			acc |= uint64(d&(1<<extra-1)) << (n & 63)
			n += extra
		}
		// A match is at most 15+5+15+13 = 48 bits (RFC 1951 §3.2.5), so a
		// round entered with fewer than 16 cannot overflow acc.
		if n >= 16 {
			binary.LittleEndian.PutUint64(out[p:], acc)
			p += int(n / 8)
			acc >>= n &^ 7 & 63
			n %= 8
		}
	}
	acc |= t.end.bits() << n
	n += t.end.len()
	binary.LittleEndian.PutUint64(out[p:], acc)
	p += int(n / 8)
	b.buf, b.acc, b.n = out[:p], acc>>(n&^7), n%8
}
