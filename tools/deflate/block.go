package deflate

// Block types, the two bits after BFINAL (RFC 1951 §3.2.3).
const (
	typeStored  = 0
	typeFixed   = 1
	typeDynamic = 2
)

const (
	blockHeaderBits = 3     // BFINAL and BTYPE, RFC 1951 §3.2.3
	maxStored       = 65535 // bytes in one stored block, LEN is 16 bits, §3.2.4

	numCodeLen = 19 // alphabet of the code length code, §3.2.7
	copyPrev   = 16 // repeat the previous length 3..6 times, 2 extra bits
	zerosShort = 17 // repeat zero 3..10 times, 3 extra bits
	zerosLong  = 18 // repeat zero 11..138 times, 7 extra bits
)

// codeLenOrder is the order in which the lengths of the code length code are
// sent (RFC 1951 §3.2.7).
var codeLenOrder = [numCodeLen]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// codeLenExtra is the number of extra bits after each code length symbol.
var codeLenExtra = [numCodeLen]uint8{copyPrev: 2, zerosShort: 3, zerosLong: 7}

// codes is the pair of prefix codes of a compressed block. The fixed codes
// have two symbols more in each alphabet, which never occur but take part in
// the construction (RFC 1951 §3.2.6).
type codes struct {
	litLenBits [numLitLen + 2]uint8
	litLenCode [numLitLen + 2]uint16
	distBits   [distSlots]uint8
	distCode   [distSlots]uint16
}

// fixedCodes are the codes of RFC 1951 §3.2.6.
var fixedCodes = func() *codes {
	var c codes
	for s := range c.litLenBits {
		switch {
		case s < 144:
			c.litLenBits[s] = 8
		case s < 256:
			c.litLenBits[s] = 9
		case s < 280:
			c.litLenBits[s] = 7
		default:
			c.litLenBits[s] = 8
		}
	}
	for s := range c.distBits {
		c.distBits[s] = 5
	}
	c.assign()
	return &c
}()

func (c *codes) assign() {
	assignCodes(c.litLenCode[:], c.litLenBits[:])
	assignCodes(c.distCode[:], c.distBits[:])
}

// blockWriter turns tokens into blocks. Its fields other than out are scratch
// space for one block.
type blockWriter struct {
	out bitWriter

	litLenFreq [numLitLen]uint32
	distFreq   [numDist]uint32
	extraBits  int

	huff    huffman
	dynamic codes
	header  dynamicHeader
	table   symbolTable
}

// writeBlock appends raw, of which tokens is a parse, in the smallest of the
// three forms. Ties go to the form that is simplest to decode: stored, then
// fixed, then dynamic.
func (w *blockWriter) writeBlock(tokens []token, raw []byte, final bool) {
	w.count(tokens)
	w.huff.lengths(w.dynamic.litLenBits[:numLitLen], w.litLenFreq[:], maxCodeBits)
	w.huff.lengths(w.dynamic.distBits[:numDist], w.distFreq[:], maxCodeBits)
	w.header.build(&w.dynamic, &w.huff)

	storedBits := w.storedBits(len(raw))
	fixedBody := w.bodyBits(fixedCodes)
	dynamicBody := w.bodyBits(&w.dynamic)
	fixedBits := blockHeaderBits + fixedBody
	dynamicBits := blockHeaderBits + w.header.size + dynamicBody

	switch {
	case storedBits <= fixedBits && storedBits <= dynamicBits:
		w.writeStored(raw, final)
	case fixedBits <= dynamicBits:
		w.writeHeader(typeFixed, final)
		w.writeBody(tokens, fixedCodes, fixedBody)
	default:
		w.dynamic.assign()
		w.writeHeader(typeDynamic, final)
		w.header.write(&w.out)
		w.writeBody(tokens, &w.dynamic, dynamicBody)
	}
}

func (w *blockWriter) writeHeader(kind uint32, final bool) {
	var bfinal uint32
	if final {
		bfinal = 1
	}
	w.out.write(bfinal|kind<<1, blockHeaderBits)
}

// count tallies the symbols of tokens and the extra bits they carry.
func (w *blockWriter) count(tokens []token) {
	clear(w.litLenFreq[:])
	clear(w.distFreq[:])
	var lengths [256]uint32
	var dists [distSlots]uint32
	for _, t := range tokens {
		if t.isLiteral() {
			w.litLenFreq[uint8(t)]++
		} else {
			lengths[uint8(t)]++
			c, _ := distCode(t.dist() - 1)
			dists[c%distSlots]++
		}
	}
	w.litLenFreq[endOfBlock] = 1
	w.extraBits = 0
	for l, f := range lengths {
		c, extra := lengthCode(uint32(l))
		w.litLenFreq[firstLength+c] += f
		w.extraBits += int(f) * int(extra)
	}
	copy(w.distFreq[:], dists[:])
	for c := 4; c < numDist; c++ {
		// Codes 2k+2 and 2k+3 have k extra bits (RFC 1951 §3.2.5).
		w.extraBits += int(dists[c]) * (c/2 - 1)
	}
}

// bodyBits is the size of the counted tokens and the end-of-block symbol in
// code c.
func (w *blockWriter) bodyBits(c *codes) int {
	n := w.extraBits
	for s, f := range w.litLenFreq {
		n += int(f) * int(c.litLenBits[s])
	}
	for s, f := range w.distFreq {
		n += int(f) * int(c.distBits[s])
	}
	return n
}

func (w *blockWriter) writeBody(tokens []token, c *codes, bodyBits int) {
	t := &w.table
	for s := range t.literal {
		t.literal[s] = makeEntry(uint32(c.litLenCode[s]), uint(c.litLenBits[s]))
	}
	for l := range t.length {
		lc, extra := lengthCode(uint32(l))
		s := firstLength + lc
		n := uint(c.litLenBits[s])
		t.length[l] = makeEntry(uint32(c.litLenCode[s])|uint32(l)&(1<<extra-1)<<n, n+extra)
	}
	for s := range t.dist {
		t.dist[s] = makeEntry(uint32(c.distCode[s]), uint(c.distBits[s]))
	}
	t.end = makeEntry(uint32(c.litLenCode[endOfBlock]), uint(c.litLenBits[endOfBlock]))
	w.out.writeTokens(tokens, t, bodyBits)
}

// storedBits is the exact size of n bytes in stored blocks written at the
// current bit position.
func (w *blockWriter) storedBits(n int) int {
	blocks := max(1, (n+maxStored-1)/maxStored)
	// Only the first block meets a partial byte; after it the 3 header bits
	// and their padding are a whole byte. LEN and NLEN are 4 (§3.2.4).
	first := (int(w.out.n) + blockHeaderBits + 7) &^ 7
	return first - int(w.out.n) + (blocks-1)*8 + blocks*32 + n*8
}

// writeStored appends raw as stored blocks, one empty block if raw is empty.
func (w *blockWriter) writeStored(raw []byte, final bool) {
	for {
		part := raw[:min(len(raw), maxStored)]
		raw = raw[len(part):]
		w.writeHeader(typeStored, final && len(raw) == 0)
		w.out.align()
		w.out.write(uint32(len(part)), 16)
		w.out.write(uint32(len(part))^0xffff, 16)
		w.out.buf = append(w.out.buf, part...)
		if len(raw) == 0 {
			return
		}
	}
}
