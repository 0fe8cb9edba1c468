package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/boardroom-tee/boardroom/tools/guest/initramfs"
	"github.com/boardroom-tee/boardroom/tools/guest/process"
)

// Main is the whole program: the part of process 1 that its name asks for, /init in the initramfs and anything else in the root file system.
// It ends with the machine, and returns only where it is not process 1.
func Main(name string) error {
	if os.Getpid() != 1 {
		return errors.New("expected to be process 1 of a virtual machine")
	}
	if err := start(name); err != nil {
		fmt.Fprintf(os.Stdout, "boardroom-guest: %v\n", err)
	}
	return powerOff()
}

// stopped begins the line that says why there is no guest, and ended that which says why there is none any more.
const (
	stopped = "the boot is stopped"
	ended   = "the guest is stopped"
)

func start(name string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if name == "/init" {
		return fmt.Errorf("%s: initramfs: %w", stopped, initramfs.Run(ctx))
	}
	started := time.Now()
	b := &boot{console: os.Stdout, started: started, stop: stop}
	b.system = &machine{children: process.Reap(context.WithoutCancel(ctx)), console: os.Stdout, warn: func(err error) { b.say("%v", err) }}
	if flavour != "" {
		b.say("%s", flavour)
	}
	if err := b.run(ctx); err != nil {
		return fmt.Errorf("%s: %w", stopped, err)
	}
	if err := b.wait(ctx); err != nil {
		return fmt.Errorf("%s: %w", ended, err)
	}
	return nil
}
