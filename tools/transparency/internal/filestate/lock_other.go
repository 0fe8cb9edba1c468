//go:build !unix

package filestate

import (
	"errors"
	"os"
)

// tryLock fails: state that two processes could write at once is none.
func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }
