package securetime

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"errors"
	"fmt"
)

// sivKey is the length of a key of AEAD_AES_SIV_CMAC_256 in bytes: one AES-128 key for the MAC and one for the encryption.
const sivKey = 32

// errAuthentication is of bytes that nobody made who has the key.
var errAuthentication = errors.New("not authenticated")

// siv is AEAD_AES_SIV_CMAC_256 (RFC 5297).
type siv struct{ mac, encryption cipher.Block }

func newSIV(key []byte) (*siv, error) {
	if len(key) != sivKey {
		return nil, fmt.Errorf("key: expected %d bytes, got %d", sivKey, len(key))
	}
	mac, err := aes.NewCipher(key[:sivKey/2])
	if err != nil {
		return nil, err
	}
	encryption, err := aes.NewCipher(key[sivKey/2:])
	if err != nil {
		return nil, err
	}
	return &siv{mac, encryption}, nil
}

// seal returns the synthetic IV and the encrypted text. The associated data is a list of strings, of which a nonce is the last (RFC 5297
// section 3).
func (s *siv) seal(plain []byte, associated ...[]byte) []byte {
	iv := s.s2v(plain, associated)
	return append(iv[:], s.crypt(iv, plain)...)
}

// open is the inverse of seal.
func (s *siv) open(sealed []byte, associated ...[]byte) ([]byte, error) {
	if len(sealed) < aes.BlockSize {
		return nil, errAuthentication
	}
	iv := [aes.BlockSize]byte(sealed)
	plain := s.crypt(iv, sealed[aes.BlockSize:])
	if expected := s.s2v(plain, associated); subtle.ConstantTimeCompare(iv[:], expected[:]) != 1 {
		return nil, errAuthentication
	}
	return plain, nil
}

// crypt is AES in counter mode, from the IV with two bits cleared (RFC 5297 section 2.5).
func (s *siv) crypt(iv [aes.BlockSize]byte, in []byte) []byte {
	iv[8] &= 0x7f
	iv[12] &= 0x7f
	out := make([]byte, len(in))
	cipher.NewCTR(s.encryption, iv[:]).XORKeyStream(out, in)
	return out
}

// s2v makes one block of the texts (RFC 5297 section 2.4).
func (s *siv) s2v(plain []byte, associated [][]byte) [aes.BlockSize]byte {
	d := s.cmac(make([]byte, aes.BlockSize))
	for _, a := range associated {
		m := s.cmac(a)
		d = double(d)
		subtle.XORBytes(d[:], d[:], m[:])
	}
	last := append([]byte(nil), plain...)
	if len(last) >= aes.BlockSize {
		end := last[len(last)-aes.BlockSize:]
		subtle.XORBytes(end, end, d[:])
		return s.cmac(last)
	}
	padded := pad(last)
	d = double(d)
	subtle.XORBytes(d[:], d[:], padded[:])
	return s.cmac(d[:])
}

// cmac is AES-CMAC (RFC 4493 section 2.4).
func (s *siv) cmac(message []byte) (mac [aes.BlockSize]byte) {
	var subkey [aes.BlockSize]byte
	s.mac.Encrypt(subkey[:], subkey[:])
	subkey = double(subkey)
	for len(message) > aes.BlockSize {
		subtle.XORBytes(mac[:], mac[:], message[:aes.BlockSize])
		s.mac.Encrypt(mac[:], mac[:])
		message = message[aes.BlockSize:]
	}
	var last [aes.BlockSize]byte
	if len(message) == aes.BlockSize {
		last = [aes.BlockSize]byte(message)
	} else {
		last, subkey = pad(message), double(subkey)
	}
	subtle.XORBytes(mac[:], mac[:], last[:])
	subtle.XORBytes(mac[:], mac[:], subkey[:])
	s.mac.Encrypt(mac[:], mac[:])
	return mac
}

// pad fills a text of less than a block with one bit and zeros.
func pad(text []byte) (block [aes.BlockSize]byte) {
	block[copy(block[:], text)] = 0x80
	return block
}

// double multiplies by x in the field of 2^128 elements, big-endian (RFC 5297 section 2.3).
func double(in [aes.BlockSize]byte) (out [aes.BlockSize]byte) {
	carry := byte(0)
	for i := aes.BlockSize - 1; i >= 0; i-- {
		out[i], carry = in[i]<<1|carry, in[i]>>7
	}
	out[aes.BlockSize-1] ^= 0x87 * carry
	return out
}
