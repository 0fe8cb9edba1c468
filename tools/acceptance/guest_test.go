//go:build acceptance

package acceptance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
	"github.com/boardroom-tee/boardroom/tools/guestimage/guestimagetest"
)

// guestFlavours are the guest images: the flake's attribute, and the flags of "boardroom guest build".
var guestFlavours = []struct {
	attribute string
	flags     []string
}{
	{"guest-image", nil},
	{"guest-image-dev", []string{"--dev"}},
}

var (
	guestTree   shared[string]
	guestImages shared[map[string]string]
)

// guestClone is a clone whose guest images can be built with packages that are to be had today. They are in the user's own cache.
func guestClone(t *testing.T) string {
	t.Helper()
	t.Setenv("DEBIAN_MIRROR", debtest.Mirror(t))
	return guestTree.get(t, func() string {
		dir := filepath.Join(scratch, "guest", "clone")
		check(t, os.Mkdir(filepath.Dir(dir), 0o755))
		check(t, os.CopyFS(dir, os.DirFS(source)))
		if gone := guestimagetest.FetchPackages(t, dir); gone != "" {
			at{dir: dir}.must(t, "go", "run", "./tools/cmd/guestimage", "pin", "images/guest/image.json", "nix/guest.json")
		}
		commit(t, dir)
		return dir
	})
}

// withPackages gives a cache the packages of the guest image.
func withPackages(t *testing.T, cache string) string {
	t.Helper()
	if to := filepath.Join(cache, "deb"); !exists(to) {
		linkTree(t, filepath.Join(guestimagetest.Cache(t), "deb"), to)
	}
	return cache
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// plainGuests are the folders that "boardroom guest build" makes of the clone, by attribute.
func plainGuests(t *testing.T) map[string]string {
	t.Helper()
	tree := guestClone(t)
	return guestImages.get(t, func() map[string]string {
		cache := withPackages(t, seededCache(t, filepath.Join(scratch, "guest", "cache")))
		images := make(map[string]string)
		for _, f := range guestFlavours {
			images[f.attribute] = filepath.Join(scratch, "guest", f.attribute)
			at{dir: tree}.must(t, append([]string{boardroom, "guest", "build", "--cache", cache, "--to", images[f.attribute]}, f.flags...)...)
		}
		return images
	})
}

// sameGuest compares folders byte by byte, and the archives that are made of them.
func sameGuest(t *testing.T, got, want string) {
	t.Helper()
	if g, w := narHash(t, got), narHash(t, want); g != w {
		t.Errorf("the image has NAR hash %s, want %s", g, w)
	}
	var archives [2]string
	for i, image := range []string{got, want} {
		archives[i] = fresh(t)
		at{}.must(t, boardroom, "guest", "pack", image, "--to", archives[i])
	}
	if g, w := narHash(t, archives[0]), narHash(t, archives[1]); g != w {
		t.Errorf("the archives have NAR hash %s, want %s", g, w)
	}
}

// Two build paths, one image; and Nix builds again what it has and compares.
func TestGuestImagesAreReproducible(t *testing.T) {
	for _, f := range guestFlavours {
		t.Run(f.attribute, func(t *testing.T) {
			images, tree := plainGuests(t), guestClone(t)
			out := nixBuild(t, tree, f.attribute)
			sameGuest(t, out, images[f.attribute])
			digest, err := os.ReadFile(filepath.Join(images[f.attribute], "digest.txt"))
			check(t, err)
			t.Log(at{}.must(t, boardroom, "guest", "inspect", out, "--digest", strings.TrimSpace(string(digest))))
			at{dir: tree}.must(t, "nix", "build", "--no-link", "--rebuild", ".#"+f.attribute)
		})
	}
}

// TestGuestSurroundingsDoNotMatter builds with nothing compiled before, in places and by somebody whose everything is different.
func TestGuestSurroundingsDoNotMatter(t *testing.T) {
	for _, v := range []struct {
		flavour int
		name    string
		apply   []func(*testing.T, *surroundings)
	}{
		{1, "all at once", steps(otherGuestDirectory, modesAndTimes, hostile, setting("LC_ALL=tr_TR.UTF-8", "TZ=Pacific/Kiritimati"), otherHostname, oneProcessor,
			umask("0077"), otherUser)},
		{0, "years ahead", steps(setting("GOMAXPROCS=7"), umask("0000"), clock("87600h"))},
	} {
		t.Run(v.name, func(t *testing.T) {
			f := guestFlavours[v.flavour]
			want := plainGuests(t)[f.attribute]
			dir := fresh(t)
			s := &surroundings{dir: dir, tree: guestClone(t), cache: seededCache(t, filepath.Join(dir, "cold-cache")), out: filepath.Join(dir, "out")}
			copyCache(t, filepath.Join(scratch, "guest", "cache"), s.cache, "modules")
			check(t, os.Mkdir(s.out, 0o755))
			for _, apply := range v.apply {
				apply(t, s)
			}
			to := filepath.Join(s.out, "image")
			words := slices.Concat(s.wrap, []string{boardroom, "guest", "build", "--cache", withPackages(t, s.cache), "--to", to}, f.flags)
			at{dir: s.tree, env: s.env}.must(t, words...)
			sameGuest(t, to, want)
			if g, w := modes(t, to), modes(t, want); g != w {
				t.Errorf("permissions\n%s\nwant\n%s", g, w)
			}
		})
	}
}

// otherGuestDirectory builds from a copy of the clone at a place with an odd name.
func otherGuestDirectory(t *testing.T, s *surroundings) {
	odd := filepath.Join(s.dir, strings.Repeat("a long way down/", 12), "Straße 北京 'quoted' $HOME => ünïcödé")
	tree := filepath.Join(odd, "tree")
	check(t, os.MkdirAll(tree, 0o755))
	check(t, os.CopyFS(tree, os.DirFS(s.tree)))
	s.tree, s.out = tree, filepath.Join(odd, "out")
}
