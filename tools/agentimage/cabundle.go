package agentimage

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// CABundlePin is the name of the file that pins the CA bundle beside it.
const CABundlePin = "source.json"

type bundleSource struct {
	File    string `json:"file"`
	SHA256  string `json:"sha256"`
	Package string `json:"package"`
	Version string `json:"version"`
	// PackageSHA256 is the hash of the Debian package that the bundle was taken from.
	PackageSHA256 string `json:"package_sha256"`
	License       string `json:"license"`
}

// LoadCABundle reads the bundle of a folder (images/ca-certificates) and compares it with its pin; other content is refused
// with a [*TamperedError].
func LoadCABundle(dir string) ([]byte, error) {
	pin := filepath.Join(dir, CABundlePin)
	data, err := os.ReadFile(pin)
	if err != nil {
		return nil, fmt.Errorf("CA bundle: %w", err)
	}
	var source bundleSource
	if err := strictjson.Unmarshal(data, &source); err != nil {
		return nil, fmt.Errorf("CA bundle: %w", &DefinitionError{File: pin, Err: err})
	}
	file := filepath.Join(dir, filepath.Base(source.File))
	bundle, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("CA bundle: %w", err)
	}
	if err := checkSHA256(file, source.SHA256, bundle); err != nil {
		return nil, fmt.Errorf("CA bundle: %w", err)
	}
	return bundle, nil
}
