package appraisal

import (
	"time"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

// Request is all that an appraisal is a function of.
type Request struct {
	Evidence   Evidence
	Verifier   *quote.Verifier // nil: no collateral, and nothing is accepted
	Policy     quote.Policy
	At         time.Time
	ReportData *[64]byte     // REPORTDATA must be this; nil: not asked
	Nonce      []byte        // 1 to 64 bytes that the asker chose; nil: not asked
	MaxAge     time.Duration // of the claims, at most, with a clock at most [evidence.MaxAhead] ahead; zero: not asked
	Expect     []Expectation // one of them must hold in full; nil: not asked
}

// Appraise judges. What was asked for and can not be told fails; what was not asked for is listed as not checked.
func Appraise(r Request) Report {
	if r.Verifier == nil {
		r.Verifier = quote.NewVerifier(quote.Collateral{}, quote.IntelRoot())
	}
	result := r.Verifier.Appraise(r.Evidence.Quote, r.Policy, r.At)
	a := &appraiser{request: &r, quote: result.Quote}
	a.reportData()
	a.eventLog()
	a.reference()
	return newReport(result, a)
}

// matched returns the number of the first expectation of which a set holds in full, from 1, or zero.
func (a *appraiser) matched() int {
	for i, e := range a.request.Expect {
		for _, set := range e.sets {
			if _, failures := a.compareSet(set); failures == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// appraiser collects checks and what they prove.
type appraiser struct {
	request *Request
	quote   *quote.Quote // nil: could not be parsed, and nothing can be compared
	checks  []quote.Check
	log     *EventLog
	boot    *dstack.Boot // only of a log that leads to the quote's RTMR3
}

func (a *appraiser) pass(code, value string) {
	a.checks = append(a.checks, quote.Check{Code: code, Result: quote.Pass, Expected: value, Actual: value})
}

func (a *appraiser) fail(code, expected, actual string) {
	a.checks = append(a.checks, quote.Check{Code: code, Result: quote.Fail, Expected: expected, Actual: actual})
}

// skip is for what was not asked for, or can not be looked at because of a check that failed before.
func (a *appraiser) skip(code, reason string) {
	a.checks = append(a.checks, quote.Check{Code: code, Result: quote.NotChecked, Actual: reason})
}

func (a *appraiser) compare(code, expected, actual string) bool {
	if expected != actual {
		a.fail(code, expected, actual)
		return false
	}
	a.pass(code, expected)
	return true
}

// Why a check was left out.
const (
	notAsked  = "not asked for"
	noQuote   = "there is no quote to compare with"
	noLog     = "there is no event log"
	noClaims  = "the evidence has no claims"
	noBoot    = "no boot sequence of dstack was proven"
	notParsed = "the event log could not be read"
)
