//go:build simtee

package guest

import (
	"errors"
	"os"
	"time"

	"github.com/boardroom-tee/boardroom/tools/guest/modules"
	"github.com/boardroom-tee/boardroom/tools/guest/registers"
)

// flavour is what the console says of a build that is not for production.
const flavour = "SIMULATED: this is the development flavour, whose quotes prove nothing"

// randomization tells the kernel whether programs stand at another address each time (Linux, Documentation/admin-guide/sysctl/kernel.rst).
const randomization = "/proc/sys/kernel/randomize_va_space"

// errNotRandom is a warning.
var errNotRandom = errors.New("the processor is emulated: programs stand at the same addresses each time, as they do in no production guest")

// loadTEE loads the modules by which the simulated TEE learns what QEMU says, such as whether the processor is emulated.
func loadTEE(warn func(error)) error {
	if err := modules.Load(modules.Simulated()...); err != nil {
		return err
	}
	emulated, err := registers.Emulated()
	if err != nil {
		return err
	}
	return settleAddresses(emulated, randomization, warn)
}

// settleAddresses has the kernel no longer put programs at random addresses where the processor is emulated: QEMU 7.2 translates a program anew
// for each address, which was a quarter of the time of a boot.
func settleAddresses(emulated bool, file string, warn func(error)) error {
	if !emulated {
		return nil
	}
	warn(errNotRandom)
	return os.WriteFile(file, []byte("0"), 0)
}

// openTEE makes a TEE of what the firmware measured.
func openTEE() (registers.TEE, error) { return registers.OpenSimulated(time.Now()) }
