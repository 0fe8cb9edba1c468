package deb

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// maxDocument bounds a set or a lock, in bytes; a lock has some 400 bytes for each package.
const maxDocument = 16 << 20

// Set says which packages are wanted. Members are optional unless it says otherwise.
type Set struct {
	// Suites are where packages are taken from. Of a package that several have, the newest version is taken, and of one version
	// in several the first suite's. Default: trixie, trixie-updates and trixie-security.
	Suites []Suite `json:"suites,omitempty"`
	// Components of the suites. Default: main.
	Components []string `json:"components,omitempty"`
	// Architecture of the packages. Default: amd64.
	Architecture string `json:"architecture,omitempty"`
	// Include names the packages that are wanted; what they depend on comes with them. Recommended packages do not,
	// and neither do essential ones, such as dash or perl-base, which no package says that it depends on. Required.
	Include []string `json:"include"`
	// Exclude names packages that are left out although others depend on them, each with the reason. Dependencies are resolved as if
	// they were installed. The lock lists the dependencies that only they meet.
	Exclude map[string]string `json:"exclude,omitempty"`
	// Pins fix the versions of packages, by name; otherwise the newest is taken.
	Pins map[string]Version `json:"pins,omitempty"`
	// Files says which paths of the packages are left out.
	Files Filter `json:"files"`

	// SHA256 is the digest of the document.
	SHA256 Digest `json:"-"`
}

// Suite is a suite of an archive.
type Suite struct {
	// Archive is the folder that the archive has on mirrors: "debian", or "debian-security".
	Archive string `json:"archive"`
	// Name is the suite's codename.
	Name string `json:"name"`
}

// ReadSet reads a set from a file. A malformed set is refused with a [*DocumentError].
func ReadSet(name string) (*Set, error) { return readDocument(name, ParseSet) }

// ParseSet reads a set and fills in what is left to default.
func ParseSet(data []byte) (*Set, error) {
	var s Set
	if err := strictjson.Unmarshal(data, &s); err != nil {
		return nil, &DocumentError{Err: err}
	}
	s.SHA256 = sha256.Sum256(data)
	if s.Suites == nil {
		s.Suites = []Suite{{"debian", "trixie"}, {"debian", "trixie-updates"}, {"debian-security", "trixie-security"}}
	}
	if s.Components == nil {
		s.Components = []string{"main"}
	}
	if s.Architecture == "" {
		s.Architecture = "amd64"
	}
	if err := s.check(); err != nil {
		return nil, &DocumentError{Err: err}
	}
	return &s, nil
}

func (s *Set) check() error {
	if len(s.Suites) == 0 {
		return errors.New("suites: expected at least one, got none")
	}
	for i, suite := range s.Suites {
		if err := suite.check(); err != nil {
			return fmt.Errorf("suites[%d].%w", i, err)
		}
		if slices.ContainsFunc(s.Suites[:i], func(other Suite) bool { return other.Name == suite.Name }) {
			return fmt.Errorf("suites[%d]: %s stands twice", i, suite.Name)
		}
	}
	if len(s.Components) == 0 {
		return errors.New("components: expected at least one, got none")
	}
	for i, c := range s.Components {
		if !suiteName(c) {
			return fmt.Errorf("components[%d]: expected a name such as main, got %q", i, c)
		}
	}
	if !architectureName(s.Architecture) || s.Architecture == "all" || s.Architecture == "any" {
		return fmt.Errorf("architecture: expected one such as amd64, got %q", s.Architecture)
	}
	if len(s.Include) == 0 {
		return errors.New("include: expected at least one package, got none")
	}
	for i, name := range s.Include {
		if !packageName(name) {
			return fmt.Errorf("include[%d]: expected the name of a package, got %q", i, name)
		}
		if slices.Contains(s.Include[:i], name) {
			return fmt.Errorf("include[%d]: %s stands twice", i, name)
		}
		if _, excluded := s.Exclude[name]; excluded {
			return fmt.Errorf("exclude: %s is included, too", name)
		}
	}
	for name, reason := range s.Exclude {
		if !packageName(name) {
			return fmt.Errorf("exclude: expected the name of a package, got %q", name)
		}
		if strings.TrimSpace(reason) == "" {
			return fmt.Errorf("exclude.%s: expected the reason, got none", name)
		}
	}
	for name := range s.Pins {
		if !packageName(name) {
			return fmt.Errorf("pins: expected the name of a package, got %q", name)
		}
	}
	return s.Files.check()
}

func (s Suite) check() error {
	if s.Archive != "debian" && s.Archive != "debian-security" {
		return fmt.Errorf("archive: expected debian or debian-security, got %q", s.Archive)
	}
	if !suiteName(s.Name) {
		return fmt.Errorf("name: expected a codename such as trixie, got %q", s.Name)
	}
	return nil
}

// suiteName holds for names of suites and components; they become parts of URLs and paths.
func suiteName(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !digit(c) && (c < 'a' || c > 'z') && c != '-' {
			return false
		}
	}
	return true
}

func readDocument[T any](name string, parse func([]byte) (*T, error)) (*T, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxDocument {
		return nil, malformed("%s: expected at most %d bytes, got %d", name, maxDocument, info.Size())
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	document, err := parse(data)
	var bad *DocumentError
	if errors.As(err, &bad) {
		return nil, malformed("%s: %w", name, bad.Err)
	}
	return document, err
}
