// Package collect fetches evidence from who has it: an agent's attestation port, dstack's guest agent on its socket, and a TLS
// endpoint with an RA-TLS certificate (KMS, gateway, application).
//
// What comes back is evidence that is well formed, recent and bound, as far as that can be told without the quote, together
// with the REPORTDATA that the quote must have. It is NOT verified: give both to package appraisal. Until REPORTDATA inside the
// signed quote equals [Collected].ReportData, all of it may be a recording or somebody else's.
//
// What each source binds, and what makes it fresh:
//
//   - attestation port: a nonce made here for this one call, the answerer's Ed25519 key, its id, its type and its time
//     (package evidence). Evidence is fresh. The key is not the one that terminates TLS; what is to be trusted because of this
//     evidence must be signed with the key.
//   - socket: a nonce made here for this one call. No key: who reads the socket is inside the machine that answers.
//   - TLS: the public key of the certificate that terminated this TLS session. No nonce of ours is in REPORTDATA, which the
//     certificate's maker filled when it made the certificate. What is fresh is the handshake, in which the peer proved that it
//     holds the key now, and the certificate must be within its validity. The quote itself is as old as the certificate: a TCB
//     recovery or a debugger since then does not show, so [Collected].Freshness says "tls" and not "nonce".
//
// Errors: an [*UnreachableError] when there is no answer to judge, an [*EvidenceError] when there is one and it is not good.
package collect
