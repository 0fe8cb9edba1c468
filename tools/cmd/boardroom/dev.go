package main

import "github.com/urfave/cli/v2"

// devCommand holds what is for development only. A production build has the name, and nothing behind it.
func devCommand() *cli.Command {
	c := &cli.Command{
		Name:        "dev",
		Usage:       "development on a machine without a TEE: tee, quote",
		Subcommands: devCommands(),
	}
	if len(c.Subcommands) == 0 {
		c.Usage = "not in this build: development on a machine without a TEE"
		c.SkipFlagParsing = true // whatever is asked, the answer is one
		c.Action = noDev
	}
	return c
}
