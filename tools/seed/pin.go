package seed

import (
	"fmt"
	"os"
	"regexp"

	"github.com/boardroom-tee/boardroom/tools/nar"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// PinFile is where the pin stands in a source tree of boardroom.
const PinFile = "nix/seed.json"

// Pin says which toolchain is the seed and where it is published.
type Pin struct {
	// Version is Go's own name for the release, such as "go1.26.8".
	Version string `json:"version"`
	// NAR is the hash of the seed tree, as "sha256-" and base64.
	NAR     string  `json:"nar"`
	Tarball Tarball `json:"tarball"`
	Module  Module  `json:"module"`
}

// Tarball is the published release archive; SHA256 is hex.
type Tarball struct {
	URL    string `json:"url"`
	SHA256 string `json:"sha256"`
}

// Module is the same toolchain as a module; Sum is its line in the Go checksum database.
type Module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Sum     string `json:"sum"`
}

// PinError says that a pin file is malformed.
type PinError struct {
	File string
	Err  error
}

func (e *PinError) Error() string { return fmt.Sprintf("seed pin %s: %v", e.File, e.Err) }
func (e *PinError) Unwrap() error { return e.Err }

// versionPattern keeps the version usable as the name of a folder and of a store path.
var versionPattern = regexp.MustCompile(`^go[0-9]+(\.[0-9]+){1,2}((rc|beta)[0-9]+)?$`)

// ReadPin reads a pin file. A file that is there and is no sound pin gives a [*PinError].
func ReadPin(file string) (Pin, error) {
	var pin Pin
	data, err := os.ReadFile(file)
	if err != nil {
		return pin, fmt.Errorf("seed pin: %w", err)
	}
	if err := strictjson.Unmarshal(data, &pin); err != nil {
		return pin, &PinError{file, err}
	}
	if !versionPattern.MatchString(pin.Version) {
		return pin, &PinError{file, fmt.Errorf("version: expected a release of Go such as go1.26.8, got %q", pin.Version)}
	}
	if _, err := nar.ParseHash(pin.NAR); err != nil {
		return pin, &PinError{file, fmt.Errorf("nar: %w", err)}
	}
	return pin, nil
}
