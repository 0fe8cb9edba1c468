// Package rekor records signatures in a transparency log: one of Rekor v2 (github.com/sigstore/rekor-tiles, docs/openapi).
//
// Such a log has one kind of entry, hashedrekord v0.0.2: the digest of what was signed, the signature, and the certificate or key. The answer
// comes when a checkpoint of the log includes the entry, and has the proof. It is checked for being about this signature. Whether the log is
// to be believed, whoever verifies the signature judges by a trust root of its own (package provenance).
package rekor
