package securetime

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

var _ Clock = System{}

// System is the clock of the kernel.
type System struct{}

// Now is the time now.
func (System) Now() time.Time { return time.Now() }

// singleShot is ADJ_OFFSET_SINGLESHOT of linux/timex.h: a slew by at most 500 microseconds a second, given in microseconds.
const singleShot = 0x8001

// Step adds to the clock at once.
func (System) Step(by time.Duration) error {
	_, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_SETOFFSET | unix.ADJ_NANO, Time: nanoseconds(by)})
	return os.NewSyscallError("adjtimex", err)
}

// nanoseconds is a time for ADJ_NANO, which has nanoseconds where microseconds stand, and never less than none of them.
func nanoseconds(by time.Duration) unix.Timeval {
	seconds, rest := by/time.Second, by%time.Second
	if rest < 0 {
		seconds, rest = seconds-1, rest+time.Second
	}
	return unix.Timeval{Sec: int64(seconds), Usec: int64(rest)}
}

// Slew adds to the clock by and by.
func (System) Slew(by time.Duration) error {
	_, err := unix.Adjtimex(&unix.Timex{Modes: singleShot, Offset: by.Microseconds()})
	return os.NewSyscallError("adjtimex", err)
}
