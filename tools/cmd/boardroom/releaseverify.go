package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/transparency"
)

func releaseVerifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "say whether a release is one that a policy accepts",
		ArgsUsage: "DIR",
		Description: "Checks every file of the release, what is said about each, who signed it and who built it again, transparency logs, times, and that it is not\n" +
			"older than what was accepted before. Opens no connection, but to a log that --log names by its address. Exit code 1 says that the release\n" +
			"is refused, 2 that the policy is malformed, and 3 that it could not be told: a file can not be read, or a log has to be asked for a proof.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "policy", Usage: "judge by the policy in `FILE`"},
			&cli.StringFlag{Name: "at", Usage: "judge for the time `TIME`, as in 2026-04-24T02:37:51Z (default: now)"},
			&cli.StringFlag{Name: "memory", Usage: "remember in `DIR` what was accepted (default: boardroom/release in the user's state folder; none with --at)"},
			&cli.BoolFlag{Name: "no-memory", Usage: "remember nothing, and accept a release that is older than one that was accepted"},
			&cli.StringSliceFlag{Name: "log", Usage: "ask the log at `PLACE`, a folder or an address, whether it continues what the release shows; may be repeated"},
			&cli.DurationFlag{Name: "timeout", Value: 30 * time.Second, Usage: "give up on logs after `DURATION`"},
			cmdline.OutputFlag(),
		},
		Action: releaseVerify,
	}
}

func releaseVerify(c *cli.Context) (err error) {
	if err := cmdline.Args(c, "DIR"); err != nil {
		return err
	}
	o := release.VerifyOptions{At: time.Now()}
	if c.IsSet("at") {
		if o.At, err = time.Parse(time.RFC3339, c.String("at")); err != nil {
			return flagError("at", fmt.Errorf("expected a time as in 2026-04-24T02:37:51Z, got %q", c.String("at")))
		}
	}
	policy, err := releasePolicy(c)
	if err != nil {
		return err
	}
	if o.Memory, err = releaseMemory(c); err != nil {
		return err
	}
	for _, place := range c.StringSlice("log") {
		reader, closer, err := logReader(place)
		if err != nil {
			return err
		}
		defer closer()
		o.Logs = append(o.Logs, reader)
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	report, err := release.VerifyFolder(ctx, c.Args().First(), policy, o)
	var unproven *transparency.UnprovenError
	if errors.As(err, &unproven) {
		return fmt.Errorf("%w; name it with --log", err)
	}
	if err != nil {
		return err
	}
	if err := cmdline.Print(c, verifiedRelease{report}); err != nil {
		return err
	}
	if !report.Accepted {
		return cmdline.Refused(fmt.Errorf("%s: the release is refused: %s: %w", c.Args().First(), report.Refusal.Code, report.Refusal))
	}
	return nil
}

// releasePolicy reads the policy of --policy. One that is malformed is a mistake of whoever calls.
func releasePolicy(c *cli.Context) (*release.Policy, error) {
	if c.String("policy") == "" {
		return nil, flagError("policy", errors.New("expected the file of a policy, got none"))
	}
	policy, err := release.LoadPolicy(c.String("policy"))
	return policy, policyFault(err)
}

func policyFault(err error) error {
	var malformed *release.PolicyError
	if errors.As(err, &malformed) {
		return cmdline.Usage(err)
	}
	return err
}

func releaseMemory(c *cli.Context) (*release.Memory, error) {
	switch dir := c.String("memory"); {
	case c.Bool("no-memory") && dir != "":
		return nil, flagError("no-memory", errors.New("expected either this or --memory, got both"))
	case dir != "":
		return release.OpenMemory(dir)
	case c.Bool("no-memory") || c.IsSet("at"):
		return nil, nil //nolint:nilnil // nothing is remembered
	}
	dir, err := stateDir()
	if err != nil {
		return nil, fmt.Errorf("no folder for what was accepted: %w; name one with --memory, or none with --no-memory", err)
	}
	return release.OpenMemory(filepath.Join(dir, "release"))
}

// stateDir is boardroom's folder for what has to outlive a cache (XDG Base Directory Specification, XDG_STATE_HOME).
func stateDir() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "boardroom"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, ".local", "state", "boardroom"), nil
}

// verifiedRelease prints a verdict about a release.
type verifiedRelease struct{ *release.Report }

var releaseOutcomes = map[release.Outcome]string{release.Pass: "pass", release.Fail: "FAIL", release.NotChecked: "not checked", release.NotAsked: "not asked"}

func (v verifiedRelease) Print(w io.Writer) error {
	var b bytes.Buffer
	word := "ACCEPTED"
	if !v.Accepted {
		word = "REFUSED"
	}
	b.WriteString(word)
	if v.Digest != nil {
		fmt.Fprintf(&b, "  %s %s, %s", v.Name, v.Version, v.Digest)
	}
	b.WriteByte('\n')
	if v.Refusal != nil {
		fmt.Fprintf(&b, "  %s: %s\n", v.Refusal.Code, v.Refusal.Reason)
	}
	b.WriteByte('\n')
	for _, c := range v.Checks {
		fmt.Fprintf(&b, "%s\n", strings.TrimRight(fmt.Sprintf("%-11s  %-20s  %s", releaseOutcomes[c.Result], c.Check, c.Detail), " "))
		for _, r := range c.Refusals {
			fmt.Fprintf(&b, "  %s: %s\n", r.Code, r.Reason)
		}
	}
	if len(v.Signers) > 0 {
		b.WriteString("\nSigned by\n")
	}
	for _, s := range v.Signers {
		fmt.Fprintf(&b, "  %-9s  %s, key %s\n", s.Role, s.Name, s.Key)
	}
	if len(v.Logs) > 0 {
		b.WriteString("\nIn the logs\n")
	}
	for _, l := range v.Logs {
		fmt.Fprintf(&b, "  %s, tree size %d", l.Origin, l.Size)
		for _, witness := range l.Witnesses {
			fmt.Fprintf(&b, ", witnessed by %s at %s", witness.Name, witness.At.Format(time.RFC3339))
		}
		b.WriteByte('\n')
	}
	if len(v.NotCounted) > 0 {
		b.WriteString("\nNot counted\n")
	}
	for _, n := range v.NotCounted {
		fmt.Fprintf(&b, "  %s\n    %s: %s\n", n.File, n.Code, n.Reason)
	}
	_, err := w.Write(b.Bytes())
	return err
}
