package transparency_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/transparency"
)

// remembers checks that a memory has seen trees of some sizes, and that it is the same after it was written and read.
func remembers(t *testing.T, m *transparency.Memory, p transparency.Policy, want ...uint64) {
	t.Helper()
	data, err := m.Encode()
	check(t, err)
	again, err := transparency.ParseMemory(data)
	check(t, err)
	for _, m := range []*transparency.Memory{m, again} {
		var got []uint64
		for _, c := range m.Seen(p) {
			got = append(got, c.Size)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("remembered are %v, want %v", got, want)
		}
	}
}

func TestMemory(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 20)
	forked := l.fork(8)
	forked.grow("other", 12)
	none := func(uint64, uint64) ([]transparency.Hash, bool, error) { return nil, false, nil }
	wrong := func(uint64, uint64) ([]transparency.Hash, bool, error) { return []transparency.Hash{{1}}, true, nil }
	faulty := func(uint64, uint64) ([]transparency.Hash, bool, error) {
		return nil, false, errors.New("the disk is on fire")
	}
	// Each step starts from a memory that has seen 5 and 10.
	tests := []struct {
		name    string
		head    bool
		seen    transparency.Checkpoint
		provers []transparency.Prover
		code    transparency.Code // of a refusal
		proof   [2]uint64         // that is missing
		want    []uint64
	}{
		{"the same", false, l.at(10), nil, "", [2]uint64{}, []uint64{5, 10}},
		{"the same older", false, l.at(5), nil, "", [2]uint64{}, []uint64{5, 10}},
		{"the same as head", true, l.at(10), nil, "", [2]uint64{}, []uint64{5, 10}},
		{"a larger", false, l.at(15), []transparency.Prover{l.prover()}, "", [2]uint64{}, []uint64{5, 10, 15}},
		{"a larger head", true, l.at(15), []transparency.Prover{none, l.prover()}, "", [2]uint64{}, []uint64{5, 10, 15}},
		{"one between", false, l.at(7), []transparency.Prover{l.prover()}, "", [2]uint64{}, []uint64{5, 7, 10}},
		{"the smallest", false, l.at(3), []transparency.Prover{l.prover()}, "", [2]uint64{}, []uint64{3, 5, 10}},
		{"one without entries", false, l.at(0), nil, "", [2]uint64{}, []uint64{0, 5, 10}},
		{"a larger with a wrong proof before the right one", false, l.at(15), []transparency.Prover{wrong, l.prover()}, "", [2]uint64{}, []uint64{5, 10, 15}},
		{"a larger with a fault before the right proof", false, l.at(15), []transparency.Prover{faulty, l.prover()}, "", [2]uint64{}, []uint64{5, 10, 15}},
		{"a larger with a wrong proof and a fault", false, l.at(15), []transparency.Prover{faulty, wrong}, transparency.CodeConsistency, [2]uint64{}, []uint64{5, 10}},
		{"a larger without a proof", false, l.at(15), nil, "", [2]uint64{10, 15}, []uint64{5, 10}},
		{"a larger head without a proof", true, l.at(15), []transparency.Prover{none}, "", [2]uint64{10, 15}, []uint64{5, 10}},
		{"one between without a proof", false, l.at(7), nil, "", [2]uint64{7, 10}, []uint64{5, 10}},
		// What continues an older tree may still have forked from the newest.
		{"a larger with a proof from an older", false, l.at(15), []transparency.Prover{only(l, 5, 15)}, "", [2]uint64{10, 15}, []uint64{5, 10}},
		{"one between with a proof from an older", false, l.at(7), []transparency.Prover{only(l, 5, 7)}, "", [2]uint64{7, 10}, []uint64{5, 10}},
		{"a smaller with a proof to one that is not the largest", false, l.at(3), []transparency.Prover{only(l, 3, 5)}, "", [2]uint64{}, []uint64{3, 5, 10}},
		{"a smaller head", true, l.at(9), []transparency.Prover{l.prover()}, transparency.CodeTruncated, [2]uint64{}, []uint64{5, 10}},
		{"a head that was seen and is not the largest", true, l.at(5), []transparency.Prover{l.prover()}, transparency.CodeTruncated, [2]uint64{}, []uint64{5, 10}},
		{"an empty head", true, l.at(0), nil, transparency.CodeTruncated, [2]uint64{}, []uint64{5, 10}},
		{"a fork of the same size", false, forked.at(10), nil, transparency.CodeConsistency, [2]uint64{}, []uint64{5, 10}},
		{"a fork as head", true, forked.at(10), []transparency.Prover{forked.prover()}, transparency.CodeConsistency, [2]uint64{}, []uint64{5, 10}},
		{"a larger fork", false, forked.at(15), []transparency.Prover{forked.prover()}, transparency.CodeConsistency, [2]uint64{}, []uint64{5, 10}},
		{"a larger fork with the log's proof", true, forked.at(15), []transparency.Prover{l.prover()}, transparency.CodeConsistency, [2]uint64{}, []uint64{5, 10}},
		{"a smaller fork", false, forked.at(9), []transparency.Prover{forked.prover()}, transparency.CodeConsistency, [2]uint64{}, []uint64{5, 10}},
		{"a fork without a proof", false, forked.at(15), nil, "", [2]uint64{10, 15}, []uint64{5, 10}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var m transparency.Memory
			check(t, m.Advance(l.policy(), l.at(5)))
			check(t, m.Advance(l.policy(), l.at(10), l.prover()))
			advance := m.Advance
			if tt.head {
				advance = m.AdvanceHead
			}
			err := advance(l.policy(), tt.seen, tt.provers...)
			var unproven *transparency.UnprovenError
			switch {
			case tt.code != "":
				refused(t, err, tt.code)
			case tt.proof != [2]uint64{}:
				if !errors.As(err, &unproven) || [2]uint64{unproven.Old, unproven.New} != tt.proof || unproven.Origin != origin {
					t.Errorf("error is %v, want that a proof from %d to %d is missing", err, tt.proof[0], tt.proof[1])
				}
			default:
				check(t, err)
			}
			remembers(t, &m, l.policy(), tt.want...)
		})
	}
}

// only proves one step.
func only(l *fakeLog, from, to uint64) transparency.Prover {
	return func(f, t uint64) ([]transparency.Hash, bool, error) {
		if f != from || t != to {
			return nil, false, nil
		}
		return l.consistency(from, to), true, nil
	}
}

func TestMemoryKeepsLogsApart(t *testing.T) {
	l, other := newLog(t, 1), newLog(t, 2)
	l.grow("entry", 5)
	other.grow("other", 3)
	var m transparency.Memory
	check(t, m.AdvanceHead(l.policy(), l.at(5)))
	// The same origin with another key is another log.
	check(t, m.AdvanceHead(other.policy(), other.at(3)))
	remembers(t, &m, l.policy(), 5)
	remembers(t, &m, other.policy(), 3)
	refused(t, m.AdvanceHead(l.policy(), l.at(3), l.prover()), transparency.CodeTruncated)
	elsewhere := l.at(5)
	elsewhere.Origin = "example.com/elsewhere"
	refused(t, m.Advance(l.policy(), elsewhere), transparency.CodeOrigin)
	var policy *transparency.PolicyError
	if err := m.Advance(transparency.Policy{Origin: origin, Key: "no key"}, l.at(5)); !errors.As(err, &policy) {
		t.Errorf("error is %v, want a PolicyError", err)
	}
	errDisk := errors.New("the disk is on fire")
	err := m.Advance(other.policy(), other.at(2), func(uint64, uint64) ([]transparency.Hash, bool, error) { return nil, false, errDisk })
	if !errors.Is(err, errDisk) {
		t.Errorf("error is %v, want the prover's", err)
	}
	remembers(t, &m, other.policy(), 3)
}

// A memory stays small, and never forgets the largest tree, whichever was seen last.
func TestMemoryIsBounded(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 200)
	var m transparency.Memory
	check(t, m.Advance(l.policy(), l.at(200)))
	for size := uint64(1); size < 200; size++ {
		check(t, m.Advance(l.policy(), l.at(size), l.prover()))
	}
	var want []uint64
	for size := uint64(137); size <= 200; size++ {
		want = append(want, size)
	}
	remembers(t, &m, l.policy(), want...)
	refused(t, m.AdvanceHead(l.policy(), l.at(199), l.prover()), transparency.CodeTruncated)

	for number := range 63 {
		check(t, m.Advance(transparency.Policy{Origin: origin, Key: logSigner(t, origin, byte(100+number)).Key()}, l.at(1)))
	}
	if err := m.Advance(transparency.Policy{Origin: origin, Key: logSigner(t, origin, 99).Key()}, l.at(1)); err == nil || !strings.Contains(err.Error(), "at most 64 logs") {
		t.Errorf("error is %v, want that there are too many logs", err)
	}
	data, err := m.Encode()
	check(t, err)
	if len(data) > transparency.MaxMemory {
		t.Errorf("the memory has %d bytes, want at most %d", len(data), transparency.MaxMemory)
	}
}

func TestParseMemoryRefuses(t *testing.T) {
	l, other := newLog(t, 1), newLog(t, 2)
	l.grow("entry", 5)
	other.grow("entry", 2)
	var m transparency.Memory
	check(t, m.Advance(l.policy(), l.at(3)))
	check(t, m.Advance(l.policy(), l.at(5), l.prover()))
	check(t, m.Advance(other.policy(), other.at(2)))
	data, err := m.Encode()
	check(t, err)
	good := string(data)
	for _, tt := range []struct{ name, old, new string }{
		{"nothing", good, ""},
		{"another format", `"format": 1`, `"format": 2`},
		{"a member more", `"format": 1`, `"format": 1, "more": 1`},
		{"a member twice", `"size": 3`, `"size": 2, "size": 3`},
		{"no key", l.signer.Key(), ""},
		{"another origin", origin + `",`, `example.com/other",`},
		{"one log twice", other.signer.Key(), l.signer.Key()},
		{"sizes in another order", `"size": 3`, `"size": 6`},
		{"a size twice", `"size": 3`, `"size": 5`},
		{"a size of 2^63", `"size": 5`, `"size": 9223372036854775808`},
		{"a negative size", `"size": 3`, `"size": -3`},
		{"one order twice", `"order": 1`, `"order": 0`},
		{"a root that is none", l.at(3).Root.String(), "AAAA"},
		{"half", good[len(good)/2:], ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			altered := strings.Replace(good, tt.old, tt.new, 1)
			if altered == good {
				t.Fatal("nothing was altered")
			}
			if m, err := transparency.ParseMemory([]byte(altered)); err == nil || m != nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v: %v, want an error in one line", m, err)
			}
		})
	}
	if _, err := transparency.ParseMemory(make([]byte, transparency.MaxMemory+1)); err == nil {
		t.Error("a memory that is too long is read")
	}
}

func FuzzParseMemory(f *testing.F) {
	l := newLog(f, 1)
	l.grow("entry", 5)
	var m transparency.Memory
	check(f, m.Advance(l.policy(), l.at(3)))
	check(f, m.Advance(l.policy(), l.at(5), l.prover()))
	data, err := m.Encode()
	check(f, err)
	f.Add(data)
	f.Add([]byte(`{"format":1,"logs":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := transparency.ParseMemory(data)
		if err != nil {
			return
		}
		encoded, err := m.Encode()
		check(t, err)
		again, err := transparency.ParseMemory(encoded)
		check(t, err)
		if twice, err := again.Encode(); err != nil || !bytes.Equal(twice, encoded) {
			t.Fatalf("%q is %q and then %q: %v", data, encoded, twice, err)
		}
	})
}

func TestFollow(t *testing.T) {
	l := newLog(t, 1)
	l.grow("entry", 5)
	p := l.policy()
	var m transparency.Memory
	tree, _, err := transparency.Follow(t.Context(), &m, p, l)
	check(t, err)
	if tree.Head() != l.at(5) || !bytes.Equal(tree.Note(), l.head) {
		t.Errorf("the head is %v", tree.Head())
	}
	five := l.fork(5)
	l.grow("more", 300)
	_, _, err = transparency.Follow(t.Context(), &m, p, l)
	check(t, err)
	remembers(t, &m, p, 5, 305)

	_, _, err = transparency.Follow(t.Context(), &m, p, five)
	refused(t, err, transparency.CodeTruncated)
	forked := l.fork(200)
	forked.grow("other", 200)
	_, _, err = transparency.Follow(t.Context(), &m, p, forked)
	refused(t, err, transparency.CodeConsistency)
	// A fork that shows the tiles of the log that it forked from.
	longer := l.copy()
	longer.grow("more", 95)
	forked.files = longer.files
	_, _, err = transparency.Follow(t.Context(), &m, p, forked)
	refused(t, err, transparency.CodeConsistency)
	damaged := l.copy()
	damaged.grow("more", 300)
	path := transparency.TilePath(0, 1, 256)
	damaged.files[path] = bytes.Repeat([]byte{1}, transparency.MaxTile)
	_, _, err = transparency.Follow(t.Context(), &m, p, damaged)
	refused(t, err, transparency.CodeConsistency)
	_, _, err = transparency.Follow(t.Context(), &m, newLog(t, 2).policy(), l)
	refused(t, err, transparency.CodeKey)
	remembers(t, &m, p, 5, 305)
}
