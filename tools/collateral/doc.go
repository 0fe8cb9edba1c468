// Package collateral obtains what Intel publishes about a platform, and keeps what was obtained.
//
// It comes from Intel's PCS (API v4), from any PCCS, from a directory, or from a bundle. Nothing is believed because of where it
// came from: the verdict is that of package quote, over the bytes as they were published, and a service is only asked for the
// FMSPC and the CA that the quote's PCK certificate names. Addresses never come out of certificates.
//
// # Where it comes from
//
// [Open] takes the address of a service, a directory, or a bundle. Of a service four answers are asked for at once, each bounded
// by [MaxMember]:
//
//	/tdx/certification/v4/tcb?fmspc=…                    JSON; chain in the header TCB-Info-Issuer-Chain
//	/tdx/certification/v4/qe/identity                    JSON; chain in the header SGX-Enclave-Identity-Issuer-Chain
//	/sgx/certification/v4/pckcrl?ca=…&encoding=der       DER, PEM or hex; chain in the header SGX-PCK-CRL-Issuer-Chain
//	/sgx/certification/v4/rootcacrl                      DER, PEM or hex; of Intel's own service the address is [IntelRootCRL]
//
// (Intel, "API documentation", https://api.portal.trustedservices.intel.com, and
// intel/SGXDataCenterAttestationPrimitives, QuoteGeneration/pccs.) What could not be obtained, or is not such an answer, is an
// error that wraps [ErrUnreachable] or is an [*AnswerError]. What is such an answer and does not verify is returned as it is, for
// package quote to refuse by name; it is not kept.
//
// The connection is no part of the proof. A certificate of a PCCS's own is trusted as any other program does, through SSL_CERT_FILE,
// and plain http:// is no worse.
//
// A directory holds one file per member, with the names of [Files]; what is not there is a missing member, and package quote
// refuses for it. A root certificate is never read from there. No signature is over the text of an issuer chain, nor over that of a
// revocation list in PEM or hex: line ends and blank lines around a chain become those of Intel's answers, and lists become DER, from
// a service and from a directory alike. Documents are signed byte for byte, and stay as they are.
//
// # Bundle
//
// A bundle is one JSON document with the same members, all of them required and no other allowed:
//
//	{
//	  "format": "boardroom-collateral/v1",
//	  "tcb_info": "{\"tcbInfo\":…,\"signature\":\"…\"}",
//	  "tcb_info_issuer_chain": "-----BEGIN CERTIFICATE-----\n…",
//	  "qe_identity": "{\"enclaveIdentity\":…,\"signature\":\"…\"}",
//	  "qe_identity_issuer_chain": "-----BEGIN CERTIFICATE-----\n…",
//	  "pck_crl": "MII…",
//	  "pck_crl_issuer_chain": "-----BEGIN CERTIFICATE-----\n…",
//	  "root_ca_crl": "MII…"
//	}
//
// JSON documents and chains are strings that hold the text byte for byte, revocation lists are DER in base64. Equal collateral gives
// equal bytes. A bundle has no date of its own: its parts are dated and signed, so it verifies at any time of its validity,
// years later, too.
//
// # Cache and what was seen
//
// A [Cache] is a directory with bundles, one for each service, update channel, FMSPC, CA and trust root, that are used until the
// first of their parts has its next update. Only what verifies is kept, and it is verified again when it is read.
//
// It also remembers, for each trust root, the newest issue date and tcbEvaluationDataNumber of each document and the newest date
// and number of each revocation list. What is older than that is refused with a [*RollbackError], and so is a clock that shows a
// time before the newest issue date: an old list hides a revocation, an old TCB info an outdated platform, and both are genuine.
// A service that answers with an older part while a newer one is kept for another platform is no fault: its nodes are not all as new.
// Only collateral whose signatures were verified counts as seen, so that nobody can make genuine collateral look old. Without a cache
// a [Source] remembers the same as long as it lives.
//
// TCB info and QE identity are remembered for each channel that is asked for apart: early, standard, and default, which is what the
// service chose. Intel issues two evaluations at a time, the early one ahead of the standard one, and nothing signed in
// them says which is which. So one channel's number says nothing of another's; a file counts for the channel of [Options]. Within one
// channel a service that serves the early documents for standard ones makes the standard ones look old. They are genuine and
// stricter, and what is refused then is refused until the standard channel has caught up; removing what was seen ends that, too. Lists
// have no channels, and are remembered once. Which evaluation is new enough is no matter of this memory: that is the lowest number of
// the policy, MinEvaluation of package quote.
package collateral
