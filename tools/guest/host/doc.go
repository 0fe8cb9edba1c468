// Package host speaks with the host of the virtual machine over vsock: it tells the host how the boot goes, and answers what the host asks
// (Dstack-TEE/dstack, dstack/host-api/proto/host_api.proto and dstack/guest-agent/rpc/proto/agent_rpc.proto, service GuestApi; vsock(7)).
//
// The host is not trusted. It learns what dstack tells it, whatever the application makes public: identity and measurements, which containers
// there are, load, memory and addresses; nothing of what containers say. Its answers are not read, and a host that does not answer holds
// nothing up. The one thing that it can have done, to shut the guest down, is what it could do by switching the machine off.
package host
