// Package agentapi is the server's side of dstack's guest agent: how requests are read and answers written, for the guest and for the
// simulated TEE alike. What is answered comes from a [Guest]; [Record] makes the longer answers from what a guest knows of itself.
//
// The wire format is that of Dstack-TEE/dstack, dstack/guest-agent/rpc/proto/agent_rpc.proto and sdk/curl/api.md: prpc over HTTP, byte
// strings as lower-case hex, and status 400 for every failure. Only the JSON form of messages is spoken: a request in protobuf is answered
// with an error in protobuf. Package guestagent is the client's side.
package agentapi
