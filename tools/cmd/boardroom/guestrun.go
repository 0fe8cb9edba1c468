package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/guestimage/launch"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
)

func guestRunCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run a guest image with QEMU",
		ArgsUsage: "DIR",
		Description: "The image is verified first. QEMU gets the arguments of dstack-vmm. A production image needs a machine that makes trust domains; a\n" +
			"development image runs anywhere, with swtpm, and its quotes are SIMULATED. The guest's console goes to stdout. An interrupt asks the\n" +
			"guest to power off, and ends it if it does not. Nothing is left behind, the data disk included.\n" +
			"The exit code is 0 after an interrupt, 1 if the guest refuses to boot, and 3 if it ends by itself later.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "app-compose", Usage: "the application, an app-compose.json `FILE`"},
			&cli.IntFlag{Name: "cpus", Value: 2, Usage: "`N` vCPUs"},
			&cli.StringFlag{Name: "memory", Value: "2G", Usage: "memory of `SIZE`"},
			&cli.StringFlag{Name: "disk", Value: "20G", Usage: "a data disk of `SIZE`, which takes room as it fills"},
			&cli.StringSliceFlag{Name: "port", Usage: "have a port of this machine's loopback interface lead to one of the guest, `HOST:GUEST`; may be repeated"},
			&cli.StringFlag{Name: "registry", Usage: "the `URL` of a mirror of Docker's registry; this machine is 10.0.2.2 to the guest"},
			&cli.StringFlag{Name: "user-config", Usage: "a `FILE` for the application"},
			&cli.StringFlag{Name: "encrypted-env", Usage: "the application's encrypted environment, a `FILE`"},
			&cli.StringFlag{Name: "vm-config", Usage: "write dstack's vm_config of the machine to `FILE`, for \"measure --vm-config\""},
			&cli.StringFlag{Name: "seed", Usage: "of the simulated platform, 64 `HEX` digits (default: a new one)"},
			&cli.UintFlag{Name: "quote-port", Value: 4050, Usage: "the vsock `PORT` of this machine's quote generation service"},
		},
		Action: guestRun,
	}
}

// maxShared bounds what is read for the guest, in bytes; the guest has smaller bounds of its own.
const maxShared = 1 << 20

func guestRun(c *cli.Context) error {
	if err := cmdline.Args(c, "DIR"); err != nil {
		return err
	}
	o, err := runOptions(c)
	if err != nil {
		return err
	}
	g, err := launch.New(c.Args().First(), o)
	if err != nil {
		return runVerdict(err)
	}
	var keep func([]byte) error
	if name := c.String("vm-config"); name != "" {
		keep = func(document []byte) error { return replaceFile(name, append(document, '\n')) }
	}
	return runVerdict(g.Run(c.Context, c.App.Writer, c.App.ErrWriter, keep))
}

// runVerdict gives an error of package launch its exit code.
func runVerdict(err error) error {
	var option *launch.OptionError
	var ended *launch.EndedError
	switch {
	case errors.As(err, &option):
		return cmdline.Usage(fmt.Errorf("--%w", err))
	case errors.Is(err, launch.ErrNoTDX), errors.As(err, &ended) && ended.Refused:
		return cmdline.Refused(err)
	default:
		return guestVerdict(err)
	}
}

func runOptions(c *cli.Context) (o launch.Options, err error) {
	if c.String("app-compose") == "" {
		return o, flagError("app-compose", errors.New("expected a file, got none"))
	}
	for _, file := range []struct {
		flag string
		to   *[]byte
	}{{"app-compose", &o.AppCompose}, {"user-config", &o.UserConfig}, {"encrypted-env", &o.EncryptedEnv}} {
		if name := c.String(file.flag); name != "" {
			if *file.to, err = image.ReadFile(name, maxShared); err != nil {
				return o, readFault(err)
			}
		}
	}
	for _, size := range []struct {
		flag string
		to   *uint64
	}{{"memory", &o.Memory}, {"disk", &o.Disk}} {
		if *size.to, err = parseSize(c.String(size.flag)); err != nil {
			return o, flagError(size.flag, err)
		}
	}
	for _, text := range c.StringSlice("port") {
		p, err := launch.ParsePort(text)
		if err != nil {
			return o, flagError("port", err)
		}
		o.Ports = append(o.Ports, p)
	}
	port := c.Uint("quote-port")
	if port == 0 || port > math.MaxUint16 {
		return o, flagError("quote-port", fmt.Errorf("expected 1 to %d, got %d", math.MaxUint16, port))
	}
	o.CPUs, o.Registry, o.Seed, o.QuotePort = c.Int("cpus"), c.String("registry"), c.String("seed"), uint16(port)
	return o, nil
}
