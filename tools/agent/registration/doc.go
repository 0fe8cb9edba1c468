// Package registration is the contract between an agent and its hub: the message with which an agent says where it is
// reached, how both sides compute what is signed, and the agent's loop that keeps the registration alive.
//
//	agent                                   hub
//	GET  /v1/nonce                     →    {"nonce":"…","expires_at":"…"}
//	quote over claims with that nonce
//	POST /v1/agents                    →    {"agent_id":"…","verified":…,"expires_at":"…","ttl_seconds":…}
//
// Evidence alone does not say where the agent is: anybody may fetch an agent's evidence for the hub's nonce and post it
// under an address of their own. So the very key in the claims signs the addresses, with the nonce, the id and all other
// claims. The signed bytes are the 64-byte digest
//
//	SHA-512( "boardroom-registration-v1" ‖ 0x00 ‖ canonical({agent_id, agent_type, api_url, attestation_url, model, nonce, public_key, timestamp}) )
//
// in the canonical form of package evidence, signed with Ed25519 (RFC 8032). Where hub and agent share a secret, the agent adds
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
//	  "signature":  "base64url without padding",
//	  "hmac":       "64 hex digits"                                                        only with a shared secret
//	}
//
// Worked example: the claims of package evidence's example, model AdaptLLM/finance-LLM, https://finance-acme.example.com and
// https://finance-acme-29344.example.com give the digest
//
//	0d7e6002268fd612dd501b43cb3b610028cd8087cb60b574c10a17b2c481bf5f
//	c04c945e1083a03dc9292ba04df2db81a8abf88b893916af1626abd1d736a479
//
// and, with the secret 0123456789abcdef0123456789abcdef (those 32 characters), the HMAC
//
//	8189660d84eaa80fee1f7ce997b5cd1d6596c601f9130f5ccc9a03fd567f79cc
package registration
