//go:build simtee

package simtee

import (
	"bytes"
	"encoding/hex"
	"math/big"
	"testing"
)

// recoverK256 finds the public key that a recoverable signature over a digest is by.
func recoverK256(t *testing.T, signature, digest []byte) []byte {
	t.Helper()
	r, s, z := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:64]), new(big.Int).SetBytes(digest)
	square := new(big.Int).Exp(r, big.NewInt(3), k256P)
	square.Add(square, big.NewInt(7))
	y := new(big.Int).ModSqrt(square, k256P)
	if y == nil {
		t.Fatal("r is on no point of the curve")
	}
	if y.Bit(0) != uint(signature[64]) {
		y.Sub(k256P, y)
	}
	inverse := new(big.Int).ModInverse(r, k256N)
	u1 := new(big.Int).Mul(new(big.Int).Sub(k256N, z.Mod(z, k256N)), inverse)
	u2 := new(big.Int).Mul(s, inverse)
	return k256G.multiply(u1.Mod(u1, k256N)).add(k256Point{r, y}.multiply(u2.Mod(u2, k256N))).compressed()
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSecp256k1(t *testing.T) {
	two := append(make([]byte, 31), 2)
	if got, want := k256Public(two).compressed(), unhex(t, "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"); !bytes.Equal(got, want) {
		t.Errorf("2·G is %x, want %x", got, want)
	}
	// A signature that dstack's KMS made, from the specification of its encrypted environment.
	published := unhex(t, "8542c49081fbf4e03f62034f13fbf70630bdf256a53032e38465a27c36fd6bed7a5e7111652004aef37f7fd92fbfc1285212c4ae6a6154203a48f5e16cad2cef00")
	signed := keccak([]byte("dstack-env-encrypt-pubkey:"), make([]byte, 20), unhex(t, "e33a1832c6562067ff8f844a61e51ad051f1180b66ec2551fb0251735f3ee90a"))
	if got, want := recoverK256(t, published, signed), unhex(t, "0217610d74cbd39b6143842c6d8bc310d79da1d82cc9d17f8876376221eda0c38f"); !bytes.Equal(got, want) {
		t.Fatalf("the published signature is by %x, want %x", got, want)
	}
	half := new(big.Int).Rsh(k256N, 1)
	for i := range 32 {
		key, digest := keccak([]byte{byte(i)}), keccak([]byte{byte(i)}, []byte("message"))
		signature := k256Sign(key, digest)
		if got, want := recoverK256(t, signature, digest), k256Public(key).compressed(); !bytes.Equal(got, want) {
			t.Errorf("signature %d is by %x, want %x", i, got, want)
		}
		if s := new(big.Int).SetBytes(signature[32:64]); s.Cmp(half) > 0 {
			t.Errorf("signature %d: s is in the upper half", i)
		}
	}
}
