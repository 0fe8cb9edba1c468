//go:build !simtee

package main

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
)

func devCommands() []*cli.Command { return nil }

func noDev(*cli.Context) error {
	return cmdline.Usage(errors.New("dev: this build has no simulated TEE; " +
		"one that has is built with: go build -tags simtee ./tools/cmd/boardroom, or make boardroom-dev"))
}
