// Package keccak is Keccak-256, the hash of Ethereum that some of dstack's values are made with: the Keccak sponge (Keccak
// reference 3.0, sections 1.2 and 2.1) with capacity 512, and its original padding, which is not that of SHA3-256 (FIPS 202)
// in the standard library.
//
// It is here and not taken from a module because it is all that the agents' program would need from outside the standard
// library, and that program is the trust base of the images. It hashes what is public, and is compared in its test with the
// kept implementation of golang.org/x/crypto.
package keccak
