// Command seed prepares the toolchain that every build starts from; see package seed.
//
// It runs before anything of this repository is built: inside Nix, compiled by the toolchain that it trims, and from the
// Makefile by "go run". So it imports nothing but the standard library and this module.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/boardroom-tee/boardroom/tools/seed"
)

var errUsage = errors.New(`usage: seed copy GOROOT DIR    write the seed tree of a published toolchain to DIR
       seed obtain PIN CACHE   make sure of a verified seed tree in CACHE and print its folder`)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 3 {
		return errUsage
	}
	switch args[0] {
	case "copy":
		return seed.Copy(args[1], args[2])
	case "obtain":
		pin, err := seed.ReadPin(args[1])
		if err != nil {
			return err
		}
		dir, err := seed.Obtain(ctx, pin, args[2], os.Stderr)
		if err == nil {
			fmt.Println(dir)
		}
		return err
	}
	return errUsage
}
