package main

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
)

// side is one of two boots.
type side struct {
	tdx.Sequence
	mrtd *eventlog.Digest // nil where only events are known
}

// readSide reads a saved prediction or a log. What is malformed is refused: it can not be what a guest reported.
func readSide(path string) (side, error) {
	data, err := image.ReadFile(path, eventlog.MaxDocument)
	if err != nil {
		return side{}, fileFault(err)
	}
	s, err := parseSide(path, data)
	if err != nil {
		return side{}, cmdline.Refused(fmt.Errorf("%s: %w", path, err))
	}
	return s, nil
}

func parseSide(path string, data []byte) (side, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) == nil && members["mrtd"] != nil {
		r, err := tdx.ParseReport(data)
		if err != nil {
			return side{}, err
		}
		return side{r.Sequence(path), &r.MRTD}, nil
	}
	log, err := eventlog.Parse(data)
	if err != nil {
		return side{}, err
	}
	mrtd, err := quoted(members["quote"], log)
	if err != nil {
		return side{}, err
	}
	return side{tdx.LogSequence(path, log), mrtd}, nil
}

// Where a quote of a TD has what it reports (Intel TDX DCAP Quoting Library API, appendix 3). Version 5 has a type and a length before
// the report.
const (
	quoteTEE        = 0x81 // at 4: a TD
	quoteMRTD       = 184
	quoteRTMR0      = 376
	quoteSize       = 632
	quoteDescriptor = 6
)

// quoted takes MRTD from the quote that an answer to GetQuote has beside its log, nil if there is none. The quote is not verified
// here, but a log that does not lead to its registers is not its log, and is refused.
func quoted(member json.RawMessage, log *eventlog.Log) (*eventlog.Digest, error) {
	if member == nil {
		return nil, nil
	}
	var text string
	if err := json.Unmarshal(member, &text); err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	quote, err := hex.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("quote: %w", err)
	}
	if len(quote) < quoteSize+quoteDescriptor || binary.LittleEndian.Uint32(quote[4:]) != quoteTEE {
		return nil, fmt.Errorf("quote: expected that of a TD, got %d bytes of something else", len(quote))
	}
	switch version := binary.LittleEndian.Uint16(quote); version {
	case 4:
	case 5:
		quote = quote[quoteDescriptor:]
	default:
		return nil, fmt.Errorf("quote: expected version 4 or 5, got %d", version)
	}
	replayed := log.Replay()
	for r := eventlog.RTMR0; r <= eventlog.RTMR3; r++ {
		var got eventlog.Digest
		copy(got[:], quote[quoteRTMR0+int(r)*len(got):])
		if want := replayed[r]; got != want {
			return nil, fmt.Errorf("quote: %s: expected %s, to which the event log leads, got %s", r, want, got)
		}
	}
	mrtd := new(eventlog.Digest)
	copy(mrtd[:], quote[quoteMRTD:])
	return mrtd, nil
}

// comparison is the result of measure diff.
type comparison struct {
	A           string       `json:"a"`
	B           string       `json:"b"`
	Equal       bool         `json:"equal"`
	Differences []difference `json:"differences"`
}

// difference is the first one in a register. The index counts the compared events of the register from 0; MRTD has no events.
type difference struct {
	Register eventlog.Register `json:"register"`
	Index    int               `json:"index"`
	A        *tdx.Event        `json:"a"`
	B        *tdx.Event        `json:"b"`
	Cause    string            `json:"cause"`
}

func compare(a, b side) comparison {
	result := comparison{A: a.Label, B: b.Label, Differences: []difference{}}
	if a.mrtd != nil && b.mrtd != nil && *a.mrtd != *b.mrtd {
		result.Differences = append(result.Differences, difference{Register: eventlog.MRTD, Cause: "another firmware image, or pages added in another order"})
	}
	for _, d := range tdx.Diff(a.Sequence, b.Sequence) {
		result.Differences = append(result.Differences, difference(d))
	}
	result.Equal = len(result.Differences) == 0
	return result
}

func (r comparison) Print(w io.Writer) error {
	var b bytes.Buffer
	if r.Equal {
		fmt.Fprintf(&b, "equal: %s and %s\n", r.A, r.B)
	}
	for _, d := range r.Differences {
		if d.Register == eventlog.MRTD {
			fmt.Fprintf(&b, "%s: %s\n", d.Register, d.Cause)
			continue
		}
		fmt.Fprintf(&b, "%s, event %d: %s\n", d.Register, d.Index, d.Cause)
		for _, of := range []struct {
			label string
			event *tdx.Event
		}{{r.A, d.A}, {r.B, d.B}} {
			if of.event == nil {
				fmt.Fprintf(&b, "  %s: nothing\n", of.label)
				continue
			}
			fmt.Fprintf(&b, "  %s: %s, %s, from %s\n    digest %s\n", of.label, of.event.Name, of.event.Type, of.event.Input, of.event.Digest)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func measureDiff(c *cli.Context) error {
	if err := errors.Join(inner(c), cmdline.Args(c, "A", "B")); err != nil {
		return err
	}
	a, err := readSide(c.Args().Get(0))
	if err != nil {
		return err
	}
	b, err := readSide(c.Args().Get(1))
	if err != nil {
		return err
	}
	result := compare(a, b)
	if err := cmdline.Print(c, result); err != nil {
		return err
	}
	if result.Equal {
		return nil
	}
	var registers []string
	for _, d := range result.Differences {
		registers = append(registers, d.Register.String())
	}
	return cmdline.Refused(fmt.Errorf("%s and %s differ in %s", result.A, result.B, strings.Join(registers, ", ")))
}
