//go:build acceptance

package acceptance

import (
	"sync"
	"testing"
)

// shared is something that several tests need and the first of them makes.
type shared[T any] struct {
	once  sync.Once
	made  bool
	value T
}

func (s *shared[T]) get(t testing.TB, produce func() T) T {
	t.Helper()
	s.once.Do(func() {
		s.value = produce()
		s.made = true
	})
	if !s.made {
		t.Fatal("what this test starts from could not be made; see the first test that failed")
	}
	return s.value
}
