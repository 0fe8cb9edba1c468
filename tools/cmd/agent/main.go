// Command agent is every boardroom agent and the hub: see package program for flags, package agent for the environment.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/boardroom-tee/boardroom/tools/agent/program"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal kills
	os.Exit(program.Main(ctx, program.Process{
		Args:      os.Args[1:],
		LookupEnv: os.LookupEnv,
		Unsetenv:  os.Unsetenv,
		Stdout:    os.Stdout,
		Stderr:    os.Stderr,
	}))
}
