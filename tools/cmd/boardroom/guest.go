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

	"github.com/boardroom-tee/boardroom/tools/agentimage"
	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/disk/uki"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
)

func guestCommand() *cli.Command {
	return &cli.Command{
		Name:  "guest",
		Usage: "guest images: build, inspect, pack, disk, import, run",
		Subcommands: []*cli.Command{
			{
				Name:  "build",
				Usage: "build a guest image, without Nix",
				Description: "Compiles the guest's program with the pinned toolchain, fetches the locked packages and assembles the image. The digest is that\n" +
					"of \"nix build .#guest-image\". Every time in the image is SOURCE_DATE_EPOCH, or 1970 where that is not set.",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "to", Usage: "write the image to the folder `DIR`, which must not exist"},
					&cli.BoolFlag{Name: "dev", Usage: "the development flavour, whose quotes are simulated"},
					sourceFlag(), mirrorFlag(), cacheFlag(), cmdline.OutputFlag(),
				},
				Action: guestBuild,
			},
			{
				Name:      "inspect",
				Usage:     "verify a guest image and print what is in it",
				ArgsUsage: "DIR",
				Description: "Every file is hashed, every block of the root file system is checked against the command line, and dstack's measurement is\n" +
					"computed again. Exit code 1 names the file that is not what it has to be.",
				Flags: []cli.Flag{
					digestFlag(),
					&cli.BoolFlag{Name: "measurement-only", Usage: "DIR has no root file system, as dstack's verifier downloads images"},
					cmdline.OutputFlag(),
				},
				Action: guestInspect,
			},
			{
				Name:      "pack",
				Usage:     "verify a guest image and write its archives",
				ArgsUsage: "DIR",
				Description: "Writes the release, NAME-VERSION.tar.gz, and what a verifier needs of it, mr_DIGEST.tar.gz. The same image gives the same bytes\n" +
					"everywhere.",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "to", Usage: "write the archives to the folder `DIR`, which must exist"},
					&cli.StringFlag{Name: "name", Usage: "the `NAME` of the release without its version (default: that of the image's own list)"},
					cmdline.OutputFlag(),
				},
				Action: guestPack,
			},
			{
				Name:      "disk",
				Usage:     "write a guest image as one disk that boots by itself",
				ArgsUsage: "DIR",
				Description: "Verifies the image and writes a raw disk: an EFI system partition with kernel, command line and initramfs in one program on\n" +
					"top of systemd's stub, and the root file system. The same image and stub give the same bytes everywhere. \"measure --disk\"\n" +
					"predicts what it measures.",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "stub", Usage: "systemd's linuxx64.efi.stub, a `FILE`"},
					&cli.StringFlag{Name: "to", Usage: "write the disk to `FILE`, which must not exist"},
					cmdline.OutputFlag(),
				},
				Action: guestDisk,
			},
			{
				Name:      "import",
				Usage:     "take a guest image that somebody else built",
				ArgsUsage: "TARBALL|DIR",
				Description: "A release of dstack, as an archive or unpacked. It is taken if it has the digest that is asked for, its os_image_hash, and everything\n" +
					"in it is what that digest says.",
				Flags: []cli.Flag{
					digestFlag(),
					&cli.StringFlag{Name: "official", Usage: "the `NAME` of a definition in images/guest/official, which has the digest"},
					&cli.StringFlag{Name: "to", Usage: "write the image to the folder `DIR`, which must not exist"},
					&cli.BoolFlag{Name: "measurement-only", Usage: "the image comes without its root file system, and can be measured but not run"},
					sourceFlag(), cmdline.OutputFlag(),
				},
				Action: guestImport,
			},
			guestRunCommand(),
		},
	}
}

func digestFlag() cli.Flag {
	return &cli.StringFlag{Name: "digest", Usage: "the os_image_hash that the image must have, in `HEX`"}
}

// guestVerdict gives an error of package guestimage the exit code that its kind has.
func guestVerdict(err error) error {
	var (
		refused    *guestimage.RefusedError
		kernel     *guestimage.KernelError
		definition *guestimage.DefinitionError
		place      *guestimage.PlaceError
	)
	switch {
	case errors.As(err, &refused), errors.As(err, &kernel):
		return cmdline.Refused(err)
	case errors.As(err, &definition), errors.As(err, &place):
		return cmdline.Usage(err)
	default:
		return verdict(debVerdict(err))
	}
}

func guestBuild(c *cli.Context) (err error) {
	if err := cmdline.Args(c); err != nil {
		return err
	}
	to := c.String("to")
	if to == "" {
		return flagError("to", errors.New("expected a folder for the image, got none"))
	}
	if _, err := os.Lstat(to); err == nil {
		return cmdline.Usage(&guestimage.PlaceError{Path: to})
	}
	root, err := sourceTree(c)
	if err != nil {
		return err
	}
	d, err := guestimage.Load(filepath.Join(root, "images", "guest", guestimage.DefinitionFile))
	if err != nil {
		return guestVerdict(err)
	}
	in := guestimage.Inputs{Flavour: guestimage.Production, Progress: c.App.ErrWriter}
	if c.Bool("dev") {
		in.Flavour = guestimage.Development
	}
	epoch, err := agentimage.Epoch(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return cmdline.Usage(err)
	}
	in.Epoch = epoch.Unix()
	if in.CABundle, err = agentimage.LoadCABundle(filepath.Join(root, "images", "ca-certificates")); err != nil {
		return guestVerdict(err)
	}
	packages, firmware, err := d.Locks()
	if err != nil {
		return guestVerdict(err)
	}
	in.Lock = packages
	for _, set := range []struct {
		lock *deb.Lock
		to   **deb.Tree
	}{{packages, &in.Packages}, {firmware, &in.Firmware}} {
		tree, err := unpackLock(c, set.lock)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, tree.Close()) }()
		*set.to = tree
	}
	if in.Program, err = compile(c, root, d.Program, in.Flavour.Tags()...); err != nil {
		return guestVerdict(err)
	}
	start := time.Now()
	if err := guestimage.Build(c.Context, d, in, to); err != nil {
		return guestVerdict(err)
	}
	fmt.Fprintf(c.App.ErrWriter, "assembled in %.1f s\n", time.Since(start).Seconds())
	return printInspected(c, to, guestimage.Options{})
}

// unpackLock fetches and unpacks the packages of a lock.
func unpackLock(c *cli.Context, lock *deb.Lock) (*deb.Tree, error) {
	client, err := debClient(c)
	if err != nil {
		return nil, err
	}
	if _, err := client.Fetch(c.Context, lock); err != nil {
		return nil, guestVerdict(err)
	}
	start := time.Now()
	tree, err := deb.Unpack(c.Context, lock, client.File, deb.Options{})
	if err != nil {
		return nil, guestVerdict(err)
	}
	fmt.Fprintf(c.App.ErrWriter, "%d packages unpacked in %.1f s\n", len(lock.Packages), time.Since(start).Seconds())
	return tree, nil
}

// wantedDigest reads --digest.
func wantedDigest(c *cli.Context) (*dstack.ImageHash, error) {
	text := c.String("digest")
	if text == "" {
		return nil, nil //nolint:nilnil // no digest was asked for
	}
	h, err := dstack.ParseImageHash(text)
	if err != nil {
		return nil, flagError("digest", err)
	}
	return &h, nil
}

func guestInspect(c *cli.Context) error {
	if err := cmdline.Args(c, "DIR"); err != nil {
		return err
	}
	digest, err := wantedDigest(c)
	if err != nil {
		return err
	}
	return printInspected(c, c.Args().First(), guestimage.Options{Digest: digest, MeasurementOnly: c.Bool("measurement-only")})
}

func printInspected(c *cli.Context, dir string, o guestimage.Options) error {
	im, err := guestimage.Inspect(dir, o)
	if err != nil {
		return guestVerdict(fmt.Errorf("%s: %w", dir, err))
	}
	return cmdline.Print(c, inspectedImage{im})
}

// inspectedImage is what the commands about guest images print.
type inspectedImage struct{ *guestimage.Image }

func (i inspectedImage) Print(w io.Writer) error {
	var b bytes.Buffer
	flavour := "production"
	if i.IsDev {
		flavour = "DEVELOPMENT"
	}
	fmt.Fprintf(&b, "os_image_hash %s\nversion %s, %s, firmware of layout %s\ncmdline %s\n", i.Digest, i.Version, flavour, i.Layout, i.Cmdline)
	for _, f := range i.Files {
		fmt.Fprintf(&b, "%s  %10d  %s\n", f.SHA256, f.Size, f.Name)
	}
	if r := i.Root; r != nil {
		fmt.Fprintf(&b, "root file system: %s, %d bytes from %d, every block verified\n", r.File, r.DataSize, r.Offset)
	}
	if l := i.Contents; l != nil {
		fmt.Fprintf(&b, "contents: %s, kernel %s, %d packages, %d programs and links to them, %d with setuid or setgid, %d units, %d kernel modules, %d ports of its own\n",
			l.Image, l.Kernel, len(l.Packages), len(l.Executables), len(l.Setuid), len(l.Units), len(l.Modules), len(l.Ports))
	}
	_, err := w.Write(b.Bytes())
	return err
}

func guestPack(c *cli.Context) error {
	if err := cmdline.Args(c, "DIR"); err != nil {
		return err
	}
	if c.String("to") == "" {
		return flagError("to", errors.New("expected a folder for the archives, got none"))
	}
	packed, err := guestimage.Pack(c.Args().First(), c.String("name"), c.String("to"))
	if err != nil {
		return guestVerdict(err)
	}
	return cmdline.Print(c, packedImage(*packed))
}

// packedImage is what "guest pack" prints.
type packedImage guestimage.Archives

func (p packedImage) Print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "release %s\nmeasurement %s\n", p.Release, p.Measurement)
	return err
}

// maxStub bounds a stub, in bytes; systemd's has some 100 KiB.
const maxStub = 16 << 20

func guestDisk(c *cli.Context) error {
	if err := cmdline.Args(c, "DIR"); err != nil {
		return err
	}
	for _, name := range []string{"stub", "to"} {
		if c.String(name) == "" {
			return flagError(name, errors.New("expected a file, got none"))
		}
	}
	stub, err := image.ReadFile(c.String("stub"), maxStub)
	if err != nil {
		return readFault(err)
	}
	written, err := guestimage.WriteUKIDisk(c.Args().First(), stub, c.String("to"))
	if errors.Is(err, uki.ErrStub) {
		return cmdline.Refused(fmt.Errorf("%s: %w", c.String("stub"), err))
	}
	if err != nil {
		return guestVerdict(err)
	}
	return cmdline.Print(c, writtenDisk(*written))
}

// writtenDisk is what "guest disk" prints.
type writtenDisk guestimage.UKIDisk

func (d writtenDisk) Print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "disk %s, %d bytes\nsha256 %s\nuki %s\n", d.File, d.Size, d.SHA256, d.UKI)
	return err
}

func guestImport(c *cli.Context) error {
	if err := cmdline.Args(c, "TARBALL|DIR"); err != nil {
		return err
	}
	if c.String("to") == "" {
		return flagError("to", errors.New("expected a folder for the image, got none"))
	}
	digest, err := wantedDigest(c)
	if err != nil {
		return err
	}
	if name := c.String("official"); name != "" {
		if digest != nil {
			return flagError("official", errors.New("expected nothing beside --digest, which says the same"))
		}
		root, err := sourceTree(c)
		if err != nil {
			return err
		}
		official, err := guestimage.LoadOfficial(filepath.Join(root, "images", "guest", guestimage.OfficialFolder), name)
		if err != nil {
			return guestVerdict(err)
		}
		digest = &official.Digest
	}
	if digest == nil {
		return flagError("digest", errors.New("expected the digest of the image to import, or --official with its name, got none"))
	}
	im, err := guestimage.Import(c.Args().First(), guestimage.Options{Digest: digest, MeasurementOnly: c.Bool("measurement-only")}, c.String("to"))
	if err != nil {
		return guestVerdict(err)
	}
	return cmdline.Print(c, inspectedImage{im})
}
