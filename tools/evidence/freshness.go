package evidence

import (
	"fmt"
	"time"
)

// How far the clock of who speaks may be behind (a slow quote included) and ahead of the verifier's. The nonce is what makes
// evidence fresh; this only notices clocks that are wrong.
const (
	MaxAge   = 5 * time.Minute
	MaxAhead = time.Minute
)

// CheckTime returns a [*BindingError] for claims that are too old or from the future at the verifier's time now, and a
// [*ClaimError] for a timestamp that is none.
func (c Claims) CheckTime(now time.Time) error {
	said, err := c.Time()
	if err != nil {
		return err
	}
	if said.Before(now.Add(-MaxAge)) || said.After(now.Add(MaxAhead)) {
		return &BindingError{
			Check: "timestamp",
			Want:  fmt.Sprintf("at most %v before and %v after %s", MaxAge, MaxAhead, now.UTC().Format(time.RFC3339)),
			Got:   c.Timestamp,
		}
	}
	return nil
}
