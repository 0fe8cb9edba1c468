package verifier

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

// Result is what became of one appraisal, as GET /v1/attestations shows it.
type Result struct {
	AgentID      string                  `json:"agent_id"`
	AgentType    string                  `json:"agent_type"`
	PublicKey    string                  `json:"public_key"` // what the evidence is bound to
	At           string                  `json:"time"`       // RFC 3339
	Accepted     bool                    `json:"accepted"`
	Simulated    bool                    `json:"simulated"`
	Reason       string                  `json:"reason,omitempty"`    // why it was not accepted
	Reference    string                  `json:"reference,omitempty"` // name of the entry that matched
	TCBStatus    quote.Status            `json:"tcb_status"`          // empty: could not be told
	AdvisoryIDs  []string                `json:"advisory_ids"`
	Checks       []quote.Check           `json:"checks"`
	Measurements *appraisal.Measurements `json:"measurements"`
	Platform     *appraisal.Platform     `json:"platform"`
}

// take copies from a report. The event log stays out: the checks say what became of it, and it is long.
func (r *Result) take(report appraisal.Report) {
	r.Simulated = r.Simulated || report.Simulated
	r.TCBStatus, r.AdvisoryIDs, r.Checks = report.TCBStatus, report.AdvisoryIDs, report.Checks
	r.Measurements, r.Platform = report.Measurements, report.Platform
}

// maxResults bounds how many peers are remembered, of those that were accepted once and of the others.
const maxResults = 128

// results holds the newest result per peer and key. A stranger who claims a peer's id has another key, and so can not put a
// result in the place of that peer's. Anyone can cause refusals of ever new keys, so peers that were accepted once are kept apart.
type results struct {
	mu        sync.Mutex
	peers     []Result // accepted now or before, oldest first
	strangers []Result // never accepted, oldest first
}

func (r *results) keep(result Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	same := func(old Result) bool { return old.AgentID == result.AgentID && old.PublicKey == result.PublicKey }
	list := &r.strangers
	if result.Accepted || slices.ContainsFunc(r.peers, same) {
		list = &r.peers
	}
	r.peers, r.strangers = slices.DeleteFunc(r.peers, same), slices.DeleteFunc(r.strangers, same)
	if len(*list) == maxResults {
		*list = slices.Delete(*list, 0, 1)
	}
	*list = append(*list, result)
}

// Results returns the newest result of each peer, by agent id and then by time.
func (v *Verifier) Results() []Result {
	v.results.mu.Lock()
	defer v.results.mu.Unlock()
	all := slices.Concat(v.results.peers, v.results.strangers)
	slices.SortStableFunc(all, func(a, b Result) int {
		return cmp.Or(strings.Compare(a.AgentID, b.AgentID), strings.Compare(a.At, b.At))
	})
	return all
}
