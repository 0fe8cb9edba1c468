package secp256k1

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// The field and the order of the curve y² = x³ + 7, and its generator.
var (
	field = newModulus("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f")
	order = newModulus("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")

	generator = point{
		number("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
		number("483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"),
		field.one,
	}
	// thrice7 is 3·7, the b3 of the formulas.
	thrice7 = field.from([32]byte{31: 21})
	// half is the order divided by two: signatures above it are mirrored.
	half = [32]byte(decode("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0"))
)

func decode(text string) []byte {
	data, err := hex.DecodeString(text)
	if err != nil {
		panic(err) // only for a constant that is none
	}
	return data
}

func number(text string) element { return field.from([32]byte(decode(text))) }

// point is projective: x = X/Z, y = Y/Z.
type point struct{ x, y, z element }

// add is complete: it holds for every two points, also equal ones and the point at infinity (algorithm 7, line by line).
func (p *point) add(q *point) point {
	f := field
	t0, t1, t2 := f.mul(&p.x, &q.x), f.mul(&p.y, &q.y), f.mul(&p.z, &q.z)
	product := func(a, b, c, d, e, g *element) element { // (a+b)·(c+d) - (e+g)
		left, right, both := f.add(a, b), f.add(c, d), f.add(e, g)
		whole := f.mul(&left, &right)
		return f.sub(&whole, &both)
	}
	t3 := product(&p.x, &p.y, &q.x, &q.y, &t0, &t1)
	t4 := product(&p.y, &p.z, &q.y, &q.z, &t1, &t2)
	y3 := product(&p.x, &p.z, &q.x, &q.z, &t0, &t2)
	twice := f.add(&t0, &t0)
	t0 = f.add(&twice, &t0)
	t2 = f.mul(&thrice7, &t2)
	z3 := f.add(&t1, &t2)
	t1 = f.sub(&t1, &t2)
	y3 = f.mul(&thrice7, &y3)
	x3 := f.mul(&t4, &y3)
	t2 = f.mul(&t3, &t1)
	x3 = f.sub(&t2, &x3)
	y3 = f.mul(&y3, &t0)
	t1 = f.mul(&t1, &z3)
	y3 = f.add(&t1, &y3)
	t0 = f.mul(&t0, &t3)
	z3 = f.mul(&z3, &t4)
	z3 = f.add(&z3, &t0)
	return point{x3, y3, z3}
}

// multiply is the scalar, big-endian, times the generator.
func multiply(scalar [32]byte) (x, y [32]byte) {
	sum := point{y: field.one} // infinity
	for i := range 256 {
		bit := uint64(scalar[i/8]>>(7-i%8)) & 1
		sum = sum.add(&sum)
		more := sum.add(&generator)
		sum.x.choose(bit, &more.x, &sum.x)
		sum.y.choose(bit, &more.y, &sum.y)
		sum.z.choose(bit, &more.z, &sum.z)
	}
	inverse := field.inverted(&sum.z)
	ax, ay := field.mul(&sum.x, &inverse), field.mul(&sum.y, &inverse)
	return field.to(&ax), field.to(&ay)
}

// ErrKey means that 32 bytes are no private key: zero, or not below the curve's order. It happens to one of 2^128 random keys.
var ErrKey = errors.New("secp256k1: the private key is out of range")

// PrivateKey is a private key.
type PrivateKey struct{ scalar [32]byte }

// NewPrivateKey takes 32 bytes, big-endian.
func NewPrivateKey(scalar [32]byte) (*PrivateKey, error) {
	e := order.from(scalar)
	if e.isZero() == 1 || order.to(&e) != scalar {
		return nil, ErrKey
	}
	return &PrivateKey{scalar}, nil
}

// PublicKey is the compressed form, 33 bytes (SEC 1 section 2.3.3).
func (k *PrivateKey) PublicKey() [33]byte {
	x, y := multiply(k.scalar)
	return [33]byte(append([]byte{2 | y[31]&1}, x[:]...))
}

// Sign signs a digest: r ‖ s ‖ v, where s is in the lower half and v, 0 or 1, says which y the point of r has.
func (k *PrivateKey) Sign(digest [32]byte) [65]byte {
	d, z := order.from(k.scalar), order.from(digest)
	nonces := newNonces(k.scalar, digest)
	for {
		candidate := nonces.next()
		n := order.from(candidate)
		if n.isZero() == 1 || order.to(&n) != candidate {
			continue
		}
		x, y := multiply(candidate)
		// An x that is not below the order has another v, 2 or 3; there are 2^128 times as few, and none is taken.
		r := order.from(x)
		if r.isZero() == 1 || order.to(&r) != x {
			continue
		}
		inverse, product := order.inverted(&n), order.mul(&r, &d)
		sum := order.add(&z, &product)
		s := order.mul(&inverse, &sum)
		if s.isZero() == 1 {
			continue
		}
		return signature(x, s, y[31]&1)
	}
}

// signature mirrors s where it is in the upper half. All of it is public.
func signature(r [32]byte, s element, v byte) (b [65]byte) {
	plain := order.to(&s)
	if string(plain[:]) > string(half[:]) {
		negative := order.sub(&element{}, &s)
		plain = order.to(&negative)
		v ^= 1
	}
	copy(b[:], r[:])
	copy(b[32:], plain[:])
	b[64] = v
	return b
}

// nonces is the generator of RFC 6979 section 3.2 with SHA-256.
type nonces struct {
	k, v  []byte
	begun bool
}

func newNonces(scalar, digest [32]byte) *nonces {
	n := &nonces{k: make([]byte, 32), v: make([]byte, 32)}
	for i := range n.v {
		n.v[i] = 1
	}
	z := order.from(digest)
	reduced := order.to(&z)
	for _, step := range []byte{0, 1} {
		n.k = n.mac(n.v, []byte{step}, scalar[:], reduced[:])
		n.v = n.mac(n.v)
	}
	return n
}

func (n *nonces) mac(parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, n.k)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}

func (n *nonces) next() [32]byte {
	if n.begun {
		n.k = n.mac(n.v, []byte{0})
		n.v = n.mac(n.v)
	}
	n.begun = true
	n.v = n.mac(n.v)
	return [32]byte(n.v)
}
