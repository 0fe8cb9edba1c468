package deb

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// Filter leaves paths out of a tree. A pattern is a path from the root without a leading slash, such as "usr/share/doc"; in each
// of its parts * stands for any run of characters, ? for one and [a-z] for one of a range, as in [path.Match], and a part ** stands
// for any number of parts. A pattern that matches a folder matches all that is in it. Folders above what is kept are kept.
type Filter struct {
	// Exclude are the patterns of what is left out.
	Exclude []string `json:"exclude,omitempty"`
	// Keep are the patterns of what is kept although Exclude matches it.
	Keep []string `json:"keep,omitempty"`
}

func (f Filter) check() error {
	for list, patterns := range map[string][]string{"exclude": f.Exclude, "keep": f.Keep} {
		for i, p := range patterns {
			if p == "" || p == "." || path.Clean("/"+p) != "/"+p || !utf8.ValidString(p) {
				return fmt.Errorf("files.%s[%d]: expected a path from the root such as usr/share/doc, got %q", list, i, p)
			}
			for part := range strings.SplitSeq(p, "/") {
				if _, err := path.Match(part, ""); err != nil {
					return fmt.Errorf("files.%s[%d]: %q: %w", list, i, p, err)
				}
				if strings.Contains(part, "**") && part != "**" {
					return fmt.Errorf("files.%s[%d]: %q: expected ** to be a part of its own", list, i, p)
				}
			}
		}
	}
	return nil
}

// filter is a [Filter] with its patterns cut into parts.
type filter struct{ exclude, keep [][]string }

func (f Filter) compile() filter {
	cut := func(patterns []string) [][]string {
		var all [][]string
		for _, p := range patterns {
			all = append(all, strings.Split(p, "/"))
		}
		return all
	}
	return filter{exclude: cut(f.Exclude), keep: cut(f.Keep)}
}

// excludes tells whether a path is left out.
func (f filter) excludes(name string) bool {
	if len(f.exclude) == 0 {
		return false
	}
	parts := strings.Split(name, "/")
	return matchesAny(f.exclude, parts) && !matchesAny(f.keep, parts)
}

func matchesAny(patterns [][]string, parts []string) bool {
	for _, p := range patterns {
		if matches(p, parts) {
			return true
		}
	}
	return false
}

// matches tells whether a pattern matches a path or a folder above it.
func matches(pattern, parts []string) bool {
	if len(pattern) == 0 {
		return true
	}
	if pattern[0] == "**" {
		for i := range parts {
			if matches(pattern[1:], parts[i:]) {
				return true
			}
		}
		return false
	}
	if len(parts) == 0 {
		return false
	}
	// The pattern was checked, and can not be malformed.
	found, _ := path.Match(pattern[0], parts[0])
	return found && matches(pattern[1:], parts[1:])
}
