//go:build simtee

package simtee

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"slices"

	legacysha3 "golang.org/x/crypto/sha3"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
)

// The curve secp256k1 (SEC 2, section 2.4.1), y² = x³ + 7, for the signature chains of GetKey. The arithmetic takes as long as the
// numbers want: it is for keys that are no secrets.
var (
	k256P, _ = new(big.Int).SetString("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f", 16)
	k256N, _ = new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
)

// k256G is the curve's generator.
var k256G = func() k256Point {
	x, _ := new(big.Int).SetString("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798", 16)
	y, _ := new(big.Int).SetString("483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8", 16)
	return k256Point{x, y}
}()

// k256Point is affine; a nil x is the point at infinity.
type k256Point struct{ x, y *big.Int }

func (p k256Point) add(q k256Point) k256Point {
	if p.x == nil {
		return q
	}
	if q.x == nil {
		return p
	}
	var slope *big.Int
	if p.x.Cmp(q.x) == 0 {
		if p.y.Cmp(q.y) != 0 {
			return k256Point{}
		}
		slope = new(big.Int).Mul(big.NewInt(3), new(big.Int).Mul(p.x, p.x))
		slope.Mul(slope, new(big.Int).ModInverse(new(big.Int).Lsh(p.y, 1), k256P))
	} else {
		slope = new(big.Int).Sub(q.y, p.y)
		run := new(big.Int).Sub(q.x, p.x)
		slope.Mul(slope, new(big.Int).ModInverse(run.Mod(run, k256P), k256P))
	}
	slope.Mod(slope, k256P)
	x := new(big.Int).Mul(slope, slope)
	x.Sub(x, p.x).Sub(x, q.x).Mod(x, k256P)
	y := new(big.Int).Sub(p.x, x)
	y.Mul(y, slope).Sub(y, p.y).Mod(y, k256P)
	return k256Point{x, y}
}

func (p k256Point) multiply(n *big.Int) k256Point {
	var sum k256Point
	for i := n.BitLen() - 1; i >= 0; i-- {
		sum = sum.add(sum)
		if n.Bit(i) == 1 {
			sum = sum.add(p)
		}
	}
	return sum
}

// k256Public is the public key of 32 bytes, big endian.
func k256Public(key []byte) k256Point { return k256G.multiply(new(big.Int).SetBytes(key)) }

func (p k256Point) compressed() []byte {
	return append([]byte{2 + byte(p.y.Bit(0))}, p.x.FillBytes(make([]byte, 32))...)
}

// k256Sign makes a recoverable signature r ‖ s ‖ v, 65 bytes, s in the lower half, over a digest. The nonce follows from key and
// digest, as in RFC 6979 without its rejections, whose chance is 2^-128.
func k256Sign(key, digest []byte) []byte {
	d, z := new(big.Int).SetBytes(key), new(big.Int).SetBytes(digest)
	mac := hmac.New(sha256.New, key)
	mac.Write(digest)
	k := new(big.Int).SetBytes(mac.Sum(nil))
	k.Mod(k, k256N)
	point := k256G.multiply(k)
	r := new(big.Int).Mod(point.x, k256N)
	s := new(big.Int).Mul(r, d)
	s.Add(s, z).Mul(s, new(big.Int).ModInverse(k, k256N)).Mod(s, k256N)
	v := byte(point.y.Bit(0))
	if new(big.Int).Lsh(s, 1).Cmp(k256N) > 0 {
		s.Sub(k256N, s)
		v ^= 1
	}
	return slices.Concat(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32)), []byte{v})
}

func keccak(parts ...[]byte) []byte {
	h := legacysha3.NewLegacyKeccak256()
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

// dstackKey is dstack's key derivation (dstack/ra-tls/src/kdf.rs): HKDF-SHA256 with the salt "RATLS".
func dstackKey(secret []byte, context string) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, []byte("RATLS"), context, 32)
}

// key derives a key of the application, the same each time, and the chain that vouches for it: the application's key signs
// purpose and public key, and the KMS, where there is one, signs the application's key.
func (t *TD) key(r agentapi.KeyRequest) (agentapi.Key, error) {
	app := t.seed().bytes("app k256 key "+t.boot.App.String(), 32)
	key, err := dstackKey(app, r.Path)
	if err != nil {
		return agentapi.Key{}, err
	}
	public := k256Public(key).compressed()
	if r.Algorithm == "ed25519" {
		public = ed25519.NewKeyFromSeed(key)[ed25519.SeedSize:]
	}
	answer := agentapi.Key{Key: key}
	answer.Chain[0] = k256Sign(app, keccak([]byte(r.Purpose+":"+hex.EncodeToString(public))))
	if t.boot.KeyProvider.Kind == dstack.KeyProviderKMS {
		owner := k256Public(app).compressed()
		answer.Chain[1] = k256Sign(t.seed().bytes("kms k256 key", 32), keccak([]byte("dstack-kms-issued:"), t.boot.App[:], owner))
	}
	return answer, nil
}
