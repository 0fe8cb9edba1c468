package deflate

import "math/bits"

const (
	windowSize = 32768 // farthest match distance, RFC 1951 §2

	// Matches are found through a hash of their first hashBytes bytes; the
	// 3-byte matches the format also has seldom pay for their distance.
	hashBytes = 4
	hashBits  = 16
)

// Search effort. The values trade ratio for speed, measured on Go binaries;
// none is given by the format.
const (
	chainDepth  = 16  // candidates tried per position
	goodMatch   = 8   // a match this long cuts the search for a better one
	goodDepth   = 4   // ... to this many candidates
	lazyMatch   = 32  // a match this long is taken without looking further
	niceMatch   = 128 // a match this long ends the search at a position
	blockTokens = 16384

	// After 1<<skipShift bytes without a match, two bytes pass per search,
	// after twice that three, up to 1+maxSkip.
	skipShift = 7
	maxSkip   = 15
)

// matcher parses a chunk into tokens with hash chains and lazy evaluation.
type matcher struct {
	win       *window
	pos, end  int // data not yet parsed
	hashEnd   int // first position with fewer than hashBytes bytes of data
	lastMatch int // where the last match ended

	// head has one more than the latest position per hash, 0 for none. prev
	// has, per position modulo windowSize, the distance back to the position
	// before it in the same chain, capped at the type's limit.
	head [1 << hashBits]int32
	prev [windowSize]uint16
}

// reset begins a parse of win[start:end] with win[:start], at most windowSize
// bytes, as dictionary.
func (m *matcher) reset(win *window, start, end int) {
	m.win, m.pos, m.end = win, start, end
	m.hashEnd = end - hashBytes + 1
	m.lastMatch = start
	clear(m.head[:])
	for p := range min(start, m.hashEnd) {
		m.insert(m.win, p)
	}
}

// insert puts pos at the head of its chain and returns the position it
// displaced, negative if none.
func (m *matcher) insert(win *window, pos int) int {
	// Fibonacci hashing: 2^32 divided by the golden ratio, to the nearest odd.
	h := win.load32(pos) * 0x9E3779B1 >> (32 - hashBits)
	cand := int(m.head[h]) - 1
	m.head[h] = int32(pos + 1)
	m.prev[pos&(windowSize-1)] = uint16(min(pos-cand, 0xffff))
	return cand
}

// longest looks along the chain from cand for a match at pos longer than best
// bytes, best being at least hashBytes-1. It returns the length and distance of
// the longest, the nearest if several, or distance 0.
func (m *matcher) longest(win *window, pos, cand, best, depth int) (length, dist int) {
	limit := min(maxMatch, m.end-pos)
	if best >= limit {
		return best, 0
	}
	oldest := max(0, pos-windowSize)
	first := win.load32(pos)
	// A longer match must agree on the bytes up to and including the one
	// after best. They differ more often than the first ones.
	last := win.load32(pos + best - 3)
	for ; cand >= oldest && depth > 0; depth-- {
		if win.load32(cand+best-3) == last && win.load32(cand) == first {
			if n := matchLen(win, cand, pos, limit); n > best {
				best, dist = n, pos-cand
				if n >= min(niceMatch, limit) {
					break
				}
				last = win.load32(pos + best - 3)
			}
		}
		// A position windowSize back shares its slot with pos, but whatever
		// distance the slot holds leads beyond oldest from there.
		cand -= int(m.prev[cand&(windowSize-1)])
	}
	return best, dist
}

// matchLen returns how many bytes from a and from b agree, at most limit, given
// that the first hashBytes do.
func matchLen(win *window, a, b, limit int) int {
	for n := hashBytes; n < limit; n += 8 {
		if x := win.load64(a+n) ^ win.load64(b+n); x != 0 {
			return min(n+bits.TrailingZeros64(x)/8, limit)
		}
	}
	return limit
}

// next appends the tokens of the next block and returns them; there are none
// only at the end of the data. Every block but the last of a chunk has at least
// blockTokens tokens.
func (m *matcher) next(tokens []token) []token {
	win, pos, end := m.win, m.pos, m.end
	for pos < end && len(tokens) < blockTokens {
		n, d := 0, 0
		if pos < m.hashEnd {
			n, d = m.longest(win, pos, m.insert(win, pos), hashBytes-1, chainDepth)
		}
		if d == 0 {
			run := 1 + min(maxSkip, (pos-m.lastMatch)>>skipShift)
			for stop := min(pos+run, end); pos < stop; pos++ {
				tokens = append(tokens, literalToken(win[pos]))
			}
			continue
		}
		inserted := pos + 1
		for n < lazyMatch && pos+1 < m.hashEnd {
			depth := chainDepth
			if n >= goodMatch {
				depth = goodDepth
			}
			n2, d2 := m.longest(win, pos+1, m.insert(win, pos+1), n, depth)
			inserted = pos + 2
			if d2 == 0 || !worthLiteral(n2-n, d2, d) {
				break
			}
			tokens = append(tokens, literalToken(win[pos]))
			pos++
			n, d = n2, d2
		}
		tokens = append(tokens, matchToken(n, d))
		pos += n
		m.lastMatch = pos
		for stop := min(pos, m.hashEnd); inserted < stop; inserted++ {
			m.insert(win, inserted)
		}
	}
	m.pos = pos
	return tokens
}

// worthLiteral reports whether a match gain bytes longer at distance later is
// better than one at distance now even though a literal goes before it. A byte
// is weighed as four bits of distance.
func worthLiteral(gain, later, now int) bool {
	return 4*gain > bits.Len(uint(later))-bits.Len(uint(now))
}
