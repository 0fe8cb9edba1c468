package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
)

func eventlogCommand() *cli.Command {
	const forms = "FILE is a CC event log (the bytes of the ACPI table CCEL's log), a TPM event log (binary_bios_measurements), dstack's event log,\n" +
		"an answer to its GetQuote, or its runtime log; which of them is found out from the content."
	return &cli.Command{
		Name:  "eventlog",
		Usage: "measured-boot event logs: show, replay",
		Subcommands: []*cli.Command{
			{
				Name:        "show",
				Usage:       "list the events of a log",
				ArgsUsage:   "FILE",
				Description: forms,
				Flags:       []cli.Flag{cmdline.OutputFlag()},
				Action:      eventlogShow,
			},
			{
				Name:        "replay",
				Usage:       "compute the registers that a log leads to",
				ArgsUsage:   "FILE",
				Description: forms + "\nThe registers are rtmr0 to rtmr3, or of a TPM log pcr0 to pcr23 of its SHA-384 bank.",
				Flags:       []cli.Flag{cmdline.OutputFlag()},
				Action:      eventlogReplay,
			},
		},
	}
}

// readLog reads a log. One that is malformed, or whose events are not what their digests say, is refused.
func readLog(c *cli.Context) (*eventlog.Log, error) {
	if err := cmdline.Args(c, "FILE"); err != nil {
		return nil, err
	}
	path := c.Args().First()
	data, err := image.ReadFile(path, eventlog.MaxDocument)
	if err != nil {
		return nil, fileFault(err)
	}
	log, err := eventlog.Parse(data)
	if err != nil {
		return nil, cmdline.Refused(fmt.Errorf("%s: %w", path, err))
	}
	return log, nil
}

// listedEvents are the events of a log.
type listedEvents struct {
	Kind   eventlog.Kind `json:"kind"`
	Events []listedEvent `json:"events"`
}

type listedEvent struct {
	Index       int                `json:"index"`
	Register    eventlog.Register  `json:"register"`
	Type        eventlog.EventType `json:"type"`
	Description string             `json:"description"`
	Digest      eventlog.Digest    `json:"digest"`
	Value       eventlog.Digest    `json:"value"`
	// DataDiffers says that the event's data is not what was hashed, for types where data is hashed.
	DataDiffers bool `json:"data_differs"`
}

func (l listedEvents) Print(w io.Writer) error {
	var b bytes.Buffer
	for _, e := range l.Events {
		fmt.Fprintf(&b, "%3d  %-5s  %s: %s\n     digest %s\n     value  %s\n", e.Index, e.Register, e.Type, e.Description, e.Digest, e.Value)
		if e.DataDiffers {
			fmt.Fprintf(&b, "     the data is not what was hashed\n")
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func eventlogShow(c *cli.Context) error {
	log, err := readLog(c)
	if err != nil {
		return err
	}
	running := log.Running()
	list := listedEvents{Kind: log.Kind, Events: []listedEvent{}}
	for i := range log.Events {
		e := &log.Events[i]
		list.Events = append(list.Events, listedEvent{
			Index: e.Index, Register: e.Register, Type: e.Type, Description: e.Describe(), Digest: e.Digest, Value: running[i],
			// dstack strips the data of most events, and what is not there was not altered.
			DataDiffers: len(e.Data) > 0 && e.CheckData() == eventlog.DataDiffers,
		})
	}
	return cmdline.Print(c, list)
}

// registers are the contents of registers.
type registers map[eventlog.Register]eventlog.Digest

func (r registers) Print(w io.Writer) error {
	var order []eventlog.Register
	for register := range r {
		order = append(order, register)
	}
	slices.Sort(order)
	var b bytes.Buffer
	for _, register := range order {
		fmt.Fprintf(&b, "%-5s  %s\n", register, r[register])
	}
	_, err := w.Write(b.Bytes())
	return err
}

func eventlogReplay(c *cli.Context) error {
	log, err := readLog(c)
	if err != nil {
		return err
	}
	return cmdline.Print(c, registers(log.Replay()))
}
