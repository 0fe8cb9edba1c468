package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/agentimage"
	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/compose"
	"github.com/boardroom-tee/boardroom/tools/dstack"
)

func composeCommand() *cli.Command {
	return &cli.Command{
		Name:  "compose",
		Usage: "what is deployed: render and hash app-compose.json",
		Subcommands: []*cli.Command{
			{
				Name:      "render",
				Usage:     "render the app-compose.json of an agent",
				ArgsUsage: "AGENT",
				Description: "Reads compose/AGENT and images/agents/AGENT, and refuses images without a digest, secrets in clear text, port clashes and\n" +
					"host paths outside the allowed ones. Without --to the file goes to stdout, byte for byte as dstack measures it.\n\n" +
					"With --development it is for a guest that has neither key management nor a gateway, as \"guest run\" starts them.",
				Flags: []cli.Flag{
					&cli.StringSliceFlag{Name: "image", Usage: "pin an image, `NAME=REPOSITORY@sha256:DIGEST`; once for each image of the compose file"},
					&cli.BoolFlag{Name: "development", Usage: "render for a development guest: new keys at each start, no secrets"},
					&cli.StringSliceFlag{Name: "env", Usage: "with --development: give a variable its value, `NAME=VALUE`; may be repeated"},
					&cli.StringFlag{Name: "to", Usage: "write app-compose.json to `FILE` and print its hash"},
					sourceFlag(), cmdline.OutputFlag(),
				},
				Action: composeRender,
			},
			{
				Name:      "hash",
				Usage:     "print the compose hash of an app-compose.json",
				ArgsUsage: "FILE",
				Flags:     []cli.Flag{cmdline.OutputFlag()},
				Action:    composeHash,
			},
		},
	}
}

// composed describes an app-compose.json.
type composed struct {
	ComposeHash dstack.ComposeHash `json:"compose_hash"`
	// AppID is the one that the file starts when it is given none.
	AppID dstack.AppID `json:"app_id"`
	// AppCompose is the file, where it was written nowhere else.
	AppCompose string `json:"app_compose,omitempty"`
}

func newComposed(file []byte) composed {
	hash := dstack.ComposeHashOf(file)
	return composed{ComposeHash: hash, AppID: hash.AppID()}
}

func (c composed) Print(w io.Writer) error {
	if c.AppCompose != "" {
		_, err := io.WriteString(w, c.AppCompose)
		return err
	}
	_, err := fmt.Fprintln(w, c.ComposeHash)
	return err
}

func composeRender(c *cli.Context) error {
	if err := cmdline.Args(c, "AGENT"); err != nil {
		return err
	}
	root, err := sourceTree(c)
	if err != nil {
		return err
	}
	all, err := definitions(root)
	if err != nil {
		return composeVerdict(err)
	}
	images, err := pinnedImages(c.StringSlice("image"), all)
	if err != nil {
		return err
	}
	values, err := environmentValues(c)
	if err != nil {
		return err
	}
	agent, err := compose.LoadNamed(filepath.Join(root, "compose"), c.Args().First())
	if err != nil {
		return composeVerdict(err)
	}
	d, err := agentimage.Named(all, agent.Settings.Image)
	if err != nil {
		return cmdline.Refused(err)
	}
	definition := compose.Definition{
		Name: d.Name, Repository: d.Repository, Type: d.Type, Model: d.Model, MemoryLimitMB: d.MemoryLimitMB,
		APIPort: d.Ports.API, AttestationPort: d.Ports.Attestation, Volumes: d.Volumes,
	}
	var app *dstack.AppCompose
	if c.Bool("development") {
		app, err = agent.RenderDevelopment(definition, images, values)
	} else {
		app, err = agent.Render(definition, images)
	}
	if err != nil {
		return composeVerdict(err)
	}
	result := newComposed(app.Raw())
	if to := c.String("to"); to != "" {
		if err := os.WriteFile(to, app.Raw(), 0o644); err != nil {
			return err
		}
	} else {
		result.AppCompose = string(app.Raw())
		fmt.Fprintf(c.App.ErrWriter, "compose hash %s\n", result.ComposeHash)
	}
	return cmdline.Print(c, result)
}

// environmentValues reads the --env flags.
func environmentValues(c *cli.Context) (map[string]string, error) {
	values := make(map[string]string)
	for _, flag := range c.StringSlice("env") {
		name, value, ok := strings.Cut(flag, "=")
		_, twice := values[name]
		switch {
		case !c.Bool("development"):
			return nil, cmdline.Usage(errors.New("--env: only with --development; other guests get their environment encrypted, at deployment"))
		case !ok || name == "":
			return nil, cmdline.Usage(errors.New("--env: expected NAME=VALUE, got something (not shown) without a name or a value"))
		case twice:
			return nil, cmdline.Usage(fmt.Errorf("--env: %s is given twice", name))
		}
		values[name] = value
	}
	return values, nil
}

// pinnedImages reads the --image flags. An agent's image may be called by its definition's name, folder or repository.
func pinnedImages(flags []string, all []*agentimage.Definition) (compose.Images, error) {
	images := make(compose.Images)
	for _, flag := range flags {
		name, text, ok := strings.Cut(flag, "=")
		if !ok {
			return nil, cmdline.Usage(fmt.Errorf("--image: expected NAME=REPOSITORY@sha256:DIGEST, got %q", flag))
		}
		ref, err := compose.ParseReference(text)
		if err != nil {
			return nil, cmdline.Refused(fmt.Errorf("--image %s: %w", name, err))
		}
		if d, err := agentimage.Named(all, name); err == nil {
			name = d.Name
		}
		for _, d := range all {
			if d.Repository == name {
				name = d.Name
			}
		}
		if other, twice := images[name]; twice {
			return nil, cmdline.Usage(fmt.Errorf("--image: %s is given twice, as %s and %s", name, other, ref))
		}
		images[name] = ref
	}
	return images, nil
}

func composeHash(c *cli.Context) error {
	if err := cmdline.Args(c, "FILE"); err != nil {
		return err
	}
	f, err := os.Open(c.Args().First())
	if err != nil {
		return err
	}
	defer f.Close()
	file, err := io.ReadAll(io.LimitReader(f, dstack.MaxForeignAppCompose+1))
	if err != nil {
		return err
	}
	if len(file) > dstack.MaxForeignAppCompose {
		return cmdline.Refused(fmt.Errorf("%s: expected at most %d bytes, got more", c.Args().First(), dstack.MaxForeignAppCompose))
	}
	// The hash is over the bytes, whatever they say; who deploys them wants to know that no guest would take them.
	if _, err := dstack.ParseForeignAppCompose(file); err != nil {
		fmt.Fprintf(c.App.ErrWriter, "warning: %s: no guest would boot it: %v\n", c.Args().First(), err)
	}
	return cmdline.Print(c, newComposed(file))
}

// composeVerdict gives an error the exit code that its kind has.
func composeVerdict(err error) error {
	var refused *compose.RefusedError
	switch {
	case errors.As(err, &refused):
		return cmdline.Refused(err)
	case errors.Is(err, compose.ErrUnknownAgent):
		return cmdline.Usage(err)
	default:
		return verdict(err)
	}
}
