package deb

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxSteps bounds the search for packages that fit together; real sets take a handful of steps.
const maxSteps = 2000

// Resolve finds the packages that a set needs: those that it includes and, over and over, what Depends and Pre-Depends ask for.
// Packages are those of the set's suites, in their order. The result depends on nothing else, and is sorted by name.
//
// Dependencies with one way to meet them come first. For one with a choice that no chosen package settles, alternatives are tried
// as written; of the packages that provide a virtual one, those of higher priority come first, then in the order of their names.
// A way that leads into a contradiction is left again.
func Resolve(set *Set, packages []Package) ([]*Package, []Unmet, error) {
	r := &resolver{set: set, candidates: make(map[string]*Package), providers: make(map[string][]provider), parsed: make(map[*Package]*relations)}
	if err := r.index(packages); err != nil {
		return nil, nil, err
	}
	s := &solution{chosen: make(map[string]*Package), wantedBy: make(map[string]string)}
	include := slices.Clone(set.Include)
	slices.Sort(include)
	for _, name := range include {
		p := r.candidates[name]
		if p == nil {
			return nil, nil, malformed("include: %s", r.unknown(name))
		}
		if reason, err := r.clash(s, p); err != nil {
			return nil, nil, err
		} else if reason != "" {
			return nil, nil, refuse(ErrConflict, "%s and others of the set: %s", p.Name, reason)
		}
		s.choose(p, "")
	}
	for name := range set.Exclude {
		if r.candidates[name] == nil {
			return nil, nil, malformed("exclude: %s", r.unknown(name))
		}
	}
	solved, err := r.solve(s)
	if err != nil {
		return nil, nil, err
	}
	var chosen []*Package
	for _, name := range slices.Sorted(maps.Keys(solved.chosen)) {
		chosen = append(chosen, solved.chosen[name])
	}
	unmet, err := r.unmet(solved, chosen)
	return chosen, unmet, err
}

type resolver struct {
	set *Set
	// candidates are the versions that are taken, by name.
	candidates map[string]*Package
	// providers are the candidates that provide a name.
	providers map[string][]provider
	parsed    map[*Package]*relations
	steps     int
}

type provider struct {
	pkg *Package
	// version is what the package provides, or "" where it says nothing.
	version Version
}

// relations are a package's relationship fields. What is in both Pre-Depends and Depends stands twice.
type relations struct {
	depends   []Alternatives
	conflicts []Relation
}

// solution is a set of packages with what is still to be done.
type solution struct {
	chosen map[string]*Package
	// wantedBy names the package that brought each one.
	wantedBy map[string]string
	// fresh are chosen packages whose dependencies were not looked at.
	fresh []*Package
	open  []demand
}

type demand struct {
	from *Package
	need Alternatives
}

func (s *solution) choose(p *Package, wantedBy string) {
	s.chosen[p.Name] = p
	s.wantedBy[p.Name] = wantedBy
	s.fresh = append(s.fresh, p)
}

func (s *solution) clone() *solution {
	return &solution{chosen: maps.Clone(s.chosen), wantedBy: maps.Clone(s.wantedBy), fresh: slices.Clone(s.fresh), open: slices.Clone(s.open)}
}

// chain says how a package came into the solution: "a, which b needs, which c needs".
func (s *solution) chain(name string) string {
	var text strings.Builder
	text.WriteString(name)
	for by := s.wantedBy[name]; by != ""; by = s.wantedBy[by] {
		text.WriteString(", which " + by + " needs")
	}
	return text.String()
}

// index chooses the candidates and finds what they provide.
func (r *resolver) index(packages []Package) error {
	for i := range packages {
		p := &packages[i]
		if pin, pinned := r.set.Pins[p.Name]; pinned && pin.Compare(p.Version) != 0 {
			continue
		}
		old := r.candidates[p.Name]
		if old == nil || p.Version.Compare(old.Version) > 0 {
			r.candidates[p.Name] = p
			continue
		}
		if p.Version == old.Version && p.SHA256 != old.SHA256 {
			return refuse(ErrIndex, "%s %s is one file in %s (sha256 %s) and another in %s (%s)", p.Name, p.Version, old.Suite, old.SHA256, p.Suite, p.SHA256)
		}
	}
	for name, pin := range r.set.Pins {
		if r.candidates[name] == nil {
			return malformed("pins.%s: the suites do not have version %s", name, pin)
		}
	}
	for _, p := range r.candidates {
		if p.provides == "" {
			continue
		}
		provided, err := ParseRelations(p.provides)
		if err != nil {
			return refuse(ErrIndex, "%s %s: Provides: %v", p.Name, p.Version, err)
		}
		for _, a := range provided {
			if len(a) != 1 || a[0].Operator != "" && a[0].Operator != "=" {
				return refuse(ErrIndex, "%s %s: Provides: expected names, or a name with (= version), got %q", p.Name, p.Version, a)
			}
			r.providers[a[0].Name] = append(r.providers[a[0].Name], provider{pkg: p, version: a[0].Version})
		}
	}
	for _, all := range r.providers {
		slices.SortFunc(all, func(a, b provider) int {
			return cmp.Or(cmp.Compare(priority(a.pkg), priority(b.pkg)), strings.Compare(a.pkg.Name, b.pkg.Name), strings.Compare(string(a.version), string(b.version)))
		})
	}
	return nil
}

func priority(p *Package) int {
	ranks := []string{"required", "important", "standard", "optional"}
	if i := slices.Index(ranks, p.Priority); i >= 0 {
		return i
	}
	return len(ranks)
}

func (r *resolver) unknown(name string) string {
	suites := make([]string, len(r.set.Suites))
	for i, s := range r.set.Suites {
		suites[i] = s.Name
	}
	text := fmt.Sprintf("no package %s in %s for %s", name, strings.Join(suites, ", "), r.set.Architecture)
	var real []string
	for _, p := range r.providers[name] {
		real = append(real, p.pkg.Name)
	}
	if len(real) > 0 {
		text += "; it is provided by " + strings.Join(slices.Compact(real), ", ")
	}
	return text
}

// relations parses the fields of a package once.
func (r *resolver) relations(p *Package) (*relations, error) {
	if known := r.parsed[p]; known != nil {
		return known, nil
	}
	all := new(relations)
	for _, f := range []struct{ name, text string }{
		{"Pre-Depends", p.preDepends}, {"Depends", p.depends}, {"Conflicts", p.conflicts}, {"Breaks", p.breaks},
	} {
		parsed, err := ParseRelations(f.text)
		if err != nil {
			return nil, refuse(ErrIndex, "%s %s: %s: %v", p.Name, p.Version, f.name, err)
		}
		if strings.HasSuffix(f.name, "Depends") {
			all.depends = append(all.depends, parsed...)
			continue
		}
		for _, a := range parsed {
			all.conflicts = append(all.conflicts, a...)
		}
	}
	r.parsed[p] = all
	return all, nil
}

// ours tells whether a relation is about packages of the set's architecture.
func (r *resolver) ours(rel Relation) bool {
	return rel.Architecture == "" || rel.Architecture == "any" || rel.Architecture == r.set.Architecture
}

// metBy tells whether a package is, or provides, what a relation asks for. A demand on the version is met by a virtual package
// only where that has a version (Policy 7.5).
func (r *resolver) metBy(rel Relation, p *Package) bool {
	if !r.ours(rel) {
		return false
	}
	if p.Name == rel.Name && rel.Accepts(p.Version) {
		return true
	}
	for _, v := range r.providers[rel.Name] {
		if v.pkg == p && (rel.Operator == "" || v.version != "" && rel.Accepts(v.version)) {
			return true
		}
	}
	return false
}

// ways returns the candidates that meet a relation, in the order of preference.
func (r *resolver) ways(rel Relation) []*Package {
	var all []*Package
	if p := r.candidates[rel.Name]; p != nil && r.metBy(rel, p) {
		all = append(all, p)
	}
	for _, v := range r.providers[rel.Name] {
		if r.metBy(rel, v.pkg) && !slices.Contains(all, v.pkg) {
			all = append(all, v.pkg)
		}
	}
	return all
}

// met tells whether chosen packages, or excluded ones where those count, meet a dependency.
func (r *resolver) met(s *solution, need Alternatives, excluded bool) bool {
	for _, rel := range need {
		for _, p := range r.ways(rel) {
			if s.chosen[p.Name] != nil {
				return true
			}
			if _, out := r.set.Exclude[p.Name]; out && excluded {
				return true
			}
		}
	}
	return false
}

// clash says what of the chosen packages p can not stand beside, or "".
func (r *resolver) clash(s *solution, p *Package) (string, error) {
	own, err := r.relations(p)
	if err != nil {
		return "", err
	}
	for _, name := range slices.Sorted(maps.Keys(s.chosen)) {
		other := s.chosen[name]
		if other == p {
			continue
		}
		theirs, err := r.relations(other)
		if err != nil {
			return "", err
		}
		for _, rel := range own.conflicts {
			if r.metBy(rel, other) {
				return fmt.Sprintf("%s %s conflicts with %s, which %s %s is", p.Name, p.Version, rel, other.Name, other.Version), nil
			}
		}
		for _, rel := range theirs.conflicts {
			if r.metBy(rel, p) {
				return fmt.Sprintf("%s %s conflicts with %s, which %s %s is", other.Name, other.Version, rel, p.Name, p.Version), nil
			}
		}
	}
	return "", nil
}

// options returns the packages that may be chosen for a demand, and why others may not.
func (r *resolver) options(s *solution, need Alternatives) (options []*Package, why []string, err error) {
	for _, rel := range need {
		found := r.ways(rel)
		if len(found) == 0 {
			switch p := r.candidates[rel.Name]; {
			case p != nil:
				why = append(why, fmt.Sprintf("%s: the suites have %s", rel, p.Version))
			default:
				why = append(why, fmt.Sprintf("%s: the suites do not have it", rel))
			}
		}
		for _, p := range found {
			reason, err := r.clash(s, p)
			if err != nil {
				return nil, nil, err
			}
			if reason != "" {
				why = append(why, reason)
			} else if !slices.Contains(options, p) {
				options = append(options, p)
			}
		}
	}
	return options, why, nil
}

// solve completes a solution.
func (r *resolver) solve(s *solution) (*solution, error) {
	if r.steps++; r.steps > maxSteps {
		return nil, refuse(ErrUnsatisfied, "no packages that fit together in %d steps; include or exclude more by name", maxSteps)
	}
	for {
		for _, p := range s.fresh {
			all, err := r.relations(p)
			if err != nil {
				return nil, err
			}
			for _, need := range all.depends {
				s.open = append(s.open, demand{p, need})
			}
		}
		s.fresh = nil
		var choices []demand
		for _, d := range s.open {
			if r.met(s, d.need, true) {
				continue
			}
			options, why, err := r.options(s, d.need)
			switch {
			case err != nil:
				return nil, err
			case len(options) == 0:
				return nil, refuse(ErrUnsatisfied, "%s: needs %s (%s)", s.chain(d.from.Name), d.need, strings.Join(why, "; "))
			case len(options) == 1:
				s.choose(options[0], d.from.Name)
			default:
				choices = append(choices, d)
			}
		}
		s.open = choices
		if len(s.fresh) > 0 {
			continue
		}
		if len(choices) == 0 {
			return s, nil
		}
		return r.branch(s)
	}
}

// branch tries the ways to meet the first of the open demands.
func (r *resolver) branch(s *solution) (*solution, error) {
	first := slices.MinFunc(s.open, func(a, b demand) int {
		return cmp.Or(strings.Compare(a.from.Name, b.from.Name), strings.Compare(a.need.String(), b.need.String()))
	})
	options, _, err := r.options(s, first.need)
	if err != nil {
		return nil, err
	}
	var failure error
	for _, p := range options {
		try := s.clone()
		try.choose(p, first.from.Name)
		solved, err := r.solve(try)
		if err == nil {
			return solved, nil
		}
		if failure == nil {
			failure = err
		}
		if r.steps > maxSteps {
			break
		}
	}
	return nil, failure
}

// unmet lists the dependencies of a solution that only excluded packages meet.
func (r *resolver) unmet(s *solution, chosen []*Package) ([]Unmet, error) {
	var all []Unmet
	for _, p := range chosen {
		rels, err := r.relations(p)
		if err != nil {
			return nil, err
		}
		for _, need := range rels.depends {
			if !r.met(s, need, false) {
				all = append(all, Unmet{Package: p.Name, Dependency: need.String()})
			}
		}
	}
	slices.SortFunc(all, func(a, b Unmet) int {
		return cmp.Or(strings.Compare(a.Package, b.Package), strings.Compare(a.Dependency, b.Dependency))
	})
	return slices.Compact(all), nil
}
