// Package signer opens whatever signs: a key file, a key of a key management service, or a certificate that lives for minutes.
//
// It brings package provenance together with keyfile, kms, fulcio, timestamp and rekor, which do not know each other. What it makes are
// Sigstore bundles v0.3 that need nothing more: the signature, the certificate if there is one, and where the caller names them a timestamp
// of an authority (RFC 3161) and an entry of a transparency log (Rekor v2). There is no default for any of them: who is not named is
// not asked. A secret comes from a file, the environment or a function, never as a value in a [Reference].
package signer
