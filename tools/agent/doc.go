// Package agent is what every boardroom agent and the hub have in common: configuration, a key, a model behind an
// OpenAI-compatible API, and evidence that this machine is what it claims to be.
//
// # Configuration
//
// Everything comes from the environment, is checked at start, and every mistake is reported at once; see [Load]. A
// process is a hub or an agent by the variables that are set, never by guess. An empty variable counts as unset, because
// that is what docker compose makes of an undefined one.
//
//	agent (required)     AGENT_TYPE AGENT_MODEL_NAME AGENT_API_PORT AGENT_ATTESTATION_PORT AGENT_MAX_MEMORY_MB CLIENT_ID
//	agent (optional)     AGENT_ID; HUB_ENDPOINT with AGENT_PUBLIC_URL, AGENT_PUBLIC_ATTESTATION_URL and AGENT_HUB_REFERENCE_VALUES
//	hub (required)       HUB_MODEL_NAME HUB_API_PORT HUB_ATTESTATION_PORT HUB_MAX_MEMORY_MB CLIENT_ID
//	hub (optional)       HUB_REFERENCE_VALUES
//	either (optional)    MODEL_ENDPOINT
//	secrets (optional)   AGENT_PRIVATE_KEY HUB_SHARED_SECRET CLIENT_ENCRYPTION_KEY
//
// AGENT_PRIVATE_KEY is the 32-byte seed of an Ed25519 key (RFC 8032 section 5.1.5) in standard base64 with padding, what
// "openssl rand -base64 32" prints: one line, because environment files carry PEM badly. Without it the agent makes a key
// that lives as long as the process. HUB_SHARED_SECRET is 32 to 256 printable ASCII characters without spaces.
// CLIENT_ENCRYPTION_KEY is taken as it is, at most 4096 printable ASCII characters; nothing uses it yet.
//
// AGENT_HUB_REFERENCE_VALUES and HUB_REFERENCE_VALUES are a document of package evidence/verifier, or name a file with one, by which an agent
// appraises the hub and the hub its agents. Without the one an agent that has evidence does not register, without the other a
// hub refuses everybody.
//
// # API port
//
//	GET  /health               what works and what does not; 200 as long as the process serves
//	GET  /metrics              Prometheus text
//	GET  /v1/models            passed to MODEL_ENDPOINT
//	POST /v1/chat/completions  passed to MODEL_ENDPOINT, streaming included; with the header Boardroom-Challenge whole and signed
//	GET  /v1/attestations      whom this process appraised, and what it found; see [Attestations]
//
// # Attestation port
//
//	GET /attestation?nonce=HEX  an evidence document, see package evidence; the nonce is 16 to 64 bytes in lower-case hex
//	GET /v1/attestations
//	GET /health
//
// A hub serves GET /attestation on its API port, too: agents know that address, and appraise the hub there before they register.
//
// Evidence comes from dstack's guest agent or not at all. There is no simulated quote in this program.
package agent
