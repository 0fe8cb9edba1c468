// Package ratls reads the evidence out of dstack's RA-TLS certificates: those of its KMS, its gateway and of applications.
//
// Extensions below 1.3.6.1.4.1.62397.1, each holding a DER OCTET STRING (dstack/ra-tls/src/oids.rs, cert.rs, traits.rs at
// 312dc605):
//
//	.1  TDX quote                                          to dstack 0.5.8
//	.2  its event log: JSON, or "ELGZv1" and that in gzip  to dstack 0.5.8
//	.4  special usage: kms:rpc, app:ca or app:custom
//	.8  attestation container                              from dstack 0.5.9; counts where both are there
//
// The container (dstack-attest/src/attestation.rs, v1.rs) is SCALE (first byte 0, V0) or MessagePack (V1) with the quote, the
// events of RTMR3, a copy of the report data and the vm_config.
//
// The quote's REPORTDATA is the digest of the certificate's public key, [dstack.KeyBinding], and that is all that ties the two
// together. Nothing else in the certificate is signed by the quote: names, usage, app id (.3) and app info (.9) are words of
// the certificate's issuer. This package returns the usage because a caller may want to show it, and leaves out the others
// because the event log tells them with proof.
//
// Nothing here is verified; package collect ties a certificate to a TLS session and package appraisal judges.
package ratls
