// Package netconf brings up the guest's network: the loopback interface, and each network card by DHCP (RFC 2131, options of RFC 2132),
// for IPv4, which is what dstack-vmm offers in every networking mode.
//
// Whoever answers is the host or somebody on its network, and nothing is trusted for it: addresses have to make sense, texts are not taken
// at all, and what the guest does over the network is protected by TLS or digests.
package netconf
