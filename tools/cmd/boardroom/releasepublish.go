package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/registry"
)

func releasePublishCommand() *cli.Command {
	return &cli.Command{
		Name:      "publish",
		Usage:     "push a release with its images and signatures to a registry",
		ArgsUsage: "DIR PREFIX",
		Description: "Pushes the images of the release in DIR to their repositories, which are below PREFIX, and the release to PREFIX/NAME-release, tagged with its\n" +
			"version. Signatures, links and proofs refer to the release, and signatures about an image to the image, where cosign finds them. What the\n" +
			"registry has is not sent again: a push that broke off is finished by the same command, and more signatures are added by it. Exit code 1\n" +
			"says that a tag or a signature is taken by another, or that a file is not what the release says. Logins are those of the Docker configuration.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "move-tag", Usage: "let tags that name other content be moved"},
			&cli.BoolFlag{Name: "replace", Usage: "let a signature, link or proof take the place of another one with its name"},
			&cli.BoolFlag{Name: "mirror", Usage: "publish the images below PREFIX wherever the release says that they are"},
			&cli.StringFlag{Name: "archives", Usage: "publish the archives of the guest images, too, from the folder `DIR`"},
			plainHTTPFlag(), cmdline.OutputFlag(),
		},
		Action: releasePublish,
	}
}

func releaseFetchCommand() *cli.Command {
	return &cli.Command{
		Name:      "fetch",
		Usage:     "get a release with its signatures from a registry",
		ArgsUsage: "REFERENCE",
		Description: "Gets the release that REFERENCE names, as in registry.example/board/boardroom-release:1.2.3 or …@sha256:…, and writes it to a folder. A folder\n" +
			"with the same release gets the signatures that are new. With --policy the release is judged as by \"release verify\" and not kept if it is\n" +
			"refused, with exit code 1; without, nothing is verified but that it is what the reference names.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "write the release to the folder `DIR`"},
			&cli.StringFlag{Name: "archives", Usage: "write the archives of the guest images to the folder `DIR`"},
			&cli.StringFlag{Name: "policy", Usage: "judge by the policy in `FILE`"},
			&cli.StringFlag{Name: "at", Usage: "judge for the time `TIME`, as in 2026-04-24T02:37:51Z (default: now)"},
			&cli.StringFlag{Name: "memory", Usage: "remember in `DIR` what was accepted (default: boardroom/release in the user's state folder; none with --at)"},
			&cli.BoolFlag{Name: "no-memory", Usage: "remember nothing, and accept a release that is older than one that was accepted"},
			plainHTTPFlag(), cmdline.OutputFlag(),
		},
		Action: releaseFetch,
	}
}

func plainHTTPFlag() cli.Flag {
	return &cli.BoolFlag{Name: "plain-http", Usage: "talk to a registry that is not on this machine without TLS"}
}

// registryFault gives an error of package registry the exit code that its kind has.
func registryFault(err error) error {
	var (
		content    *registry.ContentError
		taken      *registry.TakenError
		repository *registry.RepositoryError
		reference  *registry.ReferenceError
		plain      *registry.PlainHTTPError
	)
	switch {
	case errors.As(err, &content):
		return cmdline.Refused(err)
	case errors.As(err, &taken):
		return cmdline.Refused(fmt.Errorf("%w; --move-tag moves tags, --replace replaces signatures", err))
	case errors.As(err, &repository):
		return cmdline.Refused(fmt.Errorf("%w, with --mirror", err))
	case errors.As(err, &reference):
		return cmdline.Usage(err)
	case errors.As(err, &plain):
		return fmt.Errorf("%w, with --plain-http", err)
	default:
		return releaseFault(err)
	}
}

func registryOptions(c *cli.Context) registry.Options {
	return registry.Options{PlainHTTP: c.Bool("plain-http"), Progress: c.App.ErrWriter}
}

func releasePublish(c *cli.Context) (err error) {
	if err := cmdline.Args(c, "DIR", "PREFIX"); err != nil {
		return err
	}
	d, err := release.Open(c.Args().First())
	if err != nil {
		return releaseFault(err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	published, err := registry.Publish(c.Context, d, c.Args().Get(1), registry.PublishOptions{
		Options: registryOptions(c), MoveTag: c.Bool("move-tag"), Replace: c.Bool("replace"), Mirror: c.Bool("mirror"), Archives: c.String("archives"),
	})
	if err != nil {
		return registryFault(err)
	}
	return cmdline.Print(c, published)
}

// fetchedRelease is what "release fetch" prints.
type fetchedRelease struct {
	*registry.Fetched
	// Verification is the verdict, and null where none was asked for.
	Verification *release.Report `json:"verification"`
}

func (f fetchedRelease) Print(w io.Writer) error {
	if f.Verification != nil {
		if err := (verifiedRelease{f.Verification}).Print(w); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	return f.Fetched.Print(w)
}

func releaseFetch(c *cli.Context) error {
	if err := cmdline.Args(c, "REFERENCE"); err != nil {
		return err
	}
	if c.String("to") == "" {
		return flagError("to", errors.New("expected a folder for the release, got none"))
	}
	var report *release.Report
	o := registry.FetchOptions{Options: registryOptions(c), Archives: c.String("archives")}
	if c.IsSet("policy") {
		judge, err := releaseJudge(c)
		if err != nil {
			return err
		}
		o.Check = func(d *release.Directory) (err error) {
			if report, err = judge(d); err == nil && !report.Accepted {
				err = fmt.Errorf("%s: the release is refused, and not kept: %s: %w", c.Args().First(), report.Refusal.Code, report.Refusal)
			}
			return err
		}
	} else if c.IsSet("at") || c.IsSet("memory") || c.IsSet("no-memory") {
		return flagError("policy", errors.New("expected a policy to judge by, got none and a flag that says how to judge"))
	}
	fetched, err := registry.Fetch(c.Context, c.Args().First(), c.String("to"), o)
	if report != nil && !report.Accepted {
		return errors.Join(cmdline.Print(c, verifiedRelease{report}), cmdline.Refused(err))
	}
	if err != nil {
		return registryFault(err)
	}
	if report == nil {
		fmt.Fprintf(c.App.ErrWriter, "nothing was verified yet; to do so: boardroom release verify --policy FILE %s\n", c.String("to"))
	}
	return cmdline.Print(c, fetchedRelease{fetched, report})
}

// releaseJudge says how a release is judged before it is kept.
func releaseJudge(c *cli.Context) (func(*release.Directory) (*release.Report, error), error) {
	policy, err := releasePolicy(c)
	if err != nil {
		return nil, err
	}
	o := release.VerifyOptions{At: time.Now()}
	if c.IsSet("at") {
		if o.At, err = time.Parse(time.RFC3339, c.String("at")); err != nil {
			return nil, flagError("at", fmt.Errorf("expected a time as in 2026-04-24T02:37:51Z, got %q", c.String("at")))
		}
	}
	if o.Memory, err = releaseMemory(c); err != nil {
		return nil, err
	}
	return func(d *release.Directory) (*release.Report, error) { return release.Verify(c.Context, d, policy, o) }, nil
}
