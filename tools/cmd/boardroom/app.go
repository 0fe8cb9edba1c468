package main

import (
	"os"

	"github.com/urfave/cli/v2"
)

const version = "0.1.0"

func app() *cli.App {
	return &cli.App{
		Name:                 "boardroom",
		Usage:                "confidential AI agents that anyone can check",
		Version:              version,
		Reader:               os.Stdin,
		Writer:               os.Stdout,
		ErrWriter:            os.Stderr,
		EnableBashCompletion: true,
		// Commas are part of firmware paths and other values; a flag with several is repeated.
		DisableSliceFlagSeparator: true,
		Commands: []*cli.Command{
			imageCommand(),
			composeCommand(),
			measureCommand(),
			eventlogCommand(),
			debCommand(),
			guestCommand(),
			quoteCommand(),
			collateralCommand(),
			evidenceCommand(),
			releaseCommand(),
			auditCommand(),
			keyCommand(),
			logCommand(),
			devCommand(),
			completionCommand(),
		},
	}
}
