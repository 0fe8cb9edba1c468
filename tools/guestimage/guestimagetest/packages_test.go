//go:build acceptance

package guestimagetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
)

// TestFetchPackagesLocksAnew has a lock name a version that no mirror has: the same set is locked as the mirror has it, in the copy alone.
func TestFetchPackagesLocksAnew(t *testing.T) {
	tree := t.TempDir()
	CopySource(t, "../../..", tree)
	if relocked := FetchPackages(t, tree); relocked != "" {
		t.Logf("without any change: %s", relocked)
	}
	folder := filepath.Join(tree, "images", "guest")
	d, err := guestimage.Load(filepath.Join(folder, guestimage.DefinitionFile))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, d.Firmware.Lock)
	lock, err := deb.ReadLock(file)
	if err != nil {
		t.Fatal(err)
	}
	gone := &lock.Packages[0]
	current := gone.Version
	gone.Path = strings.Replace(gone.Path, string(gone.Version), "0~gone", 1)
	gone.Version, gone.SHA256 = "0~gone", deb.Digest{1}
	document, err := lock.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, document, 0o600); err != nil {
		t.Fatal(err)
	}
	if relocked := FetchPackages(t, tree); !strings.Contains(relocked, gone.Name+" 0~gone") {
		t.Errorf("got %q, want what is gone", relocked)
	}
	packages, firmware, err := d.Locks()
	if err != nil {
		t.Fatal(err)
	}
	if got := firmware.Packages[0]; got.Name != gone.Name || got.Version != current {
		t.Errorf("the new lock has %s, want %s %s", got, gone.Name, current)
	}
	if _, err := Client(t).Fetch(t.Context(), packages); err != nil {
		t.Error(err)
	}
}
