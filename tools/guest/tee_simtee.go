//go:build simtee

package guest

import (
	"time"

	"github.com/boardroom-tee/boardroom/tools/guest/modules"
	"github.com/boardroom-tee/boardroom/tools/guest/registers"
)

// flavour is what the console says of a build that is not for production.
const flavour = "SIMULATED: this is the development flavour, whose quotes prove nothing"

// loadTEE loads the modules by which the simulated TEE learns what QEMU says.
func loadTEE() error { return modules.Load(modules.Simulated()...) }

// openTEE makes a TEE of what the firmware measured.
func openTEE() (registers.TEE, error) { return registers.OpenSimulated(time.Now()) }
