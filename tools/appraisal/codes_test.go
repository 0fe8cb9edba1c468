package appraisal

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// documented returns the codes that the package comment explains, in its order.
func documented(t *testing.T) []string {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, m := range regexp.MustCompile(`(?m)^//\t(\S+) {2,}\S`).FindAllStringSubmatch(string(doc), -1) {
		codes = append(codes, m[1])
	}
	return codes
}

// The package comment lists every code that an appraisal can give, and an appraisal gives every one of them, in that order, whatever
// the evidence is.
func TestCodesAreDocumented(t *testing.T) {
	want := documented(t)
	if i := slices.Index(want, "reference_values.NAME"); i != len(want)-1 || i < 14 {
		t.Fatalf("the package comment has %d codes, want reference_values.NAME last among 16: %q", len(want), want)
	}
	fixed := want[:len(want)-1]
	genuine := getQuote(t)
	tests := map[string]Evidence{
		"nothing":           {},
		"no quote":          {Quote: []byte("no quote at all"), EventLog: genuine.EventLog},
		"quote":             {Quote: genuine.Quote},
		"quote and log":     genuine,
		"malformed log":     {Quote: genuine.Quote, EventLog: []byte("[")},
		"altered log":       {Quote: genuine.Quote, EventLog: []byte(strings.Replace(string(genuine.EventLog), `"event_payload":"86b0`, `"event_payload":"87b0`, 1))},
		"TPM log":           {Quote: genuine.Quote, EventLog: file(t, "../eventlog/testdata/tpm-oracle/qemu9.2.1-ovmf2025.02-direct-2cpu-2G/binary_bios_measurements")},
		"firmware's log":    {Quote: genuine.Quote, EventLog: eventLog(t, "attestation-rs-v4-3ab56d67-202604-uptodate")},
		"log without a app": {Quote: genuine.Quote, EventLog: []byte("[]")},
	}
	for name, e := range tests {
		t.Run(name, func(t *testing.T) {
			r := Request{Evidence: e, Nonce: []byte{1}, ReportData: new([64]byte), MaxAge: 1, Expect: []Expectation{{}}}
			parsed, err := quote.Parse(e.Quote)
			if err != nil {
				parsed = nil
			}
			a := &appraiser{request: &r, quote: parsed}
			a.reportData()
			a.eventLog()
			a.reference()
			var got []string
			for _, c := range a.checks {
				got = append(got, c.Code)
			}
			if !slices.Equal(got, fixed) {
				t.Errorf("codes are %q, want %q", got, fixed)
			}
		})
	}
}
