package securetime

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// Servers are the first in the list of dstack's chrony of four operators, of three countries: Cloudflare, the Physikalisch-Technische Bundesanstalt,
// Netnod, and SIDN Labs. They stand in the program, which is part of what is measured.
func Servers() []string {
	return []string{"time.cloudflare.com:4460", "ptbtime1.ptb.de:4460", "nts.netnod.se:4460", "ntppool1.time.nl:4460"}
}

const (
	// maxSpread is how far servers that agree may be apart: more than their errors, and than what a leap second makes between those that spread it
	// over a day and those that do not.
	maxSpread = time.Second
	// maxRoundTrip bounds what a packet that was kept back can do to the time, which is half of that.
	maxRoundTrip = time.Second
	// maxAttempts is how often a server is asked that does not answer, each time with another cookie.
	maxAttempts = 3
	// slewed is how far a clock may be wrong to be corrected by making it run faster or slower.
	slewed = 500 * time.Millisecond
)

// Clock is the clock of the system.
type Clock interface {
	// Now has a reading of the monotonic clock.
	Now() time.Time
	// Step adds to the clock at once.
	Step(time.Duration) error
	// Slew adds to the clock by and by, so that it never goes back.
	Slew(time.Duration) error
}

// Keeper sets a clock, and keeps it.
type Keeper struct {
	Clock Clock
	// Servers are addresses of host and port. More than half of them have to agree.
	Servers []string
	Roots   *x509.CertPool
	// Rounds is how often the servers are asked at the start, each time for Patience, and Interval how often later.
	Rounds   int
	Patience time.Duration
	Interval time.Duration
}

// Set asks until servers agree, and sets the clock. It returns by how much the clock was wrong. The error has what each server had to say.
func (k *Keeper) Set(ctx context.Context) (time.Duration, error) {
	for left := k.Rounds; ; left-- {
		round, cancel := context.WithTimeout(ctx, k.Patience)
		offset, err := k.ask(round)
		if err != nil && left > 1 {
			<-round.Done() // a network that has just come up gets the whole of the time
		}
		cancel()
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case err == nil:
			return offset, k.Clock.Step(offset)
		case left <= 1:
			return 0, err
		}
	}
}

// Keep asks at intervals until the context ends, and corrects the clock. What goes wrong is told and leaves the clock as it is.
func (k *Keeper) Keep(ctx context.Context, warn func(error)) {
	ticker := time.NewTicker(k.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := k.correct(ctx); err != nil && ctx.Err() == nil {
				warn(fmt.Errorf("secure time: the clock is not corrected: %w", err))
			}
		}
	}
}

// correct asks once.
func (k *Keeper) correct(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.Patience)
	defer cancel()
	offset, err := k.ask(ctx)
	if err != nil {
		return err
	}
	if offset.Abs() <= slewed {
		return k.Clock.Slew(offset)
	}
	return k.Clock.Step(offset)
}

// measurement is what a server says.
type measurement struct {
	server string
	offset time.Duration
	err    error
}

// ask asks all servers at the same time, and returns what has to be added to the clock as soon as more than half of them agree on it.
func (k *Keeper) ask(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan measurement, len(k.Servers))
	for _, server := range k.Servers {
		go func() {
			offset, err := k.measure(ctx, server)
			results <- measurement{server, offset, err}
		}()
	}
	var told []measurement
	var refusals []string
	for range k.Servers {
		m := <-results
		if m.err != nil {
			refusals = append(refusals, fmt.Sprintf("%s: %v", m.server, m.err))
			continue
		}
		told = append(told, m)
		if offset, agreed := agree(told, len(k.Servers)/2+1); agreed {
			return offset, nil
		}
	}
	for _, m := range told {
		refusals = append(refusals, fmt.Sprintf("%s: the clock is wrong by %v", m.server, m.offset))
	}
	return 0, fmt.Errorf("expected %d of %d time servers to agree within %v, got answers of %d: %s",
		len(k.Servers)/2+1, len(k.Servers), maxSpread, len(told), strings.Join(refusals, "; "))
}

// agree returns the median of the measurements that are together, if there are as many as needed.
func agree(told []measurement, needed int) (time.Duration, bool) {
	sorted := slices.SortedFunc(slices.Values(told), func(a, b measurement) int { return cmp.Compare(a.offset, b.offset) })
	for first := 0; first+needed <= len(sorted); first++ {
		group := sorted[first : first+needed]
		// The difference of two that are very far apart overflows, and is negative then.
		if spread := group[needed-1].offset - group[0].offset; spread >= 0 && spread <= maxSpread {
			return group[needed/2].offset, true
		}
	}
	return 0, false
}

// measure finds out how far the clock is from a server's.
func (k *Keeper) measure(ctx context.Context, server string) (time.Duration, error) {
	host, _, err := net.SplitHostPort(server)
	if err != nil {
		return 0, err
	}
	s, err := agreeKeys(ctx, server, k.Roots)
	if err != nil {
		return 0, err
	}
	offset, at, err := k.exchange(ctx, s)
	if err != nil {
		return 0, err
	}
	if err := verifyChain(s.chain, host, k.Roots, at); err != nil {
		return 0, fmt.Errorf("its certificate at the time that it tells: %w", err)
	}
	return offset, nil
}

// exchange asks for the time, and asks again when there is no answer.
func (k *Keeper) exchange(ctx context.Context, s *session) (offset time.Duration, at time.Time, err error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", s.address)
	if err != nil {
		return 0, time.Time{}, err
	}
	defer conn.Close()
	for _, cookie := range s.cookies[:min(len(s.cookies), maxAttempts)] {
		if offset, at, err = k.attempt(ctx, conn, s, cookie); err == nil || !errors.Is(err, errSilent) {
			break
		}
		if deadline, ok := ctx.Deadline(); ctx.Err() != nil || ok && !time.Now().Before(deadline) {
			break
		}
	}
	return offset, at, err
}

// errSilent is of a server that did not answer, or whose answer did not come through.
var errSilent = errors.New("no answer in time")

// attempt sends a request and waits for its answer. Packets that are not authenticated are passed over, so that nobody ends the wait who only
// sends some, but the last reason is told.
func (k *Keeper) attempt(ctx context.Context, conn net.Conn, s *session, cookie []byte) (time.Duration, time.Time, error) {
	fail := func(err error) (time.Duration, time.Time, error) { return 0, time.Time{}, err }
	q := newQuery(s, cookie)
	limit := time.Now().Add(maxRoundTrip)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(limit) {
		limit = deadline
	}
	if err := conn.SetDeadline(limit); err != nil {
		return fail(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	started := k.Clock.Now()
	if _, err := conn.Write(q.packet); err != nil {
		return fail(err)
	}
	buffer := make([]byte, maxPacket+1)
	silent := errSilent
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return fail(fmt.Errorf("%w: %w", silent, err))
		}
		elapsed := k.Clock.Now().Sub(started)
		r, err := parseReply(buffer[:n], q, s.toClient)
		if errors.Is(err, errAuthentication) {
			silent = fmt.Errorf("%w, after one that does not count: %w", errSilent, err)
			continue
		}
		if err != nil {
			return fail(err)
		}
		if elapsed > maxRoundTrip {
			return fail(fmt.Errorf("expected a round trip of at most %v, got %v", maxRoundTrip, elapsed))
		}
		asked := started.Round(0)
		// The mean of two differences (RFC 5905 section 8), halved first, because each can be as long as a Duration gets.
		return r.received.Sub(asked)/2 + r.sent.Sub(asked.Add(elapsed))/2, r.sent, nil
	}
}
