package deflate

import (
	"math/bits"
	"slices"
)

// Limits on code lengths: 15 bits for the literal/length and distance codes,
// 7 for the code that carries their lengths (RFC 1951 §3.2.7).
const (
	maxCodeBits    = 15
	maxCodeLenBits = 7
)

// huffman builds length-limited prefix codes with the package-merge algorithm
// (Larmore and Hirschberg, 1990). It is scratch space; nothing survives from
// one call to the next.
type huffman struct {
	keys    [numLitLen]uint32 // frequency<<symbolBits | symbol, ascending
	weights [2][2 * numLitLen]uint32
	leaves  [maxCodeBits][2*numLitLen + 1]uint16
}

// symbolBits is the width of a symbol in a sort key; numLitLen fits in it.
const symbolBits = 9

// lengths sets length[s] to the number of bits of symbol s in an optimal
// prefix code for freq whose codes are at most limit bits long, and to 0 for
// symbols that do not occur. Each frequency is below 1<<(32-symbolBits), and
// limit times their sum below 1<<32.
//
// The code is always complete. When fewer than two symbols occur, the lowest
// others join with a 1-bit code: RFC 1951 §3.2.7 allows a lone 1-bit distance
// code, but decoders differ on incomplete codes.
//
// Equal frequencies are ordered by symbol, and a symbol goes before a pair of
// equal weight, so the result is a function of freq and limit alone.
func (h *huffman) lengths(length []uint8, freq []uint32, limit int) {
	clear(length)
	n := 0
	for s, f := range freq {
		if f > 0 {
			h.keys[n] = f<<symbolBits | uint32(s)
			n++
		}
	}
	for s := 0; n < 2; s++ {
		if freq[s] == 0 {
			h.keys[n] = uint32(s)
			n++
		}
	}
	// The keys are distinct, so every correct sort gives the same order.
	slices.Sort(h.keys[:n])

	// Row k of the merge holds the symbols and the pairs of row k-1 in order
	// of weight. An optimal code takes the first 2n-2 items of the last row;
	// leaves[k][i] counts the symbols among the first i items of row k.
	take := 2*n - 2
	row, size := h.weights[0][:], n
	for i := range n {
		row[i] = h.keys[i] >> symbolBits
		h.leaves[0][i+1] = uint16(i + 1)
	}
	for k := 1; k < limit; k++ {
		next := h.weights[k&1][:]
		count := &h.leaves[k]
		leaf, pair, i := 0, 0, 0
		for i < take && (leaf < n || pair+1 < size) {
			var weight uint32
			if leaf < n {
				weight = h.keys[leaf] >> symbolBits
			}
			if pair+1 < size && (leaf == n || row[pair]+row[pair+1] < weight) {
				weight = row[pair] + row[pair+1]
				pair += 2
			} else {
				leaf++
			}
			next[i] = weight
			i++
			count[i] = uint16(leaf)
		}
		row, size = next, i
	}
	// A symbol's code length is the number of rows in which it is taken; a
	// row takes the two halves of every pair taken in the row above it.
	for k := limit - 1; k >= 0 && take > 0; k-- {
		leaf := int(h.leaves[k][take])
		for _, key := range h.keys[:leaf] {
			length[key&(1<<symbolBits-1)]++
		}
		take = 2 * (take - leaf)
	}
}

// assignCodes sets code[s] to the canonical code of every symbol with a
// nonzero length (RFC 1951 §3.2.2), reversed because Huffman codes are packed
// most significant bit first (§3.1.1).
func assignCodes(code []uint16, length []uint8) {
	var count, next [maxCodeBits + 1]uint16
	for _, n := range length {
		count[n]++
	}
	count[0] = 0
	for n := 1; n <= maxCodeBits; n++ {
		next[n] = (next[n-1] + count[n-1]) << 1
	}
	for s, n := range length {
		code[s] = 0
		if n > 0 {
			code[s] = bits.Reverse16(next[n]) >> (16 - n)
			next[n]++
		}
	}
}
