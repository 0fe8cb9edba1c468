package evidence

import (
	"crypto/sha512"
	"fmt"
	"maps"
	"slices"
)

// maxValue bounds one member of a canonical object, in bytes; the longest real one is an endpoint URL.
const maxValue = 1024

// Digest returns SHA-512(tag ‖ 0x00 ‖ canonical(members)), the form described in the package comment. The tag names the
// purpose; digests of different purposes never collide because a tag has no zero byte.
//
// It refuses an empty or oddly spelled tag, an empty member list, and any value that JSON might have to escape. Boardroom
// uses it for report data and, with another tag, for what an agent signs when it registers.
func Digest(tag string, members map[string]string) ([64]byte, error) {
	if !consistsOf(tag, isTagByte) {
		return [64]byte{}, fmt.Errorf("digest tag %q: want one or more of a-z 0-9 -", tag)
	}
	if len(members) == 0 {
		return [64]byte{}, fmt.Errorf("digest %s: no members", tag)
	}
	text := append([]byte(tag), 0, '{')
	for i, name := range slices.Sorted(maps.Keys(members)) {
		value := members[name]
		if !consistsOf(name, isNameByte) {
			return [64]byte{}, fmt.Errorf("digest %s: member name %q: want one or more of a-z 0-9 _", tag, name)
		}
		if len(value) > maxValue || !consistsOf(value, isPlainByte) {
			return [64]byte{}, fmt.Errorf(`digest %s: member %s: want 1 to %d bytes of 0x21 to 0x7e without " \ < > &, got %s`,
				tag, name, maxValue, shown(value))
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, '"')
		text = append(text, name...)
		text = append(text, '"', ':', '"')
		text = append(text, value...)
		text = append(text, '"')
	}
	return sha512.Sum512(append(text, '}')), nil
}

// consistsOf says whether s has at least one byte and every byte is allowed.
func consistsOf(s string, allowed func(byte) bool) bool {
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return s != ""
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isTagByte(c byte) bool  { return isLower(c) || isDigit(c) || c == '-' }
func isNameByte(c byte) bool { return isLower(c) || isDigit(c) || c == '_' }
func isHexByte(c byte) bool  { return isDigit(c) || 'a' <= c && c <= 'f' }

// isPlainByte admits what every JSON encoder writes as itself: Go's escapes < > & besides what RFC 8259 demands.
func isPlainByte(c byte) bool {
	switch c {
	case '"', '\\', '<', '>', '&':
		return false
	}
	return 0x21 <= c && c <= 0x7e
}

// shown quotes a refused value for an error text, cut so that a megabyte of garbage does not become a megabyte of log.
func shown(s string) string {
	const limit = 80
	if len(s) > limit {
		return fmt.Sprintf("%q… (%d bytes)", s[:limit], len(s))
	}
	return fmt.Sprintf("%q", s)
}
