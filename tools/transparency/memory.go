package transparency

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

const (
	// MaxMemory bounds a memory as JSON, in bytes.
	MaxMemory = 4 << 20

	memoryFormat = 1
	maxLogs      = 64
	// maxSeen is how many checkpoints of a log are kept: the largest, and of the others those that were seen last.
	maxSeen = 64
)

// Memory is what one verifier saw of logs. The zero Memory has seen nothing. A Memory only grows: what it saw last of a log is never
// forgotten, and nothing else can take the place of it than a tree that begins with it.
type Memory struct {
	logs []*seenLog // sorted by origin and key
}

// seenLog are checkpoints of one log that are consistent with each other, sorted by size, with the order in which they were seen.
type seenLog struct {
	origin, key string
	seen        []Checkpoint
	order       []uint64
	next        uint64
}

type memoryJSON struct {
	Format int       `json:"format"`
	Logs   []logJSON `json:"logs"`
}

type logJSON struct {
	Origin      string     `json:"origin"`
	Key         string     `json:"key"`
	Checkpoints []seenJSON `json:"checkpoints"`
}

type seenJSON struct {
	Size uint64 `json:"size"`
	Root string `json:"root"`
	// Order says when it was seen, in comparison with others.
	Order uint64 `json:"order"`
}

// Prover returns a consistency proof between two trees of a log, if it has one. What it returns does not have to be right.
type Prover func(from, to uint64) (hashes []Hash, found bool, err error)

// ParseMemory reads what Encode wrote, of at most [MaxMemory] bytes.
func ParseMemory(data []byte) (*Memory, error) {
	if len(data) > MaxMemory {
		return nil, fmt.Errorf("memory of logs: expected at most %d bytes, got %d", MaxMemory, len(data))
	}
	var wire memoryJSON
	if err := strictjson.Unmarshal(data, &wire); err != nil {
		return nil, fmt.Errorf("memory of logs: %w", err)
	}
	if wire.Format != memoryFormat {
		return nil, fmt.Errorf("memory of logs: format: expected %d, got %d", memoryFormat, wire.Format)
	}
	if len(wire.Logs) > maxLogs {
		return nil, fmt.Errorf("memory of logs: logs: expected at most %d, got %d", maxLogs, len(wire.Logs))
	}
	m := new(Memory)
	for i, l := range wire.Logs {
		log, err := l.log()
		if err != nil {
			return nil, fmt.Errorf("memory of logs: logs[%d]: %w", i, err)
		}
		if i > 0 && compareLogs(m.logs[i-1], log.origin, log.key) >= 0 {
			return nil, fmt.Errorf("memory of logs: logs[%d]: expected a log after the one before, by origin and key, got %s", i, log.origin)
		}
		m.logs = append(m.logs, log)
	}
	return m, nil
}

func (l logJSON) log() (*seenLog, error) {
	if err := (Policy{Origin: l.Origin, Key: l.Key}).Check(); err != nil {
		return nil, err
	}
	if n := len(l.Checkpoints); n == 0 || n > maxSeen {
		return nil, fmt.Errorf("checkpoints: expected 1 to %d, got %d", maxSeen, n)
	}
	log := &seenLog{origin: l.Origin, key: l.Key}
	for i, c := range l.Checkpoints {
		root, err := parseHash(c.Root)
		if err != nil {
			return nil, fmt.Errorf("checkpoints[%d].root: %w", i, err)
		}
		if c.Size > MaxSize || i > 0 && c.Size <= log.seen[i-1].Size {
			return nil, fmt.Errorf("checkpoints[%d].size: expected sizes below 2^63 in rising order, got %d", i, c.Size)
		}
		if c.Order >= MaxSize || slices.Contains(log.order, c.Order) {
			return nil, fmt.Errorf("checkpoints[%d].order: expected a number of its own below 2^63, got %d", i, c.Order)
		}
		log.seen, log.order = append(log.seen, Checkpoint{l.Origin, c.Size, root}), append(log.order, c.Order)
		log.next = max(log.next, c.Order+1)
	}
	return log, nil
}

// Encode returns the memory as JSON.
func (m *Memory) Encode() ([]byte, error) {
	wire := memoryJSON{memoryFormat, make([]logJSON, len(m.logs))}
	for i, l := range m.logs {
		wire.Logs[i] = logJSON{l.origin, l.key, make([]seenJSON, len(l.seen))}
		for j, c := range l.seen {
			wire.Logs[i].Checkpoints[j] = seenJSON{c.Size, c.Root.String(), l.order[j]}
		}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(wire)
	return b.Bytes(), err
}

func compareLogs(l *seenLog, origin, key string) int {
	return cmp.Or(cmp.Compare(l.origin, origin), cmp.Compare(l.key, key))
}

func (m *Memory) find(p Policy) (int, bool) {
	return slices.BinarySearchFunc(m.logs, p, func(l *seenLog, p Policy) int { return compareLogs(l, p.Origin, p.Key) })
}

// Last is the largest checkpoint of the policy's log that was seen.
func (m *Memory) Last(p Policy) (Checkpoint, bool) {
	if i, found := m.find(p); found {
		return m.logs[i].last(), true
	}
	return Checkpoint{}, false
}

// Seen are the checkpoints of the policy's log that are remembered, by size.
func (m *Memory) Seen(p Policy) []Checkpoint {
	if i, found := m.find(p); found {
		return slices.Clone(m.logs[i].seen)
	}
	return nil
}

func (l *seenLog) last() Checkpoint { return l.seen[len(l.seen)-1] }

// Advance takes note of a verified checkpoint of the policy's log, of any age: that of a proof. One that was seen is accepted; of any
// other a prover has to show that it continues the largest that was seen, or that one that was seen continues it. A log that is seen
// for the first time is believed. Errors are a [*Refusal], an [*UnprovenError], a [*PolicyError], or a prover's; then nothing changes.
func (m *Memory) Advance(p Policy, c Checkpoint, provers ...Prover) error {
	return m.advance(p, c, false, provers)
}

// AdvanceHead is Advance for what a log shows as its current head, which can not be smaller than what was seen.
func (m *Memory) AdvanceHead(p Policy, c Checkpoint, provers ...Prover) error {
	return m.advance(p, c, true, provers)
}

func (m *Memory) advance(p Policy, c Checkpoint, head bool, provers []Prover) error {
	if err := p.Check(); err != nil {
		return err
	}
	if c.Origin != p.Origin {
		return refuse(CodeOrigin, "checkpoint: origin: expected %s, got %.80q", p.Origin, c.Origin)
	}
	i, found := m.find(p)
	if !found {
		if len(m.logs) == maxLogs {
			return fmt.Errorf("memory of logs: expected at most %d logs, got %s as one more", maxLogs, p.Origin)
		}
		m.logs = slices.Insert(m.logs, i, &seenLog{origin: p.Origin, key: p.Key, seen: []Checkpoint{c}, order: []uint64{0}, next: 1})
		return nil
	}
	log := m.logs[i]
	last := log.last()
	if head && c.Size < last.Size {
		return refuse(CodeTruncated, "log %s: expected a tree of at least %d entries, which was seen, got one of %d: the log was truncated", p.Origin, last.Size, c.Size)
	}
	at, same := slices.BinarySearchFunc(log.seen, c.Size, func(s Checkpoint, size uint64) int { return cmp.Compare(s.Size, size) })
	if same {
		return VerifyConsistency(log.seen[at], c, nil)
	}
	if err := log.prove(c, at, provers); err != nil {
		return err
	}
	log.insert(at, c)
	return nil
}

// prove shows that a checkpoint, which belongs at a position, is consistent with all that were seen: they begin each other, so that one
// that is larger is enough, and the largest if none is. A proof that is wrong does not keep another from being right: provers may have
// those of other logs, too.
func (l *seenLog) prove(c Checkpoint, at int, provers []Prover) error {
	type pair struct{ old, next Checkpoint }
	var pairs []pair
	for _, larger := range l.seen[at:] {
		pairs = append(pairs, pair{c, larger})
	}
	if len(pairs) == 0 {
		pairs = []pair{{l.last(), c}}
	}
	var wrong, fault error
	for _, prover := range append([]Prover{trivial}, provers...) {
		for _, p := range pairs {
			hashes, found, err := prover(p.old.Size, p.next.Size)
			switch {
			case err != nil:
				fault = cmp.Or(fault, err)
			case found:
				err := VerifyConsistency(p.old, p.next, hashes)
				if err == nil {
					return nil
				}
				wrong = cmp.Or(wrong, err)
			}
		}
	}
	last := pairs[len(pairs)-1]
	return cmp.Or(wrong, fault, error(&UnprovenError{c.Origin, last.old.Size, last.next.Size}))
}

// trivial proves that every tree begins with the one without entries.
func trivial(from, _ uint64) ([]Hash, bool, error) { return nil, from == 0, nil }

func (l *seenLog) insert(at int, c Checkpoint) {
	l.seen, l.order = slices.Insert(l.seen, at, c), slices.Insert(l.order, at, l.next)
	l.next++
	if len(l.seen) <= maxSeen {
		return
	}
	oldest := 0
	for i := range l.order[:len(l.order)-1] {
		if l.order[i] < l.order[oldest] {
			oldest = i
		}
	}
	l.seen, l.order = slices.Delete(l.seen, oldest, oldest+1), slices.Delete(l.order, oldest, oldest+1)
}

// Follow reads the current head of a log, verifies it, and takes note of it in a memory, for which it reads a consistency proof from the
// log. Errors are a [*Refusal], a [*PolicyError], or the reader's.
func Follow(ctx context.Context, m *Memory, p Policy, r Reader) (*Tree, []Witnessed, error) {
	checkpoint, err := r.Checkpoint(ctx)
	if err != nil {
		return nil, nil, err
	}
	head, witnessed, err := p.Open(checkpoint)
	if err != nil {
		return nil, nil, err
	}
	t := &Tree{head, checkpoint, r}
	err = m.AdvanceHead(p, head, t.Prover(ctx))
	var refusal *Refusal
	if errors.As(err, &refusal) && refusal.Code == CodeTile {
		// A log that can not show how its head continues what was seen may have forked, and may be broken.
		return nil, nil, refuse(CodeConsistency, "log %s: expected tiles that show how its head continues what was seen, got others: %s", p.Origin, refusal.Reason)
	}
	if err != nil {
		return nil, nil, err
	}
	return t, witnessed, nil
}
