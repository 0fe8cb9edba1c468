package registry_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const releaseName = "boardroom"

// sample is a small release named boardroom, with the archive of its guest image.
type sample struct {
	*releasetest.Fixture
	archives string
}

type sampleOptions struct {
	// Prefix is that of the repositories of the images; empty for that of package releasetest, which is elsewhere.
	Prefix  string
	Version string
	// Later makes another release of that version.
	Later bool
	// Signed lets the builder sign, and By those that it names.
	Signed bool
	By     []who
}

// who names one of those who may sign.
type who func(*releasetest.Fixture) *releasetest.Signer

func builder(f *releasetest.Fixture) *releasetest.Signer   { return f.Builder }
func rebuilder(f *releasetest.Fixture) *releasetest.Signer { return f.Rebuilder }
func stranger(f *releasetest.Fixture) *releasetest.Signer  { return f.Stranger }

func newSample(t testing.TB, o sampleOptions) *sample {
	t.Helper()
	s := &sample{archives: t.TempDir()}
	archive := []byte(strings.Repeat("archive of a guest image\n", 1000))
	if o.Version == "" {
		o.Version = "0.1.0"
	}
	s.Fixture = releasetest.New(t, releasetest.Options{Version: o.Version, Change: func(p *release.Parts) {
		p.Name = releaseName
		if o.Later {
			p.Created = p.Created.Add(time.Second)
		}
		for i := range p.Images {
			if o.Prefix != "" {
				p.Images[i].Repository = o.Prefix + strings.TrimPrefix(p.Images[i].Repository, releasetest.Repository)
			}
		}
		for i := range p.Guests {
			p.Guests[i].Archive.Digest, p.Guests[i].Archive.Size = provenance.DigestOf(archive), int64(len(archive))
			check(t, os.WriteFile(filepath.Join(s.archives, p.Guests[i].Archive.Name), archive, 0o644))
		}
	}})
	if o.Signed {
		o.By = append(o.By, builder)
	}
	for _, by := range o.By {
		s.sign(t, by(s.Fixture))
	}
	return s
}

// sign adds the signatures and the link of one signer, and something in the place of a proof, into which nobody looks here.
func (s *sample) sign(t testing.TB, by *releasetest.Signer) {
	t.Helper()
	step := release.NoStep
	switch by {
	case s.Builder:
		step = release.BuildStep
	case s.Rebuilder:
		step = release.RebuildStep
	}
	s.SignAs(t, by, step)
	s.write(t, "log/"+by.Key().Fingerprint().String()[:16], []byte("proof for "+by.Key().Fingerprint().String()+"\n"))
}

// add copies what vouches for the same release elsewhere.
func (s *sample) add(t testing.TB, from *sample) {
	t.Helper()
	for _, folder := range []string{release.BundlesFolder, release.LinksFolder, release.LogFolder} {
		check(t, fs.WalkDir(os.DirFS(from.Dir), folder, func(file string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				s.write(t, file, from.read(t, file))
			}
			return err
		}))
	}
}

func (s *sample) write(t testing.TB, file string, data []byte) {
	t.Helper()
	full := filepath.Join(s.Dir, filepath.FromSlash(file))
	check(t, os.MkdirAll(filepath.Dir(full), 0o755))
	check(t, os.WriteFile(full, data, 0o644))
}

func (s *sample) read(t testing.TB, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(s.Dir, filepath.FromSlash(file)))
	check(t, err)
	return data
}

// tree is everything in a folder: modes and contents by path.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	check(t, filepath.WalkDir(dir, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil || name == "." {
			return err
		}
		info, err := e.Info()
		if err != nil || e.IsDir() {
			all[name] = info.Mode().String()
			return err
		}
		data, err := os.ReadFile(file)
		all[name] = info.Mode().String() + " " + string(data)
		return err
	}))
	return all
}

// sameTree compares two folders.
func sameTree(t testing.TB, got, want string) {
	t.Helper()
	g, w := tree(t, got), tree(t, want)
	names := maps.Clone(g)
	maps.Copy(names, w)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if g[name] != w[name] {
			t.Errorf("%s differs: %.80q, want %.80q", name, g[name], w[name])
		}
	}
}
