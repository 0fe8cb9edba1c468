package deflate

// dynamicHeader is the description of the two codes at the start of a dynamic
// block (RFC 1951 §3.2.7).
type dynamicHeader struct {
	hlit, hdist, hclen int // numbers of lengths sent

	symbols []codeLenSymbol // the run-length coded lengths
	lengths [numLitLen + numDist]uint8
	freq    [numCodeLen]uint32
	bits    [numCodeLen]uint8
	code    [numCodeLen]uint16

	size int // of the whole description, bits
}

type codeLenSymbol struct {
	symbol, extra uint8
}

// build describes the lengths of c.
func (h *dynamicHeader) build(c *codes, huff *huffman) {
	h.hlit = numLitLen
	for h.hlit > firstLength && c.litLenBits[h.hlit-1] == 0 {
		h.hlit--
	}
	h.hdist = numDist
	for h.hdist > 1 && c.distBits[h.hdist-1] == 0 {
		h.hdist--
	}
	// The two sequences are one for the run-length code: repeats may cross
	// from the first into the second.
	n := copy(h.lengths[:], c.litLenBits[:h.hlit])
	n += copy(h.lengths[n:], c.distBits[:h.hdist])
	h.runLengths(h.lengths[:n])

	clear(h.freq[:])
	for _, s := range h.symbols {
		h.freq[s.symbol]++
	}
	huff.lengths(h.bits[:], h.freq[:], maxCodeLenBits)
	assignCodes(h.code[:], h.bits[:])
	h.hclen = numCodeLen
	for h.hclen > 4 && h.bits[codeLenOrder[h.hclen-1]] == 0 {
		h.hclen--
	}

	h.size = 5 + 5 + 4 + 3*h.hclen
	for s, f := range h.freq {
		h.size += int(f) * int(h.bits[s]+codeLenExtra[s])
	}
}

// runLengths fills h.symbols with the code length symbols for lengths, taking
// the longest repeat available at each point.
func (h *dynamicHeader) runLengths(lengths []uint8) {
	h.symbols = h.symbols[:0]
	put := func(symbol uint8, extra int) {
		h.symbols = append(h.symbols, codeLenSymbol{symbol, uint8(extra)})
	}
	for i := 0; i < len(lengths); {
		v := lengths[i]
		run := 1
		for i+run < len(lengths) && lengths[i+run] == v {
			run++
		}
		i += run
		if v == 0 {
			for ; run >= 11; run -= min(run, 138) {
				put(zerosLong, min(run, 138)-11)
			}
			if run >= 3 {
				put(zerosShort, run-3)
				run = 0
			}
		} else {
			put(v, 0)
			for run--; run >= 3; run -= min(run, 6) {
				put(copyPrev, min(run, 6)-3)
			}
		}
		for ; run > 0; run-- {
			put(v, 0)
		}
	}
}

// write appends the description; its size is h.size bits.
func (h *dynamicHeader) write(out *bitWriter) {
	out.write(uint32(h.hlit-257), 5)
	out.write(uint32(h.hdist-1), 5)
	out.write(uint32(h.hclen-4), 4)
	for _, s := range codeLenOrder[:h.hclen] {
		out.write(uint32(h.bits[s]), 3)
	}
	for _, s := range h.symbols {
		out.write(uint32(h.code[s.symbol]), uint(h.bits[s.symbol]))
		out.write(uint32(s.extra), uint(codeLenExtra[s.symbol]))
	}
}
