package deb

import (
	"cmp"
	"fmt"
	"strings"
)

// maxVersion bounds a version, in bytes; the longest of trixie has 53.
const maxVersion = 256

// Version is a package's version, [epoch:]upstream[-revision] (Policy 5.6.12).
type Version string

// ParseVersion checks the syntax of a version.
func ParseVersion(s string) (Version, error) {
	bad := func(reason string) (Version, error) {
		return "", fmt.Errorf("version %.80q: %s", s, reason)
	}
	if len(s) > maxVersion {
		return bad(fmt.Sprintf("longer than %d bytes", maxVersion))
	}
	epoch, upstream, revision := Version(s).split()
	if strings.Contains(s, ":") {
		// dpkg keeps the epoch in an int.
		if epoch == "" || len(epoch) > 9 || strings.Trim(epoch, "0123456789") != "" {
			return bad("the epoch is not a number of at most 9 digits")
		}
	}
	if upstream == "" || !digit(upstream[0]) {
		return bad("the upstream version does not begin with a digit")
	}
	if i := strings.LastIndexByte(s, '-'); i >= 0 && i == len(s)-1 {
		return bad("the revision is empty")
	}
	for _, part := range []struct{ text, others string }{{upstream, ".+-~:"}, {revision, ".+~"}} {
		for i := range len(part.text) {
			if c := part.text[i]; !digit(c) && !letter(c) && strings.IndexByte(part.others, c) < 0 {
				return bad(fmt.Sprintf("character %q is not allowed", c))
			}
		}
	}
	return Version(s), nil
}

// UnmarshalText checks the syntax.
func (v *Version) UnmarshalText(text []byte) error {
	parsed, err := ParseVersion(string(text))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}

func (v Version) split() (epoch, upstream, revision string) {
	upstream = string(v)
	if i := strings.IndexByte(upstream, ':'); i >= 0 {
		epoch, upstream = upstream[:i], upstream[i+1:]
	}
	if i := strings.LastIndexByte(upstream, '-'); i >= 0 {
		upstream, revision = upstream[:i], upstream[i+1:]
	}
	return epoch, upstream, revision
}

// Compare returns -1, 0 or +1 where v is older than, as old as or newer than w. Versions that are written differently can be as
// old as each other, such as 1.0 and 0:1.0-0.
func (v Version) Compare(w Version) int {
	vEpoch, vUpstream, vRevision := v.split()
	wEpoch, wUpstream, wRevision := w.split()
	return cmp.Or(compareNumbers(vEpoch, wEpoch), compareParts(vUpstream, wUpstream), compareParts(vRevision, wRevision))
}

// compareParts compares upstream versions or revisions: runs of other characters and runs of digits in turn.
func compareParts(a, b string) int {
	for a != "" || b != "" {
		for a != "" && !digit(a[0]) || b != "" && !digit(b[0]) {
			if c := cmp.Compare(order(a), order(b)); c != 0 {
				return c
			}
			a, b = a[1:], b[1:]
		}
		var aNumber, bNumber string
		aNumber, a = cutNumber(a)
		bNumber, b = cutNumber(b)
		if c := compareNumbers(aNumber, bNumber); c != 0 {
			return c
		}
	}
	return 0
}

// order is the rank of the first character of s: a tilde before the end, the end before letters, letters before all others. A
// digit is the end of a run of other characters.
func order(s string) int {
	switch {
	case s == "" || digit(s[0]):
		return 0
	case s[0] == '~':
		return -1
	case letter(s[0]):
		return int(s[0])
	default:
		return int(s[0]) + 256
	}
}

func cutNumber(s string) (number, rest string) {
	i := 0
	for i < len(s) && digit(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

// compareNumbers compares decimal numbers of any length; nothing is zero.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func digit(c byte) bool  { return '0' <= c && c <= '9' }
func letter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
