//go:build acceptance

package acceptance

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/seed"
)

// The published tarball may be out of reach. One of the same content, served here, goes the same way: fetched, unpacked and
// trimmed by Nix to the pinned tree. It goes under another version, for Nix does not make again what it has.
func TestSeedFromTarball(t *testing.T) {
	pin := seedPin(t)
	file := filepath.Join(fresh(t), "go.tar.gz")
	writeTarball(t, seedTree(t), file)
	sum := sha256File(t, file)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }))
	t.Cleanup(server.Close)

	served := func(s string) string {
		s = replace(`"`+pin.Version+`"`, `"`+pin.Version+`-acceptance"`)(s)
		s = replace(pin.Tarball.URL, server.URL+"/acceptance.tar.gz")(s)
		return replace(pin.Tarball.SHA256, sum)(s)
	}
	// Nix fetches from this machine, whatever proxy it has for others.
	local := []string{"no_proxy=127.0.0.1", "NO_PROXY=127.0.0.1"}

	tree := tampered(t, seed.PinFile, served)
	forgetOutputs(t, tree, "seed")
	t.Cleanup(func() { forgetOutputs(t, tree, "seed") })

	t.Run("another tarball", func(t *testing.T) {
		wrong := strings.Repeat("0", 64)
		other := tampered(t, seed.PinFile, func(s string) string { return replace(sum, wrong)(served(s)) })
		o := at{dir: other, env: local}.try(t, "nix", "build", "--no-link", ".#seed")
		o.failed(t, nixHash(t, wrong), nixHash(t, sum))
	})
	t.Run("the pinned tree", func(t *testing.T) {
		at{dir: tree, env: local}.must(t, "nix", "build", "--no-link", ".#seed")
		if got := narHash(t, outPath(t, tree, "seed")); got != pin.NAR {
			t.Errorf("NAR hash %s, want %s", got, pin.NAR)
		}
	})
	// Last, for Nix keeps what it refuses under the hash that it has.
	t.Run("another pin", func(t *testing.T) {
		other := tampered(t, seed.PinFile, func(s string) string { return replace(pin.NAR, wrongNAR)(served(s)) })
		at{dir: other, env: local}.try(t, "nix", "build", "--no-link", ".#seed").failed(t, wrongNAR, pin.NAR)
	})
}

// nixHash is the form in which Nix prints a hash that is pinned in hex.
func nixHash(t *testing.T, hex string) string {
	t.Helper()
	return at{}.must(t, "nix", "hash", "to-sri", "--type", "sha256", hex)
}

// writeTarball makes a release tarball of a seed tree: all in the folder go, and with folders that the seed leaves out.
func writeTarball(t *testing.T, tree, file string) {
	t.Helper()
	f, err := os.Create(file)
	check(t, err)
	zw, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	check(t, err)
	tw := tar.NewWriter(zw)
	check(t, filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(tree, path)
		if err != nil {
			return err
		}
		return addFile(tw, path, "go/"+rel)
	}))
	for _, dropped := range []string{"api", "doc", "misc", "test"} {
		check(t, addFile(tw, filepath.Join(tree, "VERSION"), "go/"+dropped+"/left-out"))
	}
	check(t, errors.Join(tw.Close(), zw.Close(), f.Close()))
}

func addFile(tw *tar.Writer, from, name string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: int64(info.Mode().Perm()), Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(tw, in)
	return err
}

// forgetOutputs removes from the store what an attribute and all that it is made of have put there.
func forgetOutputs(t *testing.T, tree, attribute string) {
	t.Helper()
	drv := at{dir: tree}.must(t, "nix", "eval", "--raw", ".#"+attribute+".drvPath")
	for path := range strings.FieldsSeq(at{}.must(t, "nix-store", "--query", "--requisites", drv)) {
		if !strings.HasSuffix(path, ".drv") {
			continue
		}
		out := at{}.must(t, "nix-store", "--query", "--outputs", path)
		if (at{}).try(t, "nix-store", "--check-validity", out).code == 0 {
			at{}.must(t, "nix-store", "--delete", out)
		}
	}
}
