package appraisal

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

func FuzzReadEvidence(f *testing.F) {
	genuine := file(f, "../dstack/testdata/verifier-fixtures/tdx-lite-getquote.json")
	f.Add(genuine)
	f.Add([]byte(`{"quote":"0x0400","event_log":[],"report_data":"","vm_config":null}`))
	f.Add([]byte(`{"agent_data":{},"quote":"04"}`))
	f.Add(getQuote(f).Quote)
	f.Add([]byte("0x04 00\n02 00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ReadEvidence(data)
		if err != nil {
			var form *FormError
			var document *evidence.FormError
			var claim *evidence.ClaimError
			if !errors.As(err, &form) && !errors.As(err, &document) && !errors.As(err, &claim) {
				t.Errorf("untyped error %v", err)
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the error has %d characters", len(err.Error()))
			}
			return
		}
		if len(e.Quote) == 0 {
			t.Error("evidence without a quote")
		}
		// A quote is read the same from its hexadecimal text.
		if len(e.Quote) > quote.MaxSize {
			return
		}
		again, err := ReadEvidence([]byte(hex.EncodeToString(e.Quote)))
		if err != nil || string(again.Quote) != string(e.Quote) {
			t.Errorf("the quote's own text gives %v and other bytes", err)
		}
	})
}

func FuzzParseExpectation(f *testing.F) {
	f.Add([]byte(measured(digest)))
	f.Add([]byte(statement(ReferenceValuesType, predictedValues)))
	f.Add([]byte(released()))
	f.Add([]byte(`[{"mrtd":"` + digest + `"},{"key_provider":{"name":"none","id":""}}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := ParseExpectation(data)
		if err != nil {
			return
		}
		if len(e.sets) == 0 {
			t.Error("an expectation of nothing")
		}
		for _, set := range e.sets {
			if len(set) == 0 {
				t.Error("a set without values, which anything would satisfy")
			}
		}
		both, err := e.And(e)
		if err == nil && len(both.sets) == 0 {
			t.Error("the expectation and itself leave nothing")
		}
	})
}

// Without collateral nothing is accepted, whatever the bytes are, and every report can be printed.
func FuzzAppraise(f *testing.F) {
	genuine := getQuote(f)
	f.Add(genuine.Quote, genuine.EventLog, genuine.VMConfig, []byte{1})
	f.Add(genuine.Quote, eventLog(f, "attestation-rs-v4-3ab56d67-202604-uptodate"), "", []byte{})
	f.Add(genuine.Quote, []byte(`{"event_log":"[]"}`), `{"mr_config":"{}"}`, []byte{1, 2})
	f.Add([]byte{}, []byte(`{"event":"a","payload":""}`), "", []byte{})
	every := expectation(f, map[string]any{"mrtd": digest, "instance_id": "", "key_provider": map[string]string{"name": "none", "id": ""}})
	f.Fuzz(func(t *testing.T, raw, log []byte, vmConfig string, nonce []byte) {
		report := Appraise(Request{
			Evidence: Evidence{Quote: raw, EventLog: log, VMConfig: vmConfig}, At: time.Unix(1_777_000_000, 0), Nonce: nonce, Expect: []Expectation{every},
		})
		if report.Accepted {
			t.Error("accepted without collateral")
		}
		if report.EventLog != nil && report.EventLog.Boot != nil {
			boot := false
			for _, c := range report.Checks {
				boot = boot || c.Code == codeLogBoot && c.Result == quote.Pass
			}
			if !boot {
				t.Error("facts of a boot that did not pass")
			}
		}
		if q, err := quote.Parse(raw); err == nil && len(Describe(q)) < 30 {
			t.Errorf("%d fields of a quote, want at least 30, without a certificate", len(Describe(q)))
		}
		if _, err := json.Marshal(report); err != nil {
			t.Error(err)
		}
	})
}
