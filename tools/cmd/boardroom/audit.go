package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/audit"
	"github.com/boardroom-tee/boardroom/tools/audit/checkout"
	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/archive"
)

func auditCommand() *cli.Command {
	return &cli.Command{
		Name:      "audit",
		Usage:     "build a release again from its source and compare",
		ArgsUsage: "RELEASE",
		Description: "Makes a clean checkout of the revision that the release in the folder RELEASE names, builds everything with nothing built before, by\n" +
			"plain Go and by Nix, measures the guest images, and compares item by item. Where something differs, it says what. Exit code 0: all of it\n" +
			"was reproduced; 1: something differs; 3: something could not be looked into. Who signed the release is for \"release verify\".\n" +
			"With --sign, a release that was reproduced gets the signature of a rebuilder; see \"release sign\" for keys and passwords.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "source", Usage: "a Git repository that has the revision, a `DIR` (default: the one that holds the working directory)"},
			&cli.StringFlag{Name: "inputs", Usage: "build from the archive `FILE` of \"release archive\", without a network"},
			&cli.StringFlag{Name: "inputs-key", Usage: "refuse an archive without a signature of the public key in `FILE`"},
			&cli.StringFlag{Name: "path", Value: "go,nix", Usage: "how to build: `PATHS` is go, nix or go,nix; with go alone, Nix is not missed"},
			&cli.StringFlag{Name: "to", Usage: "write the report as a page for people, an HTML `FILE`"},
			&cli.StringFlag{Name: "auditor", Usage: "who makes the audit, a `NAME` for the report"},
			&cli.StringFlag{Name: "work", Usage: "work in the new folder `DIR` and leave there what was built (default: one that is removed)"},
			&cli.BoolFlag{Name: "sign", Usage: "sign what was reproduced, as a rebuilder"},
			&cli.StringFlag{Name: "to-vouchers", Usage: "with --sign: write the signatures to the folder `DIR` (default: to the release)"},
			mirrorFlag(), cacheFlag(), cmdline.OutputFlag(),
		}, signerFlags()...),
		Action: auditRelease,
	}
}

// auditFault gives an error of an audit or an archive the exit code that its kind has.
func auditFault(err error) error {
	var (
		refused   *archive.RefusedError
		mismatch  *checkout.MismatchError
		submodule *checkout.SubmoduleError
	)
	switch {
	case errors.As(err, &refused), errors.As(err, &mismatch), errors.As(err, &submodule):
		return cmdline.Refused(err)
	default:
		return releaseFault(err)
	}
}

// auditPaths reads --path.
func auditPaths(text string) ([]audit.Path, error) {
	switch text {
	case "go":
		return []audit.Path{audit.Go}, nil
	case "nix":
		return []audit.Path{audit.Nix}, nil
	case "go,nix", "nix,go":
		return []audit.Path{audit.Go, audit.Nix}, nil
	}
	return nil, flagError("path", fmt.Errorf("expected go, nix or go,nix, got %q", text))
}

func auditRelease(c *cli.Context) (err error) {
	if err := cmdline.Args(c, "RELEASE"); err != nil {
		return err
	}
	o := audit.Options{Release: c.Args().First(), Auditor: c.String("auditor"), Program: version, Mirror: c.String("mirror"), Vouchers: c.String("to-vouchers"), Progress: c.App.ErrWriter}
	if o.Paths, err = auditPaths(c.String("path")); err != nil {
		return err
	}
	if strings.ContainsFunc(o.Auditor, unicode.IsControl) {
		return flagError("auditor", fmt.Errorf("expected a name in one line, got %q", o.Auditor))
	}
	if o.Cache, err = cacheDir(c); err != nil {
		return err
	}
	inputs, err := auditInputs(c)
	if err != nil {
		return err
	}
	if inputs != nil {
		defer func() { err = errors.Join(err, inputs.Close()) }()
		o.Inputs = inputs
	} else if o.Source, err = sourceTree(c); err != nil {
		return fmt.Errorf("%w, or an archive of inputs with --inputs", err)
	}
	// What was signed by nobody is found out before minutes of building.
	if !c.Bool("sign") && (c.IsSet("key") || c.IsSet("fulcio") || c.IsSet("to-vouchers")) {
		return flagError("sign", errors.New("expected it with a signer, got a signer without it"))
	}
	if c.Bool("sign") {
		if o.Signer, err = auditSigner(c); err != nil {
			return err
		}
	}
	var page *os.File
	if to := c.String("to"); to != "" {
		if page, err = os.CreateTemp(filepath.Dir(to), "."+filepath.Base(to)+"-"); err != nil {
			return err
		}
		defer func() {
			if page != nil {
				err = errors.Join(err, page.Close(), os.Remove(page.Name()))
			}
		}()
	}
	if work := c.String("work"); work != "" {
		if err := os.Mkdir(work, 0o755); err != nil {
			return err
		}
		o.Work = work
	}
	report, err := audit.Run(c.Context, o)
	if err != nil {
		return auditFault(err)
	}
	if page != nil {
		if err := errors.Join(report.HTML(page), page.Chmod(0o644), page.Close()); err != nil {
			return err
		}
		if err := os.Rename(page.Name(), c.String("to")); err != nil {
			return err
		}
		page = nil
	}
	if err := cmdline.Print(c, report); err != nil {
		return err
	}
	switch report.Verdict {
	case audit.Reproduced:
		return nil
	case audit.Differs:
		return cmdline.Refused(fmt.Errorf("%s: %s", c.Args().First(), report.Sentence()))
	default:
		return fmt.Errorf("%s: %s", c.Args().First(), report.Sentence())
	}
}

// auditInputs opens the archive of --inputs; without one it is nil.
func auditInputs(c *cli.Context) (_ *archive.Archive, err error) {
	file := c.String("inputs")
	if file == "" {
		if c.IsSet("inputs-key") {
			return nil, flagError("inputs-key", errors.New("expected it together with --inputs, got it alone"))
		}
		return nil, nil //nolint:nilnil // no archive was asked for
	}
	if c.IsSet("source") {
		return nil, flagError("source", errors.New("expected either a repository or an archive, got both"))
	}
	inputs, err := archive.Open(file)
	if err != nil {
		return nil, auditFault(err)
	}
	if c.IsSet("inputs-key") {
		if err := verifyArchive(inputs, c.String("inputs-key")); err != nil {
			return nil, errors.Join(err, inputs.Close())
		}
	}
	return inputs, nil
}

func verifyArchive(inputs *archive.Archive, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	const most = 64 << 10
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return err
	}
	key, err := provenance.ParseKey(text)
	if err != nil {
		return cmdline.Usage(fmt.Errorf("%s: %w", file, err))
	}
	return auditFault(inputs.VerifyKey(key))
}

// auditSigner opens a key at once, so that nobody waits for a prompt at the end. A certificate would have expired by then.
func auditSigner(c *cli.Context) (func(context.Context) (release.StatementSigner, error), error) {
	if c.String("key") == "" && c.String("fulcio") != "" {
		return func(ctx context.Context) (release.StatementSigner, error) { return openSigner(ctx, c) }, nil
	}
	s, err := openSigner(c.Context, c)
	if err != nil {
		return nil, err
	}
	return func(context.Context) (release.StatementSigner, error) { return s, nil }, nil
}
