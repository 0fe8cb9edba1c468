//go:build acceptance

package guestimagetest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
	"github.com/boardroom-tee/boardroom/tools/deb/mirror"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
)

// keyring has the keys of the archive's suites.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// CopySource copies what images are built from out of a source tree.
func CopySource(t testing.TB, root, to string) {
	t.Helper()
	for _, folder := range []string{"compose", "images", "nix", "tools"} {
		if err := os.CopyFS(filepath.Join(to, folder), os.DirFS(filepath.Join(root, folder))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, file), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Cache is where "boardroom guest build" keeps packages and what it compiles.
func Cache(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("BOARDROOM_CACHE"); dir != "" {
		return dir
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "boardroom")
}

// Client downloads from this machine's mirror into the cache.
func Client(t testing.TB) *mirror.Client {
	t.Helper()
	return &mirror.Client{Mirror: debtest.Mirror(t), Cache: filepath.Join(Cache(t), "deb")}
}

// FetchPackages fetches what the locks of the guest image in a copy of the source tree name. A mirror keeps a package for as long as it is
// current. Where one is gone, the same sets are locked anew in the copy, so that an image can be built all the same, and relocked says what
// is gone: such an image is not the one whose digest others know.
func FetchPackages(t testing.TB, tree string) (relocked string) {
	t.Helper()
	client := Client(t)
	folder := filepath.Join(tree, "images", "guest")
	d, err := guestimage.Load(filepath.Join(folder, guestimage.DefinitionFile))
	if err != nil {
		t.Fatal(err)
	}
	packages, firmware, err := d.Locks()
	if err != nil {
		t.Fatal(err)
	}
	for _, locked := range []struct {
		lock  *deb.Lock
		files guestimage.Packages
	}{{packages, d.Packages}, {firmware, d.Firmware.Packages}} {
		_, err := client.Fetch(t.Context(), locked.lock)
		var gone *mirror.GoneError
		switch {
		case err == nil:
		case errors.As(err, &gone):
			t.Logf("%s is locked anew for this test: %v", locked.files.Set, gone)
			relocked = gone.Error()
			relock(t, client, filepath.Join(folder, locked.files.Set), filepath.Join(folder, locked.files.Lock))
		default:
			t.Fatal(err)
		}
	}
	return relocked
}

// relock writes the lock of a set as the mirror has it now.
func relock(t testing.TB, client *mirror.Client, set, to string) {
	t.Helper()
	s, err := deb.ReadSet(set)
	if err != nil {
		t.Fatal(err)
	}
	document, err := Lock(t, client, s).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, document, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Lock locks a set as the mirror has it now, and fetches what the lock names.
func Lock(t testing.TB, client *mirror.Client, set *deb.Set) *deb.Lock {
	t.Helper()
	data, err := os.ReadFile(keyring)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := deb.ReadKeyring(data)
	if err != nil {
		t.Fatal(err)
	}
	// Whether the mirror is behind is not what is tested.
	lock, err := client.Lock(t.Context(), set, mirror.LockOptions{Keyring: keys, Now: time.Now(), AcceptExpired: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Fetch(t.Context(), lock); err != nil {
		t.Fatal(err)
	}
	return lock
}
