package memoryfile_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/memoryfile"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func policy(t *testing.T, number byte) transparency.Policy {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = number
	s, err := transparency.NewLogSigner("example.com/log", ed25519.NewKeyFromSeed(seed))
	check(t, err)
	return transparency.Policy{Origin: s.Name(), Key: s.Key()}
}

func checkpoint(size uint64) transparency.Checkpoint {
	return transparency.Checkpoint{Origin: "example.com/log", Size: size, Root: transparency.Hash{byte(size)}}
}

// seen are the sizes that a file remembers of a log.
func seen(t *testing.T, path string, p transparency.Policy) string {
	t.Helper()
	m, err := memoryfile.Read(path)
	check(t, err)
	var sizes []uint64
	for _, c := range m.Seen(p) {
		sizes = append(sizes, c.Size)
	}
	return fmt.Sprint(sizes)
}

func TestUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seen.json")
	p := policy(t, 1)
	if got := seen(t, path, p); got != "[]" {
		t.Errorf("no file remembers %s", got)
	}
	check(t, memoryfile.Update(t.Context(), path, func(m *transparency.Memory) error { return m.AdvanceHead(p, checkpoint(5)) }))
	if got := seen(t, path, p); got != "[5]" {
		t.Errorf("remembered are %s", got)
	}
	errRefused := errors.New("no")
	err := memoryfile.Update(t.Context(), path, func(m *transparency.Memory) error {
		check(t, m.Advance(policy(t, 2), checkpoint(7)))
		return errRefused
	})
	if !errors.Is(err, errRefused) {
		t.Errorf("error is %v, want that of the change", err)
	}
	if got := seen(t, path, policy(t, 2)); got != "[]" {
		t.Errorf("what failed is remembered: %s", got)
	}
	// What is the same is not written again.
	before, err := os.Stat(path)
	check(t, err)
	check(t, memoryfile.Update(t.Context(), path, func(m *transparency.Memory) error { return m.AdvanceHead(p, checkpoint(5)) }))
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Errorf("the file was replaced: %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	check(t, err)
	if len(entries) != 2 {
		t.Errorf("the folder has %v, want the file and its lock", entries)
	}
}

// A memory that can not be read is not an empty one.
func TestDamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seen.json")
	check(t, memoryfile.Update(t.Context(), path, func(m *transparency.Memory) error { return m.Advance(policy(t, 1), checkpoint(5)) }))
	good, err := os.ReadFile(path)
	check(t, err)
	for _, content := range []string{"", string(good[:len(good)/2]), "{}", strings.Repeat(" ", transparency.MaxMemory+1)} {
		check(t, os.WriteFile(path, []byte(content), 0o644))
		err := memoryfile.Update(t.Context(), path, func(*transparency.Memory) error {
			t.Error("it is taken for a memory")
			return nil
		})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("error is %v, want one that names the file", err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != content {
			t.Errorf("the file was changed: %v", err)
		}
	}
}

// Of many at once, each knows what those before it saw.
func TestAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seen.json")
	var wait sync.WaitGroup
	for i := range 20 {
		p := policy(t, byte(i))
		wait.Go(func() {
			if err := memoryfile.Update(t.Context(), path, func(m *transparency.Memory) error { return m.Advance(p, checkpoint(5)) }); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for i := range 20 {
		if got := seen(t, path, policy(t, byte(i))); got != "[5]" {
			t.Errorf("of log %d, remembered are %s", i, got)
		}
	}
}

func TestLockIsGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seen.json")
	check(t, memoryfile.Update(t.Context(), path, func(*transparency.Memory) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := memoryfile.Update(ctx, path, func(*transparency.Memory) error {
			t.Error("two have it at once")
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v, want that of the context", err)
		}
		return nil
	}))
	if err := memoryfile.Update(t.Context(), filepath.Join(path, "nowhere"), nil); err == nil {
		t.Error("a memory is kept nowhere")
	}
}
