package tdx

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/smbios"
)

func TestReportCanBeReadBack(t *testing.T) {
	in := Inputs{Firmware: testFirmware(t, fwtest.X64), Profile: releaseProfile(t, 202502), Direct: &DirectBoot{Kernel: testKernel("6.9.0"), Cmdline: "a"}}
	if err := in.SetMachine(machine.Default(), smbios.Options{}); err != nil {
		t.Fatal(err)
	}
	p := predict(t, in)
	saved, err := json.Marshal(p.Report(true))
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseReport(saved)
	if err != nil {
		t.Fatal(err)
	}
	if d := Diff(r.Sequence("saved"), p.Sequence("made")); d != nil {
		t.Errorf("the saved prediction differs: %v", d)
	}
	if r.MRTD != p.MRTD || r.RTMR0 != p.RTMR0 || r.RTMR1 != p.RTMR1 || r.RTMR2 != p.RTMR2 {
		t.Error("the saved values differ")
	}

	short, err := json.Marshal(p.Report(false))
	if err != nil {
		t.Fatal(err)
	}
	text, zero := string(saved), eventlog.Digest{}.String()
	for name, bad := range map[string]string{
		"nothing":       "",
		"no events":     string(short),
		"unknown":       strings.Replace(text, `"mrtd"`, `"more":1,"mrtd"`, 1),
		"another value": strings.Replace(text, p.RTMR1.String(), zero, 1),
		"another event": strings.Replace(text, p.Events[0].Digest.String(), zero, 1),
		"register":      strings.Replace(text, `"register":"rtmr0"`, `"register":"rtmr3"`, 1),
		"too large":     text + strings.Repeat(" ", maxReport),
	} {
		if _, err := ParseReport([]byte(bad)); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v, want ErrInput", name, err)
		}
	}
}

// TestDiffWithStrippedLog: a log of dstack does not say which event is the command line, but the other side does.
func TestDiffWithStrippedLog(t *testing.T) {
	in := Inputs{Firmware: testFirmware(t, fwtest.X64), Profile: releaseProfile(t, 202502), Direct: &DirectBoot{Kernel: testKernel("6.9.0"), Cmdline: "a"}}
	if err := in.SetMachine(machine.Default(), smbios.Options{}); err != nil {
		t.Fatal(err)
	}
	p := predict(t, in)
	log := &eventlog.Log{Kind: eventlog.KindDstack}
	for _, e := range p.Events {
		log.Events = append(log.Events, eventlog.Event{Register: e.Register, Type: e.Type, Digest: e.Digest})
	}
	at := len(log.Events) - 1
	log.Events[at].Digest[0] ^= 1
	predicted, stripped := p.Sequence("prediction"), LogSequence("log", log)
	for _, d := range [][]Difference{Diff(predicted, stripped), Diff(stripped, predicted)} {
		if len(d) != 1 || d[0].Register != p.Events[at].Register || d[0].Cause != causes[p.Events[at].Input] {
			t.Errorf("%v, want the cause %q", d, causes[p.Events[at].Input])
		}
	}
	other := &eventlog.Log{Kind: eventlog.KindDstack, Events: []eventlog.Event{{Register: eventlog.RTMR2, Type: eventlog.EvEventTag}}}
	same := &eventlog.Log{Kind: eventlog.KindDstack, Events: []eventlog.Event{{Register: eventlog.RTMR2, Type: eventlog.EvEventTag, Digest: eventlog.Sum(nil)}}}
	if d := Diff(LogSequence("a", other), LogSequence("b", same)); len(d) != 1 || d[0].Cause != causes[fromUnknown] {
		t.Errorf("%v, want the cause %q", d, causes[fromUnknown])
	}
}

// TestDiffOfApplications: what the guest measures is compared where both logs have it, and named by what it stands for.
func TestDiffOfApplications(t *testing.T) {
	sequence := func(events ...string) Sequence {
		log := &eventlog.Log{Kind: eventlog.KindDstack}
		for i := 0; i < len(events); i += 2 {
			log.Events = append(log.Events, eventlog.Event{
				Register: eventlog.RTMR3, Type: eventlog.EventType(0x08000001), Name: events[i], Data: []byte(events[i+1]), Digest: eventlog.Sum([]byte(events[i] + events[i+1])),
			})
		}
		return LogSequence("log", log)
	}
	base := sequence("app-id", "a", "compose-hash", "c", "instance-id", "i", "key-provider", "k")
	for _, test := range []struct {
		name, want string
		other      Sequence
	}{
		{"equal", "", sequence("app-id", "a", "compose-hash", "c", "instance-id", "i", "key-provider", "k")},
		{"app-compose", "another app-compose", sequence("app-id", "a", "compose-hash", "d", "instance-id", "i", "key-provider", "k")},
		{"app-compose that is the identity", "another app-compose", sequence("app-id", "b", "compose-hash", "d", "instance-id", "i", "key-provider", "k")},
		{"application", "another application", sequence("app-id", "b", "compose-hash", "c", "instance-id", "i", "key-provider", "k")},
		{"instance", "another instance of the application", sequence("app-id", "a", "compose-hash", "c", "instance-id", "j", "key-provider", "k")},
		{"key provider", "another key provider", sequence("app-id", "a", "compose-hash", "c", "instance-id", "i", "key-provider", "l")},
		{"fewer", "only the first has it: " + causes[FromGuest], sequence("app-id", "a", "compose-hash", "c", "instance-id", "i")},
		{"without", "", sequence()},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := Diff(base, test.other)
			if test.want == "" {
				if d != nil {
					t.Fatalf("%v, want no difference", d)
				}
				return
			}
			if len(d) != 1 || d[0].Register != eventlog.RTMR3 || d[0].Cause != test.want {
				t.Errorf("%v, want rtmr3 with the cause %q", d, test.want)
			}
		})
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte(`{"mrtd":"","events":[{"register":"rtmr0","type":"EV_SEPARATOR","name":"","input":"","digest":"","value":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseReport(data)
		if err != nil && !errors.Is(err, ErrInput) {
			t.Fatalf("%v, want ErrInput", err)
		}
		if err == nil {
			Diff(r.Sequence("a"), r.Sequence("b"))
		}
	})
}
