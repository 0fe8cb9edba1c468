package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/logdir"
	"github.com/boardroom-tee/boardroom/tools/transparency/loghttp"
	"github.com/boardroom-tee/boardroom/tools/transparency/notekey"
	"github.com/boardroom-tee/boardroom/tools/transparency/tilelog"
)

func logCommand() *cli.Command {
	passwords := "The password comes from --password-file, else from " + keyfile.PasswordVariable + ", else from a terminal."
	passwordFlag := &cli.StringFlag{Name: "password-file", Usage: "read the password from `FILE`"}
	timeout := &cli.DurationFlag{Name: "timeout", Value: time.Minute, Usage: "give up after `DURATION`"}
	public := &cli.StringFlag{Name: "key", Usage: "the log's public key, a verifier key in `FILE`"}
	witnesses := []cli.Flag{
		&cli.StringSliceFlag{Name: "witness", Usage: "ask for a cosignature of the witness whose public key is in `FILE`; may be repeated"},
		&cli.IntFlag{Name: "witness-threshold", Usage: "ask for cosignatures of `N` of the witnesses (default: all)"},
	}
	return &cli.Command{
		Name:  "log",
		Usage: "transparency logs of releases: init, serve, add, verify, monitor, witness",
		Subcommands: []*cli.Command{
			{
				Name:      "init",
				Usage:     "make a log in a folder, with a key that signs its checkpoints",
				ArgsUsage: "DIR",
				Description: "Writes the private key, encrypted, to FILE, the public key beside it, log.pub for log.key, and a log without entries to DIR, which any\n" +
					"static host can serve. What the key signs from then on is remembered in log.signed.json, beside the key: a log that does not continue it\n" +
					"is refused. If it was interrupted, the same command goes on.\n" + passwords,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "origin", Usage: "the log's `NAME`, such as example.com/releases"},
					&cli.StringFlag{Name: "to", Usage: "write the private key to `FILE`"},
					passwordFlag, cmdline.OutputFlag(),
				},
				Action: logInit,
			},
			{
				Name:        "serve",
				Usage:       "serve the log in a folder over HTTP",
				ArgsUsage:   "DIR",
				Description: "Serves the checkpoint, the tiles and the entries, and nothing else, until it is told to stop.",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "listen", Value: "127.0.0.1:8080", Usage: "listen on `ADDRESS`"},
					cmdline.OutputFlag(),
				},
				Action: logServe,
			},
			{
				Name:      "add",
				Usage:     "put a release into the log in a folder, and write the proof",
				ArgsUsage: "DIR RELEASE",
				Description: "RELEASE is the folder of a signed release, or the file of an entry. The proof goes to log/ of the release, or to --to, with a file beside it\n" +
					"that shows how the log continues what it was before. What is in the log already is not added again; its proof is written anew, with the\n" +
					"cosignatures that the log has by then.\n" + passwords,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "key", Usage: "the log's private key in `FILE`"},
					&cli.StringFlag{Name: "to", Usage: "write the proof to `FILE`, a name that ends with .tlog-proof"},
					passwordFlag, timeout, cmdline.OutputFlag(),
				},
				Action: logAdd,
			},
			{
				Name:      "verify",
				Usage:     "check a whole log, and that it continues what was seen",
				ArgsUsage: "DIR|URL",
				Description: "Reads every entry and every tile and computes the tree anew. Exit code 1 says that the log is not what it has to be: forked, truncated,\n" +
					"damaged, or without the entry of --proof. Without --state, nothing is compared with what was seen before.",
				Flags: append([]cli.Flag{
					public,
					&cli.StringFlag{Name: "state", Usage: "compare with what was seen before, and remember what is seen, in `FILE`"},
					&cli.StringFlag{Name: "proof", Usage: "check the proof in `FILE`, too"},
					&cli.StringFlag{Name: "entry", Usage: "the proof is about the release or the entry in `RELEASE` (default: about the entry that it has)"},
					timeout, cmdline.OutputFlag(),
				}, witnesses...),
				Action: logVerify,
			},
			{
				Name:      "monitor",
				Usage:     "say what is new in a log, and what should not be there",
				ArgsUsage: "DIR|URL",
				Description: "One pass: checks that the log continues what was seen, and lists the entries that are new. Exit code 1 says that the log has forked or was\n" +
					"truncated, or that an entry is malformed, or that a release with a name of --name has a signature of a key that is not expected. It says so\n" +
					"in every pass until the key is expected or the entry is acknowledged.",
				Flags: append([]cli.Flag{
					public,
					&cli.StringFlag{Name: "state", Usage: "remember what is seen in `FILE`"},
					&cli.StringSliceFlag{Name: "name", Usage: "watch releases called `NAME`; may be repeated"},
					&cli.StringSliceFlag{Name: "expect-key", Usage: "expect signatures of `KEY`, a public key's file or its fingerprint in hex; may be repeated"},
					&cli.Uint64SliceFlag{Name: "acknowledge", Usage: "do not complain about the entry with `INDEX`; may be repeated"},
					timeout, cmdline.OutputFlag(),
				}, witnesses...),
				Action: logMonitor,
			},
			{
				Name:      "witness",
				Usage:     "cosign a log's checkpoint after checking that it continues what the witness saw",
				ArgsUsage: "DIR|URL",
				Description: "Prints a line to add to the checkpoint (c2sp.org/tlog-cosignature), or adds it with --add. A fork or a smaller log is refused with exit code 1.\n" +
					passwords,
				Flags: []cli.Flag{
					public,
					&cli.StringFlag{Name: "state", Usage: "what the witness saw is in `FILE`"},
					&cli.StringFlag{Name: "witness-key", Usage: "the witness's private key in `FILE`"},
					&cli.BoolFlag{Name: "add", Usage: "add the line to the checkpoint in DIR"},
					passwordFlag, timeout, cmdline.OutputFlag(),
				},
				Action: logWitness,
			},
			{
				Name:        "witness-key",
				Usage:       "make the key of a witness, encrypted with a password",
				ArgsUsage:   "NAME",
				Description: "Writes the private key to FILE and the public key beside it: witness.pub for witness.key.\n" + passwords,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "to", Usage: "write the private key to `FILE`"},
					passwordFlag, cmdline.OutputFlag(),
				},
				Action: logWitnessKey,
			},
		},
	}
}

// logFault tells verdicts about logs, and policies that can not be used, from faults.
func logFault(err error) error {
	var (
		refusal *transparency.Refusal
		policy  *transparency.PolicyError
	)
	switch {
	case errors.As(err, &refusal):
		return cmdline.Refused(err)
	case errors.As(err, &policy):
		return cmdline.Usage(err)
	default:
		return err
	}
}

// logReader reads the log in a folder or under an address.
func logReader(place string) (transparency.Reader, func(), error) {
	if strings.Contains(place, "://") {
		client, err := loghttp.NewClient(place, nil)
		if err != nil {
			return nil, nil, cmdline.Usage(err)
		}
		return client, func() {}, nil
	}
	reader, err := logdir.Open(place)
	if err != nil {
		return nil, nil, err
	}
	return reader, reader.Close, nil
}

// logPolicy is what the flags say about a log and its witnesses.
func logPolicy(c *cli.Context) (transparency.Policy, error) {
	var p transparency.Policy
	if c.String("key") == "" {
		return p, flagError("key", errors.New("expected the file of the log's public key, got none"))
	}
	var err error
	if p.Origin, p.Key, err = readVerifierKey(c.String("key")); err != nil {
		return p, err
	}
	for _, file := range c.StringSlice("witness") {
		name, key, err := readVerifierKey(file)
		if err != nil {
			return p, err
		}
		p.Witnesses = append(p.Witnesses, transparency.Witness{Name: name, Key: key})
	}
	p.WitnessThreshold = len(p.Witnesses)
	if c.IsSet("witness-threshold") {
		p.WitnessThreshold = c.Int("witness-threshold")
	}
	return p, logFault(p.Check())
}

func readVerifierKey(path string) (name, key string, err error) {
	text, err := readKeyFile(path)
	if err != nil {
		return "", "", err
	}
	if name, key, err = notekey.ParsePublic(text); err != nil {
		return "", "", cmdline.Usage(fmt.Errorf("%s: %w", path, err))
	}
	return name, key, nil
}

// noteKeyFiles are the files of a key that signs notes.
type noteKeyFiles struct {
	private, public, signed string
}

func newNoteKeyFiles(path string) (noteKeyFiles, error) {
	stem := strings.TrimSuffix(path, ".key")
	if base := filepath.Base(stem); path == "" || strings.HasSuffix(path, "/") || base == "." || base == "/" || strings.HasSuffix(stem, ".pub") {
		return noteKeyFiles{}, fmt.Errorf("expected the name of a private key such as log.key, got %q", path)
	}
	return noteKeyFiles{path, stem + ".pub", stem + ".signed.json"}, nil
}

// open decrypts the private key.
func (f noteKeyFiles) open(c *cli.Context, kind notekey.Kind) (*transparency.Signer, error) {
	text, err := readKeyFile(f.private)
	if err != nil {
		return nil, err
	}
	password, err := passwords(c, "password-file").Get(f.private, false)
	if err != nil {
		return nil, passwordFault(err)
	}
	defer clear(password)
	signer, err := notekey.Open(kind, text, password)
	if err != nil {
		return nil, cmdline.Refused(fmt.Errorf("%s: %w", f.private, err))
	}
	return signer, nil
}

// make makes a key, or opens the one that is there with the same name, so that one who was interrupted goes on.
func (f noteKeyFiles) make(c *cli.Context, kind notekey.Kind, name string) (*transparency.Signer, error) {
	var signer *transparency.Signer
	if _, err := os.Lstat(f.private); err == nil {
		if signer, err = f.open(c, kind); err != nil {
			return nil, err
		}
		if signer.Name() != name {
			return nil, fmt.Errorf("%s is there already, as the key of %s; a key is never replaced", f.private, signer.Name())
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	} else {
		password, err := passwords(c, "password-file").Get(f.private, true)
		if err != nil {
			return nil, passwordFault(err)
		}
		defer clear(password)
		var sealed []byte
		if signer, sealed, err = notekey.Generate(kind, name, password); err != nil {
			return nil, cmdline.Usage(err)
		}
		if err := writeNew(f.private, sealed, 0o600); err != nil {
			return nil, err
		}
	}
	text, err := readKeyFile(f.public)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return signer, writeNew(f.public, notekey.PublicFile(signer), 0o644)
	case err != nil:
		return nil, err
	case !bytes.Equal(text, notekey.PublicFile(signer)):
		return nil, fmt.Errorf("%s is there already, and is not the public key of %s; a key is never replaced", f.public, f.private)
	}
	return signer, nil
}

// noteKey is a key that was made, and the log that it signs.
type noteKey struct {
	Name    string `json:"name"`
	Key     string `json:"key"`
	Private string `json:"private_file"`
	Public  string `json:"public_file"`
	// Log is the folder of the log, and Signed the file that remembers what the key signed.
	Log    string `json:"log,omitempty"`
	Signed string `json:"signed_file,omitempty"`
}

func (k noteKey) Print(w io.Writer) error {
	var b bytes.Buffer
	for _, line := range []struct{ name, value string }{
		{"name", k.Name}, {"key", k.Key}, {"private", k.Private}, {"public", k.Public}, {"log", k.Log}, {"signed", k.Signed},
	} {
		if line.value != "" {
			fmt.Fprintf(&b, "%-8s %s\n", line.name, line.value)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func logInit(c *cli.Context) error {
	if err := cmdline.Args(c, "DIR"); err != nil {
		return err
	}
	if c.String("origin") == "" {
		return flagError("origin", errors.New("expected the log's name, such as example.com/releases, got none"))
	}
	files, err := newNoteKeyFiles(c.String("to"))
	if err != nil {
		return flagError("to", err)
	}
	dir := c.Args().First()
	if inside(dir, files.private) {
		return flagError("to", fmt.Errorf("expected a place outside of %s, which everybody can read, got %s", dir, files.private))
	}
	signer, err := files.make(c, notekey.Log, c.String("origin"))
	if err != nil {
		return err
	}
	log, err := tilelog.Create(c.Context, dir, signer, files.signed)
	if err != nil {
		return logFault(err)
	}
	log.Close()
	return cmdline.Print(c, noteKey{signer.Name(), signer.Key(), files.private, files.public, dir, files.signed})
}

// inside holds for a path below a folder.
func inside(dir, path string) bool {
	dir, err1 := filepath.Abs(dir)
	path, err2 := filepath.Abs(path)
	below, err3 := filepath.Rel(dir, path)
	return errors.Join(err1, err2, err3) == nil && filepath.IsLocal(below)
}

func logWitnessKey(c *cli.Context) error {
	if err := cmdline.Args(c, "NAME"); err != nil {
		return err
	}
	files, err := newNoteKeyFiles(c.String("to"))
	if err != nil {
		return flagError("to", err)
	}
	signer, err := files.make(c, notekey.Witness, c.Args().First())
	if err != nil {
		return err
	}
	return cmdline.Print(c, noteKey{Name: signer.Name(), Key: signer.Key(), Private: files.private, Public: files.public})
}

// servedLog says where a log is served.
type servedLog struct {
	URL   string `json:"url"`
	Log   string `json:"log"`
	Ready bool   `json:"ready"`
}

func (s servedLog) Print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "serving %s on %s\n", s.Log, s.URL)
	return err
}

func logServe(c *cli.Context) error {
	if err := cmdline.Args(c, "DIR"); err != nil {
		return err
	}
	reader, err := logdir.Open(c.Args().First())
	if err != nil {
		return err
	}
	defer reader.Close()
	if _, err := reader.Checkpoint(c.Context); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(c.Context, "tcp", c.String("listen"))
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := cmdline.Print(c, servedLog{"http://" + listener.Addr().String(), c.Args().First(), true}); err != nil {
		return err
	}
	return loghttp.Serve(c.Context, listener, loghttp.Handler(reader, slog.New(slog.NewTextHandler(c.App.ErrWriter, nil))))
}

// logged is the result of add.
type logged struct {
	Origin string `json:"origin"`
	Index  uint64 `json:"index"`
	Size   uint64 `json:"size"`
	// Added is false for an entry that was in the log already.
	Added bool   `json:"added"`
	Proof string `json:"proof_file"`
}

func (l logged) Print(w io.Writer) error {
	verb := "added to"
	if !l.Added {
		verb = "already in"
	}
	_, err := fmt.Fprintf(w, "%s %s as entry %d of %d\nproof %s\n", verb, l.Origin, l.Index, l.Size, l.Proof)
	return err
}

func logAdd(c *cli.Context) error {
	if err := cmdline.Args(c, "DIR", "RELEASE"); err != nil {
		return err
	}
	files, err := newNoteKeyFiles(c.String("key"))
	if err != nil {
		return flagError("key", err)
	}
	entry, isRelease, err := readEntry(c.Args().Get(1))
	if err != nil {
		return err
	}
	to := c.String("to")
	if to == "" && !isRelease {
		return flagError("to", errors.New("expected a file for the proof of an entry, got none"))
	}
	if to != "" && !strings.HasSuffix(to, release.ProofSuffix) {
		return flagError("to", fmt.Errorf("expected a name that ends with .tlog-proof, got %q", to))
	}
	signer, err := files.open(c, notekey.Log)
	if err != nil {
		return err
	}
	if to == "" {
		folder := filepath.Join(c.Args().Get(1), release.LogFolder)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		to = filepath.Join(folder, transparency.ProofFile(signer.Name()))
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	log, err := tilelog.Open(ctx, c.Args().First(), signer, files.signed)
	if err != nil {
		return logFault(err)
	}
	defer log.Close()
	proof, added, err := log.Vouch(ctx, entry, to)
	if err != nil {
		return logFault(err)
	}
	return cmdline.Print(c, logged{proof.Origin, proof.Index, log.Tree().Head().Size, added, to})
}

// readEntry reads the file of an entry, or makes that of a release. Signatures are those of all bundles of the release's statement; they
// are not verified, because who may sign is for those who read the log.
func readEntry(path string) (entry []byte, isRelease bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	if !info.IsDir() {
		file, err := os.Open(path)
		if err != nil {
			return nil, false, err
		}
		defer file.Close()
		data, err := io.ReadAll(io.LimitReader(file, transparency.MaxEntry+1))
		if err != nil {
			return nil, false, err
		}
		if _, err := transparency.ParseEntry(data); err != nil {
			return nil, false, cmdline.Refused(fmt.Errorf("%s: %w", path, err))
		}
		return data, false, nil
	}
	d, err := release.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	statement, err := d.Release.Statement()
	if err != nil {
		return nil, false, err
	}
	payload, err := statement.Encode()
	if err != nil {
		return nil, false, err
	}
	var bundles []provenance.Bundle
	for _, name := range slices.Sorted(maps.Keys(d.Bundles)) {
		b, err := provenance.ParseBundle(d.Bundles[name])
		if err != nil {
			return nil, false, cmdline.Refused(fmt.Errorf("%s: %w", name, err))
		}
		if b.Envelope != nil && bytes.Equal(b.Envelope.Payload, payload) {
			bundles = append(bundles, b)
		}
	}
	made, err := transparency.NewEntry(d.Release.Name, d.Release.Version, d.Digest, bundles...)
	if err != nil {
		return nil, false, logFault(err)
	}
	return made.Encode(), true, nil
}
