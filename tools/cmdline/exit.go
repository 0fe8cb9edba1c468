package cmdline

import "errors"

// Exit codes of every command.
const (
	// ExitDone: done, accepted.
	ExitDone = 0
	// ExitRefused: a verdict. Something is not what it has to be.
	ExitRefused = 1
	// ExitUsage: the command, or a file that says what to do, is malformed.
	ExitUsage = 2
	// ExitUnknown: it could not be told. A file is missing, the network is down, a program failed.
	ExitUnknown = 3
)

type coded struct {
	error
	code int
}

func (c coded) Unwrap() error { return c.error }

// Refused marks err as a verdict.
func Refused(err error) error { return mark(err, ExitRefused) }

// Usage marks err as a mistake in how the command was called.
func Usage(err error) error { return mark(err, ExitUsage) }

func mark(err error, code int) error {
	if err == nil {
		return nil
	}
	return coded{err, code}
}

// ExitCode is the exit code for the error that a command returned; what nobody marked could not be told.
func ExitCode(err error) int {
	var c coded
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &c):
		return c.code
	default:
		return ExitUnknown
	}
}
