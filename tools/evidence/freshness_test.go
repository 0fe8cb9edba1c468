package evidence

import (
	"errors"
	"testing"
	"time"
)

func TestCheckTime(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for off, ok := range map[time.Duration]bool{
		0: true, -MaxAge: true, -MaxAge - time.Second: false, MaxAhead: true, MaxAhead + time.Second: false,
	} {
		err := Claims{Timestamp: now.Add(off).Format(time.RFC3339)}.CheckTime(now)
		var binding *BindingError
		if (err == nil) != ok || err != nil && !errors.As(err, &binding) {
			t.Errorf("%v: error %v, want ok %v", off, err, ok)
		}
	}
	var claim *ClaimError
	if err := (Claims{Timestamp: "now"}).CheckTime(now); !errors.As(err, &claim) {
		t.Errorf("no time: %v", err)
	}
}
