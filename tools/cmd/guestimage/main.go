// Command guestimage fetches the packages of a guest image and makes the image. It is the builder of the image's derivations; people use
// "boardroom guest build", which makes the same bytes. It honours DEBIAN_MIRROR and the usual variables for HTTP proxies.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/boardroom-tee/boardroom/tools/agentimage"
	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/mirror"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/nar"
)

var errUsage = errors.New(`usage: guestimage fetch LOCK DIR          fetch the packages of LOCK into the new folder DIR
       guestimage pin DEFINITION FILE     write the hashes of such folders, of the definition's locks, to FILE (nix/guest.json)
       guestimage build FLAG...           make an image; see guestimage build -h`)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "guestimage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 3 && args[0] == "fetch":
		lock, err := deb.ReadLock(args[1])
		if err != nil {
			return err
		}
		return fetch(ctx, lock, args[2])
	case len(args) == 3 && args[0] == "pin":
		return pin(ctx, args[1], args[2])
	case len(args) > 1 && args[0] == "build":
		return build(ctx, args[1:])
	}
	return errUsage
}

// fetch makes a folder with the packages of a lock, each named by its digest.
func fetch(ctx context.Context, lock *deb.Lock, dir string) (err error) {
	cache, err := os.MkdirTemp("", "guestimage-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(cache)) }()
	client := &mirror.Client{Mirror: os.Getenv("DEBIAN_MIRROR"), Cache: cache, Progress: os.Stderr}
	if _, err := client.Fetch(ctx, lock); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, p := range lock.Packages {
		data, err := os.ReadFile(client.File(p))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, p.SHA256.String()), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// pin writes the NAR hashes of the folders that fetch makes.
func pin(ctx context.Context, definition, file string) (err error) {
	d, err := guestimage.Load(definition)
	if err != nil {
		return err
	}
	packages, firmware, err := d.Locks()
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "guestimage-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	hashes := make(map[string]string)
	for name, lock := range map[string]*deb.Lock{"packages": packages, "firmware": firmware} {
		dir := filepath.Join(scratch, name)
		if err := fetch(ctx, lock, dir); err != nil {
			return err
		}
		hash, err := nar.Dir(dir).Sum()
		if err != nil {
			return err
		}
		hashes[name] = hash.String()
	}
	text, err := json.MarshalIndent(hashes, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

func build(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("guestimage build", flag.ContinueOnError)
	definition := flags.String("definition", "", "definition `file` (image.json)")
	flavour := flags.String("flavour", string(guestimage.Production), "production or development")
	packages := flags.String("packages", "", "`folder` of the packages, as fetch makes it")
	firmware := flags.String("firmware", "", "`folder` of the firmware's packages")
	program := flags.String("program", "", "the guest's static binary, a `file`")
	bundle := flags.String("ca-certificates", "", "`folder` of the CA bundle and its pin")
	to := flags.String("to", "", "where the image goes, a `folder`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	d, err := guestimage.Load(*definition)
	if err != nil {
		return err
	}
	locked, firmwareLock, err := d.Locks()
	if err != nil {
		return err
	}
	in := guestimage.Inputs{Flavour: guestimage.Flavour(*flavour), Lock: locked, Progress: os.Stderr}
	epoch, err := agentimage.Epoch(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	in.Epoch = epoch.Unix()
	if in.Program, err = os.ReadFile(*program); err != nil {
		return err
	}
	if in.CABundle, err = agentimage.LoadCABundle(*bundle); err != nil {
		return err
	}
	for _, set := range []struct {
		lock *deb.Lock
		dir  string
		to   **deb.Tree
	}{{locked, *packages, &in.Packages}, {firmwareLock, *firmware, &in.Firmware}} {
		tree, err := deb.Unpack(ctx, set.lock, func(p deb.LockedPackage) string { return filepath.Join(set.dir, p.SHA256.String()) }, deb.Options{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, tree.Close()) }()
		*set.to = tree
	}
	return guestimage.Build(ctx, d, in, *to)
}
