//go:build simtee

package registers

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/simtee"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// at is a day on which the simulated documents are new.
var at = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

func TestAsTD(t *testing.T) {
	event := func(pcr int, kind eventlog.EventType, mark byte) eventlog.Event {
		return eventlog.Event{Register: eventlog.PCR(pcr), Type: kind, Digest: eventlog.Digest{mark}}
	}
	log := &eventlog.Log{Kind: eventlog.KindTPM, Events: []eventlog.Event{
		event(0, eventlog.EvPostCode, 1), event(7, eventlog.EvEFIVariableDriverConfig, 2), event(7, eventlog.EvSeparator, 3),
		event(2, eventlog.EvEFIBootServicesDriver, 4), event(4, eventlog.EvEFIBootServicesApplication, 5), event(1, eventlog.EvEFIVariableBoot, 6),
		event(1, eventlog.EvSeparator, 7), event(4, eventlog.EvSeparator, 8), event(5, eventlog.EvSeparator, 9), event(9, eventlog.EvEventTag, 10),
		event(10, eventlog.EvIPL, 11), event(16, eventlog.EvIPL, 12), event(4, eventlog.EvNoAction, 13), event(5, eventlog.EvEFIAction, 14),
	}}
	for separatorRTMR1, want := range map[bool]map[eventlog.Register][]byte{
		true:  {eventlog.RTMR0: {2, 3, 6}, eventlog.RTMR1: {5, 8, 14}, eventlog.RTMR2: {10}},
		false: {eventlog.RTMR0: {2, 3, 6, 7}, eventlog.RTMR1: {5, 14}, eventlog.RTMR2: {10}},
	} {
		got := make(map[eventlog.Register][]byte)
		for _, e := range asTD(log, separatorRTMR1) {
			got[e.Register] = append(got[e.Register], e.Digest[0])
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("separator in RTMR1 %t: %v, want %v", separatorRTMR1, got, want)
		}
	}
	if log.Events[1].Register != eventlog.PCR(7) {
		t.Error("the log was changed")
	}
}

func TestEmulated(t *testing.T) {
	dir := t.TempDir()
	if got, err := emulated(dir); got || err != nil {
		t.Errorf("without the item: %t, %v", got, err)
	}
	if err := os.MkdirAll(filepath.Join(dir, itemEmulated), 0o700); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"0": false, "1": true, "1\n": true} {
		if err := os.WriteFile(filepath.Join(dir, itemEmulated, "raw"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := emulated(dir); got != want || err != nil {
			t.Errorf("%q: %t, %v, want %t", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "2", "true", "01"} {
		if err := os.WriteFile(filepath.Join(dir, itemEmulated, "raw"), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := emulated(dir); err == nil || !strings.Contains(err.Error(), "expected 0 or 1") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestParseE820(t *testing.T) {
	entry := func(start, length uint64, kind uint32) []byte {
		b := binary.LittleEndian.AppendUint64(nil, start)
		return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(b, length), kind)
	}
	data := append(append(entry(0, 2<<30, 1), entry(0xfeffc000, 0x4000, 2)...), entry(4<<30, 1<<30, 1)...)
	got, err := parseE820(data)
	if want := []tdvf.Range{{Start: 0, Length: 2 << 30}, {Start: 4 << 30, Length: 1 << 30}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := parseE820(data[1:]); err == nil {
		t.Errorf("got %v", got)
	}
}

func TestFindFirmwareRefuses(t *testing.T) {
	if image, err := findFirmware(make([]byte, romSize)); err == nil || !strings.Contains(err.Error(), "found none") {
		t.Errorf("got %v, %v", image, err)
	}
}

func TestSimulatedQuote(t *testing.T) {
	seed, err := simtee.ParseSeed(strings.Repeat("51", 32))
	if err != nil {
		t.Fatal(err)
	}
	platform, err := simtee.New(seed, at)
	if err != nil {
		t.Fatal(err)
	}
	s := &Simulated{platform: platform, body: platform.Body()}
	s.body.MRTD, s.body.RTMR[2] = [48]byte{1}, [48]byte{2}
	digest := dstack.Register{3}
	if err := s.Extend(digest); err != nil {
		t.Fatal(err)
	}
	raw, err := s.Quote(t.Context(), [64]byte{4})
	if err != nil {
		t.Fatal(err)
	}
	root, err := quote.ParseTrustRoot(platform.RootPEM())
	if err != nil {
		t.Fatal(err)
	}
	result := quote.NewVerifier(platform.Collateral(), root).Appraise(raw, quote.Policy{}, at)
	if !result.Accepted {
		t.Fatalf("not accepted: %+v", result.Checks)
	}
	values, err := s.Registers()
	if err != nil {
		t.Fatal(err)
	}
	b := result.Quote.Body
	if b.MRTD[0] != 1 || b.RTMR[2][0] != 2 || b.RTMR[3] != values.RTMR3 || b.ReportData[0] != 4 {
		t.Errorf("the quote has %+v", b)
	}
	var zero eventlog.Digest
	if want := zero.Extend(eventlog.Digest(digest)); values.RTMR3 != dstack.Register(want) {
		t.Errorf("RTMR3 %s, want %s", values.RTMR3, want)
	}
	if vendor, product := s.Name(); vendor != "SIMULATED" || product != "SIMULATED" {
		t.Errorf("it calls itself %s %s", vendor, product)
	}
}
