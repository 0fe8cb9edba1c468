//go:build !simtee

package guest

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/boardroom-tee/boardroom/tools/guest/modules"
	"github.com/boardroom-tee/boardroom/tools/guest/registers"
)

// flavour is what the console says of a build that is not for production.
const flavour = ""

// loadTEE loads the modules by which a TD measures and makes quotes.
func loadTEE(func(error)) error {
	err := modules.Load(modules.TDX()...)
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("this machine is no TD, so that nothing in it measures and makes quotes: %w", err)
	}
	return err
}

// openTEE opens the registers of the TD.
func openTEE() (registers.TEE, error) {
	if err := unix.Mount("configfs", "/sys/kernel/config", "configfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return nil, os.NewSyscallError("mount /sys/kernel/config", err)
	}
	return registers.OpenTD()
}
