package netconf

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

var simExchange = exchange{xid: 0x01020304, hardware: [6]byte{0x52, 0x54, 0, 0x12, 0x34, 0x56}}

// simReply is a message as the user-mode network of QEMU sends it, with the options.
func simReply(options string) []byte {
	b := make([]byte, optionsAt)
	b[opAt], b[hwTypeAt], b[hwLenAt] = bootReply, ethernet, 6
	binary.BigEndian.PutUint32(b[xidAt:], simExchange.xid)
	copy(b[yourIPAt:], []byte{10, 0, 2, 15})
	copy(b[hwAt:], simExchange.hardware[:])
	binary.BigEndian.PutUint32(b[cookieAt:], cookie)
	data, err := hex.DecodeString(strings.ReplaceAll(options, " ", ""))
	if err != nil {
		panic(err)
	}
	return append(b, data...)
}

const (
	simOffer = "350102 36040a000202 0104ffffff00 03040a000202 06040a000203 330400015180 ff"
	simMask  = "350105 36040a000202 0104ffffff00 "
)

func TestParse(t *testing.T) {
	server := netip.MustParseAddr("10.0.2.2")
	prefix := netip.MustParsePrefix("10.0.2.15/24")
	for name, tt := range map[string]struct {
		options string
		want    reply
	}{
		"offer":             {simOffer, reply{offer, server, Lease{prefix, server, []netip.Addr{netip.MustParseAddr("10.0.2.3")}, 24 * time.Hour}}},
		"nak":               {"350106 36040a000202 ff", reply{kind: nak, server: server}},
		"least":             {simMask + "ff", reply{ack, server, Lease{Address: prefix, Time: time.Hour}}},
		"short lease":       {simMask + "330400000001 ff", reply{ack, server, Lease{Address: prefix, Time: time.Minute}}},
		"long lease":        {simMask + "3304ffffffff 00 ff ffff", reply{ack, server, Lease{Address: prefix, Time: 7 * 24 * time.Hour}}},
		"router elsewhere":  {simMask + "0304c0a80001 ff", reply{ack, server, Lease{Address: prefix, Time: time.Hour}}},
		"router is oneself": {simMask + "03040a00020f ff", reply{ack, server, Lease{Address: prefix, Time: time.Hour}}},
		"servers that are none, and too many": {
			simMask + "0608 00000000 e0000001 0610 7f000001 01010101 01010101 08080808 0608 09090909 04040404 ff",
			reply{ack, server, Lease{Address: prefix, Time: time.Hour, DNS: []netip.Addr{
				netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("9.9.9.9"),
			}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := simExchange.parse(simReply(tt.options)); err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	edited := func(at int, data ...byte) []byte {
		b := simReply(simOffer)
		copy(b[at:], data)
		return b
	}
	for name, tt := range map[string]struct {
		message []byte
		want    string
	}{
		"nothing":               {nil, "240"},
		"too long":              {make([]byte, maxMessage+1), "1500"},
		"a request":             {edited(opAt, bootRequest), errOther.Error()},
		"another exchange":      {edited(xidAt, 9), errOther.Error()},
		"another card":          {edited(hwAt, 9), errOther.Error()},
		"no cookie":             {edited(cookieAt, 0), "cookie"},
		"no end":                {simReply("350102"), "end mark"},
		"option without length": {simReply("35"), "cut off"},
		"option cut off":        {simReply("350102 3604 0a00"), "cut off"},
		"no type":               {simReply("36040a000202 ff"), "option 53"},
		"long type":             {simReply("35020202 36040a000202 ff"), "option 53"},
		"no server":             {simReply("350102 ff"), "option 54"},
		"no mask":               {simReply("350102 36040a000202 ff"), "option 1"},
		"mask with holes":       {simReply("350102 36040a000202 0104ff00ff00 ff"), "mask"},
		"mask of nothing":       {simReply("350102 36040a000202 010400000000 ff"), "mask"},
		"mask of all":           {simReply("350102 36040a000202 0104ffffffff ff"), "mask"},
		"no address":            {edited(yourIPAt, 0, 0, 0, 0), "address"},
		"loopback address":      {edited(yourIPAt, 127, 0, 0, 1), "address"},
		"multicast address":     {edited(yourIPAt, 224, 0, 0, 1), "address"},
		"reserved address":      {edited(yourIPAt, 255, 255, 255, 255), "address"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := simExchange.parse(tt.message)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !reflect.DeepEqual(got, reply{}) {
				t.Errorf("got %+v, %v, want an error with %q", got, err, tt.want)
			}
			if errors.Is(err, errOther) != (tt.want == errOther.Error()) {
				t.Errorf("error %v: is it of this exchange?", err)
			}
		})
	}
}

func TestMessage(t *testing.T) {
	server := netip.MustParseAddr("10.0.2.2")
	b := simExchange.message(request, netip.MustParseAddr("10.0.2.15"), server)
	options, err := parseOptions(b[optionsAt:])
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[byte]string{optionType: "03", optionRequested: "0a00020f", optionServer: "0a000202", optionMaxSize: "05dc"} {
		if got := hex.EncodeToString(options[option]); got != want {
			t.Errorf("option %d: %s, want %s", option, got, want)
		}
	}
	if len(b) < 300 || b[0] != 1 || !bytes.Equal(b[28:34], simExchange.hardware[:]) || binary.BigEndian.Uint16(b[10:]) != 0x8000 {
		t.Errorf("message %x", b)
	}
	if options, err := parseOptions(simExchange.message(discover, netip.Addr{}, netip.Addr{})[optionsAt:]); err != nil || options[optionRequested] != nil {
		t.Errorf("options of a first message: %v, %v", options, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(simReply(simOffer))
	f.Add(simReply(simMask + "ff"))
	f.Fuzz(func(t *testing.T, message []byte) {
		r, err := simExchange.parse(message)
		if err != nil || r.kind != offer && r.kind != ack {
			return
		}
		if a := r.lease.Address; !a.IsValid() || !assignable(a.Addr()) || len(r.lease.DNS) > maxDNS || r.lease.Time < shortestLease {
			t.Errorf("lease %+v", r.lease)
		}
		if router := r.lease.Router; router.IsValid() && !r.lease.Address.Contains(router) {
			t.Errorf("router %s is not beside %s", router, r.lease.Address)
		}
	})
}
