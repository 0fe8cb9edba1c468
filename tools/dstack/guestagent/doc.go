// Package guestagent speaks to the guest agent of dstack, the system that runs boardroom's confidential VMs.
//
// The guest agent is the service inside each VM that makes quotes. The wire format is that of
// Dstack-TEE/dstack, guest-agent/rpc/proto/agent_rpc.proto and sdk/curl/api.md: prpc, one POST per method with JSON both
// ways, byte strings as lower-case hex without a prefix, and HTTP 400 with {"error":"…"} for every failure. It is the same
// from dstack 0.5.2 to 0.6.0, which only added members.
//
// Nothing here judges what it carries. A quote that arrives over the socket is bytes until package quote has verified it.
package guestagent
