package tilelog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/logdir"
	"github.com/boardroom-tee/boardroom/tools/transparency/tilelog"
)

func open(t testing.TB, p place) *tilelog.Log {
	t.Helper()
	l, err := tilelog.Open(t.Context(), p.dir, newSigner(origin, 1), p.signed)
	check(t, err)
	t.Cleanup(l.Close)
	return l
}

func TestAdd(t *testing.T) {
	p := newPlace(t)
	p.add(t)
	if got := p.follow(t); len(got) != 0 {
		t.Errorf("a new log has %v", got)
	}
	l := open(t, p)
	if _, found, err := l.Consistency(t.Context()); found || err != nil {
		t.Errorf("an empty log continues something: %v", err)
	}
	for i := range 5 {
		index, added, err := l.Add(t.Context(), []byte(entryName(i)))
		if err != nil || !added || index != uint64(i) {
			t.Errorf("entry %d is at %d, %v: %v", i, index, added, err)
		}
	}
	before := l.Checkpoint()
	index, added, err := l.Add(t.Context(), []byte(entryName(3)))
	if err != nil || added || index != 3 || !bytes.Equal(l.Checkpoint(), before) {
		t.Errorf("an entry that is there is at %d, %v: %v", index, added, err)
	}
	for _, entry := range [][]byte{nil, make([]byte, transparency.MaxEntry+1)} {
		if _, _, err := l.Add(t.Context(), entry); err == nil {
			t.Errorf("an entry of %d bytes is added", len(entry))
		}
	}
	index, _, err = l.Add(t.Context(), bytes.Repeat([]byte{'x'}, transparency.MaxEntry))
	if err != nil || index != 5 {
		t.Errorf("the longest entry is at %d: %v", index, err)
	}
	proof, err := l.Proof(t.Context(), 3)
	check(t, err)
	if _, err := transparency.Verify(proof, []byte(entryName(3)), policy()); err != nil {
		t.Error(err)
	}
	if _, err := l.Proof(t.Context(), 6); err == nil {
		t.Error("an entry that is not there has a proof")
	}
	p.follow(t)
	p.tidy(t)
}

// A consistency file serves whoever saw the log at one of the last sizes.
func TestConsistency(t *testing.T) {
	p := newPlace(t)
	p.add(t)
	l := open(t, p)
	var entries [][]byte
	for i := range transparency.MaxConsistency + 3 {
		entries = append(entries, []byte(entryName(i)))
	}
	check(t, l.AddAll(t.Context(), entries...))
	c, found, err := l.Consistency(t.Context())
	check(t, err)
	parsed, err := transparency.ParseConsistency(c.Encode())
	check(t, err)
	if !found || len(parsed.Proofs) != transparency.MaxConsistency || parsed.Proofs[0].Old != 3 {
		t.Fatalf("%d proofs from %d on, want %d from 3 on", len(parsed.Proofs), parsed.Proofs[0].Old, transparency.MaxConsistency)
	}
	head := l.Tree().Head()
	for old := uint64(3); old < head.Size; old++ {
		hashes, found, err := parsed.Prover()(old, head.Size)
		if err != nil || !found {
			t.Fatalf("from %d: %v", old, err)
		}
		before, err := os.ReadFile(filepath.Join(p.dir, transparency.TilePath(0, 0, int(old))))
		check(t, err)
		check(t, transparency.VerifyConsistency(transparency.Checkpoint{Origin: origin, Size: old, Root: rootOf(before)}, head, hashes))
	}
}

// rootOf is the root over the leaves of one tile: RFC 6962 section 2.1.
func rootOf(tile []byte) transparency.Hash {
	if len(tile) == 32 {
		return transparency.Hash(tile)
	}
	split := 32
	for split*2 < len(tile) {
		split *= 2
	}
	left, right := rootOf(tile[:split]), rootOf(tile[split:])
	return sum(append(append([]byte{1}, left[:]...), right[:]...))
}

// What is below full tiles, and above them.
func TestFullTiles(t *testing.T) {
	p := newPlace(t)
	p.add(t)
	l := open(t, p)
	for _, n := range []int{255, 1, 1, 1} {
		var entries [][]byte
		for i := range n {
			entries = append(entries, fmt.Appendf(nil, "entry %d", int(l.Tree().Head().Size)+i))
		}
		check(t, l.AddAll(t.Context(), entries...))
		p.follow(t)
	}
	check(t, l.Tree().Check(t.Context()))
	if _, err := l.Proof(t.Context(), 257); err != nil {
		t.Error(err)
	}
	p.tidy(t)
}

// What killed writers left where the next entry belongs is removed, and nothing else.
func TestClean(t *testing.T) {
	p := newPlace(t)
	p.add(t, "one", "two", "three")
	for _, name := range []string{
		"checkpoint1", "checkpoint2147483647", "checkpoint.new", ".state/treeState7", ".state/version123", "tile/0/000123", "tile/entries/0001",
		"tile/0/000.p/41234", "tile/entries/000.p/3999999999",
	} {
		check(t, os.WriteFile(filepath.Join(p.dir, name), []byte("half"), 0o644))
	}
	check(t, os.WriteFile(filepath.Join(p.dir, "index.html"), nil, 0o644))
	open(t, p).Close()
	check(t, os.Remove(filepath.Join(p.dir, "index.html")))
	p.tidy(t)
	p.add(t, "four")
	if got := p.follow(t); len(got) != 4 {
		t.Errorf("the log has %v", got)
	}
}

// The key does not sign what does not continue what it signed, wherever that came from.
func TestNeverForks(t *testing.T) {
	p := newPlace(t)
	p.add(t, "one", "two")
	backup := filepath.Join(p.root, "backup")
	copyTo(t, p.dir, backup)
	p.add(t, "three", "four")
	last := p.follow(t)
	newest := filepath.Join(p.root, "newest")
	copyTo(t, p.dir, newest)
	checkpoint := func() string {
		data, err := os.ReadFile(filepath.Join(p.dir, transparency.CheckpointPath))
		check(t, err)
		return string(data)
	}
	tests := []struct {
		name  string
		alter func()
		code  transparency.Code // "" for an error that is no verdict
	}{
		{"an older folder", func() { copyTo(t, backup, p.dir) }, transparency.CodeTruncated},
		{"another folder", func() { check(t, os.RemoveAll(p.dir)) }, transparency.CodeTruncated},
		{"a folder without its state", func() { check(t, os.RemoveAll(filepath.Join(p.dir, ".state"))) }, ""},
		{"a folder whose state was lost", func() { check(t, os.Remove(filepath.Join(p.dir, ".state", "treeState"))) }, ""},
		{"a folder with an older state", func() { copyTo(t, filepath.Join(backup, ".state"), filepath.Join(p.dir, ".state")) }, transparency.CodeTruncated},
		{"a folder with an older checkpoint", func() {
			data, err := os.ReadFile(filepath.Join(backup, "checkpoint"))
			check(t, err)
			check(t, os.WriteFile(filepath.Join(p.dir, "checkpoint"), data, 0o644))
			// The state is newer and is published again: nothing was lost.
		}, "fine"},
		{"a folder without a checkpoint", func() { check(t, os.Remove(filepath.Join(p.dir, "checkpoint"))) }, "fine"},
		{"a folder with a checkpoint that is none", func() {
			check(t, os.WriteFile(filepath.Join(p.dir, "checkpoint"), []byte("hello\n"), 0o644))
		}, transparency.CodeCheckpoint},
		{"a folder of another tree", func() {
			other := newPlace(t)
			other.add(t, "one", "two", "another", "and another", "and one more")
			copyTo(t, other.dir, p.dir)
		}, transparency.CodeConsistency},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			copyTo(t, newest, p.dir)
			tt.alter()
			before, _ := os.ReadFile(filepath.Join(p.dir, transparency.CheckpointPath))
			l, err := tilelog.Create(t.Context(), p.dir, newSigner(origin, 1), p.signed)
			if err == nil {
				l.Close()
			}
			switch tt.code {
			case "fine":
				check(t, err)
				if got := checkpoint(); !strings.HasPrefix(got, origin+"\n4\n") {
					t.Errorf("the checkpoint is %s", got)
				}
				p.follow(t)
				return
			case "":
				var refusal *transparency.Refusal
				if err == nil || errors.As(err, &refusal) {
					t.Errorf("error is %v, want one that is no verdict", err)
				}
			default:
				refused(t, err, tt.code)
			}
			// Nothing was signed: what is published is what was published.
			if after, _ := os.ReadFile(filepath.Join(p.dir, transparency.CheckpointPath)); !bytes.Equal(before, after) {
				t.Errorf("the checkpoint was %q and is %q", before, after)
			}
		})
	}
	copyTo(t, newest, p.dir)
	p.add(t, "five")
	last = append(last, "five")
	if got, want := p.follow(t), last; sorted(got) != sorted(want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
}

// A memory that was lost begins with what is published.
func TestMemoryOfTheKeyIsLost(t *testing.T) {
	p := newPlace(t)
	p.add(t, "one", "two")
	older := filepath.Join(p.root, "older")
	copyTo(t, p.dir, older)
	p.add(t, "three")
	check(t, os.Remove(p.signed))
	p.add(t, "four")
	p.follow(t)
	copyTo(t, older, p.dir)
	_, err := tilelog.Open(t.Context(), p.dir, newSigner(origin, 1), p.signed)
	refused(t, err, transparency.CodeTruncated)
}

func TestOpenRefuses(t *testing.T) {
	p := newPlace(t)
	p.add(t, "one")
	_, err := tilelog.Open(t.Context(), p.dir, newSigner(origin, 2), filepath.Join(p.root, "other.json"))
	refused(t, err, transparency.CodeKey)
	_, err = tilelog.Open(t.Context(), p.dir, newSigner("example.com/other", 1), filepath.Join(p.root, "other.json"))
	refused(t, err, transparency.CodeOrigin)
	if _, err := tilelog.Open(t.Context(), t.TempDir(), newSigner(origin, 1), p.signed); err == nil {
		t.Error("an empty folder is a log")
	}
	full := t.TempDir()
	check(t, os.WriteFile(filepath.Join(full, "index.html"), nil, 0o644))
	if _, err := tilelog.Create(t.Context(), full, newSigner(origin, 1), p.signed); err == nil || !strings.Contains(err.Error(), "index.html") {
		t.Errorf("a folder with something else becomes a log: %v", err)
	}
	check(t, os.WriteFile(p.signed, []byte("{}"), 0o644))
	if _, err := tilelog.Open(t.Context(), p.dir, newSigner(origin, 1), p.signed); err == nil {
		t.Error("a memory that is none is taken for an empty one")
	}
}

// A log whose tiles were altered is not continued.
func TestAddToAnAlteredLog(t *testing.T) {
	p := newPlace(t)
	p.add(t, "one", "two", "three")
	tile := filepath.Join(p.dir, transparency.TilePath(0, 0, 3))
	data, err := os.ReadFile(tile)
	check(t, err)
	data[40] ^= 1
	check(t, os.WriteFile(tile, data, 0o644))
	l, err := tilelog.Open(t.Context(), p.dir, newSigner(origin, 1), p.signed)
	if err == nil {
		_, _, err = l.Add(t.Context(), []byte("four"))
		l.Close()
	}
	refused(t, err, transparency.CodeTile)
}

// Whoever waits for another writer gives up when the context ends.
func TestLockIsGivenUp(t *testing.T) {
	p := newPlace(t)
	p.add(t, "one")
	f, err := os.OpenFile(filepath.Join(p.dir, ".state", "writer.lock"), os.O_RDWR, 0)
	check(t, err)
	check(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tilelog.Open(ctx, p.dir, newSigner(origin, 1), p.signed); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that of the context", err)
	}
	f.Close()
	open(t, p)
}

// A clock that was set back does not keep the log from growing.
func TestCheckpointFromTheFuture(t *testing.T) {
	p := newPlace(t)
	p.add(t, "one")
	future := time.Now().Add(24 * time.Hour)
	check(t, os.Chtimes(filepath.Join(p.dir, "checkpoint"), future, future))
	p.add(t, "two")
	if got := p.follow(t); len(got) != 2 {
		t.Errorf("the log has %v", got)
	}
}

func TestVouch(t *testing.T) {
	p := newPlace(t)
	file := filepath.Join(p.root, transparency.ProofFile(origin))
	beside := transparency.ConsistencyFile(file)
	if filepath.Base(file) != "b30bc5775648b4cb.tlog-proof" || filepath.Base(beside) != "b30bc5775648b4cb.tlog-consistency" {
		t.Errorf("files are %s and %s", file, beside)
	}
	_, err := p.vouch(t.Context(), "one", file)
	check(t, err)
	if _, err := os.Stat(beside); err == nil {
		t.Error("the first entry continues something")
	}
	var m transparency.Memory
	verify := func(entry string) error {
		data, err := os.ReadFile(file)
		check(t, err)
		proof, err := transparency.ParseProof(data)
		check(t, err)
		verified, err := transparency.Verify(proof, []byte(entry), policy())
		check(t, err)
		var provers []transparency.Prover
		if data, err := os.ReadFile(beside); err == nil {
			c, err := transparency.ParseConsistency(data)
			check(t, err)
			provers = append(provers, c.Prover())
		}
		return m.Advance(policy(), verified.Checkpoint, provers...)
	}
	check(t, verify("one"))
	for _, entry := range []string{"two", "three", "four"} {
		_, err = p.vouch(t.Context(), entry, file)
		check(t, err)
	}
	// Who saw the first needs nothing but the files of the last.
	check(t, verify("four"))
	p.tidy(t)
}

func TestAddCosignature(t *testing.T) {
	p := newPlace(t)
	p.add(t, "one", "two")
	w, err := transparency.NewWitnessSigner("witness.example/1", privateKey(11))
	check(t, err)
	stranger, err := transparency.NewWitnessSigner("witness.example/2", privateKey(12))
	check(t, err)
	with := policy()
	with.Witnesses = []transparency.Witness{{Name: w.Name(), Key: w.Key()}}
	r, err := logdir.Open(p.dir)
	check(t, err)
	defer r.Close()
	plain, err := r.Checkpoint(t.Context())
	check(t, err)
	at := time.Date(2026, 4, 24, 2, 37, 51, 0, time.UTC)
	cosign := func(s *transparency.Signer, checkpoint []byte, at time.Time) error {
		line, err := s.Cosign(checkpoint, at)
		check(t, err)
		_, err = tilelog.AddCosignature(t.Context(), p.dir, with, line)
		return err
	}
	if err := cosign(stranger, plain, at); err == nil {
		t.Error("the cosignature of a stranger is added")
	}
	other := newPlace(t)
	other.add(t, "other")
	elsewhere, err := os.ReadFile(filepath.Join(other.dir, "checkpoint"))
	check(t, err)
	refused(t, cosign(w, elsewhere, at), transparency.CodeWitness)
	if _, err := tilelog.AddCosignature(t.Context(), p.dir, with, "hello\n"); err == nil {
		t.Error("what is no cosignature is added")
	}
	if now, err := r.Checkpoint(t.Context()); err != nil || !bytes.Equal(now, plain) {
		t.Errorf("the checkpoint is %s: %v", now, err)
	}

	check(t, cosign(w, plain, at))
	check(t, cosign(w, plain, at.Add(time.Hour)))
	now, err := r.Checkpoint(t.Context())
	check(t, err)
	_, witnessed, err := with.Open(now)
	if err != nil || len(witnessed) != 1 || !witnessed[0].At.Equal(at.Add(time.Hour)) || bytes.Count(now, []byte("— ")) != 2 {
		t.Errorf("the checkpoint is %s with %v: %v", now, witnessed, err)
	}
	// Proofs that are made from then on have it.
	with.WitnessThreshold = 1
	l := open(t, p)
	proof, err := l.Proof(t.Context(), 0)
	check(t, err)
	if verified, err := transparency.Verify(proof, []byte("one"), with); err != nil || len(verified.Witnesses) != 1 {
		t.Errorf("the proof has %v: %v", verified, err)
	}
}
