// Package hub is the meeting place of a client's agents: they register with evidence, and who asks the hub a question gets
// the answers of those that are still what they were.
//
//	GET  /v1/nonce    a nonce for one registration
//	POST /v1/agents   register or renew; the message is that of package registration
//	GET  /v1/agents   who is registered
//	POST /v1/ask      {"to":"finance" or "all", "question":"…" or "messages":[…]}
//
// A registration is accepted when all of this holds: the message is of its form; it has the HMAC of the shared secret, if the
// hub has one; its nonce was issued here, is unexpired and never used before; its time is near the hub's; the evidence is
// bound to nonce and claims; the key in the claims signed the addresses and, if the agent appraised a hub, this hub's key, which a hub
// that verifies requires; no other key holds the id; and the [Appraiser]
// accepts the evidence. With reference values the appraiser is [Verifying], without it is [RefuseAll], so that a hub accepts
// nobody. The answer is a receipt, signed with the hub's key: package registration describes how an agent knows that this is the
// hub that it appraised.
//
// An agent is judged again at each renewal and, with a nonce of the hub's, at the attestation port that it registered. Who is refused
// at the one or does not pass the other is not asked until a check at that port finds it good, and is removed if none does for some
// minutes. A renewal that could not be judged, for want of collateral, renews nothing and is no failure.
//
// With [Options].InsecureAcceptUnverified the appraisal is left out, and evidence may be missing. Everything else still holds.
// Such a hub says so in its log, in every listing and in every answer, and it is for development only.
//
// There is no DELETE: the hub has no operator's key to check one with, a registration ends on its own within minutes of the
// agent's last renewal, and an agent that fails its check is not asked meanwhile.
//
// The key that terminates TLS at an agent's address is not in its evidence, so whoever controls both name and certificate of that
// address can stand in the middle and pass genuine evidence on (relay, as in the "Identity Crisis" attacks on attested TLS). What
// binds an answer to the attested agent is therefore a signature of the attested key over a challenge of the hub's, the question
// and the answer ([registration.Exchange]): who stands in the middle can read and drop, and neither answer nor change. Against
// reading, TLS has to end inside the agent's machine.
package hub
