// Package registration is the contract between an agent and its hub: the message with which an agent says where it is
// reached, how both sides compute what is signed, and the agent's loop that keeps the registration alive.
//
//	agent                                   hub
//	GET  /attestation?nonce=N1         →    evidence of the hub over N1; appraised before anything else is sent
//	GET  /v1/nonce                     →    {"nonce":"N2","expires_at":"…"}
//	quote over claims with N2
//	POST /v1/agents                    →    receipt, signed by the key that the hub's evidence is bound to
//
// # Both sides appraise
//
// N1 is the agent's and made for one attempt. The hub's evidence binds N1, the type hub and the hub's Ed25519 key; the agent
// appraises it against its reference values (AGENT_HUB_REFERENCE_VALUES). The receipt is accepted only with a signature of that
// key over all its members and over the digest that the agent signed, which has N2, so it is neither another hub's nor an old
// one: the registrar is the hub that was appraised. The signed bytes of a receipt are
//
//	SHA-512( "boardroom-receipt-v1" ‖ 0x00 ‖ canonical({agent_id, expires_at, hub_public_key, registration, simulated, ttl_seconds, verified}) )
//
// where registration is the agent's digest in lower-case hex and numbers and truth values are spelled as in JSON.
//
// An agent without reference values for its hub can not appraise. If it has evidence, it is where secrets may be, and it does not
// register (or only if told to with --insecure-accept-unverified); if it has none, it is a development machine and registers with
// a warning.
//
// # Answers
//
// A key that terminates TLS is not in evidence: who controls an agent's name and certificate could stand between, and forward
// genuine evidence (relay). So the hub asks with a challenge in the header Boardroom-Challenge, and the agent answers with a
// signature in Boardroom-Signature by the key that its evidence is bound to, over
//
//	SHA-512( "boardroom-answer-v1" ‖ 0x00 ‖ canonical({answer, challenge, path, public_key, question, status}) )
//
// where question and answer are the SHA-256 of the two bodies in lower-case hex. Who stands between can then read a question and
// drop it, and can neither change it nor answer it. Against reading, let TLS end inside the machine (passthrough).
//
// # The message
//
// Evidence alone does not say where the agent is: anybody may fetch an agent's evidence for the hub's nonce and post it
// under an address of their own. So the very key in the claims signs the addresses, with the nonce, the id and all other
// claims. The signed bytes are the 64-byte digest
//
//	SHA-512( "boardroom-registration-v2" ‖ 0x00 ‖ canonical({agent_id, agent_type, api_url, attestation_url, hub_public_key, model, nonce, public_key, timestamp}) )
//
// in the canonical form of package evidence, signed with Ed25519 (RFC 8032). The member hub_public_key is the key that the hub's evidence
// is bound to, and is left out by an agent that appraised no hub. It names the hub that is meant: who stands between could otherwise
// answer with the nonce of another hub and register the agent there. A hub refuses a registration that names another key, and a hub
// that verifies refuses evidence that names none. Where hub and agent share a secret, the agent adds
//
//	HMAC-SHA-256( secret, "boardroom-registration-hmac-v1" ‖ 0x00 ‖ digest )
//
// The message:
//
//	{
//	  "evidence":   { evidence document },
//	  "unattested": { "agent_data": { claims }, "reason": "why there is no evidence" },   exactly one of these two
//	  "model":      "name of the model",
//	  "endpoints":  { "api": "https://…", "attestation": "https://…" },
//	  "hub_public_key": "key of the hub that is meant",                                    only with an appraised hub
//	  "signature":  "base64url without padding",
//	  "hmac":       "64 hex digits"                                                        only with a shared secret
//	}
//
// Worked example: the claims of package evidence's example, model AdaptLLM/finance-LLM, https://finance-acme.example.com,
// https://finance-acme-29344.example.com and the hub's key ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8 (the bytes 0x20 to 0x3f) give
// the digest
//
//	05f50631ba976420390a4255a4f59011f13486447cff3ad14c7392734697c7ac
//	2644938a413f8fce8e3ba4f206387897131942a899cbdb8ab64443b3fd5a6166
//
// and, with the secret 0123456789abcdef0123456789abcdef (those 32 characters), the HMAC
//
//	b7fb45e4f7986f97ce29e0298a1734e26f1bc2ca991eff9b578750f38d39a604
package registration
