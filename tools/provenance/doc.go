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
// Whoever signs without a key that anybody keeps has a certificate that lives for minutes. A [TrustRoot] (protos/sigstore_trustroot.proto)
// says whose word is taken about it: authorities that issue certificates, logs that promise to publish them (RFC 6962), authorities that
// date signatures (RFC 3161, RFC 5652), and logs that record them (Rekor v1 and v2; RFC 9162, C2SP's checkpoints). A certificate counts
// at the times that these have signed; an entry or a timestamp of somebody who is listed has to be right and about this very signature.
//
// Subpackages hold what is heavier: the encrypted key file, keys of a KMS, services on the network, bills of materials, layouts.
package provenance
