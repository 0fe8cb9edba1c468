package tilelog

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"

	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/internal/filestate"
	"github.com/boardroom-tee/boardroom/tools/transparency/logdir"
	"github.com/boardroom-tee/boardroom/tools/transparency/memoryfile"
)

const (
	// Tessera's private state (storage/posix/files.go), and our lock beside it.
	stateDir  = ".state"
	treeState = "treeState"
	lockFile  = "writer.lock"

	// checkpointInterval is how often Tessera looks whether there is something to publish; it allows nothing shorter.
	checkpointInterval = 100 * time.Millisecond
	// publishTimeout is how long publishing may take on a disk that works.
	publishTimeout = 30 * time.Second
)

// Log is a log that is open for writing. It is for one goroutine.
type Log struct {
	policy     transparency.Policy
	reader     *logdir.Reader
	appender   *tessera.Appender
	integrated func(context.Context) (uint64, error)
	guard      *guard
	tree       *transparency.Tree
	checkpoint []byte
	close      []func()
}

// Create makes a log in a folder that is not there or empty, with a signed checkpoint of a tree without entries. A log of the same key
// that is there already is left as it is: that is how one who was interrupted goes on.
func Create(ctx context.Context, dir string, signer *transparency.Signer, signed string) (*Log, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		if entry.Name() == stateDir {
			return open(ctx, dir, signer, signed)
		}
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s: expected a folder for a new log to be empty, got one with %s", dir, entries[0].Name())
	}
	if err := os.MkdirAll(filepath.Join(dir, stateDir), 0o755); err != nil {
		return nil, err
	}
	return open(ctx, dir, signer, signed)
}

// Open opens a log that Create made, and ends what a writer began that was killed. It waits for another writer until the context ends.
// Signed is the file that remembers what the key signed; it belongs beside the key. Errors are a [*transparency.Refusal] if what the
// folder has does not continue that.
func Open(ctx context.Context, dir string, signer *transparency.Signer, signed string) (*Log, error) {
	if _, err := os.Stat(filepath.Join(dir, stateDir)); err != nil {
		return nil, fmt.Errorf("%s: expected a log that can be written, got a folder without %s: %w", dir, stateDir, err)
	}
	return open(ctx, dir, signer, signed)
}

func open(ctx context.Context, dir string, signer *transparency.Signer, signed string) (_ *Log, err error) {
	l := &Log{policy: transparency.Policy{Origin: signer.Name(), Key: signer.Key()}}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if err := l.policy.Check(); err != nil {
		return nil, err
	}
	unlock, err := filestate.Lock(ctx, filepath.Join(dir, stateDir, lockFile))
	if err != nil {
		return nil, err
	}
	l.close = append(l.close, unlock)
	if l.reader, err = logdir.Open(dir); err != nil {
		return nil, err
	}
	l.close = append(l.close, l.reader.Close)
	if err := l.prepare(ctx, dir, signed); err != nil {
		return nil, err
	}
	l.guard = &guard{Signer: signer, policy: l.policy, reader: l.reader, signed: signed}
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return nil, err
	}
	// What Tessera has begun to write it ends, whether the caller waits or not; Close ends it.
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.close = append(l.close, cancel)
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(l.guard).
		WithBatching(1, time.Millisecond).
		WithCheckpointInterval(checkpointInterval).
		WithCheckpointRepublishInterval(0).
		WithGarbageCollectionInterval(0) // what older checkpoints need stays
	appender, _, reader, err := tessera.NewAppender(background, driver, options)
	if fault := l.guard.fault(); fault != nil {
		return nil, fault
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	l.appender, l.integrated = appender, reader.IntegratedSize
	if err := l.publish(ctx); err != nil {
		return nil, err
	}
	// What is published has to continue what was signed even if there was nothing to sign.
	err = memoryfile.Update(ctx, signed, func(m *transparency.Memory) error {
		return m.AdvanceHead(l.policy, l.tree.Head(), l.tree.Prover(ctx))
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// prepare makes sure that Tessera finds what it needs, because it takes what is missing for a new log, and panics if it can not lock.
func (l *Log) prepare(ctx context.Context, dir, signed string) error {
	for _, name := range []string{"treeState.lock", "publish.lock"} {
		f, err := os.OpenFile(filepath.Join(dir, stateDir, name), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	published, err := l.reader.Checkpoint(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return clean(dir, 0)
	}
	if err != nil {
		return err
	}
	head, _, err := l.policy.Open(published)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, stateDir, treeState)); err != nil {
		return fmt.Errorf("%s: expected the folder in which the log was written, got a copy without its state: %w", dir, err)
	}
	// It was signed, whatever the memory says: one that was lost begins with it.
	err = memoryfile.Update(ctx, signed, func(m *transparency.Memory) error {
		if last, seen := m.Last(l.policy); seen && last.Size >= head.Size {
			return nil
		}
		return m.AdvanceHead(l.policy, head, transparency.NewTree(head, l.reader).Prover(ctx))
	})
	if err != nil {
		return err
	}
	// Tessera publishes when the checkpoint is old enough, which one from the future never is.
	checkpoint := filepath.Join(dir, transparency.CheckpointPath)
	info, err := os.Stat(checkpoint)
	if err != nil {
		return err
	}
	if now := time.Now(); info.ModTime().After(now) {
		if err := os.Chtimes(checkpoint, now, now); err != nil {
			return err
		}
	}
	return clean(dir, head.Size)
}

// Close ends writing.
func (l *Log) Close() {
	for i := len(l.close) - 1; i >= 0; i-- {
		l.close[i]()
	}
	l.close = nil
}

// Tree is the published tree, and Checkpoint its signed head, verbatim.
func (l *Log) Tree() *transparency.Tree { return l.tree }

// Checkpoint is the signed head, verbatim.
func (l *Log) Checkpoint() []byte { return bytes.Clone(l.checkpoint) }

// Policy is what a verifier needs to believe the log, without witnesses.
func (l *Log) Policy() transparency.Policy { return l.policy }

// Add adds an entry, unless it is there already, and publishes the tree with it. It returns the entry's index.
func (l *Log) Add(ctx context.Context, entry []byte) (index uint64, added bool, err error) {
	index, found, err := l.tree.Find(ctx, entry)
	if err != nil || found {
		return index, false, err
	}
	if index, err = l.write(entry); err != nil {
		return 0, false, err
	}
	if err := l.publish(ctx); err != nil {
		return 0, false, err
	}
	return index, true, nil
}

// write writes an entry behind the tree. It ends when that is on the disk, and not before: whoever closes the log ends nothing halfway.
func (l *Log) write(entry []byte) (uint64, error) {
	if len(entry) == 0 || len(entry) > transparency.MaxEntry {
		return 0, fmt.Errorf("log entry: expected 1 to %d bytes, got %d", transparency.MaxEntry, len(entry))
	}
	at, err := l.appender.Add(context.Background(), tessera.NewEntry(entry))()
	return at.Index, err
}

// publish waits until what was written is published, and reads it.
func (l *Log) publish(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, publishTimeout, fmt.Errorf("it was not published within %s", publishTimeout))
	defer cancel()
	size, err := l.integrated(ctx)
	if err != nil {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		checkpoint, err := l.reader.Checkpoint(ctx)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil {
			head, _, err := l.policy.Open(checkpoint)
			if err != nil {
				return err
			}
			if head.Size == size {
				l.checkpoint, l.tree = checkpoint, transparency.NewTree(head, l.reader)
				return nil
			}
		}
		if err := l.guard.fault(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("log %s: expected a checkpoint of tree size %d, got none: %w; the storage said last: %q", l.policy.Origin, size, context.Cause(ctx), said.last())
		case <-tick.C:
		}
	}
}

// Proof proves that the entry with an index is in the published tree, and verifies that.
func (l *Log) Proof(ctx context.Context, index uint64) (transparency.Proof, error) {
	entry, err := l.tree.Entry(ctx, index)
	if err != nil {
		return transparency.Proof{}, err
	}
	hashes, err := l.tree.Inclusion(ctx, index)
	if err != nil {
		return transparency.Proof{}, err
	}
	proof := transparency.Proof{Origin: l.policy.Origin, Index: index, Entry: entry, Hashes: hashes, Checkpoint: l.Checkpoint()}
	if _, err := transparency.Verify(proof, entry, l.policy); err != nil {
		return transparency.Proof{}, err
	}
	return proof, nil
}

// Consistency proves that the published tree continues those of the last sizes, as many as a file holds: whoever saw the log at one of
// them needs nothing else. A tree of fewer than two entries continues none, and has no file.
func (l *Log) Consistency(ctx context.Context) (c transparency.Consistency, found bool, err error) {
	head := l.tree.Head()
	first := uint64(1)
	if head.Size > transparency.MaxConsistency {
		first = head.Size - transparency.MaxConsistency
	}
	c.Checkpoint = l.Checkpoint()
	for old := first; old < head.Size; old++ {
		hashes, err := l.tree.Consistency(ctx, old)
		if err != nil {
			return c, false, err
		}
		c.Proofs = append(c.Proofs, transparency.ConsistencyProof{Old: old, Hashes: hashes})
	}
	return c, len(c.Proofs) > 0, nil
}

// Vouch adds an entry as Add does, and writes its proof to a file, with a consistency file beside it if there is anything to continue. An
// older proof of the file is replaced: the checkpoint of the newer is larger, or has more cosignatures.
func (l *Log) Vouch(ctx context.Context, entry []byte, proofFile string) (proof transparency.Proof, added bool, err error) {
	index, added, err := l.Add(ctx, entry)
	if err != nil {
		return transparency.Proof{}, false, err
	}
	if proof, err = l.Proof(ctx, index); err != nil {
		return transparency.Proof{}, added, err
	}
	consistency, found, err := l.Consistency(ctx)
	if err != nil {
		return transparency.Proof{}, added, err
	}
	if found {
		if err := filestate.Replace(transparency.ConsistencyFile(proofFile), consistency.Encode()); err != nil {
			return transparency.Proof{}, added, err
		}
	}
	return proof, added, filestate.Replace(proofFile, proof.Encode())
}

// guard signs for Tessera what continues the last that it signed.
type guard struct {
	*transparency.Signer
	policy transparency.Policy
	reader *logdir.Reader
	signed string

	mu  sync.Mutex
	err error
}

// Sign signs the text of a checkpoint after it is on the disk that it was signed.
func (g *guard) Sign(text []byte) ([]byte, error) {
	signature, err := g.sign(text)
	if err != nil {
		g.mu.Lock()
		g.err = err
		g.mu.Unlock()
	}
	return signature, err
}

func (g *guard) sign(text []byte) ([]byte, error) {
	signature, err := g.Signer.Sign(text)
	if err != nil {
		return nil, err
	}
	line := append(binary.BigEndian.AppendUint32(nil, g.KeyHash()), signature...)
	head, _, err := g.policy.Open(fmt.Appendf(nil, "%s\n— %s %s\n", text, g.Name(), base64.StdEncoding.EncodeToString(line)))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	err = memoryfile.Update(ctx, g.signed, func(m *transparency.Memory) error {
		return m.AdvanceHead(g.policy, head, transparency.NewTree(head, g.reader).Prover(ctx))
	})
	if err != nil {
		return nil, err
	}
	return signature, nil
}

// fault is why the guard did not sign.
func (g *guard) fault() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}
