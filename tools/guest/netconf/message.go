package netconf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Message types (RFC 2132 section 9.6).
const (
	discover = 1
	offer    = 2
	request  = 3
	ack      = 5
	nak      = 6
)

// Options (RFC 2132).
const (
	optionPad        = 0
	optionMask       = 1
	optionRouter     = 3
	optionDNS        = 6
	optionRequested  = 50
	optionLeaseTime  = 51
	optionType       = 53
	optionServer     = 54
	optionParameters = 55
	optionMaxSize    = 57
	optionEnd        = 255
)

// Places in a message (RFC 2131 section 2), in bytes; numbers are big-endian.
const (
	opAt      = 0
	hwTypeAt  = 1
	hwLenAt   = 2
	xidAt     = 4
	flagsAt   = 10
	yourIPAt  = 16
	hwAt      = 28
	cookieAt  = 236
	optionsAt = 240

	bootRequest = 1
	bootReply   = 2
	ethernet    = 1
	broadcast   = 0x8000
	cookie      = 0x63825363
	// maxMessage is what one Ethernet frame holds.
	maxMessage = 1500
)

// exchange is one conversation with a server.
type exchange struct {
	xid      uint32
	hardware [6]byte
}

// message encodes a message of the client. Requested and server are left out where they are not valid.
func (x exchange) message(kind byte, requested, server netip.Addr) []byte {
	b := make([]byte, optionsAt, 300)
	b[opAt], b[hwTypeAt], b[hwLenAt] = bootRequest, ethernet, byte(len(x.hardware))
	binary.BigEndian.PutUint32(b[xidAt:], x.xid)
	binary.BigEndian.PutUint16(b[flagsAt:], broadcast)
	copy(b[hwAt:], x.hardware[:])
	binary.BigEndian.PutUint32(b[cookieAt:], cookie)
	b = append(b, optionType, 1, kind)
	b = append(b, optionParameters, 4, optionMask, optionRouter, optionDNS, optionLeaseTime)
	b = append(b, optionMaxSize, 2, maxMessage>>8, maxMessage&0xff)
	for option, addr := range map[byte]netip.Addr{optionRequested: requested, optionServer: server} {
		if addr.IsValid() {
			b = append(append(b, option, 4), addr.AsSlice()...)
		}
	}
	b = append(b, optionEnd)
	// Some relays drop what is shorter than a BOOTP message (RFC 1542 section 2.1).
	return append(b, make([]byte, max(0, 300-len(b)))...)
}

// reply is what a server says.
type reply struct {
	kind   byte
	server netip.Addr
	lease  Lease
}

// Lease is what a card is given.
type Lease struct {
	Address netip.Prefix
	// Router is not valid where there is none; DNS has at most three.
	Router netip.Addr
	DNS    []netip.Addr
	// Time is how long it holds.
	Time time.Duration
}

// Bounds of a lease: servers that say nothing or less are asked again after an hour at the latest, and not every second.
const (
	shortestLease = time.Minute
	defaultLease  = time.Hour
	longestLease  = 7 * 24 * time.Hour
	maxDNS        = 3 // resolv.conf(5) MAXNS
)

// errOther is for messages that are not of this conversation, which is no fault.
var errOther = errors.New("a message for somebody else")

// parse reads a server's message. The error wraps errOther where it is not an answer to this exchange.
func (x exchange) parse(b []byte) (reply, error) {
	if len(b) < optionsAt || len(b) > maxMessage {
		return reply{}, fmt.Errorf("DHCP message: expected %d to %d bytes, got %d", optionsAt, maxMessage, len(b))
	}
	if b[opAt] != bootReply || binary.BigEndian.Uint32(b[xidAt:]) != x.xid || [6]byte(b[hwAt:hwAt+6]) != x.hardware {
		return reply{}, errOther
	}
	if got := binary.BigEndian.Uint32(b[cookieAt:]); got != cookie {
		return reply{}, fmt.Errorf("DHCP message: magic cookie: expected %#x, got %#x", cookie, got)
	}
	options, err := parseOptions(b[optionsAt:])
	if err != nil {
		return reply{}, fmt.Errorf("DHCP message: %w", err)
	}
	r, err := options.reply(netip.AddrFrom4([4]byte(b[yourIPAt : yourIPAt+4])))
	if err != nil {
		return reply{}, fmt.Errorf("DHCP message: %w", err)
	}
	return r, nil
}

type options map[byte][]byte

// parseOptions reads options up to the end mark; one that comes again continues the former (RFC 3396).
func parseOptions(b []byte) (options, error) {
	o := make(options)
	for {
		if len(b) == 0 {
			return nil, errors.New("options: expected an end mark, got none")
		}
		switch b[0] {
		case optionPad:
			b = b[1:]
			continue
		case optionEnd:
			return o, nil
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return nil, fmt.Errorf("option %d: it is cut off", b[0])
		}
		o[b[0]] = append(o[b[0]], b[2:2+int(b[1])]...)
		b = b[2+int(b[1]):]
	}
}

func (o options) sized(option byte, size int) ([]byte, error) {
	if got := len(o[option]); got != size {
		return nil, fmt.Errorf("option %d: expected %d bytes, got %d", option, size, got)
	}
	return o[option], nil
}

// reply makes sense of the options.
func (o options) reply(address netip.Addr) (reply, error) {
	kind, err := o.sized(optionType, 1)
	if err != nil {
		return reply{}, err
	}
	r := reply{kind: kind[0]}
	server, err := o.sized(optionServer, 4)
	if err != nil {
		return reply{}, err
	}
	r.server = netip.AddrFrom4([4]byte(server))
	if r.kind != offer && r.kind != ack {
		return r, nil
	}
	if !assignable(address) {
		return reply{}, fmt.Errorf("address: expected one for a card, got %s", address)
	}
	mask, err := o.sized(optionMask, 4)
	if err != nil {
		return reply{}, err
	}
	bits, err := maskBits(binary.BigEndian.Uint32(mask))
	if err != nil {
		return reply{}, err
	}
	r.lease = Lease{Address: netip.PrefixFrom(address, bits), Time: defaultLease}
	if routers := addresses(o[optionRouter]); len(routers) > 0 && routers[0] != address && r.lease.Address.Contains(routers[0]) {
		r.lease.Router = routers[0]
	}
	for _, dns := range addresses(o[optionDNS]) {
		if len(r.lease.DNS) < maxDNS && assignable(dns) && !slices.Contains(r.lease.DNS, dns) {
			r.lease.DNS = append(r.lease.DNS, dns)
		}
	}
	if seconds := o[optionLeaseTime]; len(seconds) == 4 {
		r.lease.Time = time.Duration(binary.BigEndian.Uint32(seconds)) * time.Second
	}
	r.lease.Time = min(max(r.lease.Time, shortestLease), longestLease)
	return r, nil
}

// assignable holds for addresses that a card or a server can have.
func assignable(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && a.As4()[0] < 240
}

// maskBits counts the ones of a mask, which stand before all zeros.
func maskBits(mask uint32) (int, error) {
	for bits := 1; bits <= 31; bits++ {
		if mask == ^uint32(0)<<(32-bits) {
			return bits, nil
		}
	}
	return 0, fmt.Errorf("option %d: expected a mask of 1 to 31 bits, got %#08x", optionMask, mask)
}

// addresses splits a list; a rest that is no address is left aside.
func addresses(b []byte) (list []netip.Addr) {
	for chunk := range slices.Chunk(b, 4) {
		if len(chunk) == 4 {
			list = append(list, netip.AddrFrom4([4]byte(chunk)))
		}
	}
	return list
}
