package appraisal

import (
	"encoding/hex"
	"time"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// Report is the verdict, in the JSON form that `boardroom quote verify --output json` prints.
type Report struct {
	Accepted     bool          `json:"accepted"`
	Simulated    bool          `json:"simulated"`
	TCBStatus    quote.Status  `json:"tcb_status"` // empty: could not be told
	AdvisoryIDs  []string      `json:"advisory_ids"`
	TCBDate      *time.Time    `json:"tcb_date"` // the oldest of platform, module and QE; nil: could not be told
	Checks       []quote.Check `json:"checks"`
	Measurements *Measurements `json:"measurements"` // nil: there is no quote that could be parsed
	EventLog     *EventLog     `json:"event_log"`    // nil: none came, or it could not be read
	Platform     *Platform     `json:"platform"`     // nil: the PCK certificate could not be read
	matched      int           // number of the expectation that holds, from 1; zero: none
}

// Matched returns the index in [Request].Expect of the first that holds in full. Only for what is accepted is there one.
func (r Report) Matched() (index int, ok bool) { return r.matched - 1, r.Accepted && r.matched > 0 }

// Measurements is what the quote reports of the TD, in lower-case hexadecimal, each field in the byte order of the report.
type Measurements struct {
	MRTD           string `json:"mrtd"`
	RTMR0          string `json:"rtmr0"`
	RTMR1          string `json:"rtmr1"`
	RTMR2          string `json:"rtmr2"`
	RTMR3          string `json:"rtmr3"`
	MRSEAM         string `json:"mrseam"`
	MRSIGNERSEAM   string `json:"mrsignerseam"`
	MRCONFIGID     string `json:"mrconfigid"`
	MROWNER        string `json:"mrowner"`
	MROWNERCONFIG  string `json:"mrownerconfig"`
	MRSERVICETD    string `json:"mrservicetd,omitempty"` // TD report of TDX 1.5 only
	ReportData     string `json:"report_data"`
	TDAttributes   string `json:"td_attributes"`
	XFAM           string `json:"xfam"`
	SEAMAttributes string `json:"seam_attributes"`
	TEETCBSVN      string `json:"tee_tcb_svn"`
	TEETCBSVN2     string `json:"tee_tcb_svn_2,omitempty"` // TD report of TDX 1.5 only
}

// Platform is what the PCK certificate says of the machine, in lower-case hexadecimal where it has bytes.
type Platform struct {
	FMSPC              string    `json:"fmspc"`
	PCEID              string    `json:"pceid"`
	PPID               string    `json:"ppid"`
	PlatformInstanceID string    `json:"platform_instance_id,omitempty"`
	CA                 string    `json:"ca"`
	Serial             string    `json:"serial"`
	PCESVN             uint16    `json:"pcesvn"`
	CPUSVN             string    `json:"cpusvn"`
	SGXSVNs            [16]uint8 `json:"sgx_tcb_svns"`
}

// newReport puts the verdict about the quote and what else was looked at together.
func newReport(r quote.Result, a *appraiser) Report {
	report := Report{
		// What this package leaves out was not asked for, or rests on a check that failed; package quote knows what it requires.
		Accepted:  r.Accepted && r.Quote != nil,
		Simulated: r.Simulated, TCBStatus: r.Status, AdvisoryIDs: r.AdvisoryIDs,
		Checks: append(append([]quote.Check{}, r.Checks...), a.checks...), EventLog: a.log,
	}
	report.Accepted = report.Accepted && len(report.Failures()) == 0
	if report.Accepted {
		report.matched = a.matched()
	}
	if report.AdvisoryIDs == nil {
		report.AdvisoryIDs = []string{}
	}
	if !r.TCBDate.IsZero() {
		date := r.TCBDate.UTC()
		report.TCBDate = &date
	}
	if r.Quote != nil {
		report.Measurements = newMeasurements(&r.Quote.Body)
	}
	if r.Platform != nil {
		report.Platform = newPlatform(r.Platform)
	}
	return report
}

// Failures are the codes of the checks that failed, in order.
func (r Report) Failures() []string {
	var codes []string
	for _, c := range r.Checks {
		if c.Result == quote.Fail {
			codes = append(codes, c.Code)
		}
	}
	return codes
}

func newMeasurements(b *quote.Body) *Measurements {
	x := hex.EncodeToString
	m := &Measurements{
		MRTD: x(b.MRTD[:]), RTMR0: x(b.RTMR[0][:]), RTMR1: x(b.RTMR[1][:]), RTMR2: x(b.RTMR[2][:]), RTMR3: x(b.RTMR[3][:]),
		MRSEAM: x(b.MRSEAM[:]), MRSIGNERSEAM: x(b.MRSIGNERSEAM[:]), MRCONFIGID: x(b.MRCONFIGID[:]), MROWNER: x(b.MROWNER[:]),
		MROWNERCONFIG: x(b.MROWNERCONFIG[:]), ReportData: x(b.ReportData[:]), TDAttributes: x(b.TDAttributes[:]), XFAM: x(b.XFAM[:]),
		SEAMAttributes: x(b.SEAMAttributes[:]), TEETCBSVN: x(b.TEETCBSVN[:]),
	}
	if b.Kind == quote.TD15 {
		m.MRSERVICETD, m.TEETCBSVN2 = x(b.MRSERVICETD[:]), x(b.TEETCBSVN2[:])
	}
	return m
}

func newPlatform(p *quote.Platform) *Platform {
	x := hex.EncodeToString
	platform := &Platform{
		FMSPC: x(p.FMSPC[:]), PCEID: x(p.PCEID[:]), PPID: x(p.PPID[:]), CA: p.CA, Serial: p.SerialNumber, PCESVN: p.PCESVN,
		CPUSVN: x(p.CPUSVN[:]), SGXSVNs: p.SGXSVNs,
	}
	if p.PlatformInstanceID != nil {
		platform.PlatformInstanceID = x(p.PlatformInstanceID[:])
	}
	return platform
}
