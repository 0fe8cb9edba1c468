package securetime

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestNanoseconds(t *testing.T) {
	for by, want := range map[time.Duration]unix.Timeval{
		0:                        {},
		1250 * time.Millisecond:  {Sec: 1, Usec: 250_000_000},
		-time.Nanosecond:         {Sec: -1, Usec: 999_999_999},
		-1250 * time.Millisecond: {Sec: -2, Usec: 750_000_000},
		-2 * time.Second:         {Sec: -2},
		-1 << 63:                 {Sec: -9223372037, Usec: 145_224_192},
	} {
		if got := nanoseconds(by); got != want {
			t.Errorf("%v: %+v, want %+v", by, got, want)
		}
	}
}
