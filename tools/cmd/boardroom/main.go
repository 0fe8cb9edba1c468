// Command boardroom builds, measures, signs, checks and deploys confidential AI agents.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cmdline.Run(ctx, app(), os.Args[1:])
	stop()
	os.Exit(code)
}
