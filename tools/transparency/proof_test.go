package transparency_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/boardroom-tee/boardroom/tools/transparency"
)

func TestProofRoundTrip(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 7)
	for size := uint64(1); size <= 7; size++ {
		for index := range size {
			p := l.proof(index, size)
			parsed, err := transparency.ParseProof(p.Encode())
			check(t, err)
			if fmt.Sprint(parsed) != fmt.Sprint(p) {
				t.Errorf("read as %v, want %v", parsed, p)
			}
			verified, err := transparency.Verify(parsed, l.entries[index], l.policy())
			check(t, err)
			if verified.Index != index || verified.Checkpoint != l.at(size) || len(verified.Witnesses) != 0 {
				t.Errorf("entry %d of %d: verified is %+v", index, size, verified)
			}
			// Without the entry, the verifier's own is what counts.
			parsed.Entry = nil
			bare, err := transparency.ParseProof(parsed.Encode())
			check(t, err)
			if _, err := transparency.Verify(bare, l.entries[index], l.policy()); err != nil {
				t.Errorf("without the entry: %v", err)
			}
		}
	}
}

// The example of C2SP's tlog-proof has shortened signatures, and text that is no base64 for its extra data; what is in it otherwise is read.
func TestProofExample(t *testing.T) {
	const example = "c2sp.org/tlog-proof@v1\n" +
		"extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6\n" +
		"index 73894\n" +
		"gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n" +
		"B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n" +
		"EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=\n" +
		"RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=\n" +
		"AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=\n" +
		"\n" +
		"example.com/fancylog\n" +
		"109482\n" +
		"sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n" +
		"\n" +
		"— example.com/fancylog hI2DJw==\n"
	p, err := transparency.ParseProof([]byte(example))
	check(t, err)
	if p.Origin != "example.com/fancylog" || p.Index != 73894 || string(p.Entry) != "age-v1.2.1-darwin-arm64.tar.gz" || len(p.Hashes) != 5 {
		t.Errorf("read as %+v", p)
	}
	if string(p.Encode()) != example {
		t.Errorf("written as %q", p.Encode())
	}
}

func TestVerifyRefuses(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 7)
	other := newLog(t, 2)
	other.grow("entry", 7)
	forked := l.fork(3)
	forked.grow("other", 4)
	w := witnessSigner(t, "witness.example/1", 11)
	witnessedPolicy := l.policy()
	witnessedPolicy.Witnesses, witnessedPolicy.WitnessThreshold = []transparency.Witness{witness(w)}, 1
	tests := []struct {
		name  string
		alter func(*transparency.Proof)
		entry []byte
		code  transparency.Code
	}{
		{"another index", func(p *transparency.Proof) { p.Index = 4 }, l.entries[5], transparency.CodeInclusion},
		{"an index behind the tree", func(p *transparency.Proof) { p.Index = 7 }, l.entries[5], transparency.CodeInclusion},
		{"an index of 2^63-1", func(p *transparency.Proof) { p.Index = 1<<63 - 1 }, l.entries[5], transparency.CodeInclusion},
		{"a hash less", func(p *transparency.Proof) { p.Hashes = p.Hashes[1:] }, l.entries[5], transparency.CodeInclusion},
		{"a hash more", func(p *transparency.Proof) { p.Hashes = append(p.Hashes, transparency.Hash{}) }, l.entries[5], transparency.CodeInclusion},
		{"a hash altered", func(p *transparency.Proof) { p.Hashes[1][31] ^= 1 }, l.entries[5], transparency.CodeInclusion},
		{"hashes in another order", func(p *transparency.Proof) { slices.Reverse(p.Hashes) }, l.entries[5], transparency.CodeInclusion},
		{"the proof of another entry", func(p *transparency.Proof) { *p = l.proof(4, 7) }, l.entries[5], transparency.CodeEntry},
		{"the proof of another entry, without it", func(p *transparency.Proof) { *p = l.proof(4, 7); p.Entry = nil }, l.entries[5], transparency.CodeInclusion},
		{"the proof of another entry, called this", func(p *transparency.Proof) { *p = l.proof(4, 7); p.Entry = l.entries[5] }, l.entries[5], transparency.CodeInclusion},
		{"another entry in the proof", func(p *transparency.Proof) { p.Entry = l.entries[4] }, l.entries[5], transparency.CodeEntry},
		{"an entry that is not in the log", func(p *transparency.Proof) { p.Entry = nil }, []byte("stranger"), transparency.CodeInclusion},
		{"no entry", func(p *transparency.Proof) { p.Entry = nil }, nil, transparency.CodeEntry},
		{"an entry too long", func(p *transparency.Proof) { p.Entry = nil }, make([]byte, transparency.MaxEntry+1), transparency.CodeEntry},
		{"the inner node as entry", func(p *transparency.Proof) {
			// RFC 6962 section 2.1: leaves and nodes are hashed apart, so that a node's hashes are no entry.
			*p = l.proof(4, 7)
			left, right := tlog.RecordHash(l.entries[4]), tlog.RecordHash(l.entries[5])
			p.Entry, p.Index, p.Hashes = slices.Concat(left[:], right[:]), 2, p.Hashes[1:]
		}, slices.Concat(hashBytes(l.entries[4]), hashBytes(l.entries[5])), transparency.CodeInclusion},
		{"the checkpoint of an older tree", func(p *transparency.Proof) { p.Checkpoint = l.checkpoint(6) }, l.entries[5], transparency.CodeInclusion},
		{"the checkpoint of a fork", func(p *transparency.Proof) { p.Checkpoint = forked.head }, l.entries[5], transparency.CodeInclusion},
		{"the checkpoint of another log with the same entries", func(p *transparency.Proof) { p.Checkpoint = other.head }, l.entries[5], transparency.CodeKey},
		{"a checkpoint without signatures", func(p *transparency.Proof) { p.Checkpoint = []byte(l.at(7).Text()) }, l.entries[5], transparency.CodeCheckpoint},
		{"a checkpoint that was altered", func(p *transparency.Proof) {
			p.Checkpoint = bytes.Replace(p.Checkpoint, []byte("\n7\n"), []byte("\n8\n"), 1)
		}, l.entries[5], transparency.CodeSignature},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := l.proof(5, 7)
			p.Hashes = slices.Clone(p.Hashes)
			tt.alter(&p)
			verified, err := transparency.Verify(p, tt.entry, l.policy())
			refused(t, err, tt.code)
			if verified != nil {
				t.Errorf("and verifies %+v", verified)
			}
		})
	}
	p := l.proof(5, 7)
	_, err := transparency.Verify(p, l.entries[5], witnessedPolicy)
	refused(t, err, transparency.CodeWitness)
	p.Checkpoint = cosign(t, p.Checkpoint, w)
	verified, err := transparency.Verify(p, l.entries[5], witnessedPolicy)
	if err != nil || len(verified.Witnesses) != 1 || verified.Witnesses[0] != (transparency.Witnessed{Name: w.Name(), At: witnessed}) {
		t.Errorf("with a witness: %+v: %v", verified, err)
	}
	var policy *transparency.PolicyError
	if _, err := transparency.Verify(p, l.entries[5], transparency.Policy{}); !errors.As(err, &policy) {
		t.Errorf("without a policy: %v, want a PolicyError", err)
	}
}

func hashBytes(entry []byte) []byte {
	h := tlog.RecordHash(entry)
	return h[:]
}

func TestParseProofRefuses(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 3)
	good := string(l.proof(1, 3).Encode())
	_, checkpoint, _ := strings.Cut(good, "\n\n")
	extra, _, _ := strings.Cut(good, "index")
	_, extra, _ = strings.Cut(extra, "\n")
	first, _, _ := strings.Cut(l.proof(1, 3).Hashes[0].String(), "=")
	for _, tt := range []struct {
		name, old, new string
		code           transparency.Code
	}{
		{"another header", "@v1\n", "@v2\n", transparency.CodeProof},
		{"no header", "c2sp.org/tlog-proof@v1\n", "", transparency.CodeProof},
		{"line ends of another system", "\n", "\r\n", transparency.CodeProof},
		{"extra data that is no base64", "extra ", "extra !", transparency.CodeProof},
		{"extra data that is empty", extra, "extra \n", transparency.CodeProof},
		{"no index", "index 1\n", "", transparency.CodeProof},
		{"an index with a zero before it", "index 1\n", "index 01\n", transparency.CodeProof},
		{"a negative index", "index 1\n", "index -1\n", transparency.CodeProof},
		{"an index of 2^63", "index 1\n", "index 9223372036854775808\n", transparency.CodeProof},
		{"a line more", "index 1\n", "index 1\nhello\n", transparency.CodeProof},
		{"a short hash", first, first[4:], transparency.CodeProof},
		{"a hash that is not canonical", first + "=", first[:42] + "B=", transparency.CodeProof},
		{"no checkpoint", "\n\n" + checkpoint, "\n", transparency.CodeProof},
		{"an empty checkpoint", "\n\n" + checkpoint, "\n\n", transparency.CodeCheckpoint},
		{"a malformed checkpoint", "\n3\n", "\nthree\n", transparency.CodeCheckpoint},
		{"64 hashes", "index 1\n", "index 1\n" + strings.Repeat(first+"=\n", 64), transparency.CodeProof},
		{"too long", "index 1\n", "index 1\n" + strings.Repeat("a", transparency.MaxProof), transparency.CodeProof},
	} {
		t.Run(tt.name, func(t *testing.T) {
			altered := strings.Replace(good, tt.old, tt.new, 1)
			if altered == good {
				t.Fatal("nothing was altered")
			}
			_, err := transparency.ParseProof([]byte(altered))
			refused(t, err, tt.code)
		})
	}
}

func FuzzParseProof(f *testing.F) {
	l := newLog(f, 1)
	l.grow("entry", 5)
	policy, entry, want := l.policy(), l.entries[3], l.at(5)
	f.Add(l.proof(3, 5).Encode())
	f.Add(l.proof(0, 1).Encode())
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 0\n\nexample.com/log\n1\nsFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n\n— a b\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := transparency.ParseProof(data)
		if err != nil {
			var refusal *transparency.Refusal
			if !errors.As(err, &refusal) || refusal.Code == "" {
				t.Fatalf("%q: error is %v, want a refusal", data, err)
			}
			return
		}
		if !bytes.Equal(p.Encode(), data) {
			t.Fatalf("%q was read and is written as %q", data, p.Encode())
		}
		if verified, err := transparency.Verify(p, entry, policy); err == nil && (verified.Index != 3 || verified.Checkpoint != want) {
			t.Fatalf("%q verifies as %+v", data, verified)
		}
	})
}

// theirProof is a proof as transparency-dev/merkle takes it.
func theirProof(hashes []transparency.Hash) [][]byte {
	var out [][]byte
	for _, h := range hashes {
		out = append(out, bytes.Clone(h[:]))
	}
	return out
}

// mutations are proofs that are altered in one way each, and the proof itself.
func mutations(hashes []transparency.Hash) [][]transparency.Hash {
	all := [][]transparency.Hash{hashes, append(slices.Clone(hashes), transparency.Hash{1})}
	for i := range hashes {
		flipped := slices.Clone(hashes)
		flipped[i][i%32] ^= 0x80
		all = append(all, flipped, slices.Delete(slices.Clone(hashes), i, i+1))
	}
	return all
}

// Another implementation accepts and refuses the same inclusion proofs.
func TestInclusionAgainstMerkle(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 70)
	accepted, denied := 0, 0
	for _, size := range []uint64{1, 2, 3, 5, 8, 31, 64, 70} {
		head := l.at(size)
		for index := range size {
			p := l.proof(index, size)
			for _, hashes := range mutations(p.Hashes) {
				for _, at := range []uint64{index, index + 1, size - index - 1} {
					altered := p
					altered.Index, altered.Hashes = at, hashes
					_, ours := transparency.Verify(altered, l.entries[index], l.policy())
					theirs := proof.VerifyInclusion(rfc6962.DefaultHasher, at, size, hashBytes(l.entries[index]), theirProof(hashes), head.Root[:])
					if (ours == nil) != (theirs == nil) {
						t.Fatalf("entry %d as %d of %d: ours says %v, theirs %v", index, at, size, ours, theirs)
					}
					if ours == nil {
						accepted++
					} else {
						denied++
					}
				}
			}
		}
	}
	if accepted == 0 || denied == 0 {
		t.Errorf("%d accepted, %d refused, want some of both", accepted, denied)
	}
}

// And the same consistency proofs.
func TestConsistencyAgainstMerkle(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 70)
	forked := l.fork(20)
	forked.grow("other", 50)
	accepted, denied := 0, 0
	for _, next := range []uint64{1, 2, 3, 7, 8, 21, 64, 70} {
		for old := range next + 1 {
			for _, hashes := range mutations(l.consistency(old, next)) {
				for _, from := range []transparency.Checkpoint{l.at(old), forked.at(old)} {
					to := l.at(next)
					ours := transparency.VerifyConsistency(from, to, hashes)
					theirs := proof.VerifyConsistency(rfc6962.DefaultHasher, old, next, theirProof(hashes), from.Root[:], to.Root[:])
					if (ours == nil) != (theirs == nil) {
						t.Fatalf("%v to %v: ours says %v, theirs %v", from, to, ours, theirs)
					}
					if ours == nil {
						accepted++
					} else {
						denied++
					}
				}
			}
		}
	}
	if accepted == 0 || denied == 0 {
		t.Errorf("%d accepted, %d refused, want some of both", accepted, denied)
	}
}

func TestVerifyConsistencyRefuses(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 9)
	forked := l.fork(4)
	forked.grow("other", 5)
	elsewhere := l.at(9)
	elsewhere.Origin = "example.com/elsewhere"
	unsound := l.at(0)
	unsound.Root[0] ^= 1
	tests := []struct {
		name      string
		old, next transparency.Checkpoint
		hashes    []transparency.Hash
		code      transparency.Code
	}{
		{"a smaller tree", l.at(9), l.at(8), nil, transparency.CodeTruncated},
		{"a smaller tree with a proof", l.at(9), l.at(8), l.consistency(8, 9), transparency.CodeTruncated},
		{"an empty tree after one", l.at(9), l.at(0), nil, transparency.CodeTruncated},
		{"a fork of the same size", l.at(9), forked.at(9), nil, transparency.CodeConsistency},
		{"a fork that is larger", l.at(5), forked.at(9), forked.consistency(5, 9), transparency.CodeConsistency},
		{"a fork with the log's proof", l.at(5), forked.at(9), l.consistency(5, 9), transparency.CodeConsistency},
		{"no proof", l.at(5), l.at(9), nil, transparency.CodeConsistency},
		{"the proof of another size", l.at(5), l.at(9), l.consistency(6, 9), transparency.CodeConsistency},
		{"a proof of nothing", l.at(9), l.at(9), l.consistency(5, 9), transparency.CodeConsistency},
		{"a proof from nothing", l.at(0), l.at(9), l.consistency(5, 9), transparency.CodeConsistency},
		{"an empty tree with another root", unsound, l.at(9), nil, transparency.CodeConsistency},
		{"another log", l.at(5), elsewhere, l.consistency(5, 9), transparency.CodeOrigin},
		{"a size of 2^64-1", l.at(5), transparency.Checkpoint{Origin: origin, Size: 1<<64 - 1}, nil, transparency.CodeCheckpoint},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			refused(t, transparency.VerifyConsistency(tt.old, tt.next, tt.hashes), tt.code)
		})
	}
	check(t, transparency.VerifyConsistency(forked.at(4), l.at(9), l.consistency(4, 9)))
}

// The trees of a log that another program wrote begin each other.
func TestConsistencyOfTessera(t *testing.T) {
	var heads []transparency.Checkpoint
	for size := range 16 {
		head, _, err := tesseraPolicy.Open(tesseraCheckpoint(t, size))
		check(t, err)
		heads = append(heads, head)
	}
	tree := transparency.NewTree(heads[15], tesseraReader(t))
	for _, old := range heads[:15] {
		hashes, err := tree.Consistency(t.Context(), old.Size)
		check(t, err)
		check(t, transparency.VerifyConsistency(old, heads[15], hashes))
		wrong := old
		wrong.Root = heads[14-min(old.Size, 13)].Root
		if wrong.Root != old.Root {
			refused(t, transparency.VerifyConsistency(wrong, heads[15], hashes), transparency.CodeConsistency)
		}
	}
}

func TestConsistencyFile(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 9)
	c := transparency.Consistency{Checkpoint: l.head}
	for _, old := range []uint64{0, 3, 4, 9} {
		c.Proofs = append(c.Proofs, transparency.ConsistencyProof{Old: old, Hashes: l.consistency(old, 9)})
	}
	good := string(c.Encode())
	before, checkpoint, _ := strings.Cut(good, "\n\n")
	parsed, err := transparency.ParseConsistency([]byte(good))
	check(t, err)
	if fmt.Sprint(parsed) != fmt.Sprint(c) {
		t.Errorf("read as %v, want %v", parsed, c)
	}
	for _, tt := range []struct {
		from, to uint64
		want     bool
	}{{3, 9, true}, {4, 9, true}, {5, 9, false}, {3, 8, false}, {3, 4, false}} {
		hashes, found, err := parsed.Prover()(tt.from, tt.to)
		if err != nil || found != tt.want {
			t.Errorf("from %d to %d: found is %v: %v", tt.from, tt.to, found, err)
		}
		if found {
			check(t, transparency.VerifyConsistency(l.at(tt.from), l.at(tt.to), hashes))
		}
	}
	for _, tt := range []struct {
		name, old, new string
		code           transparency.Code
	}{
		{"no old size", "old 0\nold 3\n", "", transparency.CodeProof},
		{"nothing before the checkpoint", before, "", transparency.CodeProof},
		{"an old size that is no number", "old 3\n", "old three\n", transparency.CodeProof},
		{"another order", "old 3\n", "old 5\n", transparency.CodeProof},
		{"one twice", "old 3\n", "old 4\n", transparency.CodeProof},
		{"a line more", "old 3\n", "old 3\nhello\n", transparency.CodeProof},
		{"no checkpoint", "\n\n" + checkpoint, "\n", transparency.CodeProof},
		{"a malformed checkpoint", "\n9\n", "\nnine\n", transparency.CodeCheckpoint},
		{"too many", "old 0\n", manyOlds(), transparency.CodeProof},
		{"too long", "old 0\n", "old 0\n" + strings.Repeat("a", transparency.MaxProof), transparency.CodeProof},
	} {
		t.Run(tt.name, func(t *testing.T) {
			altered := strings.Replace(good, tt.old, tt.new, 1)
			if altered == good {
				t.Fatal("nothing was altered")
			}
			_, err := transparency.ParseConsistency([]byte(altered))
			refused(t, err, tt.code)
		})
	}
}

func manyOlds() string {
	var b strings.Builder
	for i := range transparency.MaxConsistency + 1 {
		fmt.Fprintf(&b, "old %d\n", i)
	}
	return b.String()
}

func FuzzParseConsistency(f *testing.F) {
	l := newLog(f, 1)
	l.grow("entry", 5)
	c := transparency.Consistency{Proofs: []transparency.ConsistencyProof{{Old: 2, Hashes: l.consistency(2, 5)}, {Old: 3, Hashes: l.consistency(3, 5)}}, Checkpoint: l.head}
	f.Add(c.Encode())
	old, next, forked := l.at(2), l.at(5), l.fork(1)
	forked.grow("other", 1)
	wrong := forked.at(2)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := transparency.ParseConsistency(data)
		if err != nil {
			var refusal *transparency.Refusal
			if !errors.As(err, &refusal) || refusal.Code == "" {
				t.Fatalf("%q: error is %v, want a refusal", data, err)
			}
			return
		}
		if !bytes.Equal(c.Encode(), data) {
			t.Fatalf("%q was read and is written as %q", data, c.Encode())
		}
		hashes, found, err := c.Prover()(old.Size, next.Size)
		if err != nil {
			t.Fatal(err)
		}
		if found && transparency.VerifyConsistency(wrong, next, hashes) == nil {
			t.Fatalf("%q proves a fork", data)
		}
	})
}
