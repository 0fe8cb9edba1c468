package web

import "context"

// Slots bounds how many of a thing happen at once.
type Slots chan struct{}

// NewSlots returns n free slots.
func NewSlots(n int) Slots { return make(Slots, n) }

// Enter takes a slot if one is free. Every successful Enter or Wait is followed by one Leave.
func (s Slots) Enter() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

// Wait takes a slot, waiting for one until ctx ends; then it returns the cause.
func (s Slots) Wait(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Leave gives a slot back.
func (s Slots) Leave() { <-s }
