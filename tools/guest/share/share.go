package share

import (
	"errors"
	"fmt"

	"github.com/boardroom-tee/boardroom/tools/dstack"
)

// Names of the files.
const (
	AppCompose   = "app-compose.json"
	SysConfig    = ".sys-config.json"
	InstanceInfo = ".instance_info"
	EncryptedEnv = ".encrypted-env"
	UserConfig   = ".user-config"
)

// limits are the largest sizes that every release of dstack from 0.5.5 on takes, in bytes, and for the first what all of its releases take.
var limits = map[string]int{
	AppCompose: dstack.MaxAppCompose, SysConfig: 32 << 10, InstanceInfo: 10 << 10, EncryptedEnv: 256 << 10, UserConfig: 1 << 20,
}

// Files are the contents, by name. A file that the host did not give is not there.
type Files map[string][]byte

// FileError names the file that is not what it should be.
type FileError struct {
	Name string
	Err  error
}

func (e *FileError) Error() string { return fmt.Sprintf("host share: %s: %v", e.Name, e.Err) }
func (e *FileError) Unwrap() error { return e.Err }

var errMissing = errors.New("expected the file, the host gave none")
