package hub

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"
)

// Bounds of nonces. When there are too many the oldest goes, not the newest: a flood then has to outrun an honest agent's
// one exchange instead of filling the store once.
const (
	nonceBytes = 32
	nonceTTL   = 2 * time.Minute // a quote on a busy host takes seconds
	maxNonces  = 4096
)

// newNonce returns 32 random bytes in lower-case hex.
func newNonce() string {
	var raw [nonceBytes]byte
	rand.Read(raw[:]) // never fails, says its documentation
	return hex.EncodeToString(raw[:])
}

// nonces are those issued and not yet used.
type nonces struct {
	mu      sync.Mutex
	expires map[string]time.Time
	order   []string // as issued, which is as they expire; used ones stay until their turn
}

// issue makes a nonce that can be taken once until it expires.
func (n *nonces) issue(now time.Time) (nonce string, expires time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.expires == nil {
		n.expires = make(map[string]time.Time)
	}
	if len(n.order) == maxNonces {
		delete(n.expires, n.order[0])
		n.order = append(n.order[:0], n.order[1:]...)
	}
	nonce, expires = newNonce(), now.Add(nonceTTL)
	n.expires[nonce] = expires
	n.order = append(n.order, nonce)
	return nonce, expires
}

// take says whether the nonce was issued, is unexpired and was not taken before. Whatever comes of the registration, it
// cannot be taken again.
func (n *nonces) take(now time.Time, nonce string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	expires, issued := n.expires[nonce]
	delete(n.expires, nonce)
	return issued && now.Before(expires)
}
