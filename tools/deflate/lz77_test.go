package deflate

import (
	"bytes"
	"testing"
)

// parseAll returns the tokens for data after dict, block by block.
func parseAll(dict, data []byte) [][]token {
	win := new(window)
	copy(win[copy(win[:], dict):], data)
	m := new(matcher)
	m.reset(win, len(dict), len(dict)+len(data))
	var blocks [][]token
	for {
		b := m.next(nil)
		if len(b) == 0 {
			return blocks
		}
		blocks = append(blocks, b)
	}
}

// replay applies tokens to dict and returns what they produce, checking the
// limits of RFC 1951 §3.2.5.
func replay(t *testing.T, dict []byte, blocks [][]token) []byte {
	t.Helper()
	out := bytes.Clone(dict)
	for _, b := range blocks {
		for _, tok := range b {
			if tok.isLiteral() {
				out = append(out, byte(tok))
				continue
			}
			dist, n := int(tok.dist()), int(tok&0xff)+minMatch
			if dist > min(windowSize, len(out)) {
				t.Fatalf("distance %d at position %d", dist, len(out))
			}
			for range n {
				out = append(out, out[len(out)-dist])
			}
		}
	}
	return out[len(dict):]
}

func TestParseReplays(t *testing.T) {
	dict := text(80, windowSize)
	for _, in := range inputs() {
		if len(in.data) > chunkSize {
			continue
		}
		for _, d := range [][]byte{nil, dict[:1], dict} {
			if got := replay(t, d, parseAll(d, in.data)); !bytes.Equal(got, in.data) {
				t.Errorf("%s after %d bytes: tokens do not produce the data", in.name, len(d))
			}
		}
	}
}

func TestBlockLength(t *testing.T) {
	for _, src := range [][]byte{noise(81, 200_000), text(82, 400_000)} {
		blocks := parseAll(nil, src)
		if len(blocks) < 2 {
			t.Fatalf("%d blocks, want several", len(blocks))
		}
		for _, b := range blocks[:len(blocks)-1] {
			if len(b) < blockTokens || len(b) > blockTokens+maxSkip+lazyMatch {
				t.Errorf("block of %d tokens, want about %d", len(b), blockTokens)
			}
		}
	}
}

// TestWindowEdge checks that a match is found at the farthest distance and not
// beyond.
func TestWindowEdge(t *testing.T) {
	seq := noise(83, 64)
	for dist, want := range map[int]bool{windowSize - 1: true, windowSize: true, windowSize + 1: false} {
		dict := join(seq, make([]byte, windowSize))[:min(dist, windowSize)]
		var src []byte
		if dist > windowSize {
			src = make([]byte, dist-windowSize)
		}
		found := false
		for _, b := range parseAll(dict, join(src, seq)) {
			for _, tok := range b {
				found = found || tok == matchToken(len(seq), dist)
			}
		}
		if found != want {
			t.Errorf("match at distance %d found: %v, want %v", dist, found, want)
		}
	}
}

// TestChainCap checks that a link too long for its type leads out of the window
// and does not wrap to a position that may never have been entered.
func TestChainCap(t *testing.T) {
	m, win := new(matcher), new(window)
	m.insert(win, 0)
	const far = 70_000
	if got := m.insert(win, far); got != 0 {
		t.Errorf("insert returns %d, want the position before, 0", got)
	}
	if got := m.prev[far%windowSize]; got != 0xffff {
		t.Errorf("link of %d bytes stored as %d", far, got)
	}
}

// TestLazy checks that a longer match one byte on is preferred.
func TestLazy(t *testing.T) {
	src := []byte("wxyzQ--xyzabcdef--wxyzabcdef")
	blocks := parseAll(nil, src)
	last := blocks[0][len(blocks[0])-1]
	if want := matchToken(9, 12); last != want {
		t.Errorf("last token %#x, want %#x, the 9-byte match at distance 12", last, want)
	}
}

// TestSlackIgnored checks that bytes past the data, which loads may reach, do
// not influence the parse.
func TestSlackIgnored(t *testing.T) {
	data := bytes.Repeat([]byte("abcabcabd"), 40)
	parse := func(slack byte) []token {
		win := new(window)
		for i := copy(win[:], data); i < len(win); i++ {
			win[i] = slack
		}
		m := new(matcher)
		m.reset(win, 0, len(data))
		return m.next(nil)
	}
	a, b := parse('a'), parse('d')
	if len(a) != len(b) {
		t.Fatalf("%d tokens or %d, depending on the slack", len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("token %d is %#x or %#x, depending on the slack", i, a[i], b[i])
		}
	}
}
