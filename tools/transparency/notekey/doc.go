// Package notekey keeps the private key of a log or a witness in a file that is encrypted with a password.
//
// The file is PEM of type "ENCRYPTED BOARDROOM NOTE KEY" around JSON that github.com/secure-systems-lab/go-securesystemslib, encrypted,
// makes and reads: a NaCl secretbox under a key that scrypt derives from the password, as package provenance/keyfile has it for keys of
// another kind. Inside is the key as golang.org/x/mod/sumdb/note writes it: PRIVATE+KEY+NAME+ID+KEY, where KEY is the type of the
// signatures and the seed of an Ed25519 key (RFC 8032 section 5.1.5) in base64. The public key is a file with one line, a verifier key
// (c2sp.org/signed-note).
package notekey
