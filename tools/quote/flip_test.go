package quote_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// flipped are three genuine, acceptable quotes: of dstack in version 4, in version 5, and of Azure.
var flipped = []string{"dstack-v4-1d0342e3-202604-uptodate", "go-tdx-guest-v5-cf77a6e9-202601-uptodate", "attestation-rs-v4-140cbd8c-202601-uptodate"}

// flip changes one bit of a byte: of a letter, its case, which readers of PEM, hex and JSON are the first to forgive.
func flip(b byte) byte {
	if c := b | 0x20; c >= 'a' && c <= 'z' {
		return b ^ 0x20
	}
	return b ^ 0x01
}

// stride leaves out bytes under -short.
func stride() int {
	if testing.Short() {
		return 13
	}
	return 1
}

// unsignedQuoteBytes would list the offsets at which a quote may be changed and is still accepted. There are none: what no key
// signs is a size or type that has one right value, a signature, or text with one canonical form.
var unsignedQuoteBytes = map[string][]int{}

// TestFlippedQuote changes each byte of genuine quotes, one at a time.
func TestFlippedQuote(t *testing.T) {
	for _, id := range flipped {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			vector := vectorNamed(t, id)
			v, raw, at := quote.NewVerifier(vector.collateral(t), vector.root(t)), vector.quote(t), vector.at(t)
			if r := v.Appraise(raw, quote.Policy{}, at); !r.Accepted {
				t.Fatalf("refused as it is: %v", codesOf(r, quote.Fail))
			}
			changed := bytes.Clone(raw)
			for i := 0; i < len(raw); i += stride() {
				changed[i] = flip(raw[i])
				accepted := v.Appraise(changed, quote.Policy{}, at).Accepted
				changed[i] = raw[i]
				if accepted != slices.Contains(unsignedQuoteBytes[id], i) {
					t.Errorf("byte %d changed: accepted %t", i, accepted)
				}
			}
			for n := 0; n < len(raw); n += stride() {
				if v.Appraise(raw[:n], quote.Policy{}, at).Accepted {
					t.Errorf("accepted when cut to %d bytes", n)
				}
			}
		})
	}
}

// TestFlippedCollateral changes each byte of each part of collateral, one at a time. None may be accepted.
func TestFlippedCollateral(t *testing.T) {
	vector := vectorNamed(t, flipped[1])
	good, root, raw, at := vector.collateral(t), vector.root(t), vector.quote(t), vector.at(t)
	verifier := quote.NewVerifier(good, root)
	parts := map[string]func(*quote.Collateral) *[]byte{
		"TCBInfo":         func(c *quote.Collateral) *[]byte { return &c.TCBInfo },
		"TCBInfoChain":    func(c *quote.Collateral) *[]byte { return &c.TCBInfoChain },
		"QEIdentity":      func(c *quote.Collateral) *[]byte { return &c.QEIdentity },
		"QEIdentityChain": func(c *quote.Collateral) *[]byte { return &c.QEIdentityChain },
		"PCKCRL":          func(c *quote.Collateral) *[]byte { return &c.PCKCRL },
		"PCKCRLChain":     func(c *quote.Collateral) *[]byte { return &c.PCKCRLChain },
		"RootCRL":         func(c *quote.Collateral) *[]byte { return &c.RootCRL },
	}
	for name, part := range parts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			original := *part(&good)
			if len(original) == 0 {
				t.Fatal("missing")
			}
			refused := func(changed []byte, anew bool) bool {
				c := good
				*part(&c) = changed
				v := quote.Reread(verifier, c, name)
				_, err := v.Facts(at)
				if anew {
					v = quote.NewVerifier(c, root)
					if _, again := v.Facts(at); (err == nil) != (again == nil) || (err != nil && err.Error() != again.Error()) {
						t.Errorf("part read again: %v; all of it: %v", err, again)
					}
				}
				// What is wrong by itself needs no quote to be refused.
				return (err != nil && !anew) || !v.Appraise(raw, quote.Policy{}, at).Accepted
			}
			if refused(original, true) {
				t.Fatal("refused as it is")
			}
			changed := bytes.Clone(original)
			for i := 0; i < len(original); i += stride() {
				changed[i] = flip(original[i])
				if !refused(changed, i%97 == 0) {
					t.Errorf("accepted with byte %d of %d changed", i, len(original))
				}
				changed[i] = original[i]
			}
			for _, changed := range [][]byte{nil, original[:len(original)-2], append(bytes.Clone(original), 'x'), append([]byte{'x'}, original...), append(bytes.Clone(original), original...)} {
				if !refused(changed, true) {
					t.Errorf("accepted with %d bytes instead of %d", len(changed), len(original))
				}
			}
		})
	}
}
