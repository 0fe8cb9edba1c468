package gobuild

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestCheckPlaces(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "a; b")
	if err := os.Mkdir(odd, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(odd, link); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, root, cache string
		refused           string
	}{
		{"plain", dir, dir, ""},
		{"source tree", odd, dir, "source tree"},
		{"link to the source tree", link, dir, "source tree"},
		{"cache", dir, odd, "cache"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := checkPlaces(tt.root, tt.cache)
			var place *PlaceError
			if tt.refused == "" && err != nil || tt.refused != "" && (!errors.As(err, &place) || place.What != tt.refused) {
				t.Errorf("error is %v, want a *PlaceError about %q", err, tt.refused)
			}
		})
	}
}
