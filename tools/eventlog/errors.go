package eventlog

import (
	"errors"
	"fmt"
)

// The reasons for which a log is refused; they are wrapped in a [*ParseError].
var (
	// ErrTooLarge: the log is larger than [MaxSize].
	ErrTooLarge = errors.New("log is too large")
	// ErrTruncated: a field reaches past the end of the log.
	ErrTruncated = errors.New("field reaches past the end of the log")
	// ErrNoSpecID: the log does not begin with a crypto-agile Spec ID event.
	ErrNoSpecID = errors.New(`no "Spec ID Event03" header`)
	// ErrNoSHA384: there is no SHA-384 digest, so RTMRs or the SHA-384 bank can not be replayed.
	ErrNoSHA384 = errors.New("no SHA-384 digest")
	// ErrAlgorithm: a digest list does not agree with the algorithms of the header.
	ErrAlgorithm = errors.New("digests do not agree with the header")
	// ErrRegister: the register number is not one that a log of this kind can extend.
	ErrRegister = errors.New("no such register")
	// ErrAfterEnd: something other than padding follows the end of the log.
	ErrAfterEnd = errors.New("data after the end of the log")
	// ErrSyntax: JSON, base64 or hexadecimal text is malformed.
	ErrSyntax = errors.New("malformed text")
	// ErrDigest: the digest of a runtime event is not that of its name and payload.
	ErrDigest = errors.New("digest is not that of the event")
	// ErrVersion: a digest version that is not known.
	ErrVersion = errors.New("unknown digest version")
)

// ParseError says where a log is malformed.
type ParseError struct {
	// Event is the index of the event, from 0, or -1 for the head of the log.
	Event int
	// Offset is where in the input the offending field begins, in bytes; for text logs it is -1.
	Offset int
	// Err is one of the errors of this package.
	Err error
	// Detail says what was expected and what came.
	Detail string
}

func (e *ParseError) Error() string {
	where := "event log head"
	if e.Event >= 0 {
		where = fmt.Sprintf("event %d", e.Event)
	}
	if e.Offset >= 0 {
		where += fmt.Sprintf(" at byte %d", e.Offset)
	}
	if e.Detail == "" {
		return where + ": " + e.Err.Error()
	}
	return where + ": " + e.Err.Error() + ": " + e.Detail
}

// Unwrap returns Err.
func (e *ParseError) Unwrap() error { return e.Err }
