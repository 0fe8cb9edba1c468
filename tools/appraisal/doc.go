// Package appraisal judges evidence: is the quote genuine, is it fresh and for this asker, and is what ran there what was
// expected.
//
// It joins package quote (signatures, collateral, TCB) with the event log (replayed against the RTMRs that the quote signs),
// with dstack's boot events (which application, which compose file, which key provider), with REPORTDATA (nonce and key of who
// answers) and with reference values. It is a pure function of its request: no sockets, files, environment or clock. The words are
// those of RFC 9334 (RATS): evidence, reference values, endorsements (which are Intel's collateral here), appraisal.
//
// # Checks
//
// A [Report] lists the checks of package quote, whose codes that package documents, and then these, each always, in this order:
//
//	report_data.claims          REPORTDATA is the digest of the claims beside the quote (package evidence)
//	report_data.copy            REPORTDATA is what the document beside the quote says it is
//	report_data.expected        REPORTDATA is what the asker expects, all 64 bytes
//	report_data.nonce           the asker's nonce is in the claims, or without claims in REPORTDATA, padded with zeros
//	claims.timestamp            the claims are not older than the asker allows, and not of the future
//	event_log.form              the event log is one of firmware (CCEL) or of dstack, and well formed
//	event_log.payload           the digests of dstack's runtime events are those of their names and payloads
//	event_log.replay.rtmr0      the events of the register lead to its value in the quote
//	event_log.replay.rtmr1      the same
//	event_log.replay.rtmr2      the same
//	event_log.replay.rtmr3      the same
//	event_log.data              firmware's events have the data that was hashed, for the types where data is hashed
//	event_log.boot              the runtime events are a complete boot of dstack: each in its place and once, up to system-ready
//	event_log.mrconfigid        MRCONFIGID is that of the boot
//	reference_values            one set of the expected values holds in full
//
// With expected values there follows, for each value of the set that holds or comes nearest,
//
//	reference_values.NAME       the value of that name in the quote, or in the boot that the event log proves
//
// # What is not checked
//
// Not checked is never a pass. In package quote, a required check that was not made keeps the evidence from being accepted. A check
// of this package is not made in three cases, of which none lets anything in. It was not asked for: no nonce, no age, no expected
// values; a caller that needs one asks for it. Or the evidence has no such part: no claims, no copy, no event log, a log that has no
// such events, an MRCONFIGID of zero; a value that was expected of a part that is not there is a failure of reference_values. Or an
// earlier check failed, and the evidence is refused for that. The actual value of the check says which.
//
// # What counts of an event log
//
// A log with all its registers, which is dstack's JSON and firmware's CCEL, has to lead to all four RTMRs, a register without events
// to zero. dstack's runtime log, and a log that the asker knows to be stripped ([Evidence].Stripped), has the events of RTMR3 only;
// RTMR0 to RTMR2 are then up to reference values. A replay says that log and quote belong together, not that the events are the right
// ones.
//
// Facts come from RTMR3 alone: from runtime events (imr 3, type 0x08000001) whose digests were computed from name and payload, in a
// sequence that is complete, before system-ready. Data of firmware's events is held to its digest and otherwise not used. Events
// after system-ready are listed, and are the application's own words. vm_config is the host's word: only the document inside it whose
// hash MRCONFIGID is counts.
package appraisal
