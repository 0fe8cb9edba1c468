package collateral_test

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/collateral"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

// A verifier that runs for long and has no cache still knows what it saw itself.
func TestSourceRemembersWithoutCache(t *testing.T) {
	old, newest := directory(t, intel2025), newer(t)
	now := &clock{now: in2025}
	p := newPCCS(t, old)
	var notes []string
	source := open(t, p.URL, collateral.Options{Root: quote.IntelRoot(), Now: now.Now, Note: func(text string) { notes = append(notes, text) }})
	get := func(want quote.Collateral) {
		t.Helper()
		got, err := source.Get(t.Context(), target2025)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, got, want)
		if asked := p.asked(); len(asked) != 4 {
			t.Errorf("%d requests, want 4: without a cache the service is asked each time", len(asked))
		}
	}
	get(old)
	p.serve(newest)
	get(newest)
	// A service is not as new any more: what was seen stands in, and nothing older is accepted where there is none.
	p.serve(old)
	get(newest)
	if len(notes) != 1 {
		t.Errorf("notes are %q, want one about the older parts", notes)
	}
	_, err := source.Fetch(t.Context(), target2025)
	rollback(t, err, "tcb_info/default/00806f050000")
	contents, err := collateral.Inspect(newest)
	if err != nil {
		t.Fatal(err)
	}
	now.set(contents.TCBInfo.IssueDate.Add(-time.Hour))
	_, err = source.Get(t.Context(), target2025)
	rollback(t, err, "clock")
}

// What does not verify is returned for package quote to refuse, and nothing of it is remembered.
func TestForgedIsNotRememberedWithoutCache(t *testing.T) {
	good := directory(t, intel2025)
	for name, spoil := range map[string]func(*quote.Collateral){
		"TCB info of the future":    func(c *quote.Collateral) { c.TCBInfo = replaced(t, c.TCBInfo, `Number":17`, `Number":99`) },
		"QE identity of the future": func(c *quote.Collateral) { c.QEIdentity = replaced(t, c.QEIdentity, `Number":17`, `Number":99`) },
		"a list beside newer ones": func(c *quote.Collateral) {
			*c = newer(t)
			c.PCKCRL = flipped(c.PCKCRL)
		},
	} {
		c := good
		spoil(&c)
		p := newPCCS(t, c)
		source := open(t, p.URL, collateral.Options{Root: quote.IntelRoot(), Now: func() time.Time { return in2025 }})
		got, err := source.Get(t.Context(), target2025)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		equal(t, got, c)
		p.serve(good)
		if _, err := source.Fetch(t.Context(), target2025); err != nil {
			t.Errorf("%s counts as seen: %v", name, err)
		}
	}
	// Genuine collateral about another platform than the one that was asked about is none of that one, and is not remembered either.
	p := newPCCS(t, newer(t))
	source := open(t, p.URL, collateral.Options{Root: quote.IntelRoot(), Now: func() time.Time { return in2025 }})
	if _, err := source.Get(t.Context(), target2026); err != nil {
		t.Fatal(err)
	}
	p.serve(good)
	if _, err := source.Fetch(t.Context(), target2025); err != nil {
		t.Errorf("what was answered about another platform counts as seen: %v", err)
	}
}

func TestFilesAreRememberedWithoutCache(t *testing.T) {
	dir := t.TempDir()
	writeDirectory(t, dir, newer(t))
	source := open(t, dir, collateral.Options{Root: quote.IntelRoot(), Now: func() time.Time { return in2025 }})
	if _, err := source.Get(t.Context(), collateral.Target{}); err != nil {
		t.Fatal(err)
	}
	writeDirectory(t, dir, directory(t, intel2025))
	_, err := source.Get(t.Context(), collateral.Target{})
	rollback(t, err, "tcb_info/default/00806f050000")
}

// One source serves all connections of a hub.
func TestConcurrentCallsWithoutCache(t *testing.T) {
	old, newest := directory(t, intel2025), newer(t)
	p := newPCCS(t, newest)
	source := open(t, p.URL, collateral.Options{Root: quote.IntelRoot(), Now: func() time.Time { return in2025 }})
	if _, err := source.Get(t.Context(), target2025); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		if i == 4 {
			p.serve(old)
		}
		wg.Go(func() {
			got, err := source.Get(t.Context(), target2025)
			if err != nil || !bytes.Equal(got.TCBInfo, newest.TCBInfo) {
				t.Errorf("got what is older than was seen, %v", err)
			}
		})
	}
	wg.Wait()
}
