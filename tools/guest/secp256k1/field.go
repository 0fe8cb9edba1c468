package secp256k1

import (
	"encoding/binary"
	"math/big"
	"math/bits"
)

// element is a number modulo a [modulus], in Montgomery form, least significant word first.
type element [4]uint64

// modulus is a prime between 2^255 and 2^256.
type modulus struct {
	words element
	// inverse is -1/m modulo 2^64, square is 2^512 modulo m, and one is 2^256 modulo m.
	inverse     uint64
	square, one element
	big         *big.Int
}

func newModulus(hex string) *modulus {
	n, _ := new(big.Int).SetString(hex, 16)
	word := new(big.Int).Lsh(big.NewInt(1), 64)
	inverse := new(big.Int).ModInverse(new(big.Int).Sub(word, new(big.Int).Mod(n, word)), word)
	return &modulus{
		words: words(n), inverse: inverse.Uint64(), big: n,
		square: words(new(big.Int).Mod(new(big.Int).Lsh(big.NewInt(1), 512), n)), one: words(new(big.Int).Mod(new(big.Int).Lsh(big.NewInt(1), 256), n)),
	}
}

// words is for public numbers.
func words(n *big.Int) (e element) {
	var b [32]byte
	n.FillBytes(b[:])
	return fromBytes(b)
}

func fromBytes(b [32]byte) (e element) {
	for i := range e {
		e[i] = binary.BigEndian.Uint64(b[8*(3-i):])
	}
	return e
}

func (e element) bytes() (b [32]byte) {
	for i := range e {
		binary.BigEndian.PutUint64(b[8*(3-i):], e[i])
	}
	return b
}

// isZero is 1 for zero, and 0 otherwise.
func (e *element) isZero() uint64 {
	all := e[0] | e[1] | e[2] | e[3]
	return 1 ^ (all|-all)>>63
}

// choose sets e to a where bit is 1, and to b where it is 0.
func (e *element) choose(bit uint64, a, b *element) {
	mask := -bit
	for i := range e {
		e[i] = a[i]&mask | b[i]&^mask
	}
}

// reduce subtracts m once from the number carry, e where it is not below m.
func (m *modulus) reduce(e *element, carry uint64) element {
	var less element
	var borrow uint64
	for i := range e {
		less[i], borrow = bits.Sub64(e[i], m.words[i], borrow)
	}
	_, borrow = bits.Sub64(carry, 0, borrow)
	less.choose(borrow, e, &less)
	return less
}

func (m *modulus) add(a, b *element) element {
	var sum element
	var carry uint64
	for i := range sum {
		sum[i], carry = bits.Add64(a[i], b[i], carry)
	}
	return m.reduce(&sum, carry)
}

func (m *modulus) sub(a, b *element) element {
	var difference, more element
	var borrow, carry uint64
	for i := range difference {
		difference[i], borrow = bits.Sub64(a[i], b[i], borrow)
	}
	for i := range more {
		more[i], carry = bits.Add64(difference[i], m.words[i], carry)
	}
	more.choose(borrow, &more, &difference)
	return more
}

// mul is a·b/2^256: the product of two numbers in Montgomery form (Koç, Acar, Kaliski: coarsely integrated operand scanning).
func (m *modulus) mul(a, b *element) element {
	var t [6]uint64
	for i := range a {
		var carry uint64
		for j := range b {
			high, low := bits.Mul64(a[i], b[j])
			var c uint64
			low, c = bits.Add64(low, t[j], 0)
			high += c
			t[j], c = bits.Add64(low, carry, 0)
			carry = high + c
		}
		var c uint64
		t[4], c = bits.Add64(t[4], carry, 0)
		t[5] = c
		factor := t[0] * m.inverse
		high, low := bits.Mul64(factor, m.words[0])
		_, c = bits.Add64(low, t[0], 0)
		carry = high + c
		for j := 1; j < len(b); j++ {
			high, low := bits.Mul64(factor, m.words[j])
			low, c = bits.Add64(low, t[j], 0)
			high += c
			t[j-1], c = bits.Add64(low, carry, 0)
			carry = high + c
		}
		t[3], c = bits.Add64(t[4], carry, 0)
		t[4] = t[5] + c
	}
	return m.reduce(&element{t[0], t[1], t[2], t[3]}, t[4])
}

// from takes a number below 2^256 into Montgomery form, and to takes it back, below m.
func (m *modulus) from(b [32]byte) element {
	e := fromBytes(b)
	e = m.reduce(&e, 0)
	return m.mul(&e, &m.square)
}

func (m *modulus) to(e *element) [32]byte {
	return m.mul(e, &element{1}).bytes()
}

// inverted is e to the power of m-2. The exponent is public.
func (m *modulus) inverted(e *element) element {
	exponent := new(big.Int).Sub(m.big, big.NewInt(2))
	result := m.one
	for i := exponent.BitLen() - 1; i >= 0; i-- {
		result = m.mul(&result, &result)
		if exponent.Bit(i) == 1 {
			result = m.mul(&result, e)
		}
	}
	return result
}
