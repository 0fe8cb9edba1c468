package deb

import (
	"fmt"
	"strings"
)

// maxRelations bounds the alternatives of one field; the longest of trixie has some 2000.
const maxRelations = 20000

// Relation is a package name with an optional demand on its version (Policy 7.1).
type Relation struct {
	Name string
	// Architecture is the qualifier behind a colon, or "".
	Architecture string
	// Operator is one of "<<", "<=", "=", ">=", ">>", or "" where any version will do.
	Operator string
	Version  Version
}

func (r Relation) String() string {
	s := r.Name
	if r.Architecture != "" {
		s += ":" + r.Architecture
	}
	if r.Operator != "" {
		s += " (" + r.Operator + " " + string(r.Version) + ")"
	}
	return s
}

// Accepts tells whether a version meets the demand.
func (r Relation) Accepts(v Version) bool {
	c := 0
	if r.Operator != "" {
		c = v.Compare(r.Version)
	}
	switch r.Operator {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=", "":
		return c == 0
	case ">=":
		return c >= 0
	case ">>":
		return c > 0
	default:
		return false
	}
}

// Alternatives are relations of which one has to hold.
type Alternatives []Relation

func (a Alternatives) String() string {
	texts := make([]string, len(a))
	for i, r := range a {
		texts[i] = r.String()
	}
	return strings.Join(texts, " | ")
}

// ParseRelations reads a relationship field: "a (>= 1) | b, c". Restrictions to architectures and profiles belong to source
// packages, and are refused.
func ParseRelations(s string) ([]Alternatives, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	if n := strings.Count(s, ",") + strings.Count(s, "|"); n >= maxRelations {
		return nil, fmt.Errorf("more than %d relations", maxRelations)
	}
	var all []Alternatives
	for group := range strings.SplitSeq(s, ",") {
		// A comma at the end is allowed, and some packages have it.
		if strings.TrimSpace(group) == "" {
			continue
		}
		var alternatives Alternatives
		for text := range strings.SplitSeq(group, "|") {
			r, err := parseRelation(strings.TrimSpace(text))
			if err != nil {
				return nil, err
			}
			alternatives = append(alternatives, r)
		}
		all = append(all, alternatives)
	}
	return all, nil
}

func parseRelation(s string) (Relation, error) {
	bad := func() (Relation, error) {
		return Relation{}, fmt.Errorf("expected a relation such as \"name (>= 1.0)\", got %.80q", s)
	}
	var r Relation
	name, demand, restricted := strings.Cut(s, "(")
	r.Name, r.Architecture, _ = strings.Cut(strings.TrimSpace(name), ":")
	if !packageName(r.Name) || strings.Contains(name, ":") && !architectureName(r.Architecture) {
		return bad()
	}
	if !restricted {
		return r, nil
	}
	demand, closed := strings.CutSuffix(strings.TrimSpace(demand), ")")
	if !closed {
		return bad()
	}
	version := strings.TrimLeft(demand, "<=>")
	r.Operator = strings.TrimSpace(demand[:len(demand)-len(version)])
	switch r.Operator {
	case "<<", "<=", "=", ">=", ">>":
	default:
		return bad()
	}
	var err error
	if r.Version, err = ParseVersion(strings.TrimSpace(version)); err != nil {
		return bad()
	}
	return r, nil
}

// packageName holds for names by Policy 5.6.1, and for those with capitals, which virtual packages may have.
func packageName(s string) bool {
	if len(s) < 2 || len(s) > 200 || !digit(s[0]) && !letter(s[0]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !digit(c) && !letter(c) && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func architectureName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !digit(c) && (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	return true
}
