package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/mirror"
)

func debCommand() *cli.Command {
	const places = "Packages come from the snapshot archive, or from the mirror that DEBIAN_MIRROR names: the URL of the folder that holds debian/ and\n" +
		"debian-security/. Whatever it sends is checked."
	return &cli.Command{
		Name:  "deb",
		Usage: "sets of Debian packages: lock, fetch, unpack",
		Subcommands: []*cli.Command{
			{
				Name:      "lock",
				Usage:     "resolve a set of packages and write its lock",
				ArgsUsage: "SET",
				Description: places + "\nThe suites' signatures are checked with the archive's keyring, and a suite that is no longer valid is refused.\n" +
					"The lock names each package by version, size and SHA-256, and no mirror.",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "to", Usage: "write the lock to `FILE` (default: SET with .lock before its ending)"},
					&cli.StringFlag{Name: "keyring", Value: "/usr/share/keyrings/debian-archive-keyring.gpg", Usage: "the archive's OpenPGP keys, a binary `FILE`"},
					&cli.TimestampFlag{Name: "at", Layout: time.RFC3339, Usage: "lock the state that the snapshot archive has of a `TIME` such as 2026-11-01T00:00:00Z"},
					&cli.BoolFlag{Name: "accept-expired", Usage: "accept a suite whose Valid-Until has passed; the lock says so"},
					mirrorFlag(), cacheFlag(), cmdline.OutputFlag(),
				},
				Action: debLock,
			},
			{
				Name:        "fetch",
				Usage:       "download the packages of a lock into the cache",
				ArgsUsage:   "LOCK",
				Description: places + "\nWhat is in the cache is not downloaded again, and what broke off is resumed.",
				Flags:       []cli.Flag{mirrorFlag(), cacheFlag(), cmdline.OutputFlag()},
				Action:      debFetch,
			},
			{
				Name:      "unpack",
				Usage:     "write the files of a lock's packages to a folder",
				ArgsUsage: "LOCK",
				Description: "Downloads what is not in the cache. No maintainer script runs. Files belong to the caller, without setuid and setgid bits;\n" +
					"the digest is over owners and modes as the packages have them.\n" + places,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "to", Usage: "a `DIR` that does not exist or is empty"},
					&cli.StringFlag{Name: "set", Usage: "refuse a lock that was not written from this state of a set, a `FILE`"},
					mirrorFlag(), cacheFlag(), cmdline.OutputFlag(),
				},
				Action: debUnpack,
			},
		},
	}
}

func mirrorFlag() cli.Flag {
	return &cli.StringFlag{Name: "mirror", EnvVars: []string{"DEBIAN_MIRROR"}, Usage: "take packages from the `URL` of a mirror (default: the snapshot archive)"}
}

func debClient(c *cli.Context) (*mirror.Client, error) {
	cache, err := cacheDir(c)
	if err != nil {
		return nil, err
	}
	return &mirror.Client{Mirror: c.String("mirror"), Cache: filepath.Join(cache, "deb"), Progress: c.App.ErrWriter}, nil
}

// debVerdict gives an error of packages deb and mirror the exit code that its kind has.
func debVerdict(err error) error {
	var (
		refused   *deb.RefusedError
		malformed *deb.DocumentError
		place     *mirror.MirrorError
	)
	switch {
	case errors.As(err, &refused):
		return cmdline.Refused(err)
	case errors.As(err, &malformed), errors.As(err, &place):
		return cmdline.Usage(err)
	default:
		return err
	}
}

func debLock(c *cli.Context) error {
	if err := cmdline.Args(c, "SET"); err != nil {
		return err
	}
	name := c.Args().First()
	set, err := deb.ReadSet(name)
	if err != nil {
		return debVerdict(err)
	}
	now := time.Now()
	if at := c.Timestamp("at"); at != nil {
		if c.String("mirror") != "" {
			return cmdline.Usage(errors.New("--at is for the snapshot archive, and DEBIAN_MIRROR or --mirror names another place"))
		}
		now = *at
	}
	keyring, err := os.ReadFile(c.String("keyring"))
	if err != nil {
		return fmt.Errorf("the archive's keys: %w; Debian has them in its package debian-archive-keyring", err)
	}
	keys, err := deb.ReadKeyring(keyring)
	if err != nil {
		return cmdline.Usage(fmt.Errorf("%s: %w", c.String("keyring"), err))
	}
	client, err := debClient(c)
	if err != nil {
		return err
	}
	lock, err := client.Lock(c.Context, set, mirror.LockOptions{Keyring: keys, Now: now, AcceptExpired: c.Bool("accept-expired")})
	if err != nil {
		return debVerdict(err)
	}
	document, err := lock.Bytes()
	if err != nil {
		return err
	}
	to := c.String("to")
	if to == "" {
		ending := filepath.Ext(name)
		to = name[:len(name)-len(ending)] + ".lock" + ending
	}
	if err := replaceFile(to, document); err != nil {
		return err
	}
	return cmdline.Print(c, lockedSet{Lock: to, Packages: len(lock.Packages), Bytes: lock.Size(), Suites: lock.Suites, Unmet: len(lock.Unmet)})
}

// lockedSet is what "deb lock" prints.
type lockedSet struct {
	Lock     string            `json:"lock"`
	Packages int               `json:"packages"`
	Bytes    int64             `json:"bytes"`
	Unmet    int               `json:"unmet"`
	Suites   []deb.LockedSuite `json:"suites"`
}

func (l lockedSet) Print(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %d packages, %d bytes\n", l.Lock, l.Packages, l.Bytes)
	for _, s := range l.Suites {
		fmt.Fprintf(&b, "%-16s of %s, signed by %d keys", s.Name, s.Date.Format(time.RFC3339), len(s.SignedBy))
		if s.AcceptedExpired {
			fmt.Fprintf(&b, ", EXPIRED %s", s.ValidUntil.Format(time.RFC3339))
		}
		fmt.Fprintln(&b)
	}
	if l.Unmet > 0 {
		fmt.Fprintf(&b, "%d dependencies are met only by packages that the set excludes\n", l.Unmet)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// readDebLock reads the lock that a command was called with.
func readDebLock(c *cli.Context) (*deb.Lock, error) {
	if err := cmdline.Args(c, "LOCK"); err != nil {
		return nil, err
	}
	lock, err := deb.ReadLock(c.Args().First())
	return lock, debVerdict(err)
}

func debFetch(c *cli.Context) error {
	lock, err := readDebLock(c)
	if err != nil {
		return err
	}
	client, err := debClient(c)
	if err != nil {
		return err
	}
	fetched, err := client.Fetch(c.Context, lock)
	if err != nil {
		return debVerdict(err)
	}
	return cmdline.Print(c, fetchedSet(fetched))
}

// fetchedSet is what "deb fetch" prints.
type fetchedSet struct {
	Downloaded int   `json:"downloaded"`
	Present    int   `json:"present"`
	Bytes      int64 `json:"bytes"`
}

func (f fetchedSet) Print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d packages downloaded (%d bytes), %d were there\n", f.Downloaded, f.Bytes, f.Present)
	return err
}

func debUnpack(c *cli.Context) (err error) {
	lock, err := readDebLock(c)
	if err != nil {
		return err
	}
	if c.String("to") == "" {
		return cmdline.Usage(errors.New("--to: expected a folder for the files, got none"))
	}
	if name := c.String("set"); name != "" {
		set, err := deb.ReadSet(name)
		if err == nil {
			err = lock.CheckSet(set)
		}
		if err != nil {
			return debVerdict(err)
		}
	}
	client, err := debClient(c)
	if err != nil {
		return err
	}
	if _, err := client.Fetch(c.Context, lock); err != nil {
		return debVerdict(err)
	}
	tree, err := deb.Unpack(c.Context, lock, client.File, deb.Options{})
	if err != nil {
		return debVerdict(err)
	}
	defer func() { err = errors.Join(err, tree.Close()) }()
	if err := tree.Write(c.String("to")); err != nil {
		return err
	}
	return cmdline.Print(c, unpackedSet{Packages: len(lock.Packages), Entries: len(tree.Entries()), Bytes: tree.Size(), Digest: tree.Digest()})
}

// unpackedSet is what "deb unpack" prints.
type unpackedSet struct {
	Packages int        `json:"packages"`
	Entries  int        `json:"entries"`
	Bytes    int64      `json:"bytes"`
	Digest   deb.Digest `json:"tree_sha256"`
}

func (u unpackedSet) Print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d packages, %d entries, %d bytes\ntree sha256 %s\n", u.Packages, u.Entries, u.Bytes, u.Digest)
	return err
}
