// Package keyfile keeps a signing key in a file that is encrypted with a password, in the format of cosign, which reads and writes the
// same files.
//
// The format is PEM of type "ENCRYPTED SIGSTORE PRIVATE KEY" around JSON: PKCS #8 (RFC 5208) in a NaCl secretbox, under a key that scrypt
// derives from the password (github.com/sigstore/sigstore, pkg/cryptoutils/privatekey.go; github.com/secure-systems-lab/go-securesystemslib,
// encrypted). That library does the cryptography, and takes only three strengths of scrypt, so that no file makes it use more than
// 128 MiB. Passwords come from a file, from the environment or from a terminal, never from an argument.
package keyfile
