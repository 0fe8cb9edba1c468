package deb

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// LockFormat is the number of the lock's format.
const LockFormat = 1

// Lock names packages so exactly that everybody who has it reads the same bytes. It is written by machine, sorted, and does not
// say where anything was downloaded from.
type Lock struct {
	Format int `json:"format"`
	// Set is the digest of the set that was resolved.
	Set          Digest `json:"set_sha256"`
	Architecture string `json:"architecture"`
	// Suites are the suites that the packages were found in, in the set's order.
	Suites []LockedSuite `json:"suites"`
	// Packages are sorted by name.
	Packages []LockedPackage `json:"packages"`
	// Unmet are the dependencies that nothing in the lock meets, because the set excludes what would. Sorted.
	Unmet []Unmet `json:"unmet,omitempty"`
	// Files is the set's.
	Files Filter `json:"files"`
}

// LockedSuite is the state of a suite.
type LockedSuite struct {
	Suite
	// Date is when the archive made this state.
	Date time.Time `json:"date"`
	// ValidUntil is until when the archive vouched for it being the newest state, where it says.
	ValidUntil *time.Time `json:"valid_until,omitempty"`
	// AcceptedExpired says that ValidUntil had passed when the lock was written, and that this was accepted.
	AcceptedExpired bool `json:"accepted_expired,omitempty"`
	// InRelease is the digest of the suite's InRelease file.
	InRelease Digest `json:"inrelease_sha256"`
	// SignedBy are the fingerprints of the primary keys whose signatures were good.
	SignedBy []string `json:"signed_by"`
}

// LockedPackage is one package file.
type LockedPackage struct {
	Name         string  `json:"name"`
	Version      Version `json:"version"`
	Architecture string  `json:"architecture"`
	// Suite is the codename of the suite.
	Suite string `json:"suite"`
	// Path is relative to the archive's root.
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 Digest `json:"sha256"`
}

func (p LockedPackage) String() string { return p.Name + " " + string(p.Version) }

// Unmet is a dependency that nothing meets.
type Unmet struct {
	Package string `json:"package"`
	// Dependency is one relation, with its alternatives.
	Dependency string `json:"dependency"`
}

// NewLock puts a lock together from what was resolved. Releases are those of the set's suites, in their order.
func NewLock(set *Set, releases []*Release, packages []*Package, unmet []Unmet, now time.Time) *Lock {
	l := &Lock{Format: LockFormat, Set: set.SHA256, Architecture: set.Architecture, Unmet: unmet, Files: set.Files}
	for i, r := range releases {
		s := LockedSuite{Suite: set.Suites[i], Date: r.Date, InRelease: r.SHA256, SignedBy: r.SignedBy, AcceptedExpired: r.Expired(now)}
		if !r.ValidUntil.IsZero() {
			s.ValidUntil = &r.ValidUntil
		}
		l.Suites = append(l.Suites, s)
	}
	for _, p := range packages {
		l.Packages = append(l.Packages, LockedPackage{
			Name: p.Name, Version: p.Version, Architecture: p.Architecture, Suite: p.Suite, Path: p.Path, Size: p.Size, SHA256: p.SHA256,
		})
	}
	return l
}

// ReadLock reads a lock from a file. A malformed lock is refused with a [*DocumentError].
func ReadLock(name string) (*Lock, error) { return readDocument(name, ParseLock) }

// ParseLock reads a lock.
func ParseLock(data []byte) (*Lock, error) {
	var l Lock
	if err := strictjson.Unmarshal(data, &l); err != nil {
		return nil, &DocumentError{Err: err}
	}
	if err := l.check(); err != nil {
		return nil, &DocumentError{Err: err}
	}
	return &l, nil
}

// Bytes is the lock as a document.
func (l *Lock) Bytes() ([]byte, error) {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

// CheckSet refuses a lock of another set, or of another state of the set.
func (l *Lock) CheckSet(set *Set) error {
	if l.Set != set.SHA256 {
		return refuse(ErrContent, "the lock is of a set with sha256 %s, the set has %s: write the lock anew", l.Set, set.SHA256)
	}
	return nil
}

// Size is the size of all packages, in bytes.
func (l *Lock) Size() int64 {
	var n int64
	for _, p := range l.Packages {
		n += p.Size
	}
	return n
}

func (l *Lock) check() error {
	if l.Format != LockFormat {
		return fmt.Errorf("format: expected %d, got %d", LockFormat, l.Format)
	}
	if !architectureName(l.Architecture) {
		return fmt.Errorf("architecture: expected one such as amd64, got %q", l.Architecture)
	}
	for i, s := range l.Suites {
		if err := s.check(); err != nil {
			return fmt.Errorf("suites[%d].%w", i, err)
		}
		if slices.ContainsFunc(l.Suites[:i], func(other LockedSuite) bool { return other.Name == s.Name }) {
			return fmt.Errorf("suites[%d]: %s stands twice", i, s.Name)
		}
		if len(s.SignedBy) == 0 {
			return fmt.Errorf("suites[%d].signed_by: expected at least one key, got none", i)
		}
		if s.Date.IsZero() {
			return fmt.Errorf("suites[%d].date: expected a time, got none", i)
		}
	}
	if len(l.Packages) == 0 {
		return errors.New("packages: expected at least one, got none")
	}
	for i, p := range l.Packages {
		if err := p.check(l); err != nil {
			return fmt.Errorf("packages[%d].%w", i, err)
		}
		if i > 0 && l.Packages[i-1].Name >= p.Name {
			return fmt.Errorf("packages[%d]: expected names sorted and once each, got %s after %s", i, p.Name, l.Packages[i-1].Name)
		}
	}
	return l.Files.check()
}

func (p LockedPackage) check(l *Lock) error {
	switch {
	case !packageName(p.Name):
		return fmt.Errorf("name: expected the name of a package, got %q", p.Name)
	case p.Version == "":
		return errors.New("version: expected one, got none")
	case p.Architecture != l.Architecture && p.Architecture != "all":
		return fmt.Errorf("architecture: expected %s or all, got %q", l.Architecture, p.Architecture)
	case !slices.ContainsFunc(l.Suites, func(s LockedSuite) bool { return s.Name == p.Suite }):
		return fmt.Errorf("suite: expected one of suites, got %q", p.Suite)
	case !poolPath(p.Path):
		return fmt.Errorf("path: expected a path in pool/ without . and .., got %q", p.Path)
	case p.Size <= 0 || p.Size > MaxPackage:
		return fmt.Errorf("size: expected 1 to %d bytes, got %d", MaxPackage, p.Size)
	case p.SHA256 == Digest{}:
		return errors.New("sha256: expected a digest, got none")
	}
	return nil
}
