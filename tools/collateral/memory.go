package collateral

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// memory stands in for a cache that nobody named: it lasts as long as its Source, which has one root. What it keeps only stands in for
// what a service has older, and the service is asked each time.
type memory struct {
	mu   sync.Mutex
	seen state
	kept []kept // the newest last
}

// Floor is that of a cache.
func (m *memory) Floor(quote.TrustRoot) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen.newest(), nil
}

func (m *memory) advance(_ context.Context, _ quote.TrustRoot, update Update, f quote.Facts) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.seen.refuses(update, f); err != nil {
		return err
	}
	next := state{m.seen.Format, maps.Clone(m.seen.Documents)}
	next.add(update, f)
	if len(next.Documents) > maxDocuments {
		return fmt.Errorf("%w: expected at most %d documents, got more", ErrState, maxDocuments)
	}
	m.seen = next
	return nil
}

func (m *memory) bundles() []kept {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.kept)
}

// store keeps verified collateral, and of too much the newest.
func (m *memory) store(_ context.Context, name string, collateral quote.Collateral) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = append(slices.DeleteFunc(m.kept, func(k kept) bool { return k.name == name }), kept{collateral, name})
	m.kept = slices.Delete(m.kept, 0, max(0, len(m.kept)-maxEntries))
	return nil
}
