package machine

import (
	"fmt"
	"strconv"
	"strings"
)

// Version is the release number of a QEMU.
type Version struct{ Major, Minor, Patch int }

// The releases that are modelled: the first and the first that is not.
var (
	oldest = Version{7, 2, 0}
	beyond = Version{12, 0, 0}
)

// ParseVersion reads "10.0.13" or "10.0". What a distribution appends ("8.2.2+ds-0ubuntu1") is not part of the number and is
// refused: what it changes is said with backports.
func ParseVersion(s string) (Version, error) {
	parts := strings.Split(s, ".")
	if len(parts) != 2 && len(parts) != 3 {
		return Version{}, fmt.Errorf("QEMU version %q: expected MAJOR.MINOR.PATCH", s)
	}
	var n [3]int
	for i, p := range parts {
		v, err := strconv.ParseUint(p, 10, 16)
		if err != nil || strconv.FormatUint(v, 10) != p {
			return Version{}, fmt.Errorf("QEMU version %q: %q is not a number", s, p)
		}
		n[i] = int(v)
	}
	return Version{n[0], n[1], n[2]}, nil
}

// String gives "10.0.13".
func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// AtLeast tells whether v is the release major.minor.patch or a later one.
func (v Version) AtLeast(major, minor, patch int) bool {
	if v.Major != major {
		return v.Major > major
	}
	if v.Minor != minor {
		return v.Minor > minor
	}
	return v.Patch >= patch
}

// IsZero tells whether v is unset.
func (v Version) IsZero() bool { return v == Version{} }

// MarshalText gives the same as String.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText is ParseVersion.
func (v *Version) UnmarshalText(text []byte) error {
	parsed, err := ParseVersion(string(text))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}
