package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent/metrics"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/dstack/guestagent"
	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// Bounds of quoting. The host makes quotes one after the other in its quoting service, a few hundred milliseconds each;
// more at once only lengthens the queue that everybody on the machine shares.
const (
	quotesAtOnce = 4
	quoteTimeout = 30 * time.Second
)

// ErrBusy means that no quote could be started in time.
var ErrBusy = errors.New("too many attestations at once")

// Attester makes evidence about this process. It is safe for concurrent use.
type Attester struct {
	Identity
	guest    *guestagent.Client
	now      func() time.Time
	slots    web.Slots
	outcomes *metrics.Counter
}

// NewAttester returns an attester that asks guest for quotes and now for the time, and counts in set.
func NewAttester(i Identity, guest *guestagent.Client, now func() time.Time, set *metrics.Set) *Attester {
	return &Attester{
		Identity: i,
		guest:    guest,
		now:      now,
		slots:    web.NewSlots(quotesAtOnce),
		outcomes: set.Counter("boardroom_attestations_total", "Evidence asked for, by what came of it.", "outcome"),
	}
}

// Claims returns what this process says about itself now. The error is an [*evidence.ClaimError] for a bad nonce.
func (a *Attester) Claims(nonce string) (evidence.Claims, error) {
	return evidence.NewClaims(a.ID, a.Type, a.Public, nonce, a.now())
}

// Attest returns evidence for a nonce, or says why there is none; it never makes one up. The error is an
// [*evidence.ClaimError] for a bad nonce, or wraps [ErrBusy], [guestagent.ErrNoSocket], [context.DeadlineExceeded] or what
// the guest agent said.
func (a *Attester) Attest(ctx context.Context, nonce string) (evidence.Evidence, error) {
	e, outcome, err := a.attest(ctx, nonce)
	a.outcomes.Add(outcome)
	return e, err
}

func (a *Attester) attest(ctx context.Context, nonce string) (evidence.Evidence, string, error) {
	ctx, cancel := context.WithTimeout(ctx, quoteTimeout)
	defer cancel()
	if err := evidence.CheckNonce(nonce); err != nil {
		return evidence.Evidence{}, "bad_nonce", err
	}
	if err := a.slots.Wait(ctx); err != nil {
		return evidence.Evidence{}, "busy", fmt.Errorf("%w: %w", ErrBusy, err)
	}
	defer a.slots.Leave()
	// The time is taken after the wait, so that it is that of the quote.
	claims, err := a.Claims(nonce)
	if err != nil {
		return evidence.Evidence{}, "bad_claims", err
	}
	data, err := evidence.ReportData(claims)
	if err != nil {
		return evidence.Evidence{}, "bad_claims", err
	}
	quote, err := a.guest.GetQuote(ctx, data)
	switch {
	case errors.Is(err, guestagent.ErrNoSocket):
		return evidence.Evidence{}, "no_guest_agent", err
	case err != nil && ctx.Err() != nil:
		return evidence.Evidence{}, "timeout", fmt.Errorf("no quote within %v: %w: %w", quoteTimeout, ctx.Err(), err)
	case err != nil:
		return evidence.Evidence{}, "quote_failed", err
	}
	e, err := evidence.New(claims, quote.Quote, quote.EventLog, quote.VMConfig)
	if err != nil {
		return evidence.Evidence{}, "quote_failed", fmt.Errorf("the guest agent's answer: %w", err)
	}
	return e, "ok", nil
}

// Available returns nil when the guest agent answers on its socket. It asks for no quote, so a nil error does not promise
// one.
func (a *Attester) Available(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return a.guest.Reachable(ctx)
}
