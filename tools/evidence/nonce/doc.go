// Package nonce makes the numbers that keep evidence from being a recording, and takes each of them once.
//
// A verifier issues a nonce, the attester puts it into what it hashes to REPORTDATA, and the verifier takes it back: issued
// here, not expired, not taken before. Replay is recognised by the nonce and never by the quote's bytes, which anyone can
// change without breaking the signature (for an ECDSA signature (r, s) also (r, n-s) holds).
package nonce
