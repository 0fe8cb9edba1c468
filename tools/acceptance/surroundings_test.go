//go:build acceptance

package acceptance

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// surroundings are everything about a build that its images must not depend on.
type surroundings struct {
	dir   string // own folder of this build
	tree  string
	cache string
	out   string
	wrap  []string // words in front of the command, outermost first
	env   []string
}

// around is the surroundings of the reference build, to be changed.
func around(t *testing.T) *surroundings {
	t.Helper()
	p := plain(t)
	dir := fresh(t)
	return &surroundings{dir: dir, tree: p.tree, cache: p.cache, out: filepath.Join(dir, "out")}
}

// ownCache gives the build a copy of the cache. The go command clears what its clock calls old out of the one that it uses.
func ownCache(t *testing.T, s *surroundings) {
	s.cache = seededCache(t, filepath.Join(s.dir, "own-cache"))
	copyCache(t, plain(t).cache, s.cache, "packages", "modules")
}

// cold gives the build a cache where nothing is compiled.
func cold(t *testing.T, s *surroundings) {
	s.cache = seededCache(t, filepath.Join(s.dir, "cold-cache"))
	copyCache(t, plain(t).cache, s.cache, "modules")
}

// confirm builds all images and compares them with the reference.
func (s *surroundings) confirm(t *testing.T) {
	t.Helper()
	for _, name := range agents {
		to := filepath.Join(s.out, name)
		words := append(slices.Clone(s.wrap), boardroom, "image", "build", name, "--cache", s.cache, "--to", to)
		at{dir: s.tree, env: s.env}.must(t, words...)
		want := plain(t).layouts[name]
		sameImage(t, to, want)
		if g, w := modes(t, to), modes(t, want); g != w {
			t.Errorf("%s: permissions\n%s\nwant\n%s", name, g, w)
		}
	}
}

func (s *surroundings) within(words ...string) { s.wrap = append(s.wrap, words...) }
func (s *surroundings) set(env ...string)      { s.env = append(s.env, env...) }

// moveTo builds a copy of the tree in dir.
func (s *surroundings) moveTo(t *testing.T, dir string) {
	t.Helper()
	check(t, os.CopyFS(dir, os.DirFS(source)))
	s.tree = dir
}

func otherDirectory(t *testing.T, s *surroundings) {
	odd := filepath.Join(s.dir, strings.Repeat("a long way down/", 12), "Straße 北京 'quoted' $HOME => ünïcödé")
	tmp := filepath.Join(odd, "tmp")
	check(t, os.MkdirAll(tmp, 0o755))
	check(t, os.Chmod(tmp, 0o777))
	s.moveTo(t, filepath.Join(odd, "tree"))
	s.out = filepath.Join(odd, "out")
	s.set("TMPDIR=" + tmp)
}

// otherUser builds as somebody without privileges, name or anything of root's but the right to read it.
func otherUser(t *testing.T, s *surroundings) {
	const id = 54321
	need(t, "setpriv")
	cache := seededCache(t, filepath.Join(s.dir, "cache"))
	copyCache(t, s.cache, cache, "packages", "modules")
	s.cache = cache
	home := filepath.Join(s.dir, "home")
	check(t, os.MkdirAll(home, 0o700))
	check(t, os.MkdirAll(s.out, 0o755))
	for _, dir := range []string{home, s.out, cache} {
		check(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			// Files of the seed are links to what others build with.
			if err != nil || strings.HasPrefix(path, filepath.Join(cache, "seed")) {
				return err
			}
			return os.Lchown(path, id, id)
		}))
	}
	s.set("HOME="+home, "USER=nobody-knows", "LOGNAME=nobody-knows")
	s.within("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups")
}

func umask(mask string) func(*testing.T, *surroundings) {
	return func(_ *testing.T, s *surroundings) { s.within("sh", "-c", "umask "+mask+` && exec "$@"`, "sh") }
}

func setting(env ...string) func(*testing.T, *surroundings) {
	return func(_ *testing.T, s *surroundings) { s.set(env...) }
}

func otherHostname(t *testing.T, s *surroundings) {
	need(t, "unshare", "hostname")
	s.within("unshare", "--uts", "sh", "-c", `hostname elsewhere.example && exec "$@"`, "sh")
}

func oneProcessor(t *testing.T, s *surroundings) {
	need(t, "taskset")
	s.within("taskset", "--cpu-list", "0")
	s.set("GOMAXPROCS=1")
}

func clock(by string) func(*testing.T, *surroundings) {
	return func(_ *testing.T, s *surroundings) { s.within(clockshift, "-by", by, "--") }
}

// reversed builds from a file system that lists the newest file first, in a tree that was written backwards.
func reversed(t *testing.T, s *surroundings) {
	const tmpfs = "/dev/shm"
	forwards, backwards := listed(t, tmpfs, false), listed(t, tmpfs, true)
	if order(t, forwards) == order(t, backwards) {
		t.Errorf("%s lists files in one order however they were written, so that this build shows nothing", tmpfs)
	}
	s.tree = backwards
}

// listed copies the source to a new folder below parent, in the order of names or backwards.
func listed(t *testing.T, parent string, backwards bool) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "boardroom-")
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	var names []string
	check(t, filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			rel, relative := filepath.Rel(source, path)
			names, err = append(names, rel), relative
		}
		return err
	}))
	if backwards {
		slices.Reverse(names)
	}
	for _, name := range names {
		check(t, copyFile(filepath.Join(source, name), filepath.Join(dir, name)))
	}
	return dir
}

// order is the list of agents' folders as the file system gives it.
func order(t *testing.T, tree string) string {
	t.Helper()
	dir, err := os.Open(filepath.Join(tree, "images", "agents"))
	check(t, err)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	check(t, err)
	return strings.Join(names, " ")
}

// modesAndTimes gives files permissions and times of all kinds.
func modesAndTimes(t *testing.T, s *surroundings) {
	if !strings.HasPrefix(s.tree, s.dir) {
		s.moveTo(t, filepath.Join(s.dir, "tree"))
	}
	modes := []fs.FileMode{0o644, 0o755, 0o444, 0o666}
	times := []time.Time{
		time.Date(2001, 9, 9, 1, 46, 40, 0, time.UTC),
		time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC),
	}
	n := 0
	check(t, filepath.WalkDir(s.tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := modes[n%len(modes)]
		if entry.IsDir() {
			mode = 0o777
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		n++
		return os.Chtimes(path, times[n%2], times[n%2])
	}))
}

// hostile sets everything that changes what the go command does, in each of the ways it can be told.
func hostile(t *testing.T, s *surroundings) {
	if !strings.HasPrefix(s.tree, s.dir) {
		s.moveTo(t, filepath.Join(s.dir, "tree"))
	}
	settings := filepath.Join(s.dir, "goenv")
	check(t, os.WriteFile(settings, []byte("GOFLAGS=-tags=evil\nGOAMD64=v4\nGOPROXY=off\nGOEXPERIMENT=jsonv2\n"), 0o644))
	work := filepath.Join(filepath.Dir(s.tree), "go.work")
	check(t, os.WriteFile(work, []byte("go 1.26.0\n\nuse ./nowhere\n"), 0o644))
	s.set(
		"CC=false",
		"CGO_CFLAGS=-DEVIL",
		"CGO_ENABLED=1",
		"GO111MODULE=off",
		"GOAMD64=v3",
		"GOARCH=arm64",
		"GODEBUG=asyncpreemptoff=1",
		"GOENV="+settings,
		"GOEXPERIMENT=nosuchthing",
		"GOFIPS140=latest",
		"GOFLAGS=-race -tags=evil -ldflags=-X=main.evil=1",
		"GOOS=plan9",
		"GOROOT=/nowhere",
		"GOTOOLCHAIN=go1.21.0",
		"GOWORK="+work,
	)
}

func TestSurroundingsDoNotMatter(t *testing.T) {
	for _, v := range []struct {
		name  string
		apply []func(*testing.T, *surroundings)
	}{
		{"directory", steps(otherDirectory)},
		{"user", steps(otherUser)},
		{"umask 0077", steps(umask("0077"))},
		{"umask 0000", steps(umask("0000"))},
		{"German", steps(setting("LANG=de_DE.UTF-8", "LC_ALL=de_DE.UTF-8"))},
		{"Turkish", steps(setting("LANG=tr_TR.UTF-8", "LC_ALL=tr_TR.UTF-8"))},
		{"time zone", steps(setting("TZ=Pacific/Kiritimati"))},
		{"hostname", steps(otherHostname)},
		{"one processor", steps(oneProcessor)},
		{"file order", steps(reversed)},
		{"modes and times", steps(modesAndTimes)},
		{"environment", steps(hostile)},
		{"years ago", steps(ownCache, clock("-87600h"))},
		// What is compiled anew, too.
		{"all at once", steps(cold, otherDirectory, modesAndTimes, hostile, setting("LC_ALL=tr_TR.UTF-8", "TZ=Pacific/Kiritimati"),
			otherHostname, oneProcessor, umask("0077"), otherUser)},
		{"years ahead", steps(cold, reversed, clock("87600h"))},
	} {
		t.Run(v.name, func(t *testing.T) {
			s := around(t)
			for _, apply := range v.apply {
				apply(t, s)
			}
			s.confirm(t)
		})
	}
}

func steps(s ...func(*testing.T, *surroundings)) []func(*testing.T, *surroundings) { return s }

// The compiler takes a semicolon in a path for the end of what it is to trim, and would leave the path in the program. Such
// a place can not give the image that others get, so it has to be refused, under whatever name the tree is reached.
func TestPlaceThatCanNotBeTrimmedIsRefused(t *testing.T) {
	p, dir := plain(t), fresh(t)
	place := filepath.Join(dir, "left; right")
	tree, cache := filepath.Join(place, "tree"), seededCache(t, filepath.Join(place, "cache"))
	check(t, os.CopyFS(tree, os.DirFS(source)))
	alias := filepath.Join(dir, "alias")
	check(t, os.Symlink(place, alias))
	for _, v := range []struct{ name, tree, cache string }{
		{"tree", tree, p.cache},
		{"cache", p.tree, cache},
		{"tree behind a link", filepath.Join(alias, "tree"), p.cache},
	} {
		t.Run(v.name, func(t *testing.T) { buildFrom(t, v.tree, v.cache).ended(t, 2, place) })
	}
}

// A clock that was not shifted would make the tests above show nothing.
func TestClockIsShifted(t *testing.T) {
	now := time.Now()
	for by, want := range map[string]time.Time{"87600h": now.Add(87600 * time.Hour), "-87600h": now.Add(-87600 * time.Hour)} {
		if got := (at{}).must(t, clockshift, "-by", by, "--", "date", "--utc", "+%Y-%m"); got != want.UTC().Format("2006-01") {
			t.Errorf("-by %s: it is %s, want %s", by, got, want.UTC().Format("2006-01"))
		}
	}
}
