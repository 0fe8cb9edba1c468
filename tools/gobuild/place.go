package gobuild

import (
	"fmt"
	"path/filepath"
	"strings"
)

// PlaceError says that programs can not be compiled the same in a folder as elsewhere.
type PlaceError struct {
	What, Dir string
}

func (e *PlaceError) Error() string {
	return fmt.Sprintf("%s %s: expected a path without a semicolon, which the compiler would leave in the program", e.What, e.Dir)
}

// checkPlaces refuses paths with a semicolon. It ends a rule in the compiler's -trimpath (src/cmd/internal/objabi/line.go,
// ApplyRewrites), so that what comes after it would not be trimmed. The go command sees the source tree under its own name,
// whatever link led there; the cache, under the name that it is given.
func checkPlaces(root, cache string) error {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return err
	}
	for _, p := range []PlaceError{{"source tree", real}, {"cache", cache}} {
		if strings.Contains(p.Dir, ";") {
			return &p
		}
	}
	return nil
}
