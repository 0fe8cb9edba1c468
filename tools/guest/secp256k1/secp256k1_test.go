package secp256k1

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestArithmetic compares with math/big, on random numbers and on those at the edges.
func TestArithmetic(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 2))
	for _, m := range []*modulus{field, order} {
		edges := []*big.Int{big.NewInt(0), big.NewInt(1), new(big.Int).Sub(m.big, big.NewInt(1)), new(big.Int).Rsh(m.big, 1)}
		for range 50 {
			n := new(big.Int)
			for range 4 {
				n.Or(n.Lsh(n, 64), new(big.Int).SetUint64(source.Uint64()))
			}
			edges = append(edges, n.Mod(n, m.big))
		}
		in := func(n *big.Int) element { return m.from([32]byte(n.FillBytes(make([]byte, 32)))) }
		check := func(name string, got element, want *big.Int) {
			t.Helper()
			b := m.to(&got)
			if want.Mod(want, m.big); new(big.Int).SetBytes(b[:]).Cmp(want) != 0 {
				t.Fatalf("%s: %x, want %x", name, b, want)
			}
		}
		for _, x := range edges {
			a := in(x)
			check("from", a, new(big.Int).Set(x))
			if x.Sign() != 0 {
				check("inverted", m.inverted(&a), new(big.Int).ModInverse(x, m.big))
			}
			for _, y := range edges {
				b := in(y)
				check("add", m.add(&a, &b), new(big.Int).Add(x, y))
				check("sub", m.sub(&a, &b), new(big.Int).Sub(x, y))
				check("mul", m.mul(&a, &b), new(big.Int).Mul(x, y))
			}
		}
	}
}

func key(t *testing.T, text string) *PrivateKey {
	t.Helper()
	k, err := NewPrivateKey([32]byte(decode(strings.Repeat("0", 64-len(text)) + text)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestPublicKey has multiples of the generator as SEC 2 and the curve's order give them: 1, 2, 3, and the order less one.
func TestPublicKey(t *testing.T) {
	for scalar, want := range map[string]string{
		"1": "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
		"2": "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
		"3": "02f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
		"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140": "0379be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
	} {
		if got := key(t, scalar).PublicKey(); hex.EncodeToString(got[:]) != want {
			t.Errorf("%s: %x, want %s", scalar, got, want)
		}
	}
}

// TestSign has signatures that the makers of Bitcoin's libraries agree on, with the nonces of RFC 6979 and SHA-256.
func TestSign(t *testing.T) {
	for _, tt := range []struct{ key, message, want string }{
		{"1", "Satoshi Nakamoto", "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d82442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5"},
		{"1", "All those moments will be lost in time, like tears in rain. Time to die...", "8600dbd41e348fe5c9465ab92d23e3db8b98b873beecd930736488696438cb6b547fe64427496db33bf66019dacbf0039c04199abb0122918601db38a72cfc21"},
		{"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140", "Satoshi Nakamoto", "fd567d121db66e382991534ada77a6bd3106f0a1098c231e47993447cd6af2d06b39cd0eb1bc8603e159ef5c20a5c8ad685a45b06ce9bebed3f153d10d93bed5"},
	} {
		if got := key(t, tt.key).Sign(sha256.Sum256([]byte(tt.message))); hex.EncodeToString(got[:64]) != tt.want {
			t.Errorf("%s: %x, want %s", tt.message, got[:64], tt.want)
		}
	}
}

// TestRecover finds the public key from signature and digest, by plain arithmetic: Q = (s·R - z·G)/r, so s·R = z·G + r·Q.
func TestRecover(t *testing.T) {
	k := key(t, "c0ffee")
	seen := map[byte]bool{}
	for i := range byte(20) {
		digest := sha256.Sum256([]byte{i})
		signed := k.Sign(digest)
		seen[signed[64]] = true
		r, s := new(big.Int).SetBytes(signed[:32]), new(big.Int).SetBytes(signed[32:64])
		if s.Cmp(new(big.Int).Rsh(order.big, 1)) > 0 || signed[64] > 1 {
			t.Fatalf("%x: s in the upper half, or v of more than one bit", signed)
		}
		// The nonce is n = (z + r·d)/s, with the sign that v says; its point has r for x.
		d, z := big.NewInt(0xc0ffee), new(big.Int).SetBytes(digest[:])
		n := new(big.Int).Mul(new(big.Int).Add(z, new(big.Int).Mul(r, d)), new(big.Int).ModInverse(s, order.big))
		n.Mod(n, order.big)
		x, y := multiply([32]byte(n.FillBytes(make([]byte, 32))))
		if new(big.Int).SetBytes(x[:]).Cmp(r) != 0 || y[31]&1 != signed[64] {
			t.Errorf("%x: the nonce's point is %x, %x", signed, x, y)
		}
	}
	if len(seen) != 2 {
		t.Errorf("v was %v in all signatures", seen)
	}
}

func TestNewPrivateKeyRefuses(t *testing.T) {
	for _, scalar := range [][32]byte{{}, [32]byte(order.big.Bytes()), [32]byte(field.big.Bytes())} {
		if k, err := NewPrivateKey(scalar); !errors.Is(err, ErrKey) || k != nil {
			t.Errorf("%x: error %v, want ErrKey", scalar, err)
		}
	}
}
