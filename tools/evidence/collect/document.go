package collect

import (
	"encoding/hex"
	"encoding/json"

	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// Document writes what was collected in a form that [appraisal.ReadEvidence] reads. Evidence with claims becomes an evidence
// document, which says what REPORTDATA is over; other evidence becomes an answer to GetQuote whose report_data is what REPORTDATA
// must be, so that who appraises the file finds a quote that is bound to something else.
func (c Collected) Document() ([]byte, error) {
	if c.Claims != nil {
		e, err := evidence.New(*c.Claims, c.Evidence.Quote, string(c.Evidence.EventLog), c.Evidence.VMConfig)
		if err != nil {
			return nil, err
		}
		return json.Marshal(e)
	}
	return json.Marshal(map[string]string{
		"quote":       hex.EncodeToString(c.Evidence.Quote),
		"event_log":   string(c.Evidence.EventLog),
		"report_data": hex.EncodeToString(c.ReportData[:]),
		"vm_config":   c.Evidence.VMConfig,
	})
}
