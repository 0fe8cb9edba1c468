package tilelog_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/logdir"
	"github.com/boardroom-tee/boardroom/tools/transparency/memoryfile"
	"github.com/boardroom-tee/boardroom/tools/transparency/tilelog"
)

const origin = "example.com/releases"

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t testing.TB, err error, code transparency.Code) {
	t.Helper()
	var refusal *transparency.Refusal
	if !errors.As(err, &refusal) || refusal.Code != code {
		t.Errorf("error is %v, want a refusal with the code %s", err, code)
	}
}

func privateKey(number byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = number
	return ed25519.NewKeyFromSeed(seed)
}

// newSigner makes a key that is a function of its number.
func newSigner(name string, number byte) *transparency.Signer {
	s, err := transparency.NewLogSigner(name, privateKey(number))
	if err != nil {
		panic(err)
	}
	return s
}

// place is where a log is, with the memory of its key and that of somebody who reads it.
type place struct {
	root, dir, signed, seen string
}

func newPlace(t testing.TB) place {
	t.Helper()
	return placeIn(t.TempDir())
}

func placeIn(root string) place {
	return place{root, filepath.Join(root, "log"), filepath.Join(root, "log.signed.json"), filepath.Join(root, "seen.json")}
}

// add makes the log if it is not there, and adds entries.
func (p place) add(t testing.TB, entries ...string) {
	t.Helper()
	l, err := tilelog.Create(t.Context(), p.dir, newSigner(origin, 1), p.signed)
	check(t, err)
	defer l.Close()
	for _, e := range entries {
		_, _, err := l.Add(t.Context(), []byte(e))
		check(t, err)
	}
}

func policy() transparency.Policy {
	s := newSigner(origin, 1)
	return transparency.Policy{Origin: s.Name(), Key: s.Key()}
}

// follow reads the log as somebody does who has read it before, and returns its entries. A fork or a smaller tree is an error.
func (p place) follow(t testing.TB) []string {
	t.Helper()
	r, err := logdir.Open(p.dir)
	check(t, err)
	defer r.Close()
	var entries []string
	check(t, memoryfile.Update(t.Context(), p.seen, func(m *transparency.Memory) error {
		tree, _, err := transparency.Follow(t.Context(), m, policy(), r)
		if err != nil {
			return err
		}
		if err := tree.Check(t.Context()); err != nil {
			return err
		}
		return tree.Entries(t.Context(), 0, func(_ uint64, e []byte) error {
			entries = append(entries, string(e))
			return nil
		})
	}))
	return entries
}

// state are the files that are no resources of a log.
var state = regexp.MustCompile(`^\.state/(publish\.lock|treeState|treeState\.lock|version|writer\.lock)$`)

// tidy checks that there is nothing in the folder but a log and its state.
func (p place) tidy(t testing.TB) {
	t.Helper()
	check(t, filepath.WalkDir(p.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(p.dir, path)
		check(t, err)
		if _, resource := transparency.ParsePath(filepath.ToSlash(name)); !resource && !state.MatchString(name) {
			t.Errorf("%s is left in the folder", name)
		}
		return nil
	}))
}

// copyTo copies a folder.
func copyTo(t testing.TB, from, to string) {
	t.Helper()
	check(t, os.RemoveAll(to))
	check(t, os.CopyFS(to, os.DirFS(from)))
}

func entryName(i int) string { return fmt.Sprintf("entry %02d", i) }

func sorted(entries []string) string {
	return strings.Join(slices.Sorted(slices.Values(entries)), ", ")
}

// vouch is what a program does that puts an entry into a log.
func (p place) vouch(ctx context.Context, entry, proofFile string) (index uint64, err error) {
	l, err := tilelog.Create(ctx, p.dir, newSigner(origin, 1), p.signed)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	proof, _, err := l.Vouch(ctx, []byte(entry), proofFile)
	return proof.Index, err
}

func sum(data []byte) transparency.Hash { return sha256.Sum256(data) }
