package eventlog

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestParse(t *testing.T) {
	array := load(t, "dstack/tdx-lite-eventlog.json")
	text, err := json.Marshal(string(array))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		data []byte
		kind Kind
	}{
		"CCEL":          {load(t, "ccel/dstack-ccel.bin.gz"), KindCCEL},
		"TPM":           {load(t, "ccel/dstack-tpm_eventlog.bin.gz"), KindTPM},
		"array":         {array, KindDstack},
		"space before":  {append([]byte("\n "), array...), KindDstack},
		"GetQuote":      {append(append([]byte(`{"quote":"00","event_log":`), text...), `,"vm_config":"{}"}`...), KindDstack},
		"Info":          {append(append([]byte(`{"event_log":`), array...), '}'), KindDstack},
		"runtime":       {[]byte(`{"event":"app-id","payload":"3q2+7w=="}` + "\n" + `{"event":"system-ready","payload":""}` + "\n"), KindDstackRuntime},
		"runtime, once": {[]byte(`{"event":"app-id","payload":"3q2+7w=="}`), KindDstackRuntime},
	} {
		log, err := Parse(test.data)
		if err != nil || log.Kind != test.kind || len(log.Events) == 0 {
			t.Errorf("%s: %+v (%v), want a log of kind %s", name, log, err, test.kind)
		}
	}
	for name, text := range map[string]string{
		"nothing": "", "text": "hello", "an object": "{}", "cut off": `{"event_log":`, "null": `{"event_log":null}x`, "twice": `{"event_log":[],"event_log":[]}`,
		"number": `{"event_log":7}`, "not a log": `{"event_log":"hello"}`, "no log": `{"event_log":null}`,
	} {
		log, err := Parse([]byte(text))
		var where *ParseError
		if !errors.As(err, &where) {
			t.Errorf("%s: %+v (%v), want a ParseError", name, log, err)
		}
	}
}

func TestNamesCanBeReadBack(t *testing.T) {
	for _, want := range []EventType{EvSeparator, EvEFIHandoffTables2, EvDstackRuntime, 0x12345678, 0xABCDEF01} {
		text, err := want.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var got EventType
		if err := got.UnmarshalText(text); err != nil || got != want {
			t.Errorf("%s is read as %s (%v)", text, got, err)
		}
	}
	for _, text := range []string{"", "EV_NOTHING", "0x1", "0x00000004", "0x12345678 ", "0xabcdef01"} {
		if err := new(EventType).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("event type %q was read", text)
		}
	}
	for _, want := range []Register{RTMR0, RTMR3, MRTD, PCR(0), PCR(23)} {
		var got Register
		if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
			t.Errorf("%s is read as %s (%v)", want, got, err)
		}
	}
	for _, text := range []string{"", "rtmr4", "pcr24", "register(5)", "RTMR0"} {
		if err := new(Register).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("register %q was read", text)
		}
	}
}

func FuzzDetect(f *testing.F) {
	for _, name := range []string{"ccel/dstack-ccel.bin.gz", "ccel/dstack-tpm_eventlog.bin.gz", "dstack/tdx-lite-eventlog.json"} {
		// The head will do: whole logs are long, and slow to mutate.
		f.Add(load(f, name)[:1<<10])
	}
	f.Add([]byte(`{"quote":"00","event_log":"[]"}`))
	f.Add([]byte(`{"event_log":[{}]}`))
	f.Add([]byte(`{"event":"app-id","payload":"3q2+7w=="}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		log, err := Parse(data)
		if (log == nil) == (err == nil) {
			t.Fatalf("%v and %v", log, err)
		}
		if err == nil {
			log.Replay()
		}
	})
}
