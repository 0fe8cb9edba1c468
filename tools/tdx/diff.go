package tdx

import (
	"fmt"
	"slices"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// Sequence is a list of events that can be compared with another.
type Sequence struct {
	// Label names the list in differences, for instance "prediction" or a file name.
	Label  string
	events map[eventlog.Register][]Event
	// tpm: the list is from a TPM, which does not have the events that only a TD logs.
	tpm bool
	// machine is the shape that the events of a prediction were made for, nil if it is not known.
	machine *machine.Machine
}

// Sequence returns the events of a prediction.
func (p *Prediction) Sequence(label string) Sequence {
	s := Sequence{Label: label, events: make(map[eventlog.Register][]Event), machine: p.Machine}
	for _, e := range p.Events {
		s.events[e.Register] = append(s.events[e.Register], e)
	}
	return s
}

// LogSequence returns the events of a log. PCRs of a TPM log are mapped to registers of a TD; what a TD does not measure is left
// out: PCR 0, option ROMs (edk2 c477b2783f) and PCRs above 15.
func LogSequence(label string, log *eventlog.Log) Sequence {
	s := Sequence{Label: label, events: make(map[eventlog.Register][]Event), tpm: log.Kind == eventlog.KindTPM}
	running := log.Running()
	for i := range log.Events {
		e := &log.Events[i]
		r, ok := e.Register.TDX()
		if !ok || r == eventlog.MRTD || e.Type == eventlog.EvNoAction || s.tpm && e.Type == eventlog.EvEFIBootServicesDriver {
			continue
		}
		s.events[r] = append(s.events[r], Event{
			Register: r, Type: e.Type, Name: e.Describe(), Input: inputOf(e), Digest: e.Digest, Value: running[i],
			guest: e.Name,
		})
	}
	return s
}

// fromUnknown is the input of an event whose type leaves several and whose data is not in the log: dstack strips it.
const fromUnknown Input = "unknown"

// inputOf guesses from type and data what an event of a log comes from.
func inputOf(e *eventlog.Event) Input {
	text := e.Describe()
	if e.Name != "" {
		return FromGuest
	}
	if len(e.Data) == 0 {
		switch e.Type {
		case eventlog.EvPlatformConfigFlags, eventlog.EvEventTag, eventlog.EvIPL:
			return fromUnknown
		}
	}
	switch e.Type {
	case eventlog.EvEFIHandoffTables2:
		return FromMemory
	case eventlog.EvEFIPlatformFirmwareBlob2:
		return FromFirmware
	case eventlog.EvEFIVariableDriverConfig, eventlog.EvEFIVariableAuthority:
		return FromVariables
	case eventlog.EvPlatformConfigFlags:
		if strings.HasPrefix(text, "fw_cfg") {
			return FromFwCfg
		}
		return FromACPI
	case eventlog.EvEFIHandoffTables:
		return FromSMBIOS
	case eventlog.EvEFIVariableBoot, eventlog.EvEFIVariableBoot2:
		return FromBoot
	case eventlog.EvEFIBootServicesApplication:
		return FromKernel
	case eventlog.EvEFIGPTEvent, eventlog.EvEFIGPTEvent2:
		return FromDisk
	case eventlog.EvEventTag:
		if strings.HasPrefix(text, "kernel command line") {
			return FromCmdline
		}
		return FromInitrd
	case eventlog.EvIPL:
		switch text {
		case ".cmdline":
			return FromCmdline
		case ".initrd":
			return FromInitrd
		}
		return FromKernel
	default:
		return FromNothing
	}
}

// causes says what usually makes the events of an input differ.
var causes = map[Input]string{
	FromFirmware:  "another firmware build, or variables were changed in its image",
	FromMemory:    "another memory size, or firmware with another memory layout",
	FromVariables: "other secure boot keys, or firmware built with another secure boot setting",
	FromFwCfg:     "another machine configuration: boot order, boot menu, reserved memory or additional PCI roots",
	FromACPI:      "another machine shape: vCPUs, devices or their slots, memory below 2816 MiB, PCI window, NUMA, or QEMU version",
	FromSMBIOS:    "another QEMU version or machine type, CPU model, memory size, or firmware version",
	FromBoot:      "firmware of another generation, or other boot devices",
	FromKernel:    "another kernel, or QEMU wrote boot parameters into it (depends on QEMU, memory and initrd size)",
	FromCmdline:   "another kernel command line, or firmware that composes it otherwise (before and from 202508)",
	FromInitrd:    "another initrd",
	FromDisk:      "another partition table",
	FromGuest:     "another application, or guest software that measures other events",
	fromUnknown:   "an input that the log does not name, because the data of its events was stripped",
	FromNothing:   "another sequence of boot steps: firmware of another generation, or a failed boot attempt",
}

// Names of events of dstack's guest (dstack, cc-eventlog and the guest's system setup).
const (
	appID       = "app-id"
	composeHash = "compose-hash"
)

// guestCauses are causes of events of dstack's guest, by name.
var guestCauses = map[string]string{
	appID:           "another application",
	composeHash:     "another app-compose",
	"instance-id":   "another instance of the application",
	"key-provider":  "another key provider",
	"os-image-hash": "another guest image",
}

// Difference is the first disagreement of two lists in one register.
type Difference struct {
	Register eventlog.Register
	// Index is the position in the register, from 0, among the events that are compared.
	Index int
	// A and B are the events at that position; nil where a list has ended.
	A, B *Event
	// Cause says which input it is likely to come from.
	Cause string
}

// String describes the difference in one line.
func (d Difference) String() string {
	describe := func(e *Event) string {
		if e == nil {
			return "nothing"
		}
		return fmt.Sprintf("%s (%s) %s", e.Name, e.Type, e.Digest)
	}
	return fmt.Sprintf("%s event %d: %s, but %s: %s", d.Register, d.Index, describe(d.A), describe(d.B), d.Cause)
}

// Diff returns the first difference of each of RTMR0 to RTMR3, in that order; later differences in a register often follow from the
// first. RTMR3 is compared where both lists have events of it: predictions end with the kernel, and logs of the firmware with the
// firmware. If exactly one of the lists is from a TPM then separators after the first and events that only a TD has are not compared.
func Diff(a, b Sequence) []Difference {
	var differences []Difference
	for _, r := range []eventlog.Register{eventlog.RTMR0, eventlog.RTMR1, eventlog.RTMR2, eventlog.RTMR3} {
		x, y := a.events[r], b.events[r]
		if r == eventlog.RTMR3 && (len(x) == 0 || len(y) == 0) {
			continue
		}
		if a.tpm != b.tpm {
			x, y = shared(x), shared(y)
		}
		if d, differ := firstDifference(x, y); differ {
			d.Register = r
			if d.A != nil && d.A.Input == FromACPI || d.B != nil && d.B.Input == FromACPI {
				if shape := shapeCause(a, b); shape != "" {
					d.Cause = shape
				}
			}
			differences = append(differences, d)
		}
	}
	return differences
}

// shared keeps the events that both a TD and a machine with a TPM log. A TPM has a separator in each of PCR 0 to 7.
func shared(events []Event) []Event {
	var kept []Event
	separated := false
	for _, e := range events {
		switch {
		case e.Type == eventlog.EvSeparator:
			if separated || e.Register != eventlog.RTMR0 {
				continue
			}
			separated = true
		case e.Input == FromFwCfg || e.Input == FromMemory || e.Type == eventlog.EvEFIPlatformFirmwareBlob2:
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

func firstDifference(a, b []Event) (Difference, bool) {
	at := func(events []Event, i int) *Event {
		if i < len(events) {
			return &events[i]
		}
		return nil
	}
	for i := range max(len(a), len(b)) {
		d := Difference{Index: i, A: at(a, i), B: at(b, i)}
		if d.A != nil && d.B != nil && d.A.Digest == d.B.Digest {
			continue
		}
		d.Cause = cause(d, a, b)
		return d, true
	}
	return Difference{}, false
}

// cause explains the first differing event. An event that only one list has is explained by its own input.
func cause(d Difference, a, b []Event) string {
	switch {
	case d.A == nil:
		return "only the second has it: " + causes[d.B.Input]
	case d.B == nil:
		return "only the first has it: " + causes[d.A.Input]
	case d.A.guest != "" && d.A.guest == d.B.guest && guestCauses[d.A.guest] != "":
		if d.A.guest == appID && !sameGuestEvents(a, b, composeHash) {
			return guestCauses[composeHash]
		}
		return guestCauses[d.A.guest]
	case d.A.Input == d.B.Input, d.A.Type == d.B.Type && d.B.Input == fromUnknown:
		return causes[d.A.Input]
	case d.A.Type == d.B.Type && d.A.Input == fromUnknown:
		return causes[d.B.Input]
	case contains(a[d.Index:], d.B.Digest):
		return "only the first has the event here: " + causes[d.A.Input]
	case contains(b[d.Index:], d.A.Digest):
		return "only the second has the event here: " + causes[d.B.Input]
	default:
		return causes[FromNothing]
	}
}

// sameGuestEvents holds if both lists have the same digests in their events of a name.
func sameGuestEvents(a, b []Event, name string) bool {
	named := func(events []Event) []eventlog.Digest {
		var digests []eventlog.Digest
		for _, e := range events {
			if e.guest == name {
				digests = append(digests, e.Digest)
			}
		}
		return digests
	}
	return slices.Equal(named(a), named(b))
}

func contains(events []Event, d eventlog.Digest) bool {
	for _, e := range events {
		if e.Digest == d {
			return true
		}
	}
	return false
}
