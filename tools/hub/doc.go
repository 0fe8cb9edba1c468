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
// bound to nonce and claims; the key in the claims signed the addresses; no other key holds the id; and the [Appraiser]
// accepts the evidence. Until a verifier exists the appraiser is [RefuseAll], so a hub accepts nobody.
//
// With [Options].InsecureAcceptUnverified the appraisal is left out, and evidence may be missing. Everything else still holds.
// Such a hub says so in its log, in every listing and in every answer, and it is for development only.
//
// There is no DELETE: the hub has no operator's key to check one with, a registration ends on its own within minutes of the
// agent's last renewal, and an agent that fails its check is not asked meanwhile.
//
// What binds an answer to the attested agent is the address it signed and, for https, the certificate at that address. The
// key that terminates TLS is not yet bound to the evidence, so whoever controls both name and certificate of an agent's
// address can stand in the middle (relay, as in the "Identity Crisis" attacks on attested TLS). Certificates that carry
// evidence are a later step.
package hub
