package netconf

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// firstRetry is how long an answer may take before the question is asked again; each further one may take twice as long, up to
	// lastRetry (RFC 2131 section 4.1 has 4 to 64 seconds, for networks with many clients).
	firstRetry = 500 * time.Millisecond
	lastRetry  = 8 * time.Second
	// bootWait is how long all cards together may take while the guest boots.
	bootWait = 2 * time.Minute
)

// Up brings up the loopback interface and every card, and writes the DNS servers to a file in the form of resolv.conf(5). The leases are
// renewed until the context ends; what goes wrong then is told to warn, and the card keeps what it has.
func Up(ctx context.Context, resolv string, warn func(error)) ([]Lease, error) {
	loopback, cards, err := interfaces()
	if err != nil {
		return nil, err
	}
	if err := setUp(loopback); err != nil {
		return nil, err
	}
	if len(cards) == 0 {
		return nil, errors.New("network: expected a card, got none")
	}
	booting, cancel := context.WithTimeoutCause(ctx, bootWait, fmt.Errorf("no server answered within %s", bootWait))
	defer cancel()
	var leases []Lease
	for i, card := range cards {
		lease, err := card.configure(booting, netip.Addr{}, i)
		if err != nil {
			return nil, fmt.Errorf("network card %s: %w", card.name, err)
		}
		leases = append(leases, lease)
	}
	if err := os.WriteFile(resolv, resolvConf(leases), 0o644); err != nil {
		return nil, err
	}
	for i, card := range cards {
		go card.renew(ctx, leases[i], i, warn)
	}
	return leases, nil
}

// resolvConf lists each server once.
func resolvConf(leases []Lease) []byte {
	var text []byte
	var seen []netip.Addr
	for _, lease := range leases {
		for _, dns := range lease.DNS {
			if len(seen) < maxDNS && !slices.Contains(seen, dns) {
				seen = append(seen, dns)
				text = fmt.Appendf(text, "nameserver %s\n", dns)
			}
		}
	}
	return text
}

// card is a network interface.
type card struct {
	name     string
	hardware [6]byte
}

// interfaces finds the loopback interface and the cards, in the order of their names.
func interfaces() (loopback string, cards []card, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return "", nil, fmt.Errorf("network: %w", err)
	}
	for _, i := range all {
		switch {
		case i.Flags&net.FlagLoopback != 0:
			loopback = i.Name
		case len(i.HardwareAddr) == 6 && i.Flags&net.FlagBroadcast != 0:
			cards = append(cards, card{i.Name, [6]byte(i.HardwareAddr)})
		}
	}
	slices.SortFunc(cards, func(a, b card) int { return strings.Compare(a.name, b.name) })
	return loopback, cards, nil
}

// configure gets a lease and sets it. Of several cards the first has the least metric.
func (c card) configure(ctx context.Context, wanted netip.Addr, metric int) (Lease, error) {
	if err := setUp(c.name); err != nil {
		return Lease{}, err
	}
	lease, err := c.ask(ctx, wanted)
	if err != nil {
		return Lease{}, err
	}
	if err := setAddress(c.name, lease.Address); err != nil {
		return Lease{}, err
	}
	if lease.Router.IsValid() {
		err = addDefaultRoute(c.name, lease.Router, metric)
	}
	return lease, err
}

// renew asks for the same address again when half of the time is over.
func (c card) renew(ctx context.Context, lease Lease, metric int, warn func(error)) {
	timer := time.NewTimer(lease.Time / 2)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		asking, cancel := context.WithTimeoutCause(ctx, lease.Time/4, errors.New("no server answered"))
		renewed, err := c.configure(asking, lease.Address.Addr(), metric)
		cancel()
		if err != nil {
			warn(fmt.Errorf("network card %s: renew the lease of %s: %w", c.name, lease.Address, err))
			timer.Reset(max(lease.Time/8, firstRetry))
			continue
		}
		lease = renewed
		timer.Reset(lease.Time / 2)
	}
}

// ask holds one conversation, again and again until it leads to a lease.
func (c card) ask(ctx context.Context, wanted netip.Addr) (Lease, error) {
	conn, err := listen(ctx, c.name)
	if err != nil {
		return Lease{}, err
	}
	defer func() { _ = conn.Close() }()
	// A deadline that is past ends the wait for an answer.
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		lease, err := c.converse(conn, wanted, wait)
		if err == nil {
			return lease, nil
		}
		if ctx.Err() != nil {
			return Lease{}, fmt.Errorf("DHCP: %w; the last try: %w", context.Cause(ctx), err)
		}
	}
}

// converse asks once: discover, offer, request, acknowledgement.
func (c card) converse(conn net.PacketConn, wanted netip.Addr, wait time.Duration) (Lease, error) {
	x := exchange{hardware: c.hardware}
	var xid [4]byte
	rand.Read(xid[:])
	x.xid = binary.BigEndian.Uint32(xid[:])
	offered, err := x.call(conn, x.message(discover, wanted, netip.Addr{}), wait, offer)
	if err != nil {
		return Lease{}, err
	}
	acknowledged, err := x.call(conn, x.message(request, offered.lease.Address.Addr(), offered.server), wait, ack)
	if err != nil {
		return Lease{}, err
	}
	return acknowledged.lease, nil
}

// call sends a message and waits for an answer of the kind.
func (x exchange) call(conn net.PacketConn, message []byte, wait time.Duration, kind byte) (reply, error) {
	if _, err := conn.WriteTo(message, &net.UDPAddr{IP: net.IPv4bcast, Port: 67}); err != nil {
		return reply{}, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return reply{}, err
	}
	buffer := make([]byte, maxMessage+1)
	for {
		n, _, err := conn.ReadFrom(buffer)
		if err != nil {
			return reply{}, err
		}
		r, err := x.parse(buffer[:n])
		switch {
		case errors.Is(err, errOther):
		case err != nil:
			return reply{}, err
		case r.kind == kind:
			return r, nil
		case r.kind == nak:
			return reply{}, errors.New("the server refused the address")
		}
	}
}

// listen opens the client's port on a card that has no address yet.
func listen(ctx context.Context, name string) (net.PacketConn, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1), unix.BindToDevice(int(fd), name))
		})
		return errors.Join(err, failed)
	}}
	return config.ListenPacket(ctx, "udp4", "0.0.0.0:68")
}

// control calls f with a socket for ioctl.
func control(f func(fd int) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return f(fd)
}

// setUp sets the flag of an interface (netdevice(7)).
func setUp(name string) error {
	return control(func(fd int) error {
		request, err := unix.NewIfreq(name)
		if err != nil {
			return fmt.Errorf("network: interface %q: %w", name, err)
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err != nil {
			return fmt.Errorf("flags: %w", err)
		}
		request.SetUint16(request.Uint16() | unix.IFF_UP)
		if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		return nil
	})
}

func setAddress(name string, address netip.Prefix) error {
	mask := net.CIDRMask(address.Bits(), 32)
	return control(func(fd int) error {
		for _, set := range []struct {
			request uint
			value   []byte
		}{{unix.SIOCSIFADDR, address.Addr().AsSlice()}, {unix.SIOCSIFNETMASK, mask}} {
			request, err := unix.NewIfreq(name)
			if err != nil {
				return err
			}
			if err := request.SetInet4Addr(set.value); err != nil {
				return err
			}
			if err := unix.IoctlIfreq(fd, set.request, request); err != nil {
				return fmt.Errorf("set address %s: %w", address, err)
			}
		}
		return nil
	})
}

// routeEntry is struct rtentry of 64-bit kernels (include/uapi/linux/route.h).
type routeEntry struct {
	_                         uint64
	destination, router, mask unix.RawSockaddrInet4
	flags                     uint16
	_                         [6]byte
	_                         uint64
	_                         uint64
	metric                    int16
	_                         [6]byte
	device                    *byte
	mtu, window               uint64
	irtt                      uint16
	_                         [6]byte
}

// addDefaultRoute adds a route to everywhere; one that is there already is left as it is.
func addDefaultRoute(name string, router netip.Addr, metric int) error {
	device, err := unix.BytePtrFromString(name)
	if err != nil {
		return err
	}
	entry := routeEntry{
		router: unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: router.As4()}, destination: unix.RawSockaddrInet4{Family: unix.AF_INET},
		mask: unix.RawSockaddrInet4{Family: unix.AF_INET}, flags: unix.RTF_UP | unix.RTF_GATEWAY, metric: int16(metric + 1), device: device,
	}
	return control(func(fd int) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCADDRT, uintptr(unsafe.Pointer(&entry))) //nolint:gosec // the kernel reads the structure, whose layout is its own
		if errno != 0 && errno != unix.EEXIST {
			return fmt.Errorf("route to everywhere through %s: %w", router, errno)
		}
		return nil
	})
}
