package keccak

import (
	"encoding/binary"
	"math/bits"
)

// Size is the length of a digest in bytes.
const Size = 32

// rate is what a permutation takes in: 1600 bits less the capacity.
const rate = (1600 - 512) / 8

// Sum256 returns the digest of the concatenated parts.
func Sum256(parts ...[]byte) [Size]byte {
	var (
		state [25]uint64
		block [rate]byte
		n     int
	)
	for _, part := range parts {
		for len(part) > 0 {
			taken := copy(block[n:], part)
			part = part[taken:]
			if n += taken; n == rate {
				absorb(&state, &block)
				n = 0
			}
		}
	}
	clear(block[n:])
	block[n] ^= 0x01
	block[rate-1] ^= 0x80
	absorb(&state, &block)
	var sum [Size]byte
	for i := range Size / 8 {
		binary.LittleEndian.PutUint64(sum[8*i:], state[i])
	}
	return sum
}

func absorb(state *[25]uint64, block *[rate]byte) {
	for i := range rate / 8 {
		state[i] ^= binary.LittleEndian.Uint64(block[8*i:])
	}
	permute(state)
}

// permute is Keccak-f[1600]: 24 rounds of theta, rho and pi, chi, iota (reference, section 1.2). Lane x, y is at x+5y.
func permute(a *[25]uint64) {
	var c, d [5]uint64
	var b [25]uint64
	for _, constant := range roundConstants {
		for x := range 5 {
			c[x] = a[x] ^ a[x+5] ^ a[x+10] ^ a[x+15] ^ a[x+20]
		}
		for x := range 5 {
			d[x] = c[(x+4)%5] ^ bits.RotateLeft64(c[(x+1)%5], 1)
		}
		for y := range 5 {
			for x := range 5 {
				b[y+5*((2*x+3*y)%5)] = bits.RotateLeft64(a[x+5*y]^d[x], offsets[x+5*y])
			}
		}
		for y := 0; y < 25; y += 5 {
			for x := range 5 {
				a[x+y] = b[x+y] ^ (^b[(x+1)%5+y] & b[(x+2)%5+y])
			}
		}
		a[0] ^= constant
	}
}

// offsets and roundConstants are computed as the reference defines them, which is shorter than their tables.
var offsets, roundConstants = tables()

func tables() (rotate [25]int, iota [24]uint64) {
	// Rho: triangular numbers along the walk (x, y) -> (y, 2x+3y) from (1, 0).
	x, y := 1, 0
	for t := range 24 {
		rotate[x+5*y] = (t + 1) * (t + 2) / 2 % 64
		x, y = y, (2*x+3*y)%5
	}
	// Iota: bit 2^j-1 of the constant of round i is bit j+7i of a linear feedback shift register.
	lfsr := byte(1)
	for i := range iota {
		for j := range 7 {
			if lfsr&1 == 1 {
				iota[i] |= 1 << (1<<j - 1)
			}
			high := lfsr >> 7
			lfsr = lfsr<<1 ^ high*0x71
		}
	}
	return rotate, iota
}
