package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/archive"
)

func releaseArchiveCommand() *cli.Command {
	return &cli.Command{
		Name:      "archive",
		Usage:     "put everything that a release is built from into one file",
		ArgsUsage: "RELEASE",
		Description: "Collects the source of the release in the folder RELEASE, the toolchain, Go modules and Debian packages, each checked against what the\n" +
			"source pins, and writes them with an index of their digests to one file, from which \"audit --inputs\" builds without a network. With a\n" +
			"signer, the index is signed. The same release gives the same file everywhere, but for the signature.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "write the archive to `FILE`"},
			&cli.StringFlag{Name: "source", Usage: "a Git repository that has the revision, a `DIR` (default: the one that holds the working directory)"},
			mirrorFlag(), cacheFlag(), cmdline.OutputFlag(),
		}, signerFlags()...),
		Action: releaseArchive,
	}
}

// archived is what "release archive" prints.
type archived struct {
	Archive  string            `json:"archive"`
	Index    provenance.Digest `json:"index"`
	Files    int               `json:"files"`
	Bytes    int64             `json:"bytes"`
	SignedBy string            `json:"signed_by,omitempty"`
}

func (a archived) Print(w io.Writer) error {
	signed := "not signed"
	if a.SignedBy != "" {
		signed = "signed by key " + a.SignedBy
	}
	_, err := fmt.Fprintf(w, "%s: %d files, %.1f MiB, %s\nindex %s\n", a.Archive, a.Files, float64(a.Bytes)/(1<<20), signed, a.Index)
	return err
}

func releaseArchive(c *cli.Context) (err error) {
	if err := cmdline.Args(c, "RELEASE"); err != nil {
		return err
	}
	to := c.String("to")
	if to == "" {
		return flagError("to", errors.New("expected a file for the archive, got none"))
	}
	d, err := release.Open(c.Args().First())
	if err != nil {
		return releaseFault(err)
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	o := archive.CollectOptions{Proxies: os.Getenv("GOPROXY"), Mirror: c.String("mirror"), Progress: c.App.ErrWriter}
	if o.Source, err = sourceTree(c); err != nil {
		return err
	}
	if o.Cache, err = cacheDir(c); err != nil {
		return err
	}
	var signers []archive.Signer
	printed := archived{Archive: to}
	if c.IsSet("key") || c.IsSet("fulcio") {
		s, err := openSigner(c.Context, c)
		if err != nil {
			return err
		}
		signers, printed.SignedBy = append(signers, s), s.Key().Fingerprint().String()
	}
	work, err := os.MkdirTemp("", "boardroom-archive-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	in, err := archive.Collect(c.Context, d, o, work)
	if err != nil {
		return auditFault(err)
	}
	index, err := archive.Write(c.Context, *in, signers, to)
	if err != nil {
		return auditFault(err)
	}
	text, err := index.Encode()
	if err != nil {
		return err
	}
	info, err := os.Stat(to)
	if err != nil {
		return err
	}
	printed.Index, printed.Files, printed.Bytes = provenance.DigestOf(text), len(index.Files), info.Size()
	return cmdline.Print(c, printed)
}
