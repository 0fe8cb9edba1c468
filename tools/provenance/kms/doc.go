// Package kms signs with keys that a key management service keeps, named by URI as cosign names them: gcpkms://projects/…, awskms://…
//
// No cloud's SDK is linked. A key NAME://… is asked for at the program sigstore-kms-NAME on the PATH, by the protocol that sigstore defines for
// that (github.com/sigstore/sigstore, pkg/signature/kms/cliplugin/README.md): arguments and answers are JSON, the message is on
// standard input. Without the program the key is refused with a sentence that names it. What a program signs is believed only if the
// key that it names verifies it.
package kms
