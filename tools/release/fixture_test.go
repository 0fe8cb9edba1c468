package release_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/layout"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// verifiedAt is when the tests verify, three days after the release was made.
var verifiedAt = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// world is a release that verifies, with the policy and the log that it does so by, all of it to be altered.
type world struct {
	t       *testing.T
	dir     string
	fixture *releasetest.Fixture
	policy  map[string]any
	// beside are the files beside the policy.
	beside map[string][]byte
	log    *testLog
	// options are those of Verify; a test may have more.
	options release.VerifyOptions
}

// newWorld makes the release of a version and lets builder and rebuilder sign.
func newWorld(t *testing.T, options ...releasetest.Options) *world {
	t.Helper()
	w := newUnsigned(t, options...)
	w.vouch()
	return w
}

func newUnsigned(t *testing.T, options ...releasetest.Options) *world {
	t.Helper()
	f := releasetest.New(t, options...)
	w := &world{t: t, dir: f.Dir, fixture: f, log: newLog(t, 1), beside: map[string][]byte{"layout.json": f.Layout}, options: release.VerifyOptions{At: verifiedAt}}
	w.policy = map[string]any{
		"schema": release.PolicySchema, "name": releasetest.Name, "source": releasetest.Source.Repository, "threshold": 2,
		"builders":   map[string]any{"threshold": 1, "identities": []any{identity("builder", f.Builder)}},
		"rebuilders": map[string]any{"threshold": 1, "identities": []any{identity("rebuilder", f.Rebuilder)}},
		"layout":     map[string]any{"file": "layout.json", "threshold": 1, "owners": []any{map[string]any{"pem": string(f.Owner.Key().PEM())}}},
		"logs": map[string]any{"required": 1, "logs": []any{map[string]any{
			"origin": w.log.signer.Name(), "key": w.log.signer.Key(), "witness_threshold": 1,
			"witnesses": []any{map[string]any{"name": "witness", "key": w.log.witness.Key()}},
		}}},
		"minimum_version": "1.0.0", "maximum_age_days": 30, "development_guests": false, "revoked_releases": []any{}, "revoked_keys": []any{},
	}
	return w
}

func identity(name string, signers ...provenance.Signer) map[string]any {
	var keys []any
	for _, s := range signers {
		keys = append(keys, map[string]any{"pem": string(s.Key().PEM()), "not_before": "2026-01-01T00:00:00Z", "not_after": "2027-01-01T00:00:00Z"})
	}
	return map[string]any{"name": name, "keys": keys}
}

// set changes a member of the policy, by a path such as "builders.identities.0.name".
func (w *world) set(member string, value any) {
	w.t.Helper()
	var at any = w.policy
	parts := strings.Split(member, ".")
	for _, part := range parts[:len(parts)-1] {
		switch inner := at.(type) {
		case map[string]any:
			at = inner[part]
		case []any:
			i, err := strconv.Atoi(part)
			w.check(err)
			at = inner[i]
		}
	}
	last := parts[len(parts)-1]
	switch inner := at.(type) {
	case map[string]any:
		if value == nil {
			delete(inner, last)
		} else {
			inner[last] = value
		}
	case []any:
		i, err := strconv.Atoi(last)
		w.check(err)
		inner[i] = value
	default:
		w.t.Fatalf("the policy has no %s", member)
	}
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }

func (w *world) read(name string) []byte {
	w.t.Helper()
	data, err := os.ReadFile(w.path(name))
	w.check(err)
	return data
}

func (w *world) write(name string, data []byte) {
	w.t.Helper()
	w.check(os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
	w.check(os.WriteFile(w.path(name), data, 0o600))
}

func (w *world) remove(name string) {
	w.t.Helper()
	w.check(os.Remove(w.path(name)))
}

func (w *world) rename(from, to string) {
	w.t.Helper()
	w.check(os.Rename(w.path(from), w.path(to)))
}

// edit replaces a text that has to be there.
func (w *world) edit(name, old, replacement string) {
	w.t.Helper()
	w.write(name, replaced(w.t, w.read(name), old, replacement))
}

func replaced(t *testing.T, data []byte, old, replacement string) []byte {
	t.Helper()
	if !bytes.Contains(data, []byte(old)) {
		t.Fatalf("expected %q to replace, got none in %.400s", old, data)
	}
	return bytes.Replace(data, []byte(old), []byte(replacement), 1)
}

// flip changes one bit in the middle of a file.
func (w *world) flip(name string) {
	w.t.Helper()
	data := w.read(name)
	data[len(data)/2] ^= 1
	w.write(name, data)
}

// one is the one file of a folder whose name has the prefix.
func (w *world) one(folder, prefix string) string {
	w.t.Helper()
	entries, err := os.ReadDir(w.path(folder))
	w.check(err)
	var found []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			found = append(found, path.Join(folder, e.Name()))
		}
	}
	if len(found) == 0 {
		w.t.Fatalf("expected a file %s/%s…, got none", folder, prefix)
	}
	return found[0]
}

func (w *world) release() *release.Release {
	w.t.Helper()
	r, err := release.ParseRelease(w.read(release.ManifestFile))
	w.check(err)
	return r
}

// remake lists all files again after a change, and lets everybody vouch for the result: a release that is wrong, and signed.
func (w *world) remake(change func(r *release.Release)) {
	w.t.Helper()
	r := w.release()
	if change != nil {
		change(r)
	}
	r.Files = nil
	w.check(fs.WalkDir(os.DirFS(w.dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name == release.ManifestFile {
			return err
		}
		if folder, _, _ := strings.Cut(name, "/"); slices.Contains([]string{release.BundlesFolder, release.LinksFolder, release.LogFolder}, folder) {
			return nil
		}
		data := w.read(name)
		r.Files = append(r.Files, release.File{Path: name, Digest: provenance.DigestOf(data), Size: int64(len(data))})
		return nil
	}))
	slices.SortFunc(r.Files, func(a, b release.File) int { return strings.Compare(a.Path, b.Path) })
	for i, a := range r.Applications {
		for _, f := range r.Files {
			if f.Path == a.AppCompose {
				r.Applications[i].ComposeHash = [32]byte(f.Digest)
			}
		}
	}
	data, err := r.Encode()
	w.check(err)
	w.write(release.ManifestFile, data)
	w.vouch()
}

// vouch replaces all that vouches for the release: builder and rebuilder sign, and the log has it.
func (w *world) vouch() {
	w.t.Helper()
	for _, folder := range []string{release.BundlesFolder, release.LinksFolder, release.LogFolder} {
		w.check(os.RemoveAll(w.path(folder)))
	}
	r := w.release()
	for _, file := range r.StatementFiles() {
		w.bundle(w.fixture.Builder, "", provenance.PayloadType, w.read(file))
	}
	statement := w.statement()
	bundles := []provenance.Bundle{
		w.bundle(w.fixture.Builder, "release", provenance.PayloadType, statement), w.bundle(w.fixture.Rebuilder, "release", provenance.PayloadType, statement),
	}
	w.link(w.fixture.Builder, release.BuildStep, r)
	w.link(w.fixture.Rebuilder, release.RebuildStep, r)
	w.enter(bundles...)
}

func (w *world) statement() []byte {
	w.t.Helper()
	s, err := w.release().Statement()
	w.check(err)
	data, err := s.Encode()
	w.check(err)
	return data
}

// bundle writes the signature of a payload.
func (w *world) bundle(signer provenance.Signer, prefix, payloadType string, payload []byte) provenance.Bundle {
	w.t.Helper()
	if prefix == "" {
		sum := provenance.DigestOf(payload)
		prefix = hex.EncodeToString(sum[:8])
	}
	e := provenance.Envelope{PayloadType: payloadType, Payload: payload}
	w.check(e.Sign(w.t.Context(), signer))
	b := provenance.Bundle{Hint: signer.Key().Hint(), Envelope: &e}
	data, err := b.Encode()
	w.check(err)
	w.write(path.Join(release.BundlesFolder, prefix+"-"+signer.Key().Fingerprint().String()[:16]+".sigstore.json"), data)
	return b
}

// bundleOf is the file of a signer's signature of the release.
func bundleOf(s provenance.Signer) string {
	return release.BundlesFolder + "/release-" + s.Key().Fingerprint().String()[:16] + ".sigstore.json"
}

func (w *world) link(signer provenance.Signer, step string, r *release.Release) {
	w.t.Helper()
	l, err := r.Link(step)
	w.check(err)
	data, err := layout.SignLink(w.t.Context(), l, signer)
	w.check(err)
	name, err := layout.FileName(step, signer.Key())
	w.check(err)
	w.write(path.Join(release.LinksFolder, name), data)
}

// enter puts the release with some of its signatures into the log, and the proof into the release.
func (w *world) enter(bundles ...provenance.Bundle) {
	w.t.Helper()
	r := w.release()
	e, err := transparency.NewEntry(r.Name, r.Version, provenance.DigestOf(w.read(release.ManifestFile)), bundles...)
	w.check(err)
	w.write(w.proofFile(), w.log.proof(w.log.add(e.Encode())))
}

func (w *world) proofFile() string {
	return path.Join(release.LogFolder, transparency.ProofFile(w.log.signer.Name()))
}

// relayout lets owners sign another layout.
func (w *world) relayout(expires time.Time, builders, rebuilders []provenance.Key, owners ...provenance.Signer) {
	w.t.Helper()
	l, err := release.NewLayout(expires, release.Functionaries{Keys: builders, Threshold: 1}, release.Functionaries{Keys: rebuilders, Threshold: 1})
	w.check(err)
	w.beside["layout.json"], err = layout.SignLayout(w.t.Context(), l, owners...)
	w.check(err)
}

func (w *world) parsePolicy() (*release.Policy, error) {
	w.t.Helper()
	data, err := json.Marshal(w.policy)
	w.check(err)
	return release.ParsePolicy(data, "policy.json", func(name string) ([]byte, error) {
		if data, ok := w.beside[name]; ok {
			return data, nil
		}
		return nil, fs.ErrNotExist
	})
}

func (w *world) verify() *release.Report {
	w.t.Helper()
	p, err := w.parsePolicy()
	w.check(err)
	r, err := release.VerifyFolder(w.t.Context(), w.dir, p, w.options)
	w.check(err)
	return r
}

func (w *world) accept() {
	w.t.Helper()
	if r := w.verify(); !r.Accepted {
		w.t.Fatalf("refused: %s: %s", r.Refusal.Code, r.Refusal.Reason)
	}
}

// copyFrom copies files of another release.
func (w *world) copyFrom(other *world, names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.write(name, other.read(name))
	}
}

// testLog is a log in memory.
type testLog struct {
	t               testing.TB
	signer, witness *transparency.Signer
	hashes          []tlog.Hash
	leaves          []tlog.Hash
	entries         [][]byte
	unwitnessed     bool
}

var logKeys = sync.OnceValue(func() (keys [4]ed25519.PrivateKey) {
	for i := range keys {
		keys[i] = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, ed25519.SeedSize))
	}
	return keys
})

const logOrigin = "log.example/board"

// newLog makes a log with some entries that are nobody's; the seed makes them others.
func newLog(t testing.TB, seed int) *testLog {
	t.Helper()
	l := &testLog{t: t}
	var err error
	if l.signer, err = transparency.NewLogSigner(logOrigin, logKeys()[0]); err != nil {
		t.Fatal(err)
	}
	if l.witness, err = transparency.NewWitnessSigner("witness.example", logKeys()[1]); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		l.add([]byte("entry " + strconv.Itoa(seed*100+i)))
	}
	return l
}

// ReadHashes is what package tlog reads trees through.
func (l *testLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = l.hashes[at]
	}
	return out, nil
}

func (l *testLog) add(entry []byte) int64 {
	l.t.Helper()
	n := int64(len(l.entries))
	more, err := tlog.StoredHashesForRecordHash(n, tlog.RecordHash(entry), l)
	if err != nil {
		l.t.Fatal(err)
	}
	l.hashes, l.leaves, l.entries = append(l.hashes, more...), append(l.leaves, tlog.RecordHash(entry)), append(l.entries, entry)
	return n
}

func (l *testLog) head() []byte {
	l.t.Helper()
	return l.sign(l.signer, int64(len(l.entries)))
}

func (l *testLog) sign(signer *transparency.Signer, size int64) []byte {
	l.t.Helper()
	root, err := tlog.TreeHash(size, l)
	if err != nil {
		l.t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: transparency.Checkpoint{Origin: logOrigin, Size: uint64(size), Root: root}.Text()}, signer)
	if err != nil {
		l.t.Fatal(err)
	}
	if l.unwitnessed {
		return signed
	}
	line, err := l.witness.Cosign(signed, verifiedAt)
	if err != nil {
		l.t.Fatal(err)
	}
	return append(signed, line...)
}

func (l *testLog) proof(index int64) []byte {
	l.t.Helper()
	hashes, err := tlog.ProveRecord(int64(len(l.entries)), index, l)
	if err != nil {
		l.t.Fatal(err)
	}
	return transparency.Proof{Origin: logOrigin, Index: uint64(index), Entry: l.entries[index], Hashes: hashes, Checkpoint: l.head()}.Encode()
}

// consistency is the file that proves that the log began with the tree of a size.
func (l *testLog) consistency(old int64) []byte {
	l.t.Helper()
	hashes, err := tlog.ProveTree(int64(len(l.entries)), old, l)
	if err != nil {
		l.t.Fatal(err)
	}
	return transparency.Consistency{Proofs: []transparency.ConsistencyProof{{Old: uint64(old), Hashes: hashes}}, Checkpoint: l.head()}.Encode()
}

// Checkpoint, ReadTile and ReadEntryBundle make a transparency.Reader of the log, which has but one tile.
func (l *testLog) Checkpoint(context.Context) ([]byte, error) { return l.head(), nil }

func (l *testLog) ReadTile(_ context.Context, level, index uint64, width int) ([]byte, error) {
	if level > 0 || index > 0 || width != len(l.leaves) {
		return nil, fs.ErrNotExist
	}
	var b bytes.Buffer
	for _, h := range l.leaves {
		b.Write(h[:])
	}
	return b.Bytes(), nil
}

func (l *testLog) ReadEntryBundle(context.Context, uint64, int) ([]byte, error) {
	return nil, fs.ErrNotExist
}

// refusals are the codes of a check, each once and in order.
func refusals(c release.Check) []string {
	var codes []string
	for _, r := range c.Refusals {
		if !slices.Contains(codes, string(r.Code)) {
			codes = append(codes, string(r.Code))
		}
	}
	return codes
}

// failed is the first check that failed.
func failed(r *release.Report) release.Check {
	for _, c := range r.Checks {
		if c.Result == release.Fail {
			return c
		}
	}
	return release.Check{}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
