package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/memoryfile"
	"github.com/boardroom-tee/boardroom/tools/transparency/notekey"
	"github.com/boardroom-tee/boardroom/tools/transparency/tilelog"
)

// seenLog is a log as it was seen.
type seenLog struct {
	transparency.Checkpoint
	Witnesses []transparency.Witnessed `json:"witnesses"`
	// Compared holds if there is a memory. Before is the largest tree that was in it.
	Compared bool                     `json:"compared"`
	Before   *transparency.Checkpoint `json:"seen_before,omitempty"`
}

func (s seenLog) print(b *bytes.Buffer) {
	fmt.Fprintf(b, "log      %s\nsize     %d\nroot     %s\n", s.Origin, s.Size, s.Root)
	for _, w := range s.Witnesses {
		fmt.Fprintf(b, "witness  %s at %s\n", w.Name, w.At.Format(time.RFC3339))
	}
	switch {
	case !s.Compared:
		fmt.Fprintln(b, "NOT COMPARED with what was seen before: there is no --state")
	case s.Before == nil:
		fmt.Fprintln(b, "seen     for the first time")
	default:
		fmt.Fprintf(b, "seen     before at size %d, which it continues\n", s.Before.Size)
	}
}

// follow reads the head of a log and remembers it, if there is a memory. What look finds does not change that it was seen.
func follow(ctx context.Context, c *cli.Context, p transparency.Policy, look func(transparency.Reader, *transparency.Memory, *transparency.Tree, seenLog) error) error {
	reader, done, err := logReader(c.Args().First())
	if err != nil {
		return err
	}
	defer done()
	var verdict error
	advance := func(m *transparency.Memory) error {
		seen := seenLog{Compared: c.String("state") != "", Witnesses: []transparency.Witnessed{}}
		if before, found := m.Last(p); found {
			seen.Before = &before
		}
		tree, witnesses, err := transparency.Follow(ctx, m, p, reader)
		if err != nil {
			return err
		}
		seen.Checkpoint, seen.Witnesses = tree.Head(), append(seen.Witnesses, witnesses...)
		verdict = look(reader, m, tree, seen)
		return nil
	}
	if state := c.String("state"); state != "" {
		err = memoryfile.Update(ctx, state, advance)
	} else {
		err = advance(new(transparency.Memory))
	}
	return logFault(errors.Join(err, verdict))
}

// verifiedLog is the result of verify.
type verifiedLog struct {
	seenLog
	Entry *loggedEntry `json:"entry,omitempty"`
}

func (v verifiedLog) Print(w io.Writer) error {
	var b bytes.Buffer
	v.print(&b)
	fmt.Fprintf(&b, "checked  %d entries and their tiles\n", v.Size)
	if v.Entry != nil {
		fmt.Fprintf(&b, "proven   %s\n", v.Entry)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func logVerify(c *cli.Context) error {
	if err := cmdline.Args(c, "DIR|URL"); err != nil {
		return err
	}
	p, err := logPolicy(c)
	if err != nil {
		return err
	}
	proof, entry, err := readProof(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	var result verifiedLog
	err = follow(ctx, c, p, func(_ transparency.Reader, m *transparency.Memory, tree *transparency.Tree, seen seenLog) error {
		result.seenLog = seen
		if err := tree.Check(ctx); err != nil {
			return err
		}
		if proof == nil {
			return nil
		}
		verified, err := transparency.Verify(*proof, entry, p)
		if err != nil {
			return err
		}
		if err := m.Advance(p, verified.Checkpoint, tree.Prover(ctx)); err != nil {
			return err
		}
		proven, err := newLoggedEntry(verified.Index, entry)
		result.Entry = &proven
		return err
	})
	if err != nil {
		return err
	}
	return cmdline.Print(c, result)
}

// readProof reads the proof and what it is about, if the flags name them.
func readProof(c *cli.Context) (*transparency.Proof, []byte, error) {
	path := c.String("proof")
	if path == "" {
		if c.String("entry") != "" {
			return nil, nil, flagError("entry", errors.New("expected --proof with it, got none"))
		}
		return nil, nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, transparency.MaxProof+1))
	if err != nil {
		return nil, nil, err
	}
	proof, err := transparency.ParseProof(data)
	if err != nil {
		return nil, nil, logFault(fmt.Errorf("%s: %w", path, err))
	}
	if place := c.String("entry"); place != "" {
		entry, _, err := readEntry(place)
		return &proof, entry, err
	}
	if proof.Entry == nil {
		return nil, nil, flagError("entry", fmt.Errorf("expected what %s is about, which it does not have itself, got none", path))
	}
	return &proof, proof.Entry, nil
}

// loggedEntry is an entry of a log.
type loggedEntry struct {
	Index uint64 `json:"index"`
	// Entry is nil if it is malformed.
	Entry json.RawMessage `json:"entry"`

	parsed transparency.Entry
}

// newLoggedEntry says why an entry is malformed, and has its index all the same.
func newLoggedEntry(index uint64, data []byte) (loggedEntry, error) {
	parsed, err := transparency.ParseEntry(data)
	if err != nil {
		return loggedEntry{Index: index}, err
	}
	return loggedEntry{index, data, parsed}, nil
}

func (l loggedEntry) String() string {
	if l.Entry == nil {
		return fmt.Sprintf("entry %d: malformed", l.Index)
	}
	return fmt.Sprintf("entry %d: %s %s, %s, signed by %d", l.Index, l.parsed.Name, l.parsed.Version, l.parsed.Release, len(l.parsed.Signatures))
}

// listedEntry is an entry that a monitor has something to say about.
type listedEntry struct {
	loggedEntry
	// New holds if it was not seen before.
	New bool `json:"new"`
	// Unexpected says why it should not be there.
	Unexpected string `json:"unexpected,omitempty"`
}

// monitored is the result of monitor.
type monitored struct {
	seenLog
	// Entries are those that are new, and those that should not be there.
	Entries []listedEntry `json:"entries"`
}

func (m monitored) Print(w io.Writer) error {
	var b bytes.Buffer
	m.print(&b)
	for _, e := range m.Entries {
		if e.New {
			fmt.Fprintf(&b, "new      %s\n", e)
		}
		if e.Unexpected != "" {
			fmt.Fprintf(&b, "UNEXPECTED: entry %d: %s\n", e.Index, e.Unexpected)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func logMonitor(c *cli.Context) error {
	if err := cmdline.Args(c, "DIR|URL"); err != nil {
		return err
	}
	if c.String("state") == "" {
		return flagError("state", errors.New("expected a file that remembers what is seen, got none"))
	}
	p, err := logPolicy(c)
	if err != nil {
		return err
	}
	expected, err := expectedKeys(c.StringSlice("expect-key"))
	if err != nil {
		return err
	}
	names, acknowledged := c.StringSlice("name"), c.Uint64Slice("acknowledge")
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	result := monitored{Entries: []listedEntry{}}
	unexpected := 0
	err = follow(ctx, c, p, func(_ transparency.Reader, _ *transparency.Memory, tree *transparency.Tree, seen seenLog) error {
		result.seenLog = seen
		return tree.Entries(ctx, 0, func(index uint64, data []byte) error {
			entry, err := newLoggedEntry(index, data)
			l := listedEntry{loggedEntry: entry, New: seen.Before == nil || index >= seen.Before.Size}
			if err != nil {
				l.Unexpected = err.Error()
			} else if slices.Contains(names, l.parsed.Name) {
				l.Unexpected = strangers(l.parsed, expected)
			}
			if slices.Contains(acknowledged, index) {
				l.Unexpected = ""
			}
			if l.Unexpected != "" {
				unexpected++
			}
			if l.New || l.Unexpected != "" {
				result.Entries = append(result.Entries, l)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	if err := cmdline.Print(c, result); err != nil {
		return err
	}
	if unexpected > 0 {
		return cmdline.Refused(fmt.Errorf("log %s: expected no entries but those of known keys, got %d", p.Origin, unexpected))
	}
	return nil
}

// strangers says which keys of an entry are not expected.
func strangers(e transparency.Entry, expected []provenance.Fingerprint) string {
	var keys []string
	for _, s := range e.Signatures {
		if !slices.Contains(expected, s.Key) {
			keys = append(keys, s.Key.String())
		}
	}
	if len(keys) == 0 {
		return ""
	}
	return fmt.Sprintf("%s %s: expected signatures of known keys, got those of %s", e.Name, e.Version, strings.Join(keys, ", "))
}

func expectedKeys(values []string) ([]provenance.Fingerprint, error) {
	var keys []provenance.Fingerprint
	for _, value := range values {
		var f provenance.Fingerprint
		if raw, err := hex.DecodeString(value); err == nil && len(raw) == len(f) && strings.ToLower(value) == value {
			keys = append(keys, provenance.Fingerprint(raw))
			continue
		}
		text, err := readKeyFile(value)
		if err != nil {
			return nil, err
		}
		key, err := provenance.ParseKey(text)
		if err != nil {
			return nil, flagError("expect-key", fmt.Errorf("%s: %w", value, err))
		}
		keys = append(keys, key.Fingerprint())
	}
	return keys, nil
}

// cosignature is the result of witness.
type cosignature struct {
	seenLog
	Line  string `json:"line"`
	Added bool   `json:"added"`
}

func (s cosignature) Print(w io.Writer) error {
	_, err := io.WriteString(w, s.Line)
	return err
}

func logWitness(c *cli.Context) error {
	if err := cmdline.Args(c, "DIR|URL"); err != nil {
		return err
	}
	if c.String("state") == "" {
		return flagError("state", errors.New("expected a file that remembers what the witness saw, got none"))
	}
	p, err := logPolicy(c)
	if err != nil {
		return err
	}
	files, err := newNoteKeyFiles(c.String("witness-key"))
	if err != nil {
		return flagError("witness-key", err)
	}
	signer, err := files.open(c, notekey.Witness)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	var result cosignature
	err = follow(ctx, c, p, func(_ transparency.Reader, _ *transparency.Memory, tree *transparency.Tree, seen seenLog) error {
		result.seenLog = seen
		// Nobody else has the memory meanwhile, so this is the largest tree; the line leaves only when that is on the disk.
		line, err := signer.Cosign(tree.Note(), time.Now())
		result.Line = line
		return err
	})
	if err != nil {
		return err
	}
	if c.Bool("add") {
		p.Witnesses = append(p.Witnesses, transparency.Witness{Name: signer.Name(), Key: signer.Key()})
		if _, err := tilelog.AddCosignature(ctx, c.Args().First(), p, result.Line); err != nil {
			return logFault(err)
		}
		result.Added = true
	}
	return cmdline.Print(c, result)
}
