package securetime

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSIV has the vectors of RFC 5297, appendix A.
func TestSIV(t *testing.T) {
	for name, tt := range map[string]struct {
		key        string
		associated []string
		plain      string
		sealed     string
	}{
		"A.1 deterministic": {
			"fffefdfc fbfaf9f8 f7f6f5f4 f3f2f1f0 f0f1f2f3 f4f5f6f7 f8f9fafb fcfdfeff", []string{"10111213 14151617 18191a1b 1c1d1e1f 20212223 24252627"},
			"11223344 55667788 99aabbcc ddee", "85632d07 c6e8f37f 950acd32 0a2ecc93 40c02b96 90c4dc04 daef7f6a fe5c",
		},
		"A.2 nonce": {
			"7f7e7d7c 7b7a7978 77767574 73727170 40414243 44454647 48494a4b 4c4d4e4f",
			[]string{
				"00112233 44556677 8899aabb ccddeeff deaddada deaddada ffeeddcc bbaa9988 77665544 33221100", "10203040 50607080 90a0",
				"09f91102 9d74e35b d84156c5 635688c0",
			},
			"74686973 20697320 736f6d65 20706c61 696e7465 78742074 6f20656e 63727970 74207573 696e6720 5349562d 414553",
			"7bdb6e3b 432667eb 06f4d14b ff2fbd0f cb900f2f ddbe4043 26601965 c889bf17 dba77ceb 094fa663 b7a3f748 ba8af829 ea64ad54 4a272e9c 485b62a3 fd5c0d",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := newSIV(unhex(t, tt.key))
			if err != nil {
				t.Fatal(err)
			}
			var associated [][]byte
			for _, a := range tt.associated {
				associated = append(associated, unhex(t, a))
			}
			plain, sealed := unhex(t, tt.plain), unhex(t, tt.sealed)
			if got := s.seal(plain, associated...); !bytes.Equal(got, sealed) {
				t.Errorf("sealed %x, want %x", got, sealed)
			}
			if got, err := s.open(sealed, associated...); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("opened %x, %v, want %x", got, err, plain)
			}
			for i := range sealed {
				sealed[i] ^= 1
				if got, err := s.open(sealed, associated...); !errors.Is(err, errAuthentication) {
					t.Errorf("byte %d changed: opened %x, %v", i, got, err)
				}
				sealed[i] ^= 1
			}
			associated[0][0] ^= 1
			if _, err := s.open(sealed, associated...); !errors.Is(err, errAuthentication) {
				t.Errorf("associated data changed: %v", err)
			}
		})
	}
	s, err := newSIV(make([]byte, sivKey))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.open(make([]byte, 15)); !errors.Is(err, errAuthentication) {
		t.Errorf("too short: %v", err)
	}
	if _, err := newSIV(make([]byte, 16)); err == nil || !strings.Contains(err.Error(), "expected 32 bytes, got 16") {
		t.Errorf("short key: %v", err)
	}
}
