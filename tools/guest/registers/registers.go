package registers

import (
	"context"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
)

// TEE is what measures and signs.
type TEE interface {
	// Registers reads them all.
	Registers() (Values, error)
	// Extend extends RTMR3.
	Extend(digest dstack.Register) error
	// Quote signs the registers and 64 bytes.
	Quote(ctx context.Context, reportData [64]byte) ([]byte, error)
	// Firmware are the events of RTMR0 to RTMR2. Their replay is what the registers hold.
	Firmware() ([]eventlog.Event, error)
	// Vendor and Product name the machine, for people.
	Name() (vendor, product string)
}

// Values are the contents of the registers.
type Values struct {
	dstack.TDX
	RTMR3 dstack.Register
}
