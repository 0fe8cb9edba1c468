package agentimage

import (
	"fmt"
	"strconv"
	"time"
)

// maxEpoch is 9999-12-31T23:59:59Z, the last time that RFC 3339 can write.
const maxEpoch = 253402300799

// Epoch reads SOURCE_DATE_EPOCH: seconds since 1970 in decimal (reproducible-builds.org/specs/source-date-epoch). An empty
// value stands for 0, so that an image depends on a date only where somebody asks for it.
func Epoch(value string) (time.Time, error) {
	if value == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil || value[0] == '+' || seconds < 0 || seconds > maxEpoch {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: expected seconds since 1970 from 0 to %d, got %q", int64(maxEpoch), value)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
