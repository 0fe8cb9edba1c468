// Package provenance says who vouches for which bytes, in forms that others read too.
//
// A claim is an in-toto Statement v1 (github.com/in-toto/attestation, spec/v1/statement.md): artifacts by digest, and a predicate
// about them. It is signed as DSSE (github.com/secure-systems-lab/dsse, protocol.md and envelope.md) and travels as a Sigstore bundle
// v0.3 (github.com/sigstore/protobuf-specs, protos/sigstore_bundle.proto), which the program cosign makes and verifies as well.
// [VerifyStatement] and [VerifyBlob] are pure functions of bundles, digest, policy and trust root: no clock, no network, no files.
//
// The specifications let a reader be generous; this one is not. Unknown and repeated members, base64 that is not canonical,
// upper-case digests and signatures without a policy that names their signer are refused. A signer counts once, by what its key is
// and never by what it is called. The one signature algorithm is ECDSA on P-256 with SHA-256.
//
// Subpackages hold what is heavier: the encrypted key file, keys of a KMS, bills of materials, layouts.
package provenance
