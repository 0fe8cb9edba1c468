package deflate

import "testing"

// TestBlockSizes checks that each form occupies exactly the size by which it is
// chosen, from every bit position.
func TestBlockSizes(t *testing.T) {
	for _, in := range inputs() {
		if len(in.data) > 2*windowSize {
			continue
		}
		for bit := range uint(8) {
			var w blockWriter
			pos := func() int { return 8*len(w.out.buf) + int(w.out.n) }
			check := func(form string, want int, write func()) {
				t.Helper()
				w.out.reset()
				w.out.write(0, bit)
				write()
				if got := pos() - int(bit); got != want {
					t.Errorf("%s at bit %d: %s takes %d bits, counted %d", in.name, bit, form, got, want)
				}
			}
			w.out.write(0, bit)
			check("stored", w.storedBits(len(in.data)), func() { w.writeStored(in.data, true) })

			var tokens []token
			for _, b := range parseAll(nil, in.data) {
				tokens = append(tokens, b...)
			}
			w.count(tokens)
			fixed := w.bodyBits(fixedCodes)
			check("fixed", fixed, func() { w.writeBody(tokens, fixedCodes, fixed) })

			w.huff.lengths(w.dynamic.litLenBits[:numLitLen], w.litLenFreq[:], maxCodeBits)
			w.huff.lengths(w.dynamic.distBits[:numDist], w.distFreq[:], maxCodeBits)
			w.dynamic.assign()
			w.header.build(&w.dynamic, &w.huff)
			dynamic := w.bodyBits(&w.dynamic)
			check("dynamic", w.header.size+dynamic, func() {
				w.header.write(&w.out)
				w.writeBody(tokens, &w.dynamic, dynamic)
			})
		}
	}
}

// TestRunLengths expands the code length symbols again (RFC 1951 §3.2.7).
func TestRunLengths(t *testing.T) {
	r := prng(95)
	for range 300 {
		var lengths []uint8
		for len(lengths) < numLitLen {
			v := uint8(r.below(4) * r.below(5))
			for range 1 + r.below(1+r.below(150)) {
				lengths = append(lengths, v)
			}
		}
		lengths = lengths[:numLitLen]
		var h dynamicHeader
		h.runLengths(lengths)
		var got []uint8
		for _, s := range h.symbols {
			if s.extra >= 1<<codeLenExtra[s.symbol] {
				t.Fatalf("symbol %d with extra value %d", s.symbol, s.extra)
			}
			v, n := s.symbol, 1
			switch s.symbol {
			case copyPrev:
				v, n = got[len(got)-1], 3+int(s.extra)
			case zerosShort:
				v, n = 0, 3+int(s.extra)
			case zerosLong:
				v, n = 0, 11+int(s.extra)
			}
			for range n {
				got = append(got, v)
			}
		}
		if string(got) != string(lengths) {
			t.Fatalf("%v expands to %v", lengths, got)
		}
	}
}
