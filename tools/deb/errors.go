package deb

import (
	"errors"
	"fmt"
)

// The reasons for which something is refused; they are wrapped in a [*RefusedError].
var (
	// ErrSignature: no key of the keyring vouches for a suite, or a signature of such a key is wrong.
	ErrSignature = errors.New("signature")
	// ErrExpired: a suite's Valid-Until has passed, or its Date has not come yet.
	ErrExpired = errors.New("validity")
	// ErrSuite: what is signed is not the suite that was asked for, or lacks what the set needs.
	ErrSuite = errors.New("suite")
	// ErrIndex: a signed document or index is malformed.
	ErrIndex = errors.New("index")
	// ErrUnsatisfied: a dependency can not be met.
	ErrUnsatisfied = errors.New("unsatisfied dependency")
	// ErrConflict: two packages can not stand together, by their relations or by the files in them.
	ErrConflict = errors.New("conflict")
	// ErrContent: bytes are not those that were locked or signed.
	ErrContent = errors.New("other content")
	// ErrArchive: a package file is malformed, or holds what no package may.
	ErrArchive = errors.New("package file")
)

// RefusedError is a verdict about packages or the archive.
type RefusedError struct {
	// Reason is one of the errors of this package.
	Reason error
	// Detail names what is refused, what was expected and what came.
	Detail string
}

func (e *RefusedError) Error() string { return e.Reason.Error() + ": " + e.Detail }

// Unwrap returns Reason.
func (e *RefusedError) Unwrap() error { return e.Reason }

func refuse(reason error, format string, args ...any) error {
	return &RefusedError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// DocumentError says that a set or a lock is malformed.
type DocumentError struct {
	// Err names the member, what was expected and what came.
	Err error
}

func (e *DocumentError) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *DocumentError) Unwrap() error { return e.Err }

func malformed(format string, args ...any) error {
	return &DocumentError{Err: fmt.Errorf(format, args...)}
}
