//go:build simtee

package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/simtee"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
	"github.com/boardroom-tee/boardroom/tools/tdx"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
)

func noDev(*cli.Context) error { return nil }

func devCommands() []*cli.Command {
	const what = "The simulated TEE signs quotes that lead to a root certificate of its own. They are accepted only by who is given that\n" +
		"root, and say nothing about any machine. What is not given is made up: measurements spell SIMULATED, and the application\n" +
		"does nothing. With --measurements of a file that has events (measure --explain --output json), they are in the event log."
	flags := []cli.Flag{
		&cli.StringFlag{Name: "seed", Usage: "`HEX`, 32 bytes, that all keys follow from; without it and --state they are new each time"},
		&cli.StringFlag{Name: "state", Usage: "directory `DIR` that keeps the seed; made if it is not there"},
		&cli.StringFlag{Name: "measurements", Usage: "`FILE` with the JSON of boardroom measure: MRTD and RTMR0 to RTMR2"},
		&cli.StringFlag{Name: "mrtd", Usage: "MRTD, 48 bytes in `HEX`"},
		&cli.StringFlag{Name: "rtmr0", Usage: "RTMR0 in `HEX`; without events, it is not in the event log"},
		&cli.StringFlag{Name: "rtmr1", Usage: "RTMR1 in `HEX`, likewise"},
		&cli.StringFlag{Name: "rtmr2", Usage: "RTMR2 in `HEX`, likewise"},
		&cli.StringFlag{Name: "mrconfigid", Usage: "MRCONFIGID in `HEX`; as dstack sets it if not given"},
		&cli.StringFlag{Name: "app-compose", Usage: "app-compose.json `FILE` that is booted"},
		&cli.StringFlag{Name: "vm-config", Usage: "`FILE` with dstack's vm_config"},
		&cli.StringFlag{Name: "dstack", Value: "0.5.11", Usage: "`VERSION` of dstack whose guest agent is simulated"},
		&cli.IntFlag{Name: "quote-version", Value: 4, Usage: "`VERSION` of quotes, 4, or 5 with the longer report of TDX 1.5"},
		&cli.StringFlag{Name: "at", Usage: "`TIME`, RFC 3339, at which the collateral is a day old; now if not given"},
		cmdline.OutputFlag(),
	}
	collateralTo := &cli.StringFlag{Name: "collateral-to", Usage: "write the collateral and the root certificate, root_ca.pem, to directory `DIR`"}
	return []*cli.Command{
		{
			Name:        "tee",
			Usage:       "run a SIMULATED TEE with dstack's guest agent on a socket, until it is interrupted",
			Description: what,
			Flags: append([]cli.Flag{
				&cli.StringFlag{Name: "socket", Usage: "serve dstack's guest agent on the unix socket `PATH`"},
				collateralTo,
				&cli.StringFlag{Name: "pcs", Usage: "serve the collateral as Intel's PCS does, over HTTP, on `ADDRESS`, such as 127.0.0.1:0"},
			}, flags...),
			Action: devTEE,
		},
		{
			Name:        "quote",
			Usage:       "make one SIMULATED quote, as an answer to dstack's GetQuote",
			Description: what,
			Flags: append([]cli.Flag{
				&cli.StringFlag{Name: "report-data", Usage: "up to 64 bytes in `HEX`; zeros are added on the right"},
				&cli.StringFlag{Name: "to", Usage: "write the answer, JSON, to `FILE`"},
				collateralTo,
			}, flags...),
			Action: devQuote,
		},
	}
}

// simulation is what a command tells of its simulated TEE.
type simulation struct {
	Simulated  bool               `json:"simulated"`
	Socket     string             `json:"socket,omitempty"`
	Quote      string             `json:"quote,omitempty"`
	Collateral string             `json:"collateral,omitempty"`
	TrustRoot  string             `json:"trust_root,omitempty"`
	PCS        string             `json:"pcs,omitempty"`
	Seed       string             `json:"seed"`
	MRTD       eventlog.Digest    `json:"mrtd"`
	RTMR0      eventlog.Digest    `json:"rtmr0"`
	RTMR1      eventlog.Digest    `json:"rtmr1"`
	RTMR2      eventlog.Digest    `json:"rtmr2"`
	RTMR3      eventlog.Digest    `json:"rtmr3"`
	MRCONFIGID eventlog.Digest    `json:"mrconfigid"`
	Compose    dstack.ComposeHash `json:"compose_hash"`
	Ready      bool               `json:"ready"`
}

func (s simulation) Print(w io.Writer) error {
	var b bytes.Buffer
	line := func(name string, value any) {
		if text := fmt.Sprint(value); text != "" {
			fmt.Fprintf(&b, "%-12s  %s\n", name, text)
		}
	}
	fmt.Fprintln(&b, "SIMULATED TEE: no hardware vouches for anything it says")
	line("socket", s.Socket)
	line("quote", s.Quote)
	line("collateral", s.Collateral)
	line("trust root", s.TrustRoot)
	line("PCS", s.PCS)
	line("seed", s.Seed)
	for _, register := range []struct {
		name  string
		value eventlog.Digest
	}{{"MRTD", s.MRTD}, {"RTMR0", s.RTMR0}, {"RTMR1", s.RTMR1}, {"RTMR2", s.RTMR2}, {"RTMR3", s.RTMR3}, {"MRCONFIGID", s.MRCONFIGID}} {
		line(register.name, register.value)
	}
	line("compose hash", s.Compose)
	if s.Ready {
		fmt.Fprintln(&b, "ready (SIMULATED)")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// simulate builds the platform and boots the trust domain that the flags describe.
func simulate(c *cli.Context) (*simtee.Platform, *simtee.TD, simulation, error) {
	launch, at, err := launchFlags(c)
	if err != nil {
		return nil, nil, simulation{}, err
	}
	seed, err := seedFlag(c)
	if err != nil {
		return nil, nil, simulation{}, err
	}
	platform, err := simtee.New(seed, at)
	if err != nil {
		return nil, nil, simulation{}, cmdline.Usage(err)
	}
	td, err := platform.Boot(launch)
	if err != nil {
		return nil, nil, simulation{}, cmdline.Usage(err)
	}
	body := td.Body()
	return platform, td, simulation{
		Simulated: true, Seed: seed.String(), MRTD: body.MRTD, RTMR0: body.RTMR[0], RTMR1: body.RTMR[1], RTMR2: body.RTMR[2], RTMR3: body.RTMR[3],
		MRCONFIGID: body.MRCONFIGID, Compose: dstack.ComposeHashOf(td.AppCompose()),
	}, nil
}

// seedFlag takes the seed from the command line, from a directory, or from nowhere.
func seedFlag(c *cli.Context) (simtee.Seed, error) {
	switch text, dir := c.String("seed"), c.String("state"); {
	case text != "" && dir != "":
		return simtee.Seed{}, cmdline.Usage(errors.New("--state: expected nothing beside --seed"))
	case text != "":
		seed, err := simtee.ParseSeed(text)
		if err != nil {
			return seed, cmdline.Usage(fmt.Errorf("--seed: %w", err))
		}
		return seed, nil
	case dir != "":
		return keptSeed(dir)
	default:
		return simtee.NewSeed(), nil
	}
}

// keptSeed reads the file seed of a directory, and writes it the first time.
func keptSeed(dir string) (simtee.Seed, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return simtee.Seed{}, err
	}
	file := filepath.Join(dir, "seed")
	seed := simtee.NewSeed()
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, seed)
		return seed, errors.Join(err, f.Close())
	}
	if !errors.Is(err, fs.ErrExist) {
		return simtee.Seed{}, err
	}
	text, err := image.ReadFile(file, 1<<10)
	if err != nil {
		return simtee.Seed{}, err
	}
	seed, err = simtee.ParseSeed(string(bytes.TrimSuffix(text, []byte("\n"))))
	if err != nil {
		return seed, cmdline.Usage(fmt.Errorf("%s: %w", file, err))
	}
	return seed, nil
}

func launchFlags(c *cli.Context) (simtee.Launch, time.Time, error) {
	var l simtee.Launch
	at := time.Now()
	if text := c.String("at"); text != "" {
		var err error
		if at, err = time.Parse(time.RFC3339, text); err != nil {
			return l, at, cmdline.Usage(fmt.Errorf("--at: expected a time such as 2026-01-31T12:00:00Z, got %q", text))
		}
	}
	release, err := dstack.ParseRelease(c.String("dstack"))
	if err != nil {
		return l, at, cmdline.Usage(fmt.Errorf("--dstack: %w", err))
	}
	l.Dstack.Release = release
	switch l.QuoteVersion = uint16(c.Int("quote-version")); c.Int("quote-version") {
	case 4:
	case 5:
		l.BodyKind = "TD15"
	default:
		return l, at, cmdline.Usage(fmt.Errorf("--quote-version: expected 4 or 5, got %d", c.Int("quote-version")))
	}
	if err := measurementFlags(c, &l); err != nil {
		return l, at, err
	}
	if path := c.String("app-compose"); path != "" {
		if l.Compose, err = image.ReadFile(path, dstack.MaxForeignAppCompose); err != nil {
			return l, at, err
		}
	}
	if path := c.String("vm-config"); path != "" {
		text, err := image.ReadFile(path, 1<<20)
		if err != nil {
			return l, at, err
		}
		l.VMConfig = string(text)
	}
	return l, at, nil
}

func measurementFlags(c *cli.Context, l *simtee.Launch) error {
	registers := []struct {
		name string
		to   *eventlog.Digest
	}{{"mrtd", &l.MRTD}, {"rtmr0", &l.RTMR[0]}, {"rtmr1", &l.RTMR[1]}, {"rtmr2", &l.RTMR[2]}}
	if path := c.String("measurements"); path != "" {
		for _, r := range registers {
			if c.String(r.name) != "" {
				return cmdline.Usage(fmt.Errorf("--%s: expected nothing beside --measurements", r.name))
			}
		}
		if err := readMeasurements(path, l); err != nil {
			return err
		}
	}
	for _, r := range registers {
		if text := c.String(r.name); text != "" {
			value, err := eventlog.ParseDigest(text)
			if err != nil {
				return cmdline.Usage(fmt.Errorf("--%s: %w", r.name, err))
			}
			*r.to = value
		}
	}
	if text := c.String("mrconfigid"); text != "" {
		value, err := eventlog.ParseDigest(text)
		if err != nil {
			return cmdline.Usage(fmt.Errorf("--mrconfigid: %w", err))
		}
		l.MRCONFIGID = (*[48]byte)(&value)
	}
	return nil
}

// readMeasurements reads what boardroom measure printed, with its events if they are there.
func readMeasurements(path string, l *simtee.Launch) error {
	data, err := image.ReadFile(path, 1<<20)
	if err != nil {
		return err
	}
	r := &tdx.Report{}
	if err = strictjson.Unmarshal(data, r); err == nil && len(r.Events) > 0 {
		r, err = tdx.ParseReport(data)
	}
	if err != nil {
		return cmdline.Usage(fmt.Errorf("%s: %w", path, err))
	}
	l.MRTD, l.RTMR = r.MRTD, [3]eventlog.Digest{r.RTMR0, r.RTMR1, r.RTMR2}
	for _, e := range r.Events {
		l.Events = append(l.Events, eventlog.Event{Register: e.Register, Type: e.Type, Digest: e.Digest})
	}
	return nil
}

// publish writes the collateral to the directory of the flag, if there is one.
func publish(c *cli.Context, p *simtee.Platform, s *simulation) error {
	dir := c.String("collateral-to")
	if dir == "" {
		return nil
	}
	if err := p.WriteCollateral(dir); err != nil {
		return err
	}
	s.Collateral, s.TrustRoot = dir, filepath.Join(dir, simtee.RootFile)
	return nil
}

func devQuote(c *cli.Context) error {
	if err := cmdline.Args(c); err != nil {
		return err
	}
	reportData, err := hex.DecodeString(c.String("report-data"))
	if err != nil || len(reportData) > 64 {
		return cmdline.Usage(fmt.Errorf("--report-data: expected up to 64 bytes in hex, got %.140q", c.String("report-data")))
	}
	if c.String("to") == "" {
		return cmdline.Usage(errors.New("--to: expected a file"))
	}
	platform, td, told, err := simulate(c)
	if err != nil {
		return err
	}
	answer, err := td.Answer(reportData)
	if err != nil {
		return err
	}
	if err := publish(c, platform, &told); err != nil {
		return err
	}
	told.Quote = c.String("to")
	if err := os.WriteFile(told.Quote, answer, 0o644); err != nil {
		return err
	}
	return cmdline.Print(c, told)
}

func devTEE(c *cli.Context) error {
	if err := cmdline.Args(c); err != nil {
		return err
	}
	for _, name := range []string{"socket", "collateral-to"} {
		if c.String(name) == "" {
			return cmdline.Usage(fmt.Errorf("--%s: expected a path", name))
		}
	}
	platform, td, told, err := simulate(c)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(c.Context)
	defer stop()
	told.Socket = c.String("socket")
	agent, err := simtee.Listen(ctx, told.Socket)
	if err != nil {
		return err
	}
	defer agent.Close()
	var pcs net.Listener
	if address := c.String("pcs"); address != "" {
		if pcs, err = (&net.ListenConfig{}).Listen(ctx, "tcp", address); err != nil {
			return err
		}
		defer pcs.Close()
		told.PCS = "http://" + pcs.Addr().String()
	}
	if err := publish(c, platform, &told); err != nil {
		return err
	}
	told.Ready = true
	if err := cmdline.Print(c, told); err != nil {
		return err
	}
	ended := make(chan error, 2)
	serving := 1
	go func() { ended <- simtee.Serve(ctx, agent, td.GuestAgent()) }()
	if pcs != nil {
		serving++
		go func() { ended <- simtee.Serve(ctx, pcs, platform.PCS()) }()
	}
	for range serving {
		err = errors.Join(err, <-ended)
		stop() // one that fails takes the other with it
	}
	return err
}
