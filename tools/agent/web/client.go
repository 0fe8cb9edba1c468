package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// NewClient returns a client for a peer: no proxy from the environment, no redirects followed, no transparent
// decompression, bounded response headers. It sets no overall deadline; give each request a context that has one. When
// guard is set it may refuse an address after name resolution and before connecting, as [RefuseLinkLocal] does.
func NewClient(guard func(network, address string, _ syscall.RawConn) error) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: guard}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    10 * time.Second,
			IdleConnTimeout:        time.Minute,
			MaxIdleConns:           64,
			MaxIdleConnsPerHost:    8,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RefuseLinkLocal is a guard against addresses that no agent has and that a cloud gives to its metadata service
// (169.254.169.254), besides multicast and unspecified ones.
func RefuseLinkLocal(_, address string, _ syscall.RawConn) error {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %s: %w", address, err)
	}
	ip := parsed.Addr().Unmap()
	if ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
		return fmt.Errorf("address %s: an agent has no link-local, multicast or unspecified address", ip)
	}
	return nil
}

// Unconnected says whether a request failed before a connection was made: nobody listens, no route, no such name.
func Unconnected(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
