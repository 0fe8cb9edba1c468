package nonce

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func TestTakenOnce(t *testing.T) {
	var s Store
	n, expires := s.Issue(start)
	if len(n) != 2*Size || expires != start.Add(Lifetime) {
		t.Errorf("issued %q until %v", n, expires)
	}
	if !s.Take(start.Add(Lifetime-1), n) {
		t.Error("an issued nonce was not taken")
	}
	if s.Take(start, n) {
		t.Error("a nonce was taken twice")
	}
}

func TestRefused(t *testing.T) {
	var s Store
	if s.Take(start, New()) || s.Take(start, "") {
		t.Error("a stranger's nonce was taken")
	}
	n, _ := s.Issue(start)
	if s.Take(start.Add(Lifetime), n) {
		t.Error("an expired nonce was taken")
	}
	if s.Take(start, n) {
		t.Error("a nonce that was refused once was taken later")
	}
}

// TestParallelTakers is attack 62: of many sessions with one nonce one gets through.
func TestParallelTakers(t *testing.T) {
	var s Store
	n, _ := s.Issue(start)
	var taken atomic.Int32
	var takers sync.WaitGroup
	for range 64 {
		takers.Go(func() {
			if s.Take(start, n) {
				taken.Add(1)
			}
		})
	}
	takers.Wait()
	if taken.Load() != 1 {
		t.Errorf("taken %d times", taken.Load())
	}
}

func TestFloodKeepsTheNewest(t *testing.T) {
	var s Store
	oldest, _ := s.Issue(start)
	kept, _ := s.Issue(start)
	for range maxIssued - 1 {
		s.Issue(start)
	}
	if s.Take(start, oldest) {
		t.Error("the oldest nonce outlived a flood")
	}
	if !s.Take(start, kept) {
		t.Error("a nonce within the bound was dropped")
	}
	if len(s.order) > maxIssued || len(s.expires) > maxIssued {
		t.Errorf("the store holds %d and %d", len(s.order), len(s.expires))
	}
}
