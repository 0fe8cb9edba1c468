package nonce

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"
)

// Size is the length of a nonce in bytes.
const Size = 32

// New returns [Size] random bytes in lower-case hex.
func New() string {
	var raw [Size]byte
	rand.Read(raw[:]) // never fails, says its documentation
	return hex.EncodeToString(raw[:])
}

// Bounds of a store. When there are too many the oldest goes, not the newest: a flood then has to outrun an honest attester's
// one exchange instead of filling the store once.
const (
	Lifetime  = 2 * time.Minute // a quote on a busy host takes seconds
	maxIssued = 4096
)

// Store holds the nonces that were issued and not yet taken. The zero value is ready; it is safe for concurrent use.
type Store struct {
	mu      sync.Mutex
	expires map[string]time.Time
	order   []string // as issued, which is as they expire; taken ones stay until their turn
}

// Issue makes a nonce that can be taken once until it expires.
func (s *Store) Issue(now time.Time) (nonce string, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expires == nil {
		s.expires = make(map[string]time.Time)
	}
	if len(s.order) == maxIssued {
		delete(s.expires, s.order[0])
		s.order = append(s.order[:0], s.order[1:]...)
	}
	nonce, expires = New(), now.Add(Lifetime)
	s.expires[nonce] = expires
	s.order = append(s.order, nonce)
	return nonce, expires
}

// Take says whether the nonce was issued here, is unexpired and was not taken before. Whatever comes of the exchange, it
// cannot be taken again.
func (s *Store) Take(now time.Time, nonce string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	expires, issued := s.expires[nonce]
	delete(s.expires, nonce)
	return issued && now.Before(expires)
}
