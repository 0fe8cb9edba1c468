package appraisal

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

// vectors are package quote's published cases; its README says where they come from.
const vectors = "../quote/testdata/vectors"

// published is a case of cases.json, as far as it is compared here.
type published struct {
	ID       string            `json:"id"`
	Files    map[string]string `json:"files"`
	Expected struct {
		StrictAccept bool         `json:"strict_accept"`
		Status       quote.Status `json:"tcb_status"`
		At           time.Time    `json:"as_of_time"`
	} `json:"expected"`
}

// file is a file of the case, nil if it has none.
func (p *published) file(t testing.TB, kind string) []byte {
	t.Helper()
	if p.Files[kind] == "" {
		return nil
	}
	return file(t, vectors+"/files/"+p.Files[kind])
}

// verifier has the collateral of the case, and its root: Intel's, if it has none of its own.
func (p *published) verifier(t testing.TB) *quote.Verifier {
	t.Helper()
	root := quote.IntelRoot()
	if own := p.file(t, "root_ca"); own != nil {
		var err error
		if root, err = quote.ParseTrustRoot(own); err != nil {
			t.Fatal(err)
		}
	}
	return quote.NewVerifier(quote.Collateral{
		TCBInfo: p.file(t, "tcb_info"), TCBInfoChain: p.file(t, "tcb_info_chain"), QEIdentity: p.file(t, "qe_identity"),
		QEIdentityChain: p.file(t, "qe_identity_chain"), PCKCRL: p.file(t, "pck_crl"), PCKCRLChain: p.file(t, "pck_crl_chain"),
		RootCRL: p.file(t, "root_crl"),
	}, root)
}

// cases reads a JSON document of test data.
func cases[T any](t testing.TB, path string) T {
	t.Helper()
	var all T
	if err := json.Unmarshal(file(t, path), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// Every published case, with its event log where it has one, gets the verdict that is recorded.
func TestPublishedCases(t *testing.T) {
	all := cases[[]published](t, vectors+"/cases.json")
	logs := cases[map[string]map[string]bool](t, "testdata/event-logs/replays.json")
	if len(all) < 70 || len(logs) != 7 {
		t.Fatalf("%d cases and %d event logs, want at least 70 and 7", len(all), len(logs))
	}
	accepted, compared := 0, 0
	for _, c := range all {
		t.Run(c.ID, func(t *testing.T) {
			evidence, err := ReadEvidence(c.file(t, "quote"))
			if err != nil {
				t.Fatal(err)
			}
			registers, hasLog := logs[c.ID]
			if hasLog {
				evidence.EventLog = eventLog(t, c.ID)
			}
			if c.Expected.At.IsZero() { // without collateral there was no time to evaluate it for
				c.Expected.At = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
			}
			report := Appraise(Request{Evidence: evidence, At: c.Expected.At, Verifier: c.verifier(t)})
			if report.Accepted != c.Expected.StrictAccept {
				t.Errorf("accepted %v, recorded %v; failures %q", report.Accepted, c.Expected.StrictAccept, report.Failures())
			}
			if report.Accepted {
				accepted++
				if report.TCBStatus != c.Expected.Status {
					t.Errorf("status is %q, recorded %q", report.TCBStatus, c.Expected.Status)
				}
			}
			if hasLog {
				compared++
				checkReplay(t, report, registers)
			}
		})
	}
	if accepted < 15 || compared != len(logs) {
		t.Errorf("%d cases are accepted and %d event logs were compared, want at least 15 and %d", accepted, compared, len(logs))
	}
}

func checkReplay(t *testing.T, report Report, registers map[string]bool) {
	t.Helper()
	results := map[string]quote.Outcome{}
	for _, check := range report.Checks {
		results[check.Code] = check.Result
	}
	all := true
	for register, replays := range registers {
		all = all && replays
		want := quote.Pass
		if !replays {
			want = quote.Fail
		}
		if got := results["event_log.replay."+register]; got != want {
			t.Errorf("%s: replay is %q, want %q", register, got, want)
		}
	}
	if report.EventLog.Replays != all {
		t.Errorf("the log replays: %v, recorded %v", report.EventLog.Replays, all)
	}
	// Every published log of dstack that replays is a complete boot, too.
	boot := quote.NotChecked
	if report.EventLog.Kind == eventlog.KindDstack && all {
		boot = quote.Pass
	}
	if got := results["event_log.boot"]; got != boot {
		t.Errorf("event_log.boot is %q, want %q", got, boot)
	}
}

// The facts of a real boot come out as they are in the log, and in the shape that programs read.
func TestRealBoot(t *testing.T) {
	e := getQuote(t)
	report := Appraise(Request{Evidence: e, At: time.Date(2026, 4, 15, 1, 50, 58, 0, time.UTC)})
	if report.Accepted {
		t.Error("accepted without collateral")
	}
	if report.EventLog == nil || report.EventLog.Boot == nil {
		t.Fatalf("event log is %+v", report.EventLog)
	}
	got, err := json.MarshalIndent(report.EventLog, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if want := file(t, "testdata/real-boot.json"); string(got)+"\n" != string(want) {
		t.Errorf("event log is\n%s\nwant\n%s", got, want)
	}
	for _, c := range report.Checks {
		want := quote.Pass
		if c.Code == codeLogData {
			want = quote.NotChecked // dstack leaves only the mark of ACPI tables, which is not what was hashed
		}
		if strings.HasPrefix(c.Code, "event_log.") && c.Result != want {
			t.Errorf("%s is %s, want %s: %s", c.Code, c.Result, want, c.Actual)
		}
	}
}

// A log of firmware is held to the quote and to its own data; a TPM's log is none.
func TestFirmwareLog(t *testing.T) {
	const id = "attestation-rs-v4-3ab56d67-202604-uptodate"
	all := cases[[]published](t, vectors+"/cases.json")
	c := all[slices.IndexFunc(all, func(p published) bool { return p.ID == id })]
	genuine := eventLog(t, id)
	separator := eventlog.Sum(make([]byte, 4))
	data := slices.Concat(separator[:], []byte{4, 0, 0, 0, 0, 0, 0, 0}) // digest, size, data
	edit := func(to []byte, padding ...byte) []byte {
		edited := bytes.Replace(genuine, data, slices.Concat(separator[:], to), 1)
		if bytes.Equal(edited, genuine) {
			t.Fatal("the log was not edited")
		}
		return append(edited, padding...)
	}
	tests := map[string]struct {
		log  []byte
		want []string
	}{
		"genuine":      {genuine, nil},
		"data altered": {edit([]byte{4, 0, 0, 0, 1, 0, 0, 0}), []string{"event_log.data"}},
		"data removed": {edit([]byte{0, 0, 0, 0}, 0xff, 0xff, 0xff, 0xff), []string{"event_log.data"}},
		"truncated":    {genuine[:300], []string{"event_log.form"}},
		"of a TPM":     {file(t, "../eventlog/testdata/tpm-oracle/qemu9.2.1-ovmf2025.02-direct-2cpu-2G/binary_bios_measurements"), []string{"event_log.form"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			report := Appraise(Request{
				Evidence: Evidence{Quote: c.file(t, "quote"), EventLog: tt.log}, At: c.Expected.At, Verifier: c.verifier(t),
			})
			if got := report.Failures(); !slices.Equal(got, tt.want) || report.Accepted != (tt.want == nil) {
				t.Errorf("accepted %v, failures %q, want %q", report.Accepted, got, tt.want)
			}
		})
	}
}

// An appraisal is the same each time, and leaves its request as it was.
func TestAppraiseIsPure(t *testing.T) {
	e := getQuote(t)
	request := Request{Evidence: e, At: time.Date(2026, 4, 15, 1, 50, 58, 0, time.UTC), Nonce: []byte{1}, Expect: []Expectation{expectation(t, map[string]string{"mrtd": digest})}}
	first, second := Appraise(request), Appraise(request)
	if !reflect.DeepEqual(first, second) {
		t.Errorf("got %+v and then %+v", first, second)
	}
	if !reflect.DeepEqual(e, getQuote(t)) {
		t.Error("the evidence was changed")
	}
}
