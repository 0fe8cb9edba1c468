package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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
)

func releasePolicyCommand() *cli.Command {
	return &cli.Command{
		Name:  "policy",
		Usage: "policies for releases: make one from keys, sign its layout",
		Subcommands: []*cli.Command{
			{
				Name:  "init",
				Usage: "make a policy from public keys",
				Description: "Writes a folder with " + release.PolicyFile + " and the public keys that it names. What is missing then is the layout, which each owner signs with\n" +
					"release policy sign. Everything in " + release.PolicyFile + " can be edited by hand; docs/release.md says what it means.",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "to", Usage: "write the policy to `DIR`, which may not be there yet"},
					&cli.StringFlag{Name: "name", Usage: "the `NAME` of releases"},
					&cli.StringFlag{Name: "source", Usage: "the `URI` of the repository that releases are built from"},
					&cli.StringSliceFlag{Name: "builder", Usage: "who builds, and the public key, as `NAME=FILE`; may be repeated"},
					&cli.StringSliceFlag{Name: "rebuilder", Usage: "who builds again, and the public key, as `NAME=FILE`; may be repeated"},
					&cli.StringSliceFlag{Name: "owner", Usage: "the public key in `FILE` of who signs the layout; may be repeated"},
					&cli.IntFlag{Name: "owner-threshold", Usage: "how many owners have to sign the layout, a `NUMBER` (default: all)"},
					&cli.IntFlag{Name: "threshold", Usage: "how many builders and rebuilders have to sign a release, a `NUMBER` (default: one of each)"},
					&cli.StringSliceFlag{Name: "log", Usage: "the public key in `FILE` of a log that releases have to be in; may be repeated"},
					&cli.StringSliceFlag{Name: "witness", Usage: "who cosigns the heads of all logs, and the public key, as `NAME=FILE`; may be repeated"},
					&cli.IntFlag{Name: "witness-threshold", Usage: "how many witnesses have to, a `NUMBER` (default: all)"},
					&cli.StringFlag{Name: "minimum-version", Usage: "the lowest `VERSION` that is accepted"},
					cmdline.OutputFlag(),
				},
				Action: releasePolicyInit,
			},
			{
				Name:      "sign",
				Usage:     "sign the layout that follows from a policy, as one of its owners",
				ArgsUsage: "POLICY",
				Description: "Whoever is builder or rebuilder in POLICY, with keys that it does not revoke, may do that step. With --expires, the layout is a new one, unless\n" +
					"another owner has signed the same; without it, the layout that is there is signed, if it still says what the policy says.\n" +
					"The password comes from --password-file, else from " + keyfile.PasswordVariable + ", else from a terminal.",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "key", Usage: "sign with `KEY`, a file, or a key of a key management service as NAME://KEY"},
					&cli.StringFlag{Name: "password-file", Usage: "read the key's password from `FILE`"},
					&cli.StringFlag{Name: "expires", Usage: "let the layout end at `TIME`, as in 2027-04-24T00:00:00Z"},
					cmdline.OutputFlag(),
				},
				Action: releasePolicySign,
			},
		},
	}
}

// writtenPolicy is the result of both verbs.
type writtenPolicy struct {
	Files []string `json:"files"`
}

func (p writtenPolicy) Print(w io.Writer) error {
	_, err := fmt.Fprintln(w, strings.Join(p.Files, "\n"))
	return err
}

func releasePolicyInit(c *cli.Context) error {
	if err := cmdline.Args(c); err != nil {
		return err
	}
	to := c.String("to")
	if to == "" {
		return flagError("to", errors.New("expected a folder for the policy, got none"))
	}
	o := release.PolicyOptions{
		Name: c.String("name"), Source: c.String("source"), MinimumVersion: c.String("minimum-version"),
		Threshold: c.Int("threshold"), LayoutThreshold: c.Int("owner-threshold"),
	}
	var err error
	if o.Builders, err = namedKeys(c, "builder"); err != nil {
		return err
	}
	if o.Rebuilders, err = namedKeys(c, "rebuilder"); err != nil {
		return err
	}
	for _, file := range c.StringSlice("owner") {
		key, err := readPublicKey("owner", file)
		if err != nil {
			return err
		}
		o.Owners = append(o.Owners, key)
	}
	if o.Logs, err = policyLogs(c); err != nil {
		return err
	}
	files, err := release.NewPolicy(o)
	if err != nil {
		return policyFault(err)
	}
	written, err := writePolicy(to, files)
	if err != nil {
		return err
	}
	return cmdline.Print(c, writtenPolicy{written})
}

// writePolicy writes a new folder whole.
func writePolicy(to string, files map[string][]byte) (written []string, err error) {
	if _, err := os.Lstat(to); err == nil {
		return nil, fmt.Errorf("%s is there already; a policy is changed by hand", to)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	work, err := os.MkdirTemp(filepath.Dir(to), "."+filepath.Base(to)+"-*")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(work))
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		file := filepath.Join(work, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, files[name], 0o644); err != nil {
			return nil, err
		}
		written = append(written, filepath.Join(to, filepath.FromSlash(name)))
	}
	if err := os.Chmod(work, 0o755); err != nil {
		return nil, err
	}
	return written, os.Rename(work, to)
}

func namedKeys(c *cli.Context, flag string) ([]release.NamedKey, error) {
	var keys []release.NamedKey
	for _, text := range c.StringSlice(flag) {
		name, file, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, flagError(flag, fmt.Errorf("expected NAME=FILE, got %q", text))
		}
		key, err := readPublicKey(flag, file)
		if err != nil {
			return nil, err
		}
		keys = append(keys, release.NamedKey{Name: name, Key: key})
	}
	return keys, nil
}

func readPublicKey(flag, file string) (provenance.Key, error) {
	text, err := readKeyFile(file)
	if err != nil {
		return provenance.Key{}, err
	}
	key, err := provenance.ParseKey(text)
	if err != nil {
		return provenance.Key{}, flagError(flag, fmt.Errorf("%s: %w", file, err))
	}
	return key, nil
}

func policyLogs(c *cli.Context) ([]transparency.Policy, error) {
	var witnesses []transparency.Witness
	for _, text := range c.StringSlice("witness") {
		name, file, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, flagError("witness", fmt.Errorf("expected NAME=FILE, got %q", text))
		}
		_, key, err := readVerifierKey(file)
		if err != nil {
			return nil, err
		}
		witnesses = append(witnesses, transparency.Witness{Name: name, Key: key})
	}
	threshold := c.Int("witness-threshold")
	if !c.IsSet("witness-threshold") {
		threshold = len(witnesses)
	}
	if len(witnesses) > 0 && len(c.StringSlice("log")) == 0 {
		return nil, flagError("witness", errors.New("expected a --log that they cosign, got none"))
	}
	var logs []transparency.Policy
	for _, file := range c.StringSlice("log") {
		origin, key, err := readVerifierKey(file)
		if err != nil {
			return nil, err
		}
		logs = append(logs, transparency.Policy{Origin: origin, Key: key, Witnesses: append([]transparency.Witness{}, witnesses...), WitnessThreshold: threshold})
	}
	return logs, nil
}

func releasePolicySign(c *cli.Context) error {
	if err := cmdline.Args(c, "POLICY"); err != nil {
		return err
	}
	var expires time.Time
	if c.IsSet("expires") {
		var err error
		if expires, err = time.Parse(time.RFC3339, c.String("expires")); err != nil {
			return flagError("expires", fmt.Errorf("expected a time as in 2027-04-24T00:00:00Z, got %q", c.String("expires")))
		}
	}
	policy, err := release.LoadPolicyToSign(c.Args().First())
	if err != nil {
		return policyFault(err)
	}
	owner, err := openSigner(c.Context, c)
	if err != nil {
		return err
	}
	signed, err := policy.SignLayout(c.Context, owner, expires)
	var impossible *release.LayoutError
	if errors.As(err, &impossible) {
		return cmdline.Refused(err)
	}
	if err != nil {
		return err
	}
	if err := replaceWhole(policy.Layout.File, append(signed, '\n')); err != nil {
		return err
	}
	return cmdline.Print(c, writtenPolicy{[]string{policy.Layout.File}})
}

// replaceWhole writes a file whole or not at all.
func replaceWhole(path string, data []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(file, bytes.NewReader(data))
	if err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
