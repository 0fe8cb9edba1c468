package appraisal

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// reportData holds REPORTDATA to everything that says what it has to be: the claims beside the quote, the copy beside the quote,
// and what the asker wants. The text beside a quote is unsigned; it counts only where it gives all 64 bytes.
func (a *appraiser) reportData() {
	r := a.request
	if a.quote == nil {
		for _, code := range []string{codeReportDataClaims, codeReportDataCopy, codeReportDataExpected, codeReportDataNonce} {
			a.skip(code, noQuote)
		}
		a.timestamp()
		return
	}
	got := a.quote.Body.ReportData
	actual := hex.EncodeToString(got[:])
	if r.Evidence.Claims == nil {
		a.skip(codeReportDataClaims, noClaims)
	} else if want, err := evidence.ReportData(*r.Evidence.Claims); err != nil {
		a.fail(codeReportDataClaims, "claims that have a digest", err.Error())
	} else {
		a.compare(codeReportDataClaims, hex.EncodeToString(want[:]), actual)
	}
	if r.Evidence.ReportData == nil {
		a.skip(codeReportDataCopy, "the evidence has no copy of it")
	} else {
		a.compare(codeReportDataCopy, hex.EncodeToString(r.Evidence.ReportData[:]), actual)
	}
	if r.ReportData == nil {
		a.skip(codeReportDataExpected, notAsked)
	} else {
		a.compare(codeReportDataExpected, hex.EncodeToString(r.ReportData[:]), actual)
	}
	a.nonce(got)
	a.timestamp()
}

// nonce looks for the asker's nonce where the signed claims have it, and without claims in REPORTDATA itself, as dstack's guest
// agent puts it there: from the left, then zeros (dstack guest-agent/src/rpc_service.rs, GetQuote).
func (a *appraiser) nonce(got [64]byte) {
	nonce := a.request.Nonce
	if nonce == nil {
		a.skip(codeReportDataNonce, notAsked)
		return
	}
	if len(nonce) == 0 || len(nonce) > len(got) {
		a.fail(codeReportDataNonce, "a nonce of 1 to 64 bytes from the asker", fmt.Sprintf("%d bytes", len(nonce)))
		return
	}
	if claims := a.request.Evidence.Claims; claims != nil {
		a.compare(codeReportDataNonce, hex.EncodeToString(nonce), claims.Nonce)
		return
	}
	var want [64]byte
	copy(want[:], nonce)
	if want == ([64]byte{}) {
		a.fail(codeReportDataNonce, "a nonce other than zero from the asker", "zero, which stands in every quote that nobody asked for")
		return
	}
	a.compare(codeReportDataNonce, hex.EncodeToString(want[:]), hex.EncodeToString(got[:]))
}

func (a *appraiser) timestamp() {
	r := a.request
	switch {
	case r.MaxAge == 0:
		a.skip(codeClaimsTimestamp, notAsked)
		return
	case r.Evidence.Claims == nil:
		a.fail(codeClaimsTimestamp, fmt.Sprintf("claims at most %s old", r.MaxAge), noClaims)
		return
	}
	from, to := r.At.UTC().Add(-r.MaxAge), r.At.UTC().Add(evidence.MaxAhead)
	expected := from.Format(time.RFC3339) + " to " + to.Format(time.RFC3339)
	spoken, err := r.Evidence.Claims.Time()
	switch {
	case err != nil:
		a.fail(codeClaimsTimestamp, expected, err.Error())
	case spoken.Before(from) || spoken.After(to):
		a.fail(codeClaimsTimestamp, expected, r.Evidence.Claims.Timestamp)
	default:
		a.pass(codeClaimsTimestamp, r.Evidence.Claims.Timestamp)
	}
}
