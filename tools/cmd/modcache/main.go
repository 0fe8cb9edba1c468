// Command modcache collects the modules that a source tree's Go programs need; see package modcache. It honours GOPROXY and
// the usual variables for HTTP proxies.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/boardroom-tee/boardroom/tools/modcache"
	"github.com/boardroom-tee/boardroom/tools/nar"
)

var errUsage = errors.New(`usage: modcache fetch GO SOURCE DIR   collect the modules of SOURCE in DIR with the go command GO
       modcache pin FILE              write the hash of this source tree's modules to FILE (nix/modules.json)`)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "modcache:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	scratch, err := os.MkdirTemp("", "modcache-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	request := modcache.Request{Go: "go", Source: ".", Proxies: os.Getenv("GOPROXY"), Scratch: scratch, Progress: os.Stderr}
	switch {
	case len(args) == 4 && args[0] == "fetch":
		request.Go, request.Source = args[1], args[2]
		return modcache.Fetch(ctx, request, args[3])
	case len(args) == 2 && args[0] == "pin":
		return pin(ctx, request, args[1])
	}
	return errUsage
}

func pin(ctx context.Context, request modcache.Request, file string) error {
	dir := filepath.Join(request.Scratch, "proxy")
	if err := modcache.Fetch(ctx, request, dir); err != nil {
		return err
	}
	hash, err := nar.Dir(dir).Sum()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(map[string]string{"nar": hash.String()}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
