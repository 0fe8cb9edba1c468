package tdvf

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errLZMA = errors.New("malformed LZMA stream")

// The format is that of the LZMA specification in the LZMA SDK ("lzma-specification.txt", public domain): 13 bytes of header (one
// of properties, u32 dictionary size, u64 unpacked size), then a range coded stream. The names below are its names.
const (
	lzmaHeader       = 13
	lzmaStates       = 12
	lzmaPosStatesMax = 16
	lzmaMatchMinLen  = 2
	lzmaProbInit     = 1 << 10
	lzmaTop          = 1 << 24
)

type prob = uint16

type lengthCoder struct {
	choice, choice2 prob
	low, mid        [lzmaPosStatesMax][8]prob
	high            [256]prob
}

// lzmaDecoder holds the adaptive model and the range coder.
type lzmaDecoder struct {
	src      []byte
	pos      int
	rng      uint32
	code     uint32
	literal  []prob
	match    [lzmaStates][lzmaPosStatesMax]prob
	rep      [lzmaStates]prob
	repG0    [lzmaStates]prob
	repG1    [lzmaStates]prob
	repG2    [lzmaStates]prob
	rep0Long [lzmaStates][lzmaPosStatesMax]prob
	slot     [4][64]prob
	special  [128]prob
	align    [16]prob
	length   lengthCoder
	repLen   lengthCoder
}

// decodeLZMA unpacks a stream whose header gives its unpacked size, which must not exceed limit bytes.
func decodeLZMA(src []byte, limit uint64) ([]byte, error) {
	if len(src) < lzmaHeader+5 {
		return nil, fmt.Errorf("%w: %d bytes", errLZMA, len(src))
	}
	props := src[0]
	size := binary.LittleEndian.Uint64(src[5:])
	if props >= 9*5*5 {
		return nil, fmt.Errorf("%w: properties 0x%02x", errLZMA, props)
	}
	lc, lp, pb := uint(props%9), uint(props/9%5), uint(props/45)
	if size > limit || lc+lp > 4 {
		return nil, fmt.Errorf("%w: %d bytes unpacked (at most %d), %d literal bits (at most 4)", errLZMA, size, limit, lc+lp)
	}
	d := newLZMADecoder(src[lzmaHeader:], lc+lp)
	out := make([]byte, size)
	if err := d.decode(out, lc, lp, pb); err != nil {
		return nil, err
	}
	return out, nil
}

func newLZMADecoder(src []byte, literalBits uint) *lzmaDecoder {
	d := &lzmaDecoder{src: src, rng: 0xFFFFFFFF, literal: make([]prob, 0x300<<literalBits)}
	// The first byte of the range coder is zero and carries nothing.
	d.code = binary.BigEndian.Uint32(src[1:])
	d.pos = 5
	fill(d.literal)
	for s := range d.match {
		fill(d.match[s][:])
		fill(d.rep0Long[s][:])
	}
	for _, p := range [][]prob{d.rep[:], d.repG0[:], d.repG1[:], d.repG2[:], d.special[:], d.align[:]} {
		fill(p)
	}
	for s := range d.slot {
		fill(d.slot[s][:])
	}
	d.length.reset()
	d.repLen.reset()
	return d
}

func fill(p []prob) {
	for i := range p {
		p[i] = lzmaProbInit
	}
}

func (l *lengthCoder) reset() {
	l.choice, l.choice2 = lzmaProbInit, lzmaProbInit
	for i := range l.low {
		fill(l.low[i][:])
		fill(l.mid[i][:])
	}
	fill(l.high[:])
}

// refill takes a byte of the stream when the range has become small. Behind the end there are zeros, and the position goes on, by which
// the end is noticed.
func refill(rng, code uint32, src []byte, pos int) (newRng, newCode uint32, newPos int) {
	if rng < lzmaTop {
		rng <<= 8
		code <<= 8
		if pos < len(src) {
			code |= uint32(src[pos])
		}
		pos++
	}
	return rng, code, pos
}

func (d *lzmaDecoder) bit(p *prob) uint32 {
	v := uint32(*p)
	bound := d.rng >> 11 * v
	var bit uint32
	if d.code < bound {
		d.rng = bound
		*p = prob(v + (1<<11-v)>>5)
	} else {
		d.rng -= bound
		d.code -= bound
		*p = prob(v - v>>5)
		bit = 1
	}
	d.rng, d.code, d.pos = refill(d.rng, d.code, d.src, d.pos)
	return bit
}

// step is [lzmaDecoder.bit] on a state in registers and without a branch on the bit, which can not be foreseen in literals, lengths and
// distances: that is where the time goes. It returns the new range and code, before they are normalised, the new probability, and a
// mask of all ones for the bit 0.
func step(rng, code uint32, p prob) (newRng, newCode uint32, newP prob, zero uint32) {
	v := uint32(p)
	bound := rng >> 11 * v
	rest := uint64(code) - uint64(bound)
	zero = uint32(rest >> 32)
	// Towards 2048 for a 0, towards 0 for a 1, by 1/32 of the way.
	const toOne = 1<<32 - (1<<11 - 31)
	v -= uint32(int32(v+zero&toOne) >> 5)
	return rng - bound + zero&(2*bound-rng), uint32(rest) + zero&bound, prob(v), zero
}

// tree decodes a number of the given bits, most significant first.
func (d *lzmaDecoder) tree(probs []prob, bits uint) uint32 {
	limit := uint32(1) << bits
	probs = probs[:limit]
	src, rng, code, pos, m := d.src, d.rng, d.code, d.pos, uint32(1)
	for m < limit {
		var zero uint32
		rng, code, probs[m], zero = step(rng, code, probs[m])
		m = m<<1 + 1 + zero
		rng, code, pos = refill(rng, code, src, pos)
	}
	d.rng, d.code, d.pos = rng, code, pos
	return m - limit
}

// reverseTree decodes a number of the given bits, least significant first.
func (d *lzmaDecoder) reverseTree(probs []prob, bits uint) uint32 {
	src, rng, code, pos, m, v := d.src, d.rng, d.code, d.pos, uint32(1), uint32(0)
	for i := range bits {
		var zero uint32
		rng, code, probs[m], zero = step(rng, code, probs[m])
		m = m<<1 + 1 + zero
		v |= (1 + zero) << i
		rng, code, pos = refill(rng, code, src, pos)
	}
	d.rng, d.code, d.pos = rng, code, pos
	return v
}

// direct decodes bits that have no model.
func (d *lzmaDecoder) direct(bits uint) uint32 {
	var v uint32
	for range bits {
		d.rng >>= 1
		d.code -= d.rng
		mask := -(d.code >> 31)
		d.code += d.rng & mask
		d.rng, d.code, d.pos = refill(d.rng, d.code, d.src, d.pos)
		v = v<<1 + mask + 1
	}
	return v
}

func (d *lzmaDecoder) lengthOf(l *lengthCoder, posState uint32) int {
	switch {
	case d.bit(&l.choice) == 0:
		return int(d.tree(l.low[posState][:], 3)) + lzmaMatchMinLen
	case d.bit(&l.choice2) == 0:
		return int(d.tree(l.mid[posState][:], 3)) + 8 + lzmaMatchMinLen
	default:
		return int(d.tree(l.high[:], 8)) + 16 + lzmaMatchMinLen
	}
}

func (d *lzmaDecoder) distance(length int) uint32 {
	slot := d.tree(d.slot[min(length-lzmaMatchMinLen, 3)][:], 6)
	if slot < 4 {
		return slot
	}
	bits := uint(slot>>1 - 1)
	dist := (2 | slot&1) << bits
	if slot < 14 {
		return dist + d.reverseTree(d.special[dist-slot:], bits)
	}
	return dist + d.direct(bits-4)<<4 + d.reverseTree(d.align[:], 4)
}

// matchedLiteral decodes a literal after a match, where the byte at the match distance is part of the context for as long as its bits
// are those of the literal.
func (d *lzmaDecoder) matchedLiteral(probs []prob, matched byte) byte {
	probs = probs[:0x300]
	src, rng, code, pos, m := d.src, d.rng, d.code, d.pos, uint32(1)
	mb, offset := uint32(matched), uint32(0x100)
	for m < 0x100 {
		mb <<= 1
		want := mb & offset
		var zero uint32
		i := offset + want + m
		rng, code, probs[i], zero = step(rng, code, probs[i])
		m = m<<1 + 1 + zero
		// The offset stays while the bit is the wanted one.
		offset &= want ^ zero
		rng, code, pos = refill(rng, code, src, pos)
	}
	d.rng, d.code, d.pos = rng, code, pos
	return byte(m)
}

func (d *lzmaDecoder) decode(out []byte, lc, lp, pb uint) error {
	var rep [4]uint32
	state, n := 0, 0
	for n < len(out) {
		if d.pos > len(d.src) {
			return fmt.Errorf("%w: input ends after %d of %d bytes", errLZMA, n, len(out))
		}
		posState := uint32(n) & (1<<pb - 1)
		if d.bit(&d.match[state][posState]) == 0 {
			var previous uint32
			if n > 0 {
				previous = uint32(out[n-1])
			}
			context := (uint32(n)&(1<<lp-1))<<lc | previous>>(8-lc)
			probs := d.literal[0x300*context:]
			if state < 7 {
				out[n] = byte(d.tree(probs, 8))
			} else {
				out[n] = d.matchedLiteral(probs, out[n-int(rep[0])-1])
			}
			n++
			state = stateAfterLiteral(state)
			continue
		}
		length, err := d.nextMatch(&rep, &state, posState, n)
		if err != nil {
			return err
		}
		if length > len(out)-n {
			return fmt.Errorf("%w: match of %d bytes passes the end", errLZMA, length)
		}
		n = copyMatch(out, n, int(rep[0])+1, length)
	}
	return nil
}

// nextMatch decodes a match or repeated match: it updates the distances and returns the length.
func (d *lzmaDecoder) nextMatch(rep *[4]uint32, state *int, posState uint32, n int) (int, error) {
	s := *state
	length := 0
	switch {
	case d.bit(&d.rep[s]) == 0:
		rep[3], rep[2], rep[1] = rep[2], rep[1], rep[0]
		length = d.lengthOf(&d.length, posState)
		*state = stateAfter(s, 7, 10)
		rep[0] = d.distance(length)
	case d.bit(&d.repG0[s]) == 0:
		if d.bit(&d.rep0Long[s][posState]) == 0 {
			length = 1
			*state = stateAfter(s, 9, 11)
		}
	case d.bit(&d.repG1[s]) == 0:
		rep[0], rep[1] = rep[1], rep[0]
	case d.bit(&d.repG2[s]) == 0:
		rep[0], rep[1], rep[2] = rep[2], rep[0], rep[1]
	default:
		rep[0], rep[1], rep[2], rep[3] = rep[3], rep[0], rep[1], rep[2]
	}
	if length == 0 {
		length = d.lengthOf(&d.repLen, posState)
		*state = stateAfter(s, 8, 11)
	}
	// The end marker, distance 0xFFFFFFFF, is not used by streams that give their size.
	if uint64(rep[0]) >= uint64(n) {
		return 0, fmt.Errorf("%w: distance %d at byte %d", errLZMA, uint64(rep[0])+1, n)
	}
	return length, nil
}

func stateAfterLiteral(s int) int {
	switch {
	case s < 4:
		return 0
	case s < 10:
		return s - 3
	default:
		return s - 6
	}
}

func stateAfter(s, afterLiteral, otherwise int) int {
	if s < 7 {
		return afterLiteral
	}
	return otherwise
}

// copyMatch copies length bytes from distance before n; source and target may overlap.
func copyMatch(out []byte, n, distance, length int) int {
	const few = 16
	start, end := n-distance, n+length
	if length <= few {
		// Most matches are short, and a call costs more than they do.
		source, target := out[start:end-distance], out[n:end]
		for i := range target {
			target[i] = source[i]
		}
		return end
	}
	for n < end {
		// What was copied so far continues the pattern, so the source grows with every round.
		n += copy(out[n:end], out[start:n])
	}
	return end
}
