// Package quote verifies Intel TDX quotes.
//
// A quote is a statement, signed by an attestation key inside a quoting enclave (QE), about a TD: what was loaded into it and
// what it measured since. The QE's report vouches for the attestation key, a PCK certificate of Intel's for the QE's report,
// and Intel's collateral (TCB info, QE identity, revocation lists) says what is known of the platform's security.
//
// Everything here is a pure function of bytes, a trust root, a policy and a time: no sockets, files, environment, globals or
// clock. Each thing that is looked at is a [Check] with a stable code; a result is pass, fail, or not checked, and not checked
// is never pass. A quote is accepted if every check passed, and in no other way. [Codes] and CODES.md have the codes.
//
// What is refused where others are lenient:
//
//   - The trust root is one certificate, compared byte for byte. Chains have exactly the certificates of Intel's profile, in
//     canonical PEM; only the zero byte that ends a C string may follow them in a quote. So no byte of genuine evidence can be
//     changed and be accepted; but signatures are malleable (n-s for s), and a quote's hash is no identity.
//   - Collateral is verified before it is read, and read from the very bytes that were verified: exact member names, each once,
//     none that is unknown. A member that Intel adds without counting the version up is refused until it is known here, because
//     it could narrow what the others say.
//   - Both ends of every validity count: of all certificates with the root, of TCB info, QE identity and revocation lists.
//   - The level of the platform always counts, beside that of the TDX module; levels are sorted here, not by who sent them.
//   - TDATTRIBUTES has only LASS, SEPT_VE_DISABLE, PKS, KL and PERFMON, XFAM no more than x87, SSE, AVX, AVX-512, PT, PKRU, CET,
//     ULI, LBR and AMX. SEAMATTRIBUTES is zero whatever mask TCB info has.
//
// A quote that is refused still has a status where one can be told from what Intel signed, so that an operator sees all that is
// wrong. Only [Result].Accepted says that anything of it is true.
//
// Not judged here, because it is no matter of the quote alone: REPORTDATA, measurements, event logs (package appraisal), and
// whether genuine collateral is older than what was seen before (package collateral, with [Verifier.Facts]).
//
// Sources: Intel TDX DCAP Quoting Library API, appendix A.3 and A.4 (quote v4 and v5); Intel SGX PCK Certificate and CRL Profile
// Specification; Intel PCS API v4 (collateral); Intel TDX Module Base Architecture Specification (attributes);
// intel/SGX-TDX-DCAP-QuoteVerificationLibrary at 7e5b2a1 (rules that match and merge TCB levels).
package quote
