package gobuild

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// SettingsFile is where the settings stand in a source tree of boardroom.
const SettingsFile = "nix/go-build.json"

// settings are what decides a program's bytes besides the toolchain and the source.
type settings struct {
	Args []string          `json:"args"`
	Env  map[string]string `json:"env"`
}

// SettingsError says that the settings file is malformed.
type SettingsError struct{ Err error }

func (e *SettingsError) Error() string {
	return fmt.Sprintf("build settings %s: %v", SettingsFile, e.Err)
}
func (e *SettingsError) Unwrap() error { return e.Err }

func readSettings(root string) (settings, error) {
	var s settings
	data, err := os.ReadFile(filepath.Join(root, SettingsFile))
	if err != nil {
		return s, fmt.Errorf("build settings: %w", err)
	}
	if err := strictjson.Unmarshal(data, &s); err != nil {
		return s, &SettingsError{err}
	}
	if len(s.Args) == 0 || len(s.Env) == 0 {
		return s, &SettingsError{errors.New("expected the members args and env with values, got an empty one")}
	}
	return s, nil
}
