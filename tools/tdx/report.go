package tdx

import (
	"errors"
	"fmt"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// maxReport bounds a saved report: the events of a prediction are some dozens.
const maxReport = 1 << 20

// Report is a prediction in the form in which it is printed and saved.
type Report struct {
	MRTD  eventlog.Digest `json:"mrtd"`
	RTMR0 eventlog.Digest `json:"rtmr0"`
	RTMR1 eventlog.Digest `json:"rtmr1"`
	RTMR2 eventlog.Digest `json:"rtmr2"`
	// Layout is that of the firmware's events, see [tdvf.Layout].
	Layout tdvf.Layout `json:"layout"`
	Notes  []string    `json:"notes"`
	// Machine and Events are there if events were asked for.
	Machine *machine.Machine `json:"machine,omitempty"`
	Events  []Event          `json:"events,omitempty"`
}

// Report returns the prediction as it is printed, with its events or without.
func (p *Prediction) Report(events bool) Report {
	r := Report{MRTD: p.MRTD, RTMR0: p.RTMR0, RTMR1: p.RTMR1, RTMR2: p.RTMR2, Layout: p.Profile.Layout, Notes: p.Notes}
	if r.Notes == nil {
		r.Notes = []string{}
	}
	if events {
		r.Machine, r.Events = p.Machine, p.Events
	}
	return r
}

// ParseReport reads the JSON form of a report with events. The events must replay to the values. Errors wrap [ErrInput].
func ParseReport(data []byte) (*Report, error) {
	if len(data) > maxReport {
		return nil, fmt.Errorf("%w: prediction: expected up to %d bytes, got %d", ErrInput, maxReport, len(data))
	}
	r := &Report{}
	if err := strictjson.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%w: prediction: %w", ErrInput, err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%w: prediction: %w", ErrInput, err)
	}
	return r, nil
}

func (r *Report) check() error {
	if len(r.Events) == 0 {
		return errors.New("expected events, got none; they are saved with --explain")
	}
	if r.Machine != nil {
		if err := r.Machine.Validate(); err != nil {
			return err
		}
	}
	bank := eventlog.NewBank(eventlog.KindCCEL)
	for i, e := range r.Events {
		if e.Register > eventlog.RTMR2 {
			return fmt.Errorf("events[%d].register: expected rtmr0 to rtmr2, got %s", i, e.Register)
		}
		if value := bank.Extend(e.Register, e.Digest); value != e.Value {
			return fmt.Errorf("events[%d].value: expected %s, to which the digests lead, got %s", i, value, e.Value)
		}
	}
	values := bank.Values()
	for register, got := range map[eventlog.Register]eventlog.Digest{eventlog.RTMR0: r.RTMR0, eventlog.RTMR1: r.RTMR1, eventlog.RTMR2: r.RTMR2} {
		if want := values[register]; got != want {
			return fmt.Errorf("%s: expected %s, to which the events lead, got %s", register, want, got)
		}
	}
	return nil
}

// Sequence returns the events of the report.
func (r *Report) Sequence(label string) Sequence {
	p := Prediction{Events: r.Events, Machine: r.Machine}
	return p.Sequence(label)
}
