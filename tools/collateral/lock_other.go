//go:build !unix

package collateral

import (
	"errors"
	"os"
)

// tryLock fails: a cache that could lose what was seen is none.
func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }
