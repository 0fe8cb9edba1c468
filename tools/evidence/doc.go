// Package evidence is what an agent says about itself and the quote that backs it.
//
// A TDX quote carries 64 bytes of the caller's choice, REPORTDATA. boardroom puts a digest of the agent's [Claims] there:
// who the agent is, the key it holds, and the nonce of the party that asked. Whoever verifies the quote then recomputes
// the digest from the claims and knows that this machine, and not the network in between, spoke them.
//
// This package does NOT verify quotes. [Evidence.CheckBinding] proves only that the document is consistent with itself and
// with the caller's nonce; anyone can write such a document around any quote bytes. A verifier must check the quote's
// signature chain and TCB, and compare the REPORTDATA inside the signed quote with [ReportData] of the claims. The
// report_data member of the document is an unsigned copy and is worth nothing as proof.
//
// # Report data
//
//	REPORTDATA = SHA-512( "boardroom-attestation-v1" ‖ 0x00 ‖ canonical(claims) )
//
// All 64 bytes are used, so there is no tail to leave unchecked. canonical is a JSON object with exactly the members
//
//	agent_id agent_type nonce public_key timestamp
//
// in that (byte-wise ascending) order, no white space, no final newline, every value a string. Every value is limited to
// bytes that JSON never escapes (0x21 to 0x7e without " \ < > &), and anything else is refused, so the canonical form is
// plain concatenation and needs no JSON library. In any language:
//
//	{"agent_id":"A","agent_type":"T","nonce":"N","public_key":"K","timestamp":"S"}
//
// Alphabets:
//
//   - agent_id: 1 to 63 of a-z 0-9 . _ - and starts with a letter or digit.
//   - agent_type: 1 to 32 of a-z 0-9 - and starts with a letter.
//   - nonce: 32 to 128 of 0-9 a-f, an even number of them (16 to 64 bytes).
//   - public_key: 43 characters, the 32 bytes of an Ed25519 public key (RFC 8032 section 5.1.5) in base64url without
//     padding (RFC 4648 section 5); the two unused bits are zero.
//   - timestamp: RFC 3339 in UTC with whole seconds, 2006-01-02T15:04:05Z.
//
// The tag keeps these digests apart from every other use of SHA-512, the JSON framing keeps the members apart from each
// other, and there is one spelling of each value: two different Claims never give the same bytes.
//
// Worked example. Claims with agent_id finance-acme, agent_type finance, nonce 00112233445566778899aabbccddeeff, the
// public key of bytes 00 01 02 … 1f and timestamp 2026-11-22T10:00:00Z are hashed as the tag, a zero byte, and
//
//	{"agent_id":"finance-acme","agent_type":"finance","nonce":"00112233445566778899aabbccddeeff","public_key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8","timestamp":"2026-11-22T10:00:00Z"}
//
// which gives
//
//	d210cad376b55b85deeecc11ac6eaa0a3738491deb731e12bec1af40c3ba216d
//	e6f290ba3c3ac783a19633b6601d5ad223802fb0d5a274d54265eede1ebce856
//
// # Document
//
// [Evidence] is the JSON of GET /attestation:
//
//	{
//	  "agent_data":  { the five claims },
//	  "report_data": "128 lower-case hex digits",
//	  "quote":       "lower-case hex",
//	  "event_log":   "the guest agent's event log, JSON text in a string",
//	  "vm_config":   "the guest agent's vm_config, JSON text in a string, or empty"
//	}
//
// The event log and vm_config stay strings, as dstack's guest agent gives them (guest-agent/rpc/proto/agent_rpc.proto,
// message GetQuoteResponse), because a JSON value would be re-spelled by every program it passes through.
package evidence
