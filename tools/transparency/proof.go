package transparency

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	// MaxProof bounds a proof or a consistency file, in bytes.
	MaxProof = 512 << 10
	// MaxConsistency bounds the proofs of a consistency file.
	MaxConsistency = 64

	proofHeader = "c2sp.org/tlog-proof@v1"
	// maxHashes bounds the hashes of a proof: a tree of fewer than 2^63 entries has 63 levels (c2sp.org/tlog-witness has the same bound).
	maxHashes = 63
)

// Proof shows that an entry is in a log (c2sp.org/tlog-proof). It is self-contained but for the keys of the log and its witnesses.
type Proof struct {
	// Origin is that of the checkpoint.
	Origin string
	// Index is the position of the entry in the log, from 0.
	Index uint64
	// Entry are the bytes of the entry, which travel as the proof's extra data; nil without. Nothing about them is proven before Verify.
	Entry []byte
	// Hashes is the inclusion proof (RFC 6962 section 2.1.1), from the leaf's sibling up.
	Hashes []Hash
	// Checkpoint is the signed head of the log, verbatim.
	Checkpoint []byte
}

// ParseProof reads a proof of at most [MaxProof] bytes. The error is a [*Refusal].
func ParseProof(data []byte) (Proof, error) {
	if len(data) > MaxProof {
		return Proof{}, refuse(CodeProof, "log proof: expected at most %d bytes, got %d", MaxProof, len(data))
	}
	head, checkpoint, found := strings.Cut(string(data), "\n\n")
	if !found {
		return Proof{}, refuse(CodeProof, "log proof: expected an empty line before a checkpoint, got none")
	}
	lines := strings.Split(head, "\n")
	if lines[0] != proofHeader {
		return Proof{}, refuse(CodeProof, "log proof: first line: expected %s, got %.80q", proofHeader, lines[0])
	}
	lines = lines[1:]
	p := Proof{Checkpoint: []byte(checkpoint)}
	if len(lines) > 0 {
		if extra, is := strings.CutPrefix(lines[0], "extra "); is {
			entry, err := decode64(extra)
			if err != nil || len(entry) == 0 || len(entry) > MaxEntry {
				return Proof{}, refuse(CodeProof, "log proof: extra: expected an entry of 1 to %d bytes in canonical base64, got something else", MaxEntry)
			}
			p.Entry, lines = entry, lines[1:]
		}
	}
	if len(lines) == 0 {
		return Proof{}, refuse(CodeProof, "log proof: expected a line with the index, got none")
	}
	text, is := strings.CutPrefix(lines[0], "index ")
	if !is {
		return Proof{}, refuse(CodeProof, "log proof: expected a line with the index, got %.80q", lines[0])
	}
	var err error
	if p.Index, err = parseDecimal(text); err != nil {
		return Proof{}, refuse(CodeProof, "log proof: index: %v", err)
	}
	if p.Hashes, err = parseHashes(lines[1:]); err != nil {
		return Proof{}, refuse(CodeProof, "log proof: %v", err)
	}
	if p.Origin, err = noteOrigin(p.Checkpoint); err != nil {
		return Proof{}, err
	}
	return p, nil
}

func parseHashes(lines []string) ([]Hash, error) {
	if len(lines) > maxHashes {
		return nil, fmt.Errorf("expected at most %d hashes, got %d", maxHashes, len(lines))
	}
	var hashes []Hash
	for i, line := range lines {
		h, err := parseHash(line)
		if err != nil {
			return nil, fmt.Errorf("hash %d: %w, got %.80q", i, err, line)
		}
		hashes = append(hashes, h)
	}
	return hashes, nil
}

// noteOrigin reads the origin of a checkpoint that nobody verified.
func noteOrigin(checkpoint []byte) (string, error) {
	text, err := splitNote(checkpoint)
	if err != nil {
		return "", err
	}
	head, err := parseText(text)
	return head.Origin, err
}

// Encode returns the text that ParseProof reads.
func (p Proof) Encode() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, proofHeader)
	if len(p.Entry) > 0 {
		fmt.Fprintf(&b, "extra %s\n", base64.StdEncoding.EncodeToString(p.Entry))
	}
	fmt.Fprintf(&b, "index %d\n", p.Index)
	for _, h := range p.Hashes {
		fmt.Fprintln(&b, h)
	}
	b.WriteByte('\n')
	b.Write(p.Checkpoint)
	return b.Bytes()
}

// Verified is what can be believed about an entry.
type Verified struct {
	Checkpoint
	// Index is the position of the entry, below Size.
	Index uint64 `json:"index"`
	// Witnesses are those that count, in the policy's order.
	Witnesses []Witnessed `json:"witnesses"`
}

// Verify verifies that the entry is in the log of the policy, as far as a proof shows. What the proof has as its entry has to be the
// same, or missing. Errors are a [*Refusal] or a [*PolicyError].
func Verify(proof Proof, entry []byte, p Policy) (*Verified, error) {
	c, err := p.compile()
	if err != nil {
		return nil, err
	}
	head, witnessed, err := c.open(proof.Checkpoint)
	if err != nil {
		return nil, err
	}
	if len(entry) == 0 || len(entry) > MaxEntry {
		return nil, refuse(CodeEntry, "log entry: expected 1 to %d bytes, got %d", MaxEntry, len(entry))
	}
	if proof.Entry != nil && !bytes.Equal(proof.Entry, entry) {
		return nil, refuse(CodeEntry, "log proof: expected the entry with the hash %s, got that of another artifact, %s", tlog.RecordHash(entry), tlog.RecordHash(proof.Entry))
	}
	if err := verifyInclusion(head, proof.Index, entry, proof.Hashes); err != nil {
		return nil, err
	}
	return &Verified{head, proof.Index, witnessed}, nil
}

func verifyInclusion(head Checkpoint, index uint64, entry []byte, hashes []Hash) error {
	if index >= head.Size {
		return refuse(CodeInclusion, "log proof: index: expected one below the tree's size %d, got %d", head.Size, index)
	}
	if err := tlog.CheckRecord(hashes, int64(head.Size), head.Root, int64(index), tlog.RecordHash(entry)); err != nil {
		return refuse(CodeInclusion, "log proof: expected the hashes that lead from entry %d to the root of tree size %d, got others", index, head.Size)
	}
	return nil
}

// VerifyConsistency verifies that the tree of one checkpoint is the beginning of that of another. Both have to be of one log and
// verified. The error is a [*Refusal].
func VerifyConsistency(old, next Checkpoint, hashes []Hash) error {
	switch {
	case old.Origin != next.Origin:
		return refuse(CodeOrigin, "consistency proof: expected two checkpoints of one log, got those of %.80q and %.80q", old.Origin, next.Origin)
	case old.Size > MaxSize || next.Size > MaxSize:
		return refuse(CodeCheckpoint, "consistency proof: expected tree sizes below 2^63, got %d and %d", old.Size, next.Size)
	case next.Size < old.Size:
		return refuse(CodeTruncated, "log %s: expected a tree of at least %d entries, got one of %d", old.Origin, old.Size, next.Size)
	case next.Size == old.Size && next.Root != old.Root:
		return refuse(CodeConsistency, "log %s: expected the root %s for tree size %d, got %s: the log has forked", old.Origin, old.Root, old.Size, next.Root)
	case (next.Size == old.Size || old.Size == 0) && len(hashes) > 0:
		return refuse(CodeConsistency, "consistency proof from tree size %d to %d: expected no hashes, got %d", old.Size, next.Size, len(hashes))
	case next.Size == old.Size:
		return nil
	case old.Size == 0:
		// Every tree begins with the one without entries, which has one root.
		if old.Root != emptyRoot {
			return refuse(CodeConsistency, "log %s: expected the root %s for a tree without entries, got %s", old.Origin, emptyRoot, old.Root)
		}
		return nil
	}
	if err := tlog.CheckTree(hashes, int64(next.Size), next.Root, int64(old.Size), old.Root); err != nil {
		return refuse(CodeConsistency, "log %s: expected the tree of size %d to begin with that of size %d, got one for which the proof does not show it", next.Origin, next.Size, old.Size)
	}
	return nil
}

// Consistency is what lies beside a proof for those who saw the log before: from several earlier trees to the one of a checkpoint. With
// one proof it is the body of a witness's add-checkpoint request (c2sp.org/tlog-witness); with more, each begins with its "old" line.
type Consistency struct {
	// Proofs are sorted by size.
	Proofs []ConsistencyProof
	// Checkpoint is the signed head, verbatim.
	Checkpoint []byte
}

// ConsistencyProof shows that a tree begins with the one of size Old (RFC 6962 section 2.1.2).
type ConsistencyProof struct {
	Old    uint64
	Hashes []Hash
}

// ParseConsistency reads a consistency file of at most [MaxProof] bytes. The error is a [*Refusal].
func ParseConsistency(data []byte) (Consistency, error) {
	if len(data) > MaxProof {
		return Consistency{}, refuse(CodeProof, "consistency proof: expected at most %d bytes, got %d", MaxProof, len(data))
	}
	head, checkpoint, found := strings.Cut(string(data), "\n\n")
	if !found {
		return Consistency{}, refuse(CodeProof, "consistency proof: expected an empty line before a checkpoint, got none")
	}
	c := Consistency{Checkpoint: []byte(checkpoint)}
	lines := strings.Split(head, "\n")
	for len(lines) > 0 {
		text, is := strings.CutPrefix(lines[0], "old ")
		if !is {
			return Consistency{}, refuse(CodeProof, "consistency proof: expected a line with an old size, got %.80q", lines[0])
		}
		old, err := parseDecimal(text)
		if err != nil {
			return Consistency{}, refuse(CodeProof, "consistency proof: old: %v", err)
		}
		if n := len(c.Proofs); n == MaxConsistency || n > 0 && old <= c.Proofs[n-1].Old {
			return Consistency{}, refuse(CodeProof, "consistency proof: expected at most %d old sizes in rising order, got another order or more", MaxConsistency)
		}
		end := 1
		for end < len(lines) && !strings.HasPrefix(lines[end], "old ") {
			end++
		}
		hashes, err := parseHashes(lines[1:end])
		if err != nil {
			return Consistency{}, refuse(CodeProof, "consistency proof from tree size %d: %v", old, err)
		}
		c.Proofs, lines = append(c.Proofs, ConsistencyProof{old, hashes}), lines[end:]
	}
	if _, err := noteOrigin(c.Checkpoint); err != nil {
		return Consistency{}, err
	}
	return c, nil
}

// Encode returns the text that ParseConsistency reads.
func (c Consistency) Encode() []byte {
	var b bytes.Buffer
	for _, p := range c.Proofs {
		b.WriteString("old " + strconv.FormatUint(p.Old, 10) + "\n")
		for _, h := range p.Hashes {
			fmt.Fprintln(&b, h)
		}
	}
	b.WriteByte('\n')
	b.Write(c.Checkpoint)
	return b.Bytes()
}

// Prover is the [Prover] of what the file has. Whether its checkpoint is signed does not matter: a proof is right or it is not.
func (c Consistency) Prover() Prover {
	return func(from, to uint64) ([]Hash, bool, error) {
		text, err := splitNote(c.Checkpoint)
		if err != nil {
			return nil, false, err
		}
		head, err := parseText(text)
		if err != nil || head.Size != to {
			return nil, false, err
		}
		for _, p := range c.Proofs {
			if p.Old == from {
				return p.Hashes, true, nil
			}
		}
		return nil, false, nil
	}
}
