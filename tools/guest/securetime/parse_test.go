package securetime

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"
)

// simSession has keys of its own.
func simSession(t testing.TB) *session {
	t.Helper()
	s := new(session)
	for i, key := range []**siv{&s.toServer, &s.toClient} {
		var err error
		if *key, err = newSIV(bytes.Repeat([]byte{byte(i + 1)}, sivKey)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestParseReply(t *testing.T) {
	s := simSession(t)
	q := newQuery(s, simCookie)
	good := seal(s.toClient, header(q.packet, simTime), q.identifier)
	got, err := parseReply(good, q, s.toClient)
	if err != nil || !got.sent.Equal(simTime) || !got.received.Equal(simTime) {
		t.Fatalf("%+v, %v, want %v", got, err, simTime)
	}
	for i := range good {
		good[i] ^= 1
		if got, err := parseReply(good, q, s.toClient); err == nil {
			t.Errorf("byte %d changed: %+v", i, got)
		}
		good[i] ^= 1
	}
	for n := range good {
		if _, err := parseReply(good[:n], q, s.toClient); !errors.Is(err, errAuthentication) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	// The answer to another request of the same session, and to the same with its identifier put in.
	another := newQuery(s, simCookie)
	if _, err := parseReply(good, another, s.toClient); !errors.Is(err, errAuthentication) || !strings.Contains(err.Error(), "identifier") {
		t.Errorf("replayed: %v", err)
	}
	twice := appendField(appendField(header(q.packet, simTime), fieldIdentifier, q.identifier), fieldIdentifier, q.identifier)
	if _, err := parseReply(twice, q, s.toClient); !errors.Is(err, errAuthentication) || !strings.Contains(err.Error(), "once") {
		t.Errorf("identifier twice: %v", err)
	}
	// What the server vouches for, and is of no use.
	for name, tt := range map[string]struct {
		change func(h []byte)
		want   string
	}{
		"mode":                     {func(h []byte) { h[0] = request }, "version 4"},
		"version":                  {func(h []byte) { h[0] = 3<<3 | 4 }, "version 4"},
		"time of the request":      {func(h []byte) { h[originAt]++ }, "to be repeated"},
		"does not know":            {func(h []byte) { h[0] |= 3 << 6 }, "does not know"},
		"stratum":                  {func(h []byte) { h[stratumAt] = 16 }, "does not know"},
		"refuses":                  {func(h []byte) { h[stratumAt] = 0 }, "refuses"},
		"delay of its source":      {func(h []byte) { h[rootDelayAt+1] = 4 }, "expected a server whose error is at most 1.5s, got 2s"},
		"dispersion of its source": {func(h []byte) { h[rootSpreadAt+1] = 2 }, "got 2s"},
		"no time":                  {func(h []byte) { clear(h[sentAt:]) }, "expected a time, got none"},
		"no time of arrival":       {func(h []byte) { clear(h[receivedAt:sentAt]) }, "expected a time, got none"},
		"answered too early":       {func(h []byte) { putTime(h[receivedAt:], simTime.Add(time.Second)) }, "before it was asked"},
	} {
		h := header(q.packet, simTime)
		tt.change(h)
		got, err := parseReply(seal(s.toClient, h, q.identifier), q, s.toClient)
		if err == nil || errors.Is(err, errAuthentication) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, %v, want an error with %q", name, got, err, tt.want)
		}
	}
}

// TestTimestamp crosses the end of the first 2^32 seconds, in February 2036.
func TestTimestamp(t *testing.T) {
	for _, want := range []time.Time{
		earliest, time.Date(2036, time.February, 7, 6, 28, 15, 500_000_000, time.UTC), time.Date(2036, time.February, 7, 6, 28, 17, 0, time.UTC),
		earliest.Add((1<<32 - 1) * time.Second),
	} {
		var b [8]byte
		putTime(b[:], want)
		if got, err := timestamp(b[:]); err != nil || !got.Equal(want) {
			t.Errorf("%x: %v, %v, want %v", b, got, err, want)
		}
	}
	var b [8]byte
	putTime(b[:], earliest.Add(-time.Second))
	if got, err := timestamp(b[:]); err != nil || got.Before(earliest) {
		t.Errorf("%x: %v, %v, want no time before %v", b, got, err, earliest)
	}
}

func TestReadKeyAnswer(t *testing.T) {
	join := func(records ...[]byte) []byte { return bytes.Join(records, nil) }
	var (
		protocol = record(critical|recordProtocol, 0, 0)
		aead     = record(critical|recordAEAD, 0, 15)
		cookie   = record(recordCookie, simCookie...)
		end      = record(critical | recordEnd)
	)
	a, err := readKeyAnswer(bytes.NewReader(join(protocol, aead, record(4711, 1), cookie, cookie, record(recordServer, []byte("ntp.example")...), record(recordPort, 1, 2), end, cookie)))
	if err != nil || len(a.cookies) != 2 || a.server != "ntp.example" || a.port != 0x102 {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err = readKeyAnswer(bytes.NewReader(join(protocol, aead, cookie, end))); err != nil || a.port != 123 || a.server != "" {
		t.Errorf("%+v, %v, want port 123 of the same host", a, err)
	}
	for name, tt := range map[string]struct {
		answer []byte
		want   string
	}{
		"empty":             {nil, "expected a record"},
		"cut":               {protocol[:5], "expected a record of 2 bytes"},
		"no cookies":        {join(protocol, aead, end), "got not all"},
		"no protocol":       {join(aead, cookie, end), "got not all"},
		"no algorithm":      {join(protocol, cookie, end), "got not all"},
		"other protocol":    {join(record(recordProtocol, 0, 1)), "expected NTPv4"},
		"two protocols":     {join(protocol, protocol), "expected NTPv4 once"},
		"other algorithm":   {join(record(recordAEAD, 0, 17)), "expected AEAD_AES_SIV_CMAC_256"},
		"two algorithms":    {join(aead, aead), "expected AEAD_AES_SIV_CMAC_256 once"},
		"error":             {record(critical|recordError, 0, 1), "refuses with code 0001"},
		"warning":           {record(critical|recordWarning, 0, 1), "refuses with code 0001"},
		"critical":          {record(critical | 4711), "got type 4711"},
		"odd cookie":        {record(recordCookie, 1, 2, 3), "got 3 bytes"},
		"empty cookie":      {record(recordCookie), "got 0 bytes"},
		"long cookie":       {record(recordCookie, make([]byte, maxCookie+4)...), "got 516 bytes"},
		"no server":         {record(recordServer), "expected a host name"},
		"name of no server": {record(recordServer, []byte("a b")...), "expected a host name"},
		"port 0":            {record(recordPort, 0, 0), "expected a port"},
		"long port":         {record(recordPort, 0, 0, 1), "expected a port"},
		"long record":       {binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, 9), 0xffff), "got 65535"},
	} {
		if a, err := readKeyAnswer(bytes.NewReader(tt.answer)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, %v, want an error with %q", name, a, err, tt.want)
		}
	}
}

func FuzzReadKeyAnswer(f *testing.F) {
	f.Add(bytes.Join([][]byte{record(critical|recordProtocol, 0, 0), record(critical|recordAEAD, 0, 15), record(recordCookie, simCookie...), record(critical | recordEnd)}, nil))
	f.Add(record(critical|recordError, 0, 1))
	f.Fuzz(func(t *testing.T, answer []byte) {
		a, err := readKeyAnswer(bytes.NewReader(answer))
		if err != nil {
			return
		}
		if len(a.cookies) == 0 || len(a.cookies) > maxCookies || a.port == 0 {
			t.Errorf("took %+v", a)
		}
	})
}

// FuzzParseReply has whoever does not know the key: nothing of theirs is taken.
func FuzzParseReply(f *testing.F) {
	s := simSession(f)
	q := query{packet: make([]byte, headerSize), identifier: make([]byte, identifiers)}
	another, err := newSIV(make([]byte, sivKey))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seal(another, header(q.packet, simTime), q.identifier))
	f.Add(header(q.packet, simTime))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if got, err := parseReply(packet, q, s.toClient); !errors.Is(err, errAuthentication) {
			t.Errorf("took %+v, %v", got, err)
		}
	})
}
