//go:build simtee

// Package simtee is a TEE that is not there: a platform with a public key infrastructure of its own that signs structurally
// genuine TDX quotes, publishes the collateral to them, and runs simulated trust domains that speak dstack's guest agent API.
//
// What it signs leads to its own root certificate and to no other, so a verifier accepts it only where its caller names that
// root. Nothing about it is secret: keys follow from a seed, and so do signatures (RFC 6979), which makes every certificate,
// document and quote reproducible. Times come from the caller.
//
// The formats are those of Intel's "SGX PCK Certificate and Certificate Revocation List Profile Specification" 1.5, the PCS API
// version 4, and the quote layout of the "Intel TDX DCAP Quoting Library API" (Rev 0.9, appendix A.3 and A.4). What is to differ
// is edited before it is signed: a [Design] before [New] builds the platform, [Parts] before [Parts.Sign].
//
// The package is for development and tests. Every file carries the build tag simtee, and no program has it without.
package simtee
