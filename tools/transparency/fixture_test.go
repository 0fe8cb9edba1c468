package transparency_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/boardroom-tee/boardroom/tools/transparency"
)

const origin = "example.com/releases"

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks that an error is a refusal for a reason.
func refused(t testing.TB, err error, code transparency.Code) {
	t.Helper()
	var refusal *transparency.Refusal
	if !errors.As(err, &refusal) || refusal.Code != code {
		t.Errorf("error is %v, want a refusal with the code %s", err, code)
	}
}

// privateKey is a key that is a function of its number.
func privateKey(number byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = number
	return ed25519.NewKeyFromSeed(seed)
}

func logSigner(t testing.TB, name string, number byte) *transparency.Signer {
	t.Helper()
	s, err := transparency.NewLogSigner(name, privateKey(number))
	check(t, err)
	return s
}

func witnessSigner(t testing.TB, name string, number byte) *transparency.Signer {
	t.Helper()
	s, err := transparency.NewWitnessSigner(name, privateKey(number))
	check(t, err)
	return s
}

func witness(s *transparency.Signer) transparency.Witness {
	return transparency.Witness{Name: s.Name(), Key: s.Key()}
}

// fakeLog is a log in memory that publishes tiles of its size and of every size that it had; it does as it is told.
type fakeLog struct {
	t       testing.TB
	signer  *transparency.Signer
	entries [][]byte
	stored  []tlog.Hash
	// files are by path, and head is published as the checkpoint.
	files map[string][]byte
	head  []byte
}

func newLog(t testing.TB, number byte) *fakeLog {
	t.Helper()
	l := &fakeLog{t: t, signer: logSigner(t, origin, number), files: make(map[string][]byte)}
	l.head = l.checkpoint(0)
	return l
}

func (l *fakeLog) policy() transparency.Policy {
	return transparency.Policy{Origin: origin, Key: l.signer.Key()}
}

func (l *fakeLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hashes[i] = l.stored[index]
	}
	return hashes, nil
}

// grow adds entries "NAME 0", "NAME 1" and so on, and publishes the tree.
func (l *fakeLog) grow(name string, n int) {
	l.t.Helper()
	for i := range n {
		l.add(fmt.Appendf(nil, "%s %d", name, i))
	}
}

func (l *fakeLog) add(entries ...[]byte) {
	l.t.Helper()
	before := int64(len(l.entries))
	for _, entry := range entries {
		hashes, err := tlog.StoredHashes(int64(len(l.entries)), entry, l)
		check(l.t, err)
		l.entries, l.stored = append(l.entries, entry), append(l.stored, hashes...)
	}
	size := int64(len(l.entries))
	for _, tile := range tlog.NewTiles(transparency.TileHeight, before, size) {
		data, err := tlog.ReadTileData(tile, l)
		check(l.t, err)
		l.files[transparency.TilePath(uint64(tile.L), uint64(tile.N), tile.W)] = data
	}
	for first := before / transparency.TileWidth * transparency.TileWidth; first < size; first += transparency.TileWidth {
		inBundle := l.entries[first:min(first+transparency.TileWidth, size)]
		var bundle []byte
		for _, e := range inBundle {
			bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(e))), e...)
		}
		l.files[transparency.EntryBundlePath(uint64(first)/transparency.TileWidth, len(inBundle))] = bundle
	}
	l.head = l.checkpoint(uint64(size))
}

// at is the tree of a size.
func (l *fakeLog) at(size uint64) transparency.Checkpoint {
	l.t.Helper()
	root, err := tlog.TreeHash(int64(size), l)
	check(l.t, err)
	return transparency.Checkpoint{Origin: origin, Size: size, Root: root}
}

func (l *fakeLog) checkpoint(size uint64) []byte {
	l.t.Helper()
	return sign(l.t, l.signer, l.at(size).Text())
}

// sign makes a note with the signature of a log.
func sign(t testing.TB, signer *transparency.Signer, text string) []byte {
	t.Helper()
	signature, err := signer.Sign([]byte(text))
	check(t, err)
	line := append(binary.BigEndian.AppendUint32(nil, signer.KeyHash()), signature...)
	return fmt.Appendf(nil, "%s\n— %s %s\n", text, signer.Name(), base64.StdEncoding.EncodeToString(line))
}

var witnessed = time.Date(2026, 4, 24, 2, 37, 51, 0, time.UTC)

// cosign adds signature lines of witnesses.
func cosign(t testing.TB, checkpoint []byte, witnesses ...*transparency.Signer) []byte {
	t.Helper()
	whole := slices.Clone(checkpoint)
	for _, w := range witnesses {
		line, err := w.Cosign(checkpoint, witnessed)
		check(t, err)
		whole = append(whole, line...)
	}
	return whole
}

func (l *fakeLog) consistency(from, to uint64) []transparency.Hash {
	l.t.Helper()
	if from == 0 || from == to {
		return nil
	}
	proof, err := tlog.ProveTree(int64(to), int64(from), l)
	check(l.t, err)
	return proof
}

// prover proves with what the log has, whatever it published.
func (l *fakeLog) prover() transparency.Prover {
	return func(from, to uint64) ([]transparency.Hash, bool, error) { return l.consistency(from, to), true, nil }
}

func (l *fakeLog) proof(index, size uint64) transparency.Proof {
	l.t.Helper()
	hashes, err := tlog.ProveRecord(int64(size), int64(index), l)
	check(l.t, err)
	return transparency.Proof{Origin: origin, Index: index, Entry: l.entries[index], Hashes: hashes, Checkpoint: l.checkpoint(size)}
}

// fork is a log with the same key and the first entries.
func (l *fakeLog) fork(size int) *fakeLog {
	l.t.Helper()
	f := &fakeLog{t: l.t, signer: l.signer, files: make(map[string][]byte)}
	for _, e := range l.entries[:size] {
		f.add(e)
	}
	return f
}

// copy is the log as it is now.
func (l *fakeLog) copy() *fakeLog {
	c := *l
	c.files = maps.Clone(l.files)
	return &c
}

func (l *fakeLog) read(path string) ([]byte, error) {
	data, found := l.files[path]
	if !found {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return data, nil
}

// Checkpoint, ReadTile and ReadEntryBundle make a transparency.Reader.
func (l *fakeLog) Checkpoint(context.Context) ([]byte, error) { return l.head, nil }

func (l *fakeLog) ReadTile(_ context.Context, level, index uint64, width int) ([]byte, error) {
	return l.read(transparency.TilePath(level, index, width))
}

func (l *fakeLog) ReadEntryBundle(_ context.Context, index uint64, width int) ([]byte, error) {
	return l.read(transparency.EntryBundlePath(index, width))
}
