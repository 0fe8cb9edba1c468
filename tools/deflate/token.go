package deflate

import "math/bits"

// The two alphabets of a compressed block (RFC 1951 §3.2.5).
const (
	endOfBlock  = 256
	firstLength = 257
	numLitLen   = 286 // literals, end of block, and length codes up to 285
	numDist     = 30

	minMatch = 3   // bytes
	maxMatch = 258 // bytes

	// distSlots is numDist rounded up so that an index can be reduced
	// instead of checked.
	distSlots = 32
)

// token is one step of an LZ77 parse: a literal byte when below 256, otherwise
// distance<<8 | length-minMatch. Distances start at 1, so the two do not meet.
type token uint32

func literalToken(b byte) token             { return token(b) }
func matchToken(length, distance int) token { return token(distance<<8 | (length - minMatch)) }

func (t token) isLiteral() bool { return t < 256 }
func (t token) dist() uint32    { return uint32(t >> 8) }

// lengthCode returns, for a match of l+minMatch bytes, its symbol counted from
// firstLength and the number of low bits of l that follow it. In the table of
// RFC 1951 §3.2.5 the step doubles every four codes from 265 on; the last code
// stands for 258 alone.
func lengthCode(l uint32) (code uint32, extra uint) {
	switch {
	case l == maxMatch-minMatch:
		return 28, 0
	case l < 8:
		return l, 0
	}
	extra = uint(bits.Len32(l)) - 3
	return uint32(extra)*4 + l>>extra, extra
}

// distCode returns, for a match at distance d+1, its symbol and the number of
// low bits of d that follow it. In the table of RFC 1951 §3.2.5 the step
// doubles every two codes from 4 on.
func distCode(d uint32) (code uint32, extra uint) {
	if d < 4 {
		return d, 0
	}
	extra = uint(bits.Len32(d)) - 2
	return uint32(extra)*2 + d>>(extra&31), extra
}
