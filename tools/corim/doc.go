// Package corim writes predicted TDX measurements as a CoRIM, the IETF's form of reference values: an unsigned one, to be signed and
// handed to a verifier.
//
// References: draft-ietf-rats-corim-11 (CoRIM and CoMID; sections and CDDL names in comments are its), Intel's profile
// draft-cds-rats-intel-corim-profile, whose identifier 2.16.840.1.113741.1.16.1 the manifest carries, and RFC 8949 section 4.2.1, whose
// core deterministic encoding it has: equal values are equal bytes, on every machine and at any time.
//
// The triples say of one environment, a trust domain: MRTD is tee.mrtee of Intel's profile, and RTMR0 to RTMR2 are integrity registers
// 0 to 2 of CoMID. Neither document has a class identifier for a trust domain, so the class is named by vendor and model. RTMR3 is not
// there: it belongs to applications.
package corim
