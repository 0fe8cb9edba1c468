package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/provenance/kms"
)

func keyCommand() *cli.Command {
	passwords := "The password comes from --password-file, else from " + keyfile.PasswordVariable + ", else from a terminal."
	return &cli.Command{
		Name:  "key",
		Usage: "signing keys: generate, show, rotate",
		Subcommands: []*cli.Command{
			{
				Name:  "generate",
				Usage: "make a key, encrypted with a password",
				Description: "Writes the private key to FILE, in the format of cosign, and the public key beside it: board.pub for board.key. Neither may be there.\n" +
					passwords,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "to", Usage: "write the private key to `FILE`"},
					&cli.StringFlag{Name: "password-file", Usage: "read the password from `FILE`"},
					cmdline.OutputFlag(),
				},
				Action: keyGenerate,
			},
			{
				Name:      "show",
				Usage:     "say which key this is, with the public key",
				ArgsUsage: "KEY",
				Description: "KEY is the file of a public key, or that of a private key, for which the password is needed, or a key of a key management service as\n" +
					"NAME://KEY, for which the program sigstore-kms-NAME is asked. Exit code 1 says that the file is no key or that the password is wrong.\n" +
					passwords,
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "password-file", Usage: "read the password from `FILE`"},
					cmdline.OutputFlag(),
				},
				Action: keyShow,
			},
			{
				Name:      "rotate",
				Usage:     "make a key that takes the place of another, which says so",
				ArgsUsage: "KEY",
				Description: "Makes a key as generate does, and lets the old KEY sign a statement that names the new one: a Sigstore bundle, beside the new key as\n" +
					"board.handover.json for board.key. Whoever trusts the old key decides what follows from it; policies have to be changed by hand.\n" +
					passwords + " The new key's comes from --new-password-file,\nelse from the same places, else it is the old key's.",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "to", Usage: "write the new private key to `FILE`"},
					&cli.StringFlag{Name: "password-file", Usage: "read the old key's password from `FILE`"},
					&cli.StringFlag{Name: "new-password-file", Usage: "read the new key's password from `FILE`"},
					&cli.StringFlag{Name: "at", Usage: "say that the key is handed over at the time `TIME`, as in 2026-04-24T02:37:51Z (default: now)"},
					cmdline.OutputFlag(),
				},
				Action: keyRotate,
			},
		},
	}
}

// shownKey is the result of every verb.
type shownKey struct {
	// Fingerprint is the SHA-256 of the SubjectPublicKeyInfo; Hint is how bundles name the key.
	Fingerprint provenance.Fingerprint `json:"fingerprint"`
	Hint        string                 `json:"hint"`
	PublicKey   string                 `json:"public_key"`
	// Private, Public and Handover are the files that were written, if any. Replaces is the old key.
	Private  string                  `json:"private_file,omitempty"`
	Public   string                  `json:"public_file,omitempty"`
	Handover string                  `json:"handover_file,omitempty"`
	Replaces *provenance.Fingerprint `json:"replaces,omitempty"`
}

func newShownKey(key provenance.Key) shownKey {
	return shownKey{Fingerprint: key.Fingerprint(), Hint: key.Hint(), PublicKey: string(key.PEM())}
}

func (k shownKey) Print(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "fingerprint  %s\n", k.Fingerprint)
	for _, line := range []struct{ name, value string }{{"hint", k.Hint}, {"private", k.Private}, {"public", k.Public}, {"hand-over", k.Handover}} {
		if line.value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", line.name, line.value)
		}
	}
	if k.Replaces != nil {
		fmt.Fprintf(&b, "%-12s %s\n", "replaces", k.Replaces)
	}
	if k.Private == "" {
		b.WriteString(k.PublicKey)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func keyGenerate(c *cli.Context) error {
	if err := cmdline.Args(c); err != nil {
		return err
	}
	files, err := newKeyFiles(c)
	if err != nil {
		return err
	}
	password, err := passwords(c, "password-file").Get(files.private, true)
	if err != nil {
		return passwordFault(err)
	}
	defer clear(password)
	signer, err := keyfile.Generate()
	if err != nil {
		return err
	}
	if err := files.write(signer, password, nil); err != nil {
		return err
	}
	shown := newShownKey(signer.Key())
	shown.Private, shown.Public = files.private, files.public
	return cmdline.Print(c, shown)
}

func keyShow(c *cli.Context) error {
	if err := cmdline.Args(c, "KEY"); err != nil {
		return err
	}
	reference := c.Args().First()
	if !kms.IsURI(reference) {
		text, err := readKeyFile(reference)
		if err != nil {
			return err
		}
		if !keyfile.Sealed(text) {
			key, err := provenance.ParseKey(text)
			if err != nil {
				return cmdline.Refused(fmt.Errorf("%s: %w", reference, err))
			}
			return cmdline.Print(c, newShownKey(key))
		}
	}
	signer, password, err := openKey(c, reference, passwords(c, "password-file"))
	if err != nil {
		return err
	}
	clear(password)
	return cmdline.Print(c, newShownKey(signer.Key()))
}

func keyRotate(c *cli.Context) error {
	if err := cmdline.Args(c, "KEY"); err != nil {
		return err
	}
	at := time.Now()
	if text := c.String("at"); c.IsSet("at") {
		var err error
		if at, err = time.Parse(time.RFC3339, text); err != nil {
			return flagError("at", fmt.Errorf("expected a time as in 2026-04-24T02:37:51Z, got %q", text))
		}
	}
	files, err := newKeyFiles(c)
	if err != nil {
		return err
	}
	old, password, err := openKey(c, c.Args().First(), passwords(c, "password-file"))
	if err != nil {
		return err
	}
	defer clear(password)
	next, err := passwords(c, "new-password-file").Get(files.private, true)
	if errors.Is(err, keyfile.ErrNoPassword) && len(password) > 0 {
		next, err = password, nil
	}
	if err != nil {
		return passwordFault(err)
	}
	defer clear(next)
	signer, err := keyfile.Generate()
	if err != nil {
		return err
	}
	bundle, err := provenance.SignHandover(c.Context, old, signer.Key(), at)
	if err != nil {
		return err
	}
	handover, err := bundle.Encode()
	if err != nil {
		return err
	}
	if err := files.write(signer, next, handover); err != nil {
		return err
	}
	shown := newShownKey(signer.Key())
	replaces := old.Key().Fingerprint()
	shown.Private, shown.Public, shown.Handover, shown.Replaces = files.private, files.public, files.handover, &replaces
	return cmdline.Print(c, shown)
}

// openKey opens a private key, from a file or of a service. The password is that of the file, if it is one.
func openKey(c *cli.Context, reference string, source keyfile.Passwords) (provenance.Signer, []byte, error) {
	if kms.IsURI(reference) {
		signer, err := kms.Open(c.Context, reference)
		return signer, nil, err
	}
	text, err := readKeyFile(reference)
	if err != nil {
		return nil, nil, err
	}
	if !keyfile.Sealed(text) {
		return nil, nil, cmdline.Refused(fmt.Errorf("%s: expected an encrypted private key, got something else", reference))
	}
	password, err := source.Get(reference, false)
	if err != nil {
		return nil, nil, passwordFault(err)
	}
	signer, err := keyfile.Open(text, password)
	if err != nil {
		return nil, nil, cmdline.Refused(fmt.Errorf("%s: %w", reference, err))
	}
	return signer, password, nil
}

func readKeyFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, keyfile.MaxFile+1))
}

// passwords looks where the flags say. A terminal is one that a person types into.
func passwords(c *cli.Context, flag string) keyfile.Passwords {
	p := keyfile.Passwords{File: c.String(flag), Lookup: os.LookupEnv}
	if fd := int(os.Stdin.Fd()); term.IsTerminal(fd) {
		p.Ask = func(prompt string) ([]byte, error) {
			fmt.Fprint(c.App.ErrWriter, prompt)
			defer fmt.Fprintln(c.App.ErrWriter)
			return term.ReadPassword(fd)
		}
	}
	return p
}

// passwordFault marks a password that is missing, empty or mistyped as a mistake in the call; a file that can not be read is none.
func passwordFault(err error) error {
	var missing *fs.PathError
	if errors.As(err, &missing) {
		return err
	}
	return cmdline.Usage(err)
}

// keyFiles are the files of a new key.
type keyFiles struct {
	private, public, handover string
}

// newKeyFiles checks that nothing is in the way before a person is asked for anything.
func newKeyFiles(c *cli.Context) (keyFiles, error) {
	to := c.String("to")
	if to == "" {
		return keyFiles{}, flagError("to", errors.New("expected a file for the private key, got none"))
	}
	stem := strings.TrimSuffix(to, ".key")
	if base := filepath.Base(stem); strings.HasSuffix(to, "/") || base == "." || base == "/" || strings.HasSuffix(stem, ".pub") {
		return keyFiles{}, flagError("to", fmt.Errorf("expected the name of a private key such as board.key, got %q", to))
	}
	files := keyFiles{private: to, public: stem + ".pub", handover: stem + ".handover.json"}
	for _, path := range []string{files.private, files.public, files.handover} {
		if _, err := os.Lstat(path); err == nil {
			return keyFiles{}, fmt.Errorf("%s is there already; a key is never replaced", path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return keyFiles{}, err
		}
	}
	return files, nil
}

// write writes the private key last: a key is there when everything that belongs to it is.
func (f keyFiles) write(signer *keyfile.Signer, password, handover []byte) (err error) {
	sealed, err := signer.Seal(password)
	if err != nil {
		return err
	}
	var written []string
	defer func() {
		if err != nil {
			for _, path := range written {
				err = errors.Join(err, os.Remove(path))
			}
		}
	}()
	for _, file := range []struct {
		path string
		data []byte
		mode os.FileMode
	}{{f.handover, handover, 0o644}, {f.public, signer.Key().PEM(), 0o644}, {f.private, sealed, 0o600}} {
		if file.data == nil {
			continue
		}
		if err := writeNew(file.path, file.data, file.mode); err != nil {
			return err
		}
		written = append(written, file.path)
	}
	return nil
}

// writeNew writes a file whole, and only where there is none: the name comes last, and os.Link replaces nothing.
func writeNew(path string, data []byte, mode os.FileMode) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	_, err = file.Write(data)
	if err := errors.Join(err, file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Link(file.Name(), path)
}
