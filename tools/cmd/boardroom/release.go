package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/provenance/signer"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/transparency/notekey"
	"github.com/boardroom-tee/boardroom/tools/transparency/tilelog"
)

func releaseCommand() *cli.Command {
	return &cli.Command{
		Name:  "release",
		Usage: "releases that carry their own proof: create, sign, verify, publish",
		Subcommands: []*cli.Command{
			{
				Name:  "create",
				Usage: "make a release of a clean Git checkout",
				Description: "Compiles the agents of the revision that is checked out, assembles their images, renders their app-composes, takes guest images that\n" +
					"were built from the same revision, and says what all of it is made from. The same revision and flags give the same bytes everywhere,\n" +
					"and a release that is there already is left as it is. Exit code 1 says that the checkout is not clean, or that something in it differs\n" +
					"from its pin.",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "to", Usage: "write the release to the folder `DIR`"},
					&cli.StringFlag{Name: "name", Value: "boardroom", Usage: "the `NAME` of the release"},
					&cli.StringFlag{Name: "version", Usage: "the `VERSION` of the release, as in 1.2.3"},
					&cli.StringFlag{Name: "repository", Usage: "where the images are published, a `PREFIX` such as registry.example/board"},
					&cli.StringFlag{Name: "source-repository", Usage: "where the source is published, a `URI` (default: what the definitions of the images say)"},
					&cli.StringFlag{Name: "builder", Value: release.BuilderID, Usage: "who is to be trusted with the build, a `URI` for the provenance"},
					&cli.StringSliceFlag{Name: "guest", Usage: "take the guest image in `DIR`; may be repeated"},
					&cli.StringFlag{Name: "archives", Usage: "write the archives of guest images to the folder `DIR` (default: they are only hashed)"},
					sourceFlag(), cacheFlag(), cmdline.OutputFlag(),
				},
				Action: releaseCreate,
			},
			{
				Name:      "sign",
				Usage:     "sign a release",
				ArgsUsage: "DIR",
				Description: "Adds signatures as Sigstore bundles to DIR: of a builder about every statement, of everybody else about the release; and for a key the\n" +
					"in-toto link of the step. What the signer has signed already is left as it is. The signer is a key, a file or NAME://KEY of a key\n" +
					"management service, or whoever an identity token names to a certificate authority. The password of a key comes from --password-file,\n" +
					"else from " + keyfile.PasswordVariable + ", else from a terminal; the token from --identity-token-file, else from " + signer.TokenVariable + ".",
				Flags: append(signerFlags(),
					&cli.StringFlag{Name: "step", Usage: "what the signer did: `STEP` build, rebuild or none (default: none without a key)"},
					&cli.BoolFlag{Name: "force", Usage: "sign again what the signer has signed already"},
					&cli.StringFlag{Name: "log", Usage: "add the release to the log in the folder `DIR`, with all signatures, and its proof to the release"},
					&cli.StringFlag{Name: "log-key", Usage: "the private key of the log, a `FILE`"},
					&cli.StringFlag{Name: "log-password-file", Usage: "read the password of the log's key from `FILE` (default: as for the other key)"},
					&cli.DurationFlag{Name: "timeout", Value: 5 * time.Minute, Usage: "give up on log and services after `DURATION`"},
					cmdline.OutputFlag(),
				),
				Action: releaseSign,
			},
			{
				Name:      "show",
				Usage:     "print what is in a release, and who seems to have signed it",
				ArgsUsage: "DIR",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "corim", Usage: "write the reference values as unsigned IETF CoRIMs to the folder `NEWDIR`, which is made, one for each guest and machine"},
					cmdline.OutputFlag(),
				},
				Action: releaseShow,
			},
			releaseVerifyCommand(),
			releasePolicyCommand(),
			releasePublishCommand(),
			releaseFetchCommand(),
			releaseArchiveCommand(),
		},
	}
}

// signerFlags say who signs.
func signerFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "key", Usage: "sign with the private `KEY`, a file or NAME://KEY of a key management service"},
		&cli.StringFlag{Name: "password-file", Usage: "read the password of the key from `FILE`"},
		&cli.StringFlag{Name: "fulcio", Usage: "without --key: ask the certificate authority at `URL`"},
		&cli.StringFlag{Name: "identity-token-file", Usage: "read the identity token from `FILE`"},
		&cli.StringFlag{Name: "timestamp", Usage: "let the timestamp authority at `URL` say when the signatures were made"},
		&cli.StringFlag{Name: "rekor", Usage: "put the signatures into the transparency log of Rekor v2 at `URL`"},
	}
}

// openSigner opens the signer that signerFlags name.
func openSigner(ctx context.Context, c *cli.Context) (*signer.Signer, error) {
	if (c.String("key") == "") == (c.String("fulcio") == "") {
		return nil, flagError("key", errors.New("expected either a key or, with --fulcio, a certificate authority, got both or none"))
	}
	s, err := signer.Open(ctx, signer.Reference{
		Key: c.String("key"), Password: func(name string) ([]byte, error) {
			password, err := passwords(c, "password-file").Get(name, false)
			if err != nil {
				return nil, passwordFault(err)
			}
			return password, nil
		},
		Fulcio: c.String("fulcio"), IdentityTokenFile: c.String("identity-token-file"), LookupEnv: os.LookupEnv,
		Timestamp: c.String("timestamp"), Rekor: c.String("rekor"),
	})
	var (
		reference *signer.ReferenceError
		key       *signer.KeyError
	)
	switch {
	case errors.As(err, &reference):
		return nil, cmdline.Usage(err)
	case errors.As(err, &key):
		return nil, cmdline.Refused(err)
	default:
		return s, err
	}
}

// releaseFault gives an error of package release the exit code that its kind has.
func releaseFault(err error) error {
	var (
		field       *release.FieldError
		unaccounted *release.UnaccountedError
		changed     *release.ChangedError
		source      *release.SourceError
		option      *release.OptionsError
		place       *release.PlaceError
		machines    *release.MachinesError
		program     *release.ProgramError
	)
	switch {
	case errors.As(err, &field), errors.As(err, &unaccounted), errors.As(err, &changed), errors.As(err, &source), errors.As(err, &program):
		return cmdline.Refused(err)
	case errors.As(err, &option), errors.As(err, &place), errors.As(err, &machines):
		return cmdline.Usage(err)
	default:
		return composeVerdict(guestVerdict(logFault(err)))
	}
}

func releaseCreate(c *cli.Context) error {
	if err := cmdline.Args(c); err != nil {
		return err
	}
	for _, required := range []struct{ flag, what string }{{"to", "a folder for the release"}, {"version", "the version of the release"}, {"repository", "where the images are published"}} {
		if c.String(required.flag) == "" {
			return flagError(required.flag, fmt.Errorf("expected %s, got none", required.what))
		}
	}
	root, err := sourceTree(c)
	if err != nil {
		return err
	}
	cache, err := cacheDir(c)
	if err != nil {
		return err
	}
	start := time.Now()
	d, err := release.Create(c.Context, release.CreateOptions{
		Source: root, Name: c.String("name"), Version: c.String("version"), SourceRepository: c.String("source-repository"),
		Repository: c.String("repository"), Builder: c.String("builder"), Guests: c.StringSlice("guest"), Archives: c.String("archives"),
		Cache: cache, Progress: c.App.ErrWriter,
	}, c.String("to"))
	if err != nil {
		return releaseFault(err)
	}
	fmt.Fprintf(c.App.ErrWriter, "created in %.1f s\n", time.Since(start).Seconds())
	return printRelease(c, d)
}

func printRelease(c *cli.Context, d *release.Directory) error {
	description, err := release.Describe(d)
	if err := errors.Join(err, d.Close()); err != nil {
		return releaseFault(err)
	}
	return cmdline.Print(c, description)
}

// signedRelease is what "release sign" prints.
type signedRelease struct{ *release.Signed }

func (s signedRelease) Print(w io.Writer) error {
	var b bytes.Buffer
	for _, file := range s.Written {
		fmt.Fprintf(&b, "written  %s\n", file)
	}
	for _, file := range s.Kept {
		fmt.Fprintf(&b, "kept     %s\n", file)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func releaseSign(c *cli.Context) error {
	if err := cmdline.Args(c, "DIR"); err != nil {
		return err
	}
	step := c.String("step")
	if step == "" && c.String("key") == "" {
		step = release.NoStep
	}
	if step != release.BuildStep && step != release.RebuildStep && step != release.NoStep {
		return flagError("step", fmt.Errorf("expected build, rebuild or none, got %q", step))
	}
	if (c.String("log") == "") != (c.String("log-key") == "") {
		return flagError("log", errors.New("expected it together with --log-key, got one of them"))
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	o := release.SignOptions{Step: step, Renew: c.Bool("force")}
	s, err := openSigner(ctx, c)
	if err != nil {
		return err
	}
	o.Signer = s
	if c.String("log") != "" {
		log, err := openOwnLog(ctx, c)
		if err != nil {
			return err
		}
		defer log.Close()
		o.Log = log
	}
	done, err := release.Sign(ctx, c.Args().First(), o)
	if err != nil {
		return releaseFault(err)
	}
	return cmdline.Print(c, signedRelease{done})
}

// openOwnLog opens the log that --log and --log-key name for writing.
func openOwnLog(ctx context.Context, c *cli.Context) (*tilelog.Log, error) {
	files, err := newNoteKeyFiles(c.String("log-key"))
	if err != nil {
		return nil, flagError("log-key", err)
	}
	text, err := readKeyFile(files.private)
	if err != nil {
		return nil, err
	}
	from := "password-file"
	if c.IsSet("log-password-file") {
		from = "log-password-file"
	}
	password, err := passwords(c, from).Get(files.private, false)
	if err != nil {
		return nil, passwordFault(err)
	}
	defer clear(password)
	key, err := notekey.Open(notekey.Log, text, password)
	if err != nil {
		return nil, cmdline.Refused(fmt.Errorf("%s: %w", files.private, err))
	}
	log, err := tilelog.Open(ctx, c.String("log"), key, files.signed)
	return log, logFault(err)
}

func releaseShow(c *cli.Context) error {
	if err := cmdline.Args(c, "DIR"); err != nil {
		return err
	}
	d, err := release.Open(c.Args().First())
	if err != nil {
		return releaseFault(err)
	}
	if to := c.String("corim"); c.IsSet("corim") {
		if err := writeCoRIMs(d, to); err != nil {
			return errors.Join(releaseFault(err), d.Close())
		}
	}
	return printRelease(c, d)
}

// writeCoRIMs writes the values of production guests.
func writeCoRIMs(d *release.Directory, to string) error {
	if _, err := os.Lstat(to); to == "" || err == nil {
		return flagError("corim", fmt.Errorf("expected a folder that does not exist, got %q", to))
	}
	values, err := d.ReferenceValues()
	if err != nil {
		return err
	}
	if values == nil {
		return cmdline.Refused(errors.New("expected a release with guest images, got one without, which has no reference values"))
	}
	files := make(map[string][]byte)
	for _, g := range values.Guests {
		for _, v := range g.Values {
			if g.Development {
				continue
			}
			if files[g.Name+"."+v.Machine+".corim"], err = v.CoRIM(); err != nil {
				return err
			}
		}
	}
	return writeFolder(filepath.Clean(to), files)
}
