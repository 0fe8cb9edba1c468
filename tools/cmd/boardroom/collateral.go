package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/collateral"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

func collateralCommand() *cli.Command {
	return &cli.Command{
		Name:  "collateral",
		Usage: "what Intel publishes about platforms: fetch, show",
		Subcommands: []*cli.Command{
			{
				Name:  "fetch",
				Usage: "make a bundle of collateral that verifies a quote offline, years later",
				Description: "Asks Intel's PCS or a PCCS for what verifies the quote, verifies that, and only then writes it: a bundle, or into a folder the files\n" +
					"that quote verify --collateral reads. A quote that was verified with it is verified again with quote verify --collateral FILE --at TIME.\n" +
					"What is older than collateral that was seen before is refused; what was seen is remembered in the cache. Exit code 1 says that what\n" +
					"was obtained does not verify or is older, 3 that it could not be obtained.",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "quote", Usage: "of the platform of the quote in `FILE`, in any form that quote show reads"},
					&cli.StringFlag{Name: "fmspc", Usage: "without --quote: of the platforms with the FMSPC `HEX`, 12 digits"},
					&cli.StringFlag{Name: "ca", Usage: "without --quote: the `CA` that issued the PCK certificate, platform or processor"},
					&cli.StringFlag{Name: "from", Usage: "ask the PCS or PCCS at the address `URL` (default: Intel's PCS)"},
					&cli.StringFlag{Name: "update", Usage: "ask for the `CHANNEL` of TCB recovery, early or standard (default: the service's)"},
					&cli.StringFlag{Name: "to", Usage: "write the bundle `FILE`, or into the folder DIR: one that is there and empty, or a name that ends with /"},
					&cli.StringFlag{Name: "at", Usage: "verify for the time `TIME`, as in 2026-04-24T02:37:51Z (default: now)"},
					&cli.StringFlag{Name: "trust-root", Usage: "trust the root certificate in the PEM `FILE` instead of Intel's; what it vouches for is SIMULATED"},
					&cli.StringFlag{Name: "cache", Usage: "remember in `DIR` what was seen (default: boardroom/collateral in the user's cache folder; none with --at or a --trust-root)"},
					&cli.DurationFlag{Name: "timeout", Value: 30 * time.Second, Usage: "give up after `DURATION`"},
					cmdline.OutputFlag(),
				},
				Action: collateralFetch,
			},
			{
				Name:        "show",
				Usage:       "say what collateral is about, without verifying anything",
				ArgsUsage:   "FILE",
				Description: "FILE is a bundle, or a folder with the files that quote verify --collateral reads.",
				Flags:       []cli.Flag{cmdline.OutputFlag()},
				Action:      collateralShow,
			},
		},
	}
}

// fetched is the result of fetch.
type fetched struct {
	To        string              `json:"to"`
	Simulated bool                `json:"simulated"`
	Contents  collateral.Contents `json:"collateral"`
}

func (f fetched) Print(w io.Writer) error {
	var b bytes.Buffer
	if f.Simulated {
		fmt.Fprintf(&b, "SIMULATED: the trust root is not Intel's. None of this is proof of hardware.\n")
	}
	printContents(&b, f.Contents)
	fmt.Fprintf(&b, "verified, and written to %s\n", f.To)
	_, err := w.Write(b.Bytes())
	return err
}

func collateralFetch(c *cli.Context) error {
	if err := cmdline.Args(c); err != nil {
		return err
	}
	to := c.String("to")
	if to == "" {
		return flagError("to", errors.New("expected a file or a folder to write, got none"))
	}
	if !strings.Contains(c.String("from"), "://") && c.IsSet("from") {
		return flagError("from", fmt.Errorf("expected an address with https:// or http://, got %q", c.String("from")))
	}
	at := time.Now()
	if text := c.String("at"); c.IsSet("at") {
		var err error
		if at, err = time.Parse(time.RFC3339, text); err != nil {
			return flagError("at", fmt.Errorf("expected a time as in 2026-04-24T02:37:51Z, got %q", text))
		}
	}
	if c.Duration("timeout") <= 0 {
		return flagError("timeout", fmt.Errorf("expected more than nothing, got %s", c.Duration("timeout")))
	}
	update, err := collateral.ParseUpdate(c.String("update"))
	if err != nil {
		return flagError("update", err)
	}
	target, err := fetchTarget(c)
	if err != nil {
		return err
	}
	root, err := trustRoot(c)
	if err != nil {
		return err
	}
	var cache *collateral.Cache
	// What is simulated leaves no trace that nobody asked for.
	if c.IsSet("cache") || !root.Simulated() {
		if cache, err = collateralCache(c); err != nil {
			return err
		}
	}
	source, err := collateral.Open(c.String("from"), collateral.Options{
		Root: root, Cache: cache, Update: update, Now: func() time.Time { return at }, Note: note(c),
	})
	if err != nil {
		return flagError("from", err)
	}
	ctx, cancel := context.WithTimeoutCause(c.Context, c.Duration("timeout"), fmt.Errorf("gave up after %s", c.Duration("timeout")))
	defer cancel()
	found, err := source.Fetch(ctx, target)
	if err != nil {
		return collateralFault(err)
	}
	facts, err := quote.NewVerifier(found, root).Facts(at)
	if err == nil {
		err = target.Check(facts)
	}
	if err != nil {
		return cmdline.Refused(fmt.Errorf("nothing was written: %w", err))
	}
	contents, err := collateral.Inspect(found)
	if err != nil {
		return err
	}
	if err := writeCollateral(to, found); err != nil {
		return err
	}
	return cmdline.Print(c, fetched{To: filepath.Clean(to), Simulated: root.Simulated(), Contents: contents})
}

// note tells a person on stderr.
func note(c *cli.Context) func(string) {
	return func(text string) { fmt.Fprintln(c.App.ErrWriter, text) }
}

// fetchTarget is the platform of --quote, or the one that is named.
func fetchTarget(c *cli.Context) (collateral.Target, error) {
	if !c.IsSet("quote") {
		if !c.IsSet("fmspc") || !c.IsSet("ca") {
			return collateral.Target{}, flagError("quote", errors.New("expected a quote, or --fmspc and --ca, got neither"))
		}
		fmspc, err := collateral.ParseFMSPC(c.String("fmspc"))
		if err != nil {
			return collateral.Target{}, flagError("fmspc", err)
		}
		ca, err := collateral.ParseCA(c.String("ca"))
		if err != nil {
			return collateral.Target{}, flagError("ca", err)
		}
		return collateral.Target{FMSPC: fmspc, CA: ca}, nil
	}
	if c.IsSet("fmspc") || c.IsSet("ca") {
		return collateral.Target{}, flagError("quote", errors.New("expected either a quote or --fmspc and --ca, got both"))
	}
	path := c.String("quote")
	data, err := readInput(c, path)
	if err != nil {
		return collateral.Target{}, err
	}
	evidence, err := appraisal.ReadEvidence(data)
	if err != nil {
		return collateral.Target{}, cmdline.Refused(fmt.Errorf("%s: %w", path, err))
	}
	parsed, err := quote.Parse(evidence.Quote)
	if err != nil {
		return collateral.Target{}, cmdline.Refused(fmt.Errorf("%s: %w", path, err))
	}
	target, err := collateral.TargetOf(parsed)
	if err != nil {
		return collateral.Target{}, cmdline.Refused(fmt.Errorf("%s: %w", path, err))
	}
	return target, nil
}

// collateralCache opens the cache that is named, or the user's. The user's is done without if there can be none; one that is named has to
// work. What is verified for a time of the past has none, because what was seen since then would count against it.
func collateralCache(c *cli.Context) (*collateral.Cache, error) {
	if c.IsSet("cache") {
		if c.IsSet("at") {
			return nil, flagError("cache", errors.New("expected none beside --at: what was seen since then would count against collateral of that time"))
		}
		return collateral.OpenCache(c.String("cache"))
	}
	if c.IsSet("at") {
		return nil, nil
	}
	dir, err := os.UserCacheDir()
	if err == nil {
		var cache *collateral.Cache
		if cache, err = collateral.OpenCache(filepath.Join(dir, "boardroom", "collateral")); err == nil {
			return cache, nil
		}
	}
	note(c)(fmt.Sprintf("nothing is kept, and it is not known what was seen before: %v", err))
	return nil, nil
}

// writeCollateral writes a bundle, or a folder of files.
func writeCollateral(to string, c quote.Collateral) error {
	info, err := os.Stat(to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if strings.HasSuffix(to, string(filepath.Separator)) || err == nil && info.IsDir() {
		return writeFolder(filepath.Clean(to), collateral.Files(c))
	}
	data, err := collateral.MarshalBundle(c)
	if err != nil {
		return err
	}
	return replaceFile(to, data)
}

// replaceFile writes a file whole or not at all.
func replaceFile(to string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(to), ".boardroom-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), to)
}

// shownContents is the result of show.
type shownContents struct{ collateral.Contents }

func (s shownContents) Print(w io.Writer) error {
	var b bytes.Buffer
	printContents(&b, s.Contents)
	fmt.Fprintf(&b, "nothing of this was verified\n")
	_, err := w.Write(b.Bytes())
	return err
}

func collateralShow(c *cli.Context) error {
	if err := cmdline.Args(c, "FILE"); err != nil {
		return err
	}
	path := c.Args().First()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	read := collateral.ReadBundle
	if info.IsDir() {
		read = collateral.ReadDirectory
	}
	found, err := read(path)
	if err != nil {
		return shownFault(err)
	}
	if len(collateral.Files(found)) == 0 {
		return cmdline.Refused(fmt.Errorf("%s: expected files of collateral, such as tcb_info.json, got a folder without any", path))
	}
	contents, err := collateral.Inspect(found)
	if err != nil {
		return cmdline.Refused(fmt.Errorf("%s: %w", path, err))
	}
	return cmdline.Print(c, shownContents{contents})
}

// shownFault gives a fault of reading collateral that is judged its exit code, as fileFault: what can not be collateral is refused.
func shownFault(err error) error {
	var (
		bundle *collateral.BundleError
		size   *collateral.SizeError
	)
	if errors.As(err, &bundle) || errors.As(err, &size) {
		return cmdline.Refused(err)
	}
	return err
}

// printContents prints what collateral says of itself, one line for each part.
func printContents(b *bytes.Buffer, contents collateral.Contents) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "%-12s  %s\n", name, fmt.Sprintf(format, args...))
	}
	document := func(name string, d *collateral.Document, about string) {
		if d == nil {
			line(name, "missing")
			return
		}
		line(name, "%s%s, evaluation number %d, TCB levels %d", d.ID, about, d.Evaluation, d.Levels)
		line("", "issued %s, next update %s", rfc3339(d.IssueDate), rfc3339(d.NextUpdate))
		if d.Signer == nil {
			line("", "signer missing")
			return
		}
		line("", "signer %s, serial %s, until %s", d.Signer.Name, d.Signer.Serial, rfc3339(d.Signer.NotAfter))
	}
	list := func(name string, l *collateral.CRL) {
		if l == nil {
			line(name, "missing")
			return
		}
		line(name, "of %s, number %s, entries %d", l.Issuer, l.Number, l.Entries)
		line("", "issued %s, next update %s", rfc3339(l.ThisUpdate), rfc3339(l.NextUpdate))
	}
	document("tcb_info", contents.TCBInfo, ", FMSPC "+contents.FMSPC)
	document("qe_identity", contents.QEIdentity, "")
	list("pck_crl", contents.PCKCRL)
	list("root_ca_crl", contents.RootCRL)
	if contents.NextUpdate != nil {
		line("valid until", "%s", rfc3339(*contents.NextUpdate))
	}
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }
