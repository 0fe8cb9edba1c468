//go:build acceptance

package acceptance

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/seed"
)

var (
	seedCopy  shared[string]
	reference shared[plainBuild]
)

// plainBuild is what "boardroom image build" made of a clone for every agent, and the cache that it left.
type plainBuild struct {
	tree, cache string
	layouts     map[string]string
}

func seedPin(t testing.TB) seed.Pin {
	t.Helper()
	pin, err := seed.ReadPin(filepath.Join(source, filepath.FromSlash(seed.PinFile)))
	check(t, err)
	return pin
}

// seedTree is a copy of the seed for all caches, so that it is fetched at most once, into the user's own cache.
func seedTree(t testing.TB) string {
	t.Helper()
	return seedCopy.get(t, func() string {
		cache := os.Getenv("BOARDROOM_CACHE")
		if cache == "" {
			user, err := os.UserCacheDir()
			check(t, err)
			cache = filepath.Join(user, "boardroom")
		}
		dir, err := seed.Obtain(t.Context(), seedPin(t), cache, os.Stderr)
		check(t, err)
		to := filepath.Join(scratch, "seed")
		linkTree(t, dir, to)
		return to
	})
}

// seededCache makes a cache that holds the seed and nothing else.
func seededCache(t testing.TB, dir string) string {
	t.Helper()
	linkTree(t, seedTree(t), filepath.Join(dir, "seed", seedPin(t).Version))
	return dir
}

// copyCache adds folders of another cache to one, where they are.
func copyCache(t testing.TB, from, to string, folders ...string) {
	t.Helper()
	for _, folder := range folders {
		err := os.CopyFS(filepath.Join(to, folder), os.DirFS(filepath.Join(from, folder)))
		if !errors.Is(err, fs.ErrNotExist) {
			check(t, err)
		}
	}
}

// plain builds all images once, with nothing compiled before.
func plain(t testing.TB) plainBuild {
	t.Helper()
	return reference.get(t, func() plainBuild {
		dir := filepath.Join(scratch, "reference")
		check(t, os.Mkdir(dir, 0o755))
		b := plainBuild{
			tree:    clone(t, filepath.Join(dir, "tree")),
			cache:   seededCache(t, filepath.Join(dir, "cache")),
			layouts: make(map[string]string),
		}
		for _, name := range agents {
			b.layouts[name] = filepath.Join(dir, name)
			at{dir: b.tree}.must(t, boardroom, "image", "build", name, "--cache", b.cache, "--to", b.layouts[name])
		}
		return b
	})
}

func digest(t testing.TB, layout string) string {
	t.Helper()
	return at{}.must(t, boardroom, "image", "digest", layout)
}

// sameImage compares digests, and the layouts as trees, so that not even index.json differs.
func sameImage(t testing.TB, got, want string) {
	t.Helper()
	if g, w := digest(t, got), digest(t, want); g != w {
		t.Errorf("digest %s, want %s", g, w)
	}
	if g, w := narHash(t, got), narHash(t, want); g != w {
		t.Errorf("layout has NAR hash %s, want %s", g, w)
	}
}
