package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/agentimage"
	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/gobuild"
	"github.com/boardroom-tee/boardroom/tools/oci"
	"github.com/boardroom-tee/boardroom/tools/oci/registry"
	"github.com/boardroom-tee/boardroom/tools/seed"
)

func imageCommand() *cli.Command {
	return &cli.Command{
		Name:  "image",
		Usage: "agent images: build, describe, push",
		Subcommands: []*cli.Command{
			{
				Name:      "build",
				Usage:     "build an agent image as an OCI layout, without Nix",
				ArgsUsage: "NAME",
				Description: "Compiles the agent with the pinned toolchain and assembles its image. The digest is that of \"nix build .#NAME\".\n" +
					"Every time in the image is SOURCE_DATE_EPOCH, or 1970 where that is not set.",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "to", Usage: "write the OCI layout to `DIR` (default: result-NAME)"},
					sourceFlag(), cacheFlag(), cmdline.OutputFlag(),
				},
				Action: imageBuild,
			},
			{
				Name:   "list",
				Usage:  "list the images that can be built",
				Flags:  []cli.Flag{sourceFlag(), cmdline.OutputFlag()},
				Action: imageList,
			},
			{
				Name:      "digest",
				Usage:     "verify an OCI layout and print its image's digest",
				ArgsUsage: "PATH",
				Flags:     []cli.Flag{cmdline.OutputFlag()},
				Action:    imageDigest,
			},
			{
				Name:      "show",
				Usage:     "verify an OCI layout and print what is in it",
				ArgsUsage: "PATH",
				Flags:     []cli.Flag{cmdline.OutputFlag()},
				Action:    imageShow,
			},
			{
				Name:      "push",
				Usage:     "verify an OCI layout and push its image to a registry",
				ArgsUsage: "PATH REF",
				Flags: []cli.Flag{
					&cli.BoolFlag{Name: "move-tag", Usage: "let a tag that names other content be moved"},
					cmdline.OutputFlag(),
				},
				Action: imagePush,
			},
		},
	}
}

func sourceFlag() cli.Flag {
	return &cli.StringFlag{Name: "source", Usage: "the source tree, a `DIR` (default: the one that holds the working directory)"}
}

func cacheFlag() cli.Flag {
	return &cli.StringFlag{Name: "cache", EnvVars: []string{"BOARDROOM_CACHE"}, Usage: "keep toolchain, modules and compiled packages in `DIR` (default: the user's cache folder)"}
}

// sourceTree finds the source tree: the folder asked for, or the nearest one above that has the seed's pin.
func sourceTree(c *cli.Context) (string, error) {
	if dir := c.String("source"); dir != "" {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(seed.PinFile))); err != nil {
			return "", fmt.Errorf("--source %s: expected a source tree of boardroom: %w", dir, err)
		}
		return dir, nil
	}
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(seed.PinFile))); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no source tree of boardroom at or above %s; name one with --source", start)
		}
	}
}

func cacheDir(c *cli.Context) (string, error) {
	if dir := c.String("cache"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: %w; name one with --cache", err)
	}
	return filepath.Join(dir, "boardroom"), nil
}

func definitions(root string) ([]*agentimage.Definition, error) {
	return agentimage.LoadAll(filepath.Join(root, "images", "agents"))
}

func imageBuild(c *cli.Context) error {
	if err := cmdline.Args(c, "NAME"); err != nil {
		return err
	}
	root, err := sourceTree(c)
	if err != nil {
		return err
	}
	all, err := definitions(root)
	if err != nil {
		return verdict(err)
	}
	d, err := agentimage.Named(all, c.Args().First())
	if err != nil {
		return cmdline.Usage(err)
	}
	epoch, err := agentimage.Epoch(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return cmdline.Usage(err)
	}
	bundle, err := agentimage.LoadCABundle(filepath.Join(root, "images", "ca-certificates"))
	if err != nil {
		return verdict(err)
	}
	to := c.String("to")
	if to == "" {
		to = "result-" + d.Name
	}
	to = filepath.Clean(to)
	if err := oci.CheckPlace(to); err != nil {
		return err
	}
	program, err := compile(c, root, d.Program)
	if err != nil {
		return verdict(err)
	}
	img, err := agentimage.Assemble(d, agentimage.Inputs{Program: program, CABundle: bundle, Epoch: epoch})
	if err != nil {
		return verdict(err)
	}
	if err := oci.WriteLayout(to, img, d.Repository); err != nil {
		return err
	}
	return show(c, to)
}

func compile(c *cli.Context, root, pkg string, tags ...string) ([]byte, error) {
	cache, err := cacheDir(c)
	if err != nil {
		return nil, err
	}
	warnUntracked(c.Context, root, c.App.ErrWriter)
	start := time.Now()
	builder, err := gobuild.New(c.Context, root, cache, c.App.ErrWriter)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(c.App.ErrWriter, "toolchain %s is the seed; compiling %s\n", builder.Toolchain(), pkg)
	program, err := builder.Program(c.Context, pkg, tags...)
	if err == nil {
		fmt.Fprintf(c.App.ErrWriter, "compiled in %.1f s\n", time.Since(start).Seconds())
	}
	return program, err
}

// verdict gives an error the exit code that its kind has.
func verdict(err error) error {
	var (
		otherSeed   *seed.MismatchError
		otherSum    *seed.SumError
		otherModule *gobuild.ModuleError
		noHash      *gobuild.RefusedError
		otherFile   *agentimage.TamperedError
		otherImage  *oci.InvalidError
		taken       *registry.TagTakenError
		place       *gobuild.PlaceError
		malformed   *agentimage.DefinitionError
		pin         *seed.PinError
		settings    *gobuild.SettingsError
		reference   *registry.RefError
	)
	switch {
	case errors.As(err, &otherSeed), errors.As(err, &otherSum), errors.As(err, &otherModule), errors.As(err, &noHash), errors.As(err, &otherFile), errors.As(err, &otherImage), errors.As(err, &taken):
		return cmdline.Refused(err)
	case errors.As(err, &malformed), errors.As(err, &pin), errors.As(err, &settings), errors.As(err, &reference), errors.As(err, &place):
		return cmdline.Usage(err)
	default:
		return err
	}
}

func show(c *cli.Context, path string) error {
	d, err := oci.DescribeLayout(path)
	if err != nil {
		return verdict(err)
	}
	return cmdline.Print(c, d)
}

func imageShow(c *cli.Context) error {
	if err := cmdline.Args(c, "PATH"); err != nil {
		return err
	}
	return show(c, c.Args().First())
}

type digest struct {
	Digest v1.Hash `json:"digest"`
}

func (d digest) Print(w io.Writer) error {
	_, err := fmt.Fprintln(w, d.Digest)
	return err
}

func imageDigest(c *cli.Context) error {
	if err := cmdline.Args(c, "PATH"); err != nil {
		return err
	}
	d, err := oci.DescribeLayout(c.Args().First())
	if err != nil {
		return verdict(err)
	}
	return cmdline.Print(c, digest{d.Digest})
}

type pushed struct {
	Reference string  `json:"reference"`
	Digest    v1.Hash `json:"digest"`
}

func (p pushed) Print(w io.Writer) error {
	_, err := fmt.Fprintln(w, p.Reference)
	return err
}

func imagePush(c *cli.Context) error {
	if err := cmdline.Args(c, "PATH", "REF"); err != nil {
		return err
	}
	img, err := oci.ReadLayout(c.Args().Get(0))
	if err != nil {
		return verdict(err)
	}
	ref, err := registry.Push(c.Context, img, c.Args().Get(1), registry.PushOptions{MoveTag: c.Bool("move-tag")})
	if err != nil {
		return verdict(err)
	}
	hash, err := v1.NewHash(ref.DigestStr())
	if err != nil {
		return err
	}
	return cmdline.Print(c, pushed{Reference: ref.String(), Digest: hash})
}

type listing []listed

type listed struct {
	Name          string `json:"name"`
	Repository    string `json:"repository"`
	Type          string `json:"type"`
	Model         string `json:"model"`
	APIPort       int    `json:"api_port"`
	Attestation   int    `json:"attestation_port"`
	MemoryLimitMB int    `json:"memory_limit_mb"`
}

func (l listing) Print(w io.Writer) error {
	for _, i := range l {
		if _, err := fmt.Fprintf(w, "%-16s %-26s API %d, attestation %d, %5d MiB, %s\n", i.Name, i.Repository, i.APIPort, i.Attestation, i.MemoryLimitMB, i.Model); err != nil {
			return err
		}
	}
	return nil
}

func imageList(c *cli.Context) error {
	if err := cmdline.Args(c); err != nil {
		return err
	}
	root, err := sourceTree(c)
	if err != nil {
		return err
	}
	all, err := definitions(root)
	if err != nil {
		return verdict(err)
	}
	list := make(listing, 0, len(all))
	for _, d := range all {
		list = append(list, listed{d.Name, d.Repository, d.Type, d.Model, d.Ports.API, d.Ports.Attestation, d.MemoryLimitMB})
	}
	return cmdline.Print(c, list)
}
