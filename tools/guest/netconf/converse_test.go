package netconf

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// simServer answers each message of a client by a script: what comes back for the first, the second and so on, before a deadline that is
// always past when there is nothing.
type simServer struct {
	net.PacketConn
	answers func(message []byte, n int) [][]byte
	asked   [][]byte
	queue   [][]byte
}

func (s *simServer) SetReadDeadline(time.Time) error { return nil }

func (s *simServer) WriteTo(message []byte, to net.Addr) (int, error) {
	if to.String() != "255.255.255.255:67" {
		return 0, &net.AddrError{Err: "not the servers' port", Addr: to.String()}
	}
	s.asked = append(s.asked, append([]byte{}, message...))
	s.queue = s.answers(message, len(s.asked))
	return len(message), nil
}

func (s *simServer) ReadFrom(buffer []byte) (int, net.Addr, error) {
	if len(s.queue) == 0 {
		return 0, nil, os.ErrDeadlineExceeded
	}
	n := copy(buffer, s.queue[0])
	s.queue = s.queue[1:]
	return n, nil, nil
}

// answer is a reply to a message of the client, with options.
func answer(message []byte, options string) []byte {
	b := simReply(options)
	copy(b[xidAt:xidAt+4], message[xidAt:xidAt+4])
	return b
}

func TestConverse(t *testing.T) {
	const acknowledged = "350105 36040a000202 0104ffffff00 ff"
	c := card{name: "eth0", hardware: simExchange.hardware}
	s := &simServer{answers: func(message []byte, n int) [][]byte {
		if n == 1 {
			return [][]byte{simReply(simOffer), answer(message, simOffer)} // the first is of another exchange
		}
		return [][]byte{answer(message, acknowledged)}
	}}
	lease, err := c.converse(s, netip.Addr{}, time.Second)
	if want := (Lease{Address: netip.MustParsePrefix("10.0.2.15/24"), Time: time.Hour}); err != nil || !reflect.DeepEqual(lease, want) {
		t.Fatalf("got %+v, %v, want %+v", lease, err, want)
	}
	kinds := []byte{discover, request}
	for i, message := range s.asked {
		options, err := parseOptions(message[optionsAt:])
		if err != nil || options[optionType][0] != kinds[i] {
			t.Errorf("message %d: %v, %v", i, options, err)
		}
		if i == 1 && (string(options[optionRequested]) != "\x0a\x00\x02\x0f" || string(options[optionServer]) != "\x0a\x00\x02\x02") {
			t.Errorf("the request does not name what was offered: %v", options)
		}
	}
	if a, b := s.asked[0][xidAt:xidAt+4], s.asked[1][xidAt:xidAt+4]; binary.BigEndian.Uint32(a) != binary.BigEndian.Uint32(b) {
		t.Error("one exchange has two numbers")
	}
	for name, answers := range map[string]func(message []byte, n int) [][]byte{
		"deadline": func([]byte, int) [][]byte { return nil },
		"refused": func(message []byte, n int) [][]byte {
			return [][]byte{answer(message, map[int]string{1: simOffer, 2: "350106 36040a000202 ff"}[n])}
		},
		"cookie": func(message []byte, _ int) [][]byte {
			b := answer(message, simOffer)
			b[cookieAt] = 0
			return [][]byte{b}
		},
	} {
		lease, err := c.converse(&simServer{answers: answers}, netip.Addr{}, time.Second)
		if err == nil || name != "deadline" && !strings.Contains(err.Error(), name) || lease.Address.IsValid() {
			t.Errorf("%s: %+v, %v", name, lease, err)
		}
	}
}

func TestResolvConf(t *testing.T) {
	a, b, c, d := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.4")
	got := string(resolvConf([]Lease{{DNS: []netip.Addr{a, b}}, {DNS: []netip.Addr{b, c, d}}}))
	if want := "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
