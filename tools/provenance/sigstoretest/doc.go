// Package sigstoretest runs the programs of Sigstore for acceptance tests: cosign as Debian has it, and a certificate authority, a timestamp
// authority and a transparency log on this machine, compiled from their modules (github.com/sigstore/fulcio, timestamp-authority, rekor-tiles).
//
// They are the real programs, at versions that stand here, and no dependencies of anything: go install compiles each once into the user's
// cache. What has no program that runs alone is small and ours: an OIDC issuer, and a certificate log, which Fulcio and cosign check.
//
// Everything but this comment carries the build tag acceptance.
package sigstoretest
