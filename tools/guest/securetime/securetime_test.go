package securetime

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// simTime is when the tests are, for the servers.
var simTime = time.Date(2027, time.March, 4, 5, 6, 7, 0, time.UTC)

// simClock is wrong by what it was set to, and remembers what was added.
type simClock struct {
	lock            sync.Mutex
	wrong           time.Duration
	stepped, slewed []time.Duration
	changed         func()
}

// clockAt shows a time when the servers show simTime.
func clockAt(t time.Time) *simClock { return &simClock{wrong: time.Until(t), changed: func() {}} }

func (c *simClock) Now() time.Time {
	c.lock.Lock()
	defer c.lock.Unlock()
	return time.Now().Add(c.wrong)
}

func (c *simClock) Step(by time.Duration) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.wrong += by
	c.stepped = append(c.stepped, by)
	c.changed()
	return nil
}

func (c *simClock) Slew(by time.Duration) error {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.slewed = append(c.slewed, by)
	c.changed()
	return nil
}

// near holds for durations that differ by what a test may take.
func near(got, want time.Duration) bool { return (got - want).Abs() < 30*time.Second }

// keeper has servers that show simTime moved by some durations, and are honest.
func (a *simAuthority) keeper(t *testing.T, clock Clock, moved ...time.Duration) *Keeper {
	t.Helper()
	k := &Keeper{Clock: clock, Roots: a.roots, Rounds: 1, Patience: 5 * time.Second, Interval: time.Millisecond}
	for _, by := range moved {
		k.Servers = append(k.Servers, new(simServer).start(t, simTime.Add(by), a.config(t, "localhost")).address)
	}
	return k
}

// config is TLS as the protocol has it, with a certificate around simTime.
func (a *simAuthority) config(t testing.TB, host string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{alpn},
		Certificates: []tls.Certificate{a.sign(t, host, simTime.AddDate(0, 0, -30), simTime.AddDate(0, 0, 30))},
	}
}

func TestSet(t *testing.T) {
	a := newAuthority(t)
	for name, tt := range map[string]struct {
		clock time.Time
		moved []time.Duration
	}{
		"one server":              {simTime.Add(time.Hour), []time.Duration{0}},
		"clock of 1970":           {time.Unix(0, 0), []time.Duration{0, 0}},
		"clock of 2200":           {time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC), []time.Duration{0, 0, 0, 0}},
		"clock that is right":     {simTime, []time.Duration{0, 100 * time.Millisecond}},
		"one of three is wrong":   {simTime.Add(-time.Hour), []time.Duration{0, 24 * time.Hour, 0}},
		"one of four in the past": {simTime.Add(-time.Hour), []time.Duration{0, 0, -24 * time.Hour, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clockAt(tt.clock)
			offset, err := a.keeper(t, clock, tt.moved...).Set(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(clock.stepped) != 1 || clock.stepped[0] != offset || !near(offset, simTime.Sub(tt.clock)) {
				t.Errorf("set by %v, told %v, want about %v", clock.stepped, offset, simTime.Sub(tt.clock))
			}
			if got := clock.Now(); !near(got.Sub(simTime), 0) {
				t.Errorf("the clock shows %v, want about %v", got, simTime)
			}
		})
	}
}

// TestSetRefuses: with these servers there is no time, and the clock stays as it is.
func TestSetRefuses(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	answering := func(packets func(s *simServer, asked, honest []byte) [][]byte) func(*testing.T) string {
		return func(t *testing.T) string {
			return (&simServer{packets: packets}).start(t, simTime, a.config(t, "localhost")).address
		}
	}
	recording := func(records func([]byte) []byte) func(*testing.T) string {
		return func(t *testing.T) string {
			return (&simServer{records: records}).start(t, simTime, a.config(t, "localhost")).address
		}
	}
	moved := func(by time.Duration) func(*testing.T) string {
		return func(t *testing.T) string {
			return new(simServer).start(t, simTime.Add(by), a.config(t, "localhost")).address
		}
	}
	honest := moved(0)
	// untold has a certificate that ends the session before anything is asked.
	untold := func(t *testing.T) *simServer {
		return &simServer{records: func(honest []byte) []byte {
			t.Error("keys were asked for")
			return honest
		}}
	}
	for name, tt := range map[string]struct {
		servers []func(*testing.T) string
		want    string
	}{
		"two disagree":                        {[]func(*testing.T) string{honest, moved(2 * time.Second)}, "expected 2 of 2 time servers to agree within 1s, got answers of 2"},
		"four in two halves":                  {[]func(*testing.T) string{honest, moved(time.Hour), honest, moved(time.Hour)}, "expected 3 of 4"},
		"second does not exist":               {[]func(*testing.T) string{honest, func(*testing.T) string { return "localhost:1" }}, "localhost:1: dial tcp"},
		"no port":                             {[]func(*testing.T) string{func(*testing.T) string { return "localhost" }}, "missing port"},
		"certificate has ended when it tells": {[]func(*testing.T) string{moved(31 * 24 * time.Hour)}, "its certificate at the time that it tells"},
		"certificate has not begun":           {[]func(*testing.T) string{moved(-31 * 24 * time.Hour)}, "its certificate at the time that it tells"},
		"certificate of another host": {[]func(*testing.T) string{func(t *testing.T) string {
			return untold(t).start(t, simTime, a.config(t, "other.example")).address
		}}, "other.example"},
		"certificate of a stranger": {[]func(*testing.T) string{func(t *testing.T) string {
			return untold(t).start(t, simTime, stranger.config(t, "localhost")).address
		}}, "unknown authority"},
		"TLS 1.2": {[]func(*testing.T) string{func(t *testing.T) string {
			config := a.config(t, "localhost")
			config.MinVersion, config.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			return new(simServer).start(t, simTime, config).address
		}}, "protocol version"},
		"another protocol of TLS": {[]func(*testing.T) string{func(t *testing.T) string {
			config := a.config(t, "localhost")
			config.NextProtos = nil
			return new(simServer).start(t, simTime, config).address
		}}, "expected the protocol ntske/1"},
		"key exchange without an end": {[]func(*testing.T) string{recording(func(h []byte) []byte { return h[:len(h)-4] })}, "expected a record"},
		"key exchange is too long": {[]func(*testing.T) string{recording(func([]byte) []byte {
			var long []byte
			for range maxExchange/404 + 1 {
				long = append(long, record(100, make([]byte, 400)...)...)
			}
			return long
		})}, "at most 16384"},
		"wrong key": {[]func(*testing.T) string{answering(func(s *simServer, asked, _ []byte) [][]byte {
			return [][]byte{seal(s.toServer, header(asked, s.now()), asked[headerSize+fieldHead:headerSize+36])}
		})}, "not authenticated"},
		"nothing": {[]func(*testing.T) string{answering(func(*simServer, []byte, []byte) [][]byte { return nil })}, "no answer in time"},
		"too long": {[]func(*testing.T) string{answering(func(_ *simServer, _, honest []byte) [][]byte {
			return [][]byte{append(honest, make([]byte, maxPacket)...)}
		})}, "expected 48 to 2048 bytes, got 2049"},
		"kiss of death": {[]func(*testing.T) string{answering(func(s *simServer, asked, _ []byte) [][]byte {
			h := header(asked, s.now())
			h[stratumAt] = 0
			copy(h[referenceAt:], "DENY")
			return [][]byte{seal(s.toClient, h, asked[headerSize+fieldHead:headerSize+36])}
		})}, `refuses to tell the time: "DENY"`},
		"cookie is not known": {[]func(*testing.T) string{answering(func(s *simServer, asked, _ []byte) [][]byte {
			h := header(asked, s.now())
			h[stratumAt] = 0
			copy(h[referenceAt:], "NTSN")
			return [][]byte{appendField(h, fieldIdentifier, asked[headerSize+fieldHead:headerSize+36])}
		})}, `"NTSN"`},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clockAt(simTime)
			k := a.keeper(t, clock)
			k.Patience = 400 * time.Millisecond
			for _, s := range tt.servers {
				k.Servers = append(k.Servers, s(t))
			}
			if _, err := k.Set(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if len(clock.stepped)+len(clock.slewed) > 0 {
				t.Errorf("the clock was changed by %v and %v", clock.stepped, clock.slewed)
			}
		})
	}
	k := a.keeper(t, clockAt(simTime))
	if _, err := k.Set(t.Context()); err == nil {
		t.Error("no servers at all: no error")
	}
}

// TestOthersArePassedOver: what is not authenticated neither counts nor ends the wait for what is.
func TestOthersArePassedOver(t *testing.T) {
	a := newAuthority(t)
	s := (&simServer{packets: func(s *simServer, asked, honest []byte) [][]byte {
		forged := append([]byte(nil), honest...)
		putTime(forged[sentAt:], simTime.AddDate(1, 0, 0))
		appended := appendField(honest, fieldCookie, simCookie) // not authenticated, and ignored
		return [][]byte{nil, []byte("junk"), forged, header(asked, simTime.AddDate(2, 0, 0)), appended}
	}}).start(t, simTime, a.config(t, "localhost"))
	clock := clockAt(simTime.AddDate(0, 0, 1))
	k := a.keeper(t, clock)
	k.Servers = []string{s.address}
	offset, err := k.Set(t.Context())
	s.lock.Lock()
	defer s.lock.Unlock()
	if err != nil || !near(offset, -24*time.Hour) || s.asked != 1 {
		t.Errorf("set by %v, %v, after %d requests", offset, err, s.asked)
	}
}

// TestAnotherAttempt: a lost answer is asked for again, with another identifier.
func TestAnotherAttempt(t *testing.T) {
	a := newAuthority(t)
	seen := make(map[string]bool)
	s := (&simServer{packets: func(_ *simServer, asked, honest []byte) [][]byte {
		seen[string(asked[sentAt:headerSize+36])] = true
		if len(seen) == 1 {
			return nil
		}
		return [][]byte{honest}
	}}).start(t, simTime, a.config(t, "localhost"))
	k := a.keeper(t, clockAt(simTime))
	k.Servers = []string{s.address}
	_, err := k.Set(t.Context())
	s.lock.Lock()
	defer s.lock.Unlock()
	if err != nil || len(seen) != 2 {
		t.Errorf("%v after %d different requests", err, len(seen))
	}
}

// TestAnotherRound: servers that come up later are found, as long as the rounds last.
func TestAnotherRound(t *testing.T) {
	a := newAuthority(t)
	sessions := 0
	s := (&simServer{records: func(honest []byte) []byte {
		if sessions++; sessions == 1 {
			return nil
		}
		return honest
	}}).start(t, simTime, a.config(t, "localhost"))
	k := a.keeper(t, clockAt(simTime))
	k.Servers, k.Rounds, k.Patience = []string{s.address}, 2, time.Second
	_, err := k.Set(t.Context())
	s.lock.Lock()
	seen := sessions
	s.lock.Unlock()
	if err != nil || seen != 2 {
		t.Errorf("%v after %d sessions", err, seen)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.Set(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
}

func TestKeep(t *testing.T) {
	a := newAuthority(t)
	t.Run("far", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		clock := clockAt(simTime.Add(time.Hour))
		clock.changed = cancel
		a.keeper(t, clock, 0, 0).Keep(ctx, func(err error) { t.Error(err) })
		if len(clock.stepped) != 1 || !near(clock.stepped[0], -time.Hour) || len(clock.slewed) > 0 {
			t.Errorf("stepped by %v, slewed by %v, want one step", clock.stepped, clock.slewed)
		}
	})
	t.Run("near", func(t *testing.T) {
		clock := clockAt(simTime)
		k := a.keeper(t, clock, 0)
		if _, err := k.Set(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		clock.changed = cancel
		k.Keep(ctx, func(err error) { t.Error(err) })
		if len(clock.stepped) != 1 || len(clock.slewed) != 1 {
			t.Errorf("stepped by %v, slewed by %v, want one of each", clock.stepped, clock.slewed)
		}
	})
	t.Run("nobody answers", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		clock := clockAt(simTime)
		k := a.keeper(t, clock)
		k.Servers = []string{"localhost:1"}
		var said []error
		k.Keep(ctx, func(err error) {
			said = append(said, err)
			cancel()
		})
		if len(said) != 1 || !strings.Contains(said[0].Error(), "the clock is not corrected") || len(clock.stepped)+len(clock.slewed) > 0 {
			t.Errorf("said %v, stepped by %v, slewed by %v", said, clock.stepped, clock.slewed)
		}
	})
}

// TestAgree has measurements that are too far apart for a Duration to tell.
func TestAgree(t *testing.T) {
	const far = 1<<63 - 1
	for _, tt := range []struct {
		told   []time.Duration
		needed int
		want   time.Duration
		agreed bool
	}{
		{[]time.Duration{5}, 1, 5, true},
		{[]time.Duration{5}, 2, 0, false},
		{[]time.Duration{-far, far}, 2, 0, false},
		{[]time.Duration{far, 3, -far, 1, 2}, 3, 2, true},
		{[]time.Duration{0, maxSpread}, 2, maxSpread, true},
		{[]time.Duration{0, maxSpread + 1}, 2, 0, false},
	} {
		var told []measurement
		for _, offset := range tt.told {
			told = append(told, measurement{offset: offset})
		}
		if got, agreed := agree(told, tt.needed); got != tt.want || agreed != tt.agreed {
			t.Errorf("%v of %d: %v, %t, want %v, %t", tt.told, tt.needed, got, agreed, tt.want, tt.agreed)
		}
	}
}
