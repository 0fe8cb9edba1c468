package guestimage

import "fmt"

// RefusedError is a verdict about an image, or about what one would be made of.
type RefusedError struct {
	// What names the file or the part that is refused.
	What string
	// Err says what was expected and what came.
	Err error
}

func (e *RefusedError) Error() string { return e.What + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *RefusedError) Unwrap() error { return e.Err }

func refuse(what, format string, args ...any) error {
	return &RefusedError{what, fmt.Errorf(format, args...)}
}
