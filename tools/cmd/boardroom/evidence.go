package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/evidence/collect"
)

func evidenceCommand() *cli.Command {
	return &cli.Command{
		Name:  "evidence",
		Usage: "live evidence: collect",
		Subcommands: []*cli.Command{{
			Name:  "collect",
			Usage: "fetch evidence over a fresh nonce and write what quote verify reads",
			Description: "Asks an agent's attestation port, dstack's guest agent on its socket, or takes it from the RA-TLS certificate of who terminates TLS.\n" +
				"What is written is well formed, recent and bound as far as that shows without the quote; nothing is verified. Of a TLS endpoint no\n" +
				"nonce is in the quote: fresh is the handshake with the key that the quote has to bind. Exit code 1 says that the answer is not\n" +
				"good, 3 that there was none.",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "from", Usage: "ask the attestation port, the TLS endpoint or the socket at `PLACE`: http://…, https://…, ra-tls://HOST:PORT, or an absolute path"},
				&cli.StringFlag{Name: "nonce", Usage: "use the nonce `HEX` of somebody else who will verify, 16 to 64 bytes (default: a fresh one)"},
				&cli.StringFlag{Name: "to", Usage: "write `FILE`"},
				&cli.DurationFlag{Name: "timeout", Value: time.Minute, Usage: "give up after `DURATION`"},
				cmdline.OutputFlag(),
			},
			Action: evidenceCollect,
		}},
	}
}

// collectedReport is the JSON of evidence collect.
type collectedReport struct {
	From       string            `json:"from"`
	To         string            `json:"to"`
	Freshness  collect.Freshness `json:"freshness"` // "nonce" or "tls"
	Nonce      string            `json:"nonce,omitempty"`
	ReportData string            `json:"report_data"` // what REPORTDATA of the quote must be
	PublicKey  string            `json:"public_key,omitempty"`
	AgentID    string            `json:"agent_id,omitempty"`
	AgentType  string            `json:"agent_type,omitempty"`
	Verified   bool              `json:"verified"` // always false: collecting is not verifying
}

func evidenceCollect(c *cli.Context) error {
	if err := cmdline.Args(c); err != nil {
		return err
	}
	from, to := c.String("from"), c.String("to")
	if from == "" || to == "" {
		return cmdline.Usage(errors.New("want --from PLACE and --to FILE"))
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	got, err := collect.Collector{HTTP: web.NewClient(nil)}.From(ctx, from, c.String("nonce"))
	if err != nil {
		return collectFault(err)
	}
	document, err := got.Document()
	if err != nil {
		return err
	}
	if err := replaceFile(to, append(document, '\n')); err != nil {
		return err
	}
	report := collectedReport{
		From: got.Source, To: to, Freshness: got.Freshness, Nonce: got.Nonce, ReportData: hex.EncodeToString(got.ReportData[:]),
	}
	switch {
	case got.Claims != nil:
		report.PublicKey, report.AgentID, report.AgentType = got.Claims.PublicKey, got.Claims.AgentID, got.Claims.AgentType
	case got.TLS != nil:
		report.PublicKey = hex.EncodeToString(got.TLS.PublicKey)
	}
	return cmdline.Print(c, report)
}

// Print implements [cmdline.Printer].
func (r collectedReport) Print(w io.Writer) error {
	who := ""
	if r.AgentID != "" {
		who = fmt.Sprintf(" of the agent %s, type %s, key %s", r.AgentID, r.AgentType, r.PublicKey)
	}
	fresh, verify := "over the nonce "+r.Nonce, "boardroom quote verify "+r.To+" --nonce "+r.Nonce
	if r.Freshness == collect.ByTLS {
		fresh, verify = "over the key of this TLS session, and no nonce: the quote is as old as the certificate", "boardroom quote verify "+r.To+" --runtime-log"
	}
	_, err := fmt.Fprintf(w, "%s: evidence%s from %s, %s\nnothing is verified yet: %s\n", r.To, who, r.From, fresh, verify)
	return err
}

// collectFault gives an error its exit code: an answer that is not good is refused, none could not be told, and the rest is a
// mistake in the call.
func collectFault(err error) error {
	var (
		unreachable *collect.UnreachableError
		refused     *collect.EvidenceError
		claim       *evidence.ClaimError
	)
	switch {
	case errors.As(err, &unreachable):
		return err
	case errors.As(err, &refused):
		return cmdline.Refused(err)
	case errors.As(err, &claim):
		return cmdline.Usage(fmt.Errorf("--nonce: %w", err))
	default:
		return cmdline.Usage(fmt.Errorf("--from: %w", err))
	}
}
