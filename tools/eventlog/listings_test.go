package eventlog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestListings compares every event of the published TPM logs with a listing that another program made of it: PCR, type, the first 12
// bytes of the digest, length of the data, and whether the digest is of that data.
func TestListings(t *testing.T) {
	line := regexp.MustCompile(`^ *(\d+) mr(\d+) +(\S+) +([0-9a-f]{24}) +(=\S+)? *len=(\d+)`)
	runs, err := filepath.Glob("testdata/tpm-oracle/*")
	if err != nil || len(runs) != 12 {
		t.Fatalf("%d runs, want 12 (%v)", len(runs), err)
	}
	for _, dir := range runs {
		run := filepath.Base(dir)
		t.Run(run, func(t *testing.T) {
			log, err := ParseTPM(load(t, "tpm-oracle/"+run+"/binary_bios_measurements"))
			if err != nil {
				t.Fatal(err)
			}
			var events []Event
			for _, e := range log.Events {
				if e.Type != EvNoAction {
					events = append(events, e)
				}
			}
			n := 0
			for text := range strings.Lines(string(load(t, "tpm-oracle/"+run+"/events.txt.gz"))) {
				f := line.FindStringSubmatch(text)
				if f == nil {
					continue
				}
				if n >= len(events) {
					t.Fatalf("the log has %d events, the listing more", len(events))
				}
				e := &events[n]
				n++
				got := fmt.Sprintf("%s EV_%s %.24s %d", e.Register, strings.TrimPrefix(e.Type.String(), "EV_"), e.Digest, len(e.Data))
				if want := fmt.Sprintf("pcr%s EV_%s %s %s", f[2], f[3], f[4], f[6]); got != want {
					t.Errorf("event %s is %s, want %s", f[1], got, want)
				}
				// What an EV_IPL is of is up to the boot loader, so that it is not checked.
				if check := e.CheckData(); f[5] != "" && e.Type != EvIPL && check != DataMatches {
					t.Errorf("event %s: the digest is of the data (%s), but CheckData gives %d", f[1], f[5], check)
				}
			}
			if n != len(events) {
				t.Errorf("the listing has %d events, the log %d", n, len(events))
			}
		})
	}
}

// TestSnapshots compares a log with what dstack's own parser made of it, in both of its forms.
func TestSnapshots(t *testing.T) {
	log, err := ParseCCEL(load(t, "ccel/dstack-ccel.bin.gz"))
	if err != nil {
		t.Fatal(err)
	}
	var events []Event
	for _, e := range log.Events {
		if e.Type != EvNoAction {
			events = append(events, e)
		}
	}
	check := func(name string, i, rtmr int, kind uint32, digest, data string) {
		if i >= len(events) {
			t.Fatalf("%s: event %d, the log has %d", name, i, len(events))
		}
		e := &events[i]
		if e.Register != Register(rtmr) || e.Type != EventType(kind) || e.Digest.String() != digest || hex.EncodeToString(e.Data) != data {
			t.Errorf("%s: event %d is %s %s %s %x, want rtmr%d %#x %s %s", name, i, e.Register, e.Type, e.Digest, e.Data, rtmr, kind, digest, data)
		}
	}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const structures = "parse_ccel.snap"
	entry := regexp.MustCompile(`imr_index: (\d+),\s+event_type: (\d+),\s+digests: \[\s+"([0-9a-f]{96})",\s+\],\s+event: "([0-9a-f]*)"`)
	found := entry.FindAllStringSubmatch(string(load(t, "ccel/"+structures)), -1)
	for i, f := range found {
		// A CCEL counts measurement registers: 0 is MRTD, 1 is RTMR0.
		check(structures, i, number(f[1])-1, uint32(number(f[2])), f[3], f[4])
	}
	const document = "parse_ccel-2.snap"
	_, body, _ := bytes.Cut(load(t, "ccel/"+document)[3:], []byte("---\n"))
	var entries []struct {
		IMR     int    `json:"imr"`
		Type    uint32 `json:"event_type"`
		Digest  string `json:"digest"`
		Payload string `json:"event_payload"`
	}
	if err := json.Unmarshal(body, &entries); err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		check(document, i, e.IMR, e.Type, e.Digest, e.Payload)
	}
	if len(found) != len(events) || len(entries) != len(events) {
		t.Errorf("snapshots of %d and %d events, the log has %d", len(found), len(entries), len(events))
	}
}

// TestTablesAreNoLogs: the ACPI table that says where a log is gets mixed up with it.
func TestTablesAreNoLogs(t *testing.T) {
	for _, name := range []string{"cos-113-ccel_table.dat", "go-eventlog-CCEL.bin"} {
		if log, err := ParseCCEL(load(t, "ccel/"+name)); err == nil {
			t.Errorf("%s is read as a log of %d events", name, len(log.Events))
		}
	}
}
