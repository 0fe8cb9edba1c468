package ratls

import (
	"encoding/hex"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// parseV1 reads a MessagePack container: {version, platform: {kind, data}, stack: {kind, data}}, each member once and none
// unknown.
func parseV1(data []byte) (attestation, error) {
	u := &unpacker{data: data}
	a := attestation{format: "attestation v1"}
	u.object("", []string{"version", "platform", "stack"}, func(name string) {
		switch name {
		case "version":
			if v := u.uint("version"); u.err == nil && v != 1 {
				u.fail("version", "want 1, got %d", v)
			}
		case "platform":
			u.tagged("platform", []string{"tdx"}, func() {
				u.object("platform.data", []string{"quote", "event_log"}, func(name string) {
					if name == "quote" {
						a.quote = u.bytes("platform.data.quote", evidence.MaxQuote)
						return
					}
					a.beside = u.events("platform.data.event_log", u.event)
				})
			})
		case "stack":
			u.tagged("stack", []string{"dstack", "dstack-pod"}, func() { u.stack(&a) })
		}
	})
	if u.err == nil && len(u.data) > 0 {
		u.fail("end", "want nothing after the map, got %d bytes", len(u.data))
	}
	return a, u.err
}

func (u *unpacker) stack(a *attestation) {
	required := []string{"report_data", "runtime_events", "config"}
	u.object("stack.data", required, func(name string) {
		switch name {
		case "report_data":
			if n := len(u.bytes("stack.data.report_data", 64)); u.err == nil && n != 64 {
				u.fail("stack.data.report_data", "want 64 bytes, got %d", n)
			}
		case "runtime_events":
			a.runtime = u.events("stack.data.runtime_events", u.runtimeEvent)
		case "config":
			a.config = u.text("stack.data.config", maxText)
		case "report_data_payload": // of a pod; the quote does not carry it, so it says nothing here
			u.text("stack.data.report_data_payload", maxText)
		}
	}, "report_data_payload")
}

func (u *unpacker) events(at string, one func(string) event) []event {
	var events []event
	for i := range u.list(at, maxEvents) {
		events = append(events, one(fmt.Sprintf("%s[%d]", at, i)))
		if u.err != nil {
			return nil
		}
	}
	return events
}

func (u *unpacker) event(at string) (e event) {
	u.object(at, []string{"imr", "event_type", "event", "event_payload"}, func(name string) {
		at := at + "." + name
		switch name {
		case "imr":
			e.Register = u.uint(at)
		case "event_type":
			e.Type = u.uint(at)
		case "digest":
			e.Digest = hex.EncodeToString(u.bytes(at, evidence.MaxEventLog))
		case "event":
			e.Name = u.text(at, evidence.MaxEventLog)
		case "event_payload":
			e.Payload = hex.EncodeToString(u.bytes(at, evidence.MaxEventLog))
		case "version":
			e.Version = u.uint(at)
		case "preimage":
			if !u.null() {
				e.Preimage = u.text(at, evidence.MaxEventLog)
			}
		}
	}, "digest", "version", "preimage")
	return e
}

func (u *unpacker) runtimeEvent(at string) event {
	e := event{Register: runtimeRegister, Type: runtimeType}
	u.object(at, []string{"event", "payload"}, func(name string) {
		at := at + "." + name
		switch name {
		case "event":
			e.Name = u.text(at, evidence.MaxEventLog)
		case "payload":
			e.Payload = hex.EncodeToString(u.bytes(at, evidence.MaxEventLog))
		case "version":
			e.Version = u.uint(at)
		}
	}, "version")
	return e
}

// unpacker reads the part of MessagePack that rmp_serde writes (github.com/msgpack/msgpack, spec.md): integers, strings, byte
// strings, arrays, maps with text for keys, nil. Lengths are held against the bytes that are left before anything is
// allocated. After the first error every call does nothing and returns zero.
type unpacker struct {
	data []byte
	err  error
}

func (u *unpacker) fail(at, format string, args ...any) {
	if u.err == nil {
		part := "attestation v1"
		if at != "" {
			part += ": " + at
		}
		u.err = &FormError{part, fmt.Sprintf(format, args...)}
	}
}

func (u *unpacker) take(at string, n uint64) []byte {
	if u.err == nil && n > uint64(len(u.data)) {
		u.fail(at, "want %d bytes more, got %d", n, len(u.data))
	}
	if u.err != nil {
		return nil
	}
	taken := u.data[:n]
	u.data = u.data[n:]
	return taken
}

// number reads n bytes, big-endian.
func (u *unpacker) number(at string, n uint64) (v uint64) {
	for _, b := range u.take(at, n) {
		v = v<<8 | uint64(b)
	}
	return v
}

// first reads the byte that says what follows.
func (u *unpacker) first(at string) byte {
	if b := u.take(at, 1); b != nil {
		return b[0]
	}
	return 0xc1 // never used, says the specification
}

// null takes a nil if one stands here.
func (u *unpacker) null() bool {
	if u.err != nil || len(u.data) == 0 || u.data[0] != 0xc0 {
		return false
	}
	u.data = u.data[1:]
	return true
}

func (u *unpacker) uint(at string) uint64 {
	switch b := u.first(at); {
	case b < 0x80:
		return uint64(b)
	case b >= 0xcc && b <= 0xcf:
		return u.number(at, 1<<(b-0xcc))
	default:
		u.fail(at, "want a whole number, not negative, got type %#02x", b)
		return 0
	}
}

// list reads the head of an array.
func (u *unpacker) list(at string, limit int) int {
	var n uint64
	switch b := u.first(at); {
	case b&0xf0 == 0x90:
		n = uint64(b & 0x0f)
	case b == 0xdc:
		n = u.number(at, 2)
	case b == 0xdd:
		n = u.number(at, 4)
	default:
		u.fail(at, "want an array, got type %#02x", b)
	}
	if u.err == nil && (n > uint64(limit) || n > uint64(len(u.data))) {
		u.fail(at, "want at most %d elements, and no more than there are bytes, got %d", limit, n)
	}
	if u.err != nil {
		return 0
	}
	return int(n)
}

// bytes reads a byte string, or an array of bytes, which is how serde writes a Vec<u8> that nobody told it otherwise.
func (u *unpacker) bytes(at string, limit int) []byte {
	var n uint64
	switch {
	case u.err != nil || len(u.data) == 0:
		u.fail(at, "want bytes, got the end")
		return nil
	case u.data[0] >= 0xc4 && u.data[0] <= 0xc6:
		n = u.number(at, 1<<(u.first(at)-0xc4))
	default:
		data := make([]byte, u.list(at, limit))
		for i := range data {
			v := u.uint(at)
			if v > 0xff {
				u.fail(at, "want bytes, got the number %d", v)
			}
			data[i] = byte(v)
		}
		if u.err != nil {
			return nil
		}
		return data
	}
	if u.err == nil && n > uint64(limit) {
		u.fail(at, "want at most %d bytes, got %d", limit, n)
	}
	return u.take(at, n)
}

func (u *unpacker) text(at string, limit int) string {
	var n uint64
	switch b := u.first(at); {
	case b&0xe0 == 0xa0:
		n = uint64(b & 0x1f)
	case b >= 0xd9 && b <= 0xdb:
		n = u.number(at, 1<<(b-0xd9))
	default:
		u.fail(at, "want a string, got type %#02x", b)
	}
	if u.err == nil && n > uint64(limit) {
		u.fail(at, "want at most %d bytes, got %d", limit, n)
	}
	data := u.take(at, n)
	if !utf8.Valid(data) {
		u.fail(at, "want UTF-8")
		return ""
	}
	return string(data)
}

// maxName bounds a member's name, in bytes.
const maxName = 64

// object reads a map of the required members and perhaps some optional ones, each at most once; member reads the value.
func (u *unpacker) object(at string, required []string, member func(name string), optional ...string) {
	var n uint64
	switch b := u.first(at); {
	case b&0xf0 == 0x80:
		n = uint64(b & 0x0f)
	case b == 0xde:
		n = u.number(at, 2)
	case b == 0xdf:
		n = u.number(at, 4)
	default:
		u.fail(at, "want a map, got type %#02x", b)
	}
	var seen []string
	for range n {
		name := u.text(at, maxName)
		switch {
		case u.err != nil:
			return
		case slices.Contains(seen, name):
			u.fail(at, "member %q stands twice", name)
			return
		case !slices.Contains(required, name) && !slices.Contains(optional, name):
			u.fail(at, "unknown member %q", name)
			return
		}
		seen = append(seen, name)
		member(name)
	}
	for _, name := range required {
		if !slices.Contains(seen, name) {
			u.fail(at, "member %q is missing", name)
		}
	}
}

// tagged reads {kind, data} in this order, as serde writes an enum with tag and content.
func (u *unpacker) tagged(at string, kinds []string, data func()) {
	known := false
	u.object(at, []string{"kind", "data"}, func(name string) {
		if name == "kind" {
			kind := u.text(at+".kind", maxName)
			if known = slices.Contains(kinds, kind); !known {
				u.fail(at+".kind", "want one of %v, got %q", kinds, kind)
			}
			return
		}
		if !known {
			u.fail(at, "want kind before data")
			return
		}
		data()
	})
}
