package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
)

const quoteForms = "FILE is a raw TDX quote, hexadecimal text of one, the answer of dstack's guest agent to GetQuote, or an agent's evidence document;\n" +
	"- is standard input."

func quoteCommand() *cli.Command {
	return &cli.Command{
		Name:  "quote",
		Usage: "TDX quotes: show, verify",
		Subcommands: []*cli.Command{
			{
				Name:        "show",
				Usage:       "list every field of a quote with its meaning, without verifying anything",
				ArgsUsage:   "FILE",
				Description: quoteForms,
				Flags:       []cli.Flag{cmdline.OutputFlag()},
				Action:      quoteShow,
			},
			{
				Name:      "verify",
				Usage:     "appraise a quote and what came with it",
				ArgsUsage: "FILE",
				Description: quoteForms + "\n\n" +
					"Without flags the policy is strict: a chain to Intel's root, collateral and revocation lists that are valid now, TCB status UpToDate,\n" +
					"no debug, no migratable or reserved attribute, no service TD; an event log that came along has to replay. What ran is compared only\n" +
					"with --expect, and whether the quote is fresh only with --nonce. Exit code 0 says accepted, 1 refused, 3 that it could not be told.",
				Flags:  append(verifyFlags(), cmdline.OutputFlag()),
				Action: quoteVerify,
			},
		},
	}
}

// readEvidence reads FILE. What is no evidence is refused: the file is what is to be judged, not how to judge it.
func readEvidence(c *cli.Context) (appraisal.Evidence, error) {
	if err := cmdline.Args(c, "FILE"); err != nil {
		return appraisal.Evidence{}, err
	}
	path := c.Args().First()
	data, err := readInput(c, path)
	if err != nil {
		return appraisal.Evidence{}, err
	}
	e, err := appraisal.ReadEvidence(data)
	if err != nil {
		return appraisal.Evidence{}, cmdline.Refused(fmt.Errorf("%s: %w", path, err))
	}
	return e, nil
}

func readInput(c *cli.Context, path string) ([]byte, error) {
	if path == "-" {
		data, err := io.ReadAll(io.LimitReader(c.App.Reader, eventlog.MaxDocument+1))
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return data, nil
	}
	data, err := image.ReadFile(path, eventlog.MaxDocument)
	var size *image.SizeError
	if errors.As(err, &size) {
		return nil, cmdline.Refused(err)
	}
	return data, err
}
