package verifier

import (
	"fmt"
	"testing"
)

// TestStrangersPushNoPeerOut: refusals of fresh keys, which anyone can cause, leave the refusal of a peer where it can be seen.
func TestStrangersPushNoPeerOut(t *testing.T) {
	var v Verifier
	flood := func() {
		for i := range 2 * maxResults {
			v.results.keep(Result{AgentID: "finance-acme", PublicKey: fmt.Sprintf("stranger %d", i), At: "2026-11-22T10:00:02Z"})
		}
	}
	v.results.keep(Result{AgentID: "finance-acme", PublicKey: "peer", At: "2026-11-22T10:00:00Z", Reason: "stale"})
	v.results.keep(Result{AgentID: "finance-acme", PublicKey: "peer", At: "2026-11-22T10:00:01Z", Accepted: true})
	v.results.keep(Result{AgentID: "ceo-acme", PublicKey: "peer", At: "2026-11-22T10:00:01Z", Accepted: true})
	flood()
	v.results.keep(Result{AgentID: "finance-acme", PublicKey: "peer", At: "2026-11-22T10:00:03Z", Reason: "tcb.status"})
	flood()
	all := v.Results()
	if len(all) != maxResults+2 {
		t.Fatalf("%d results, want %d strangers and 2 peers", len(all), maxResults)
	}
	if r := all[0]; r.AgentID != "ceo-acme" || !r.Accepted {
		t.Errorf("first %+v", r)
	}
	if r := all[len(all)-1]; r.PublicKey != "peer" || r.Accepted || r.Reason != "tcb.status" {
		t.Errorf("newest %+v, want the refusal of the peer", r)
	}
	if r := all[1]; r.PublicKey != fmt.Sprintf("stranger %d", maxResults) {
		t.Errorf("oldest stranger %+v", r)
	}
	for i := range 2 * maxResults {
		v.results.keep(Result{AgentID: "finance-acme", PublicKey: fmt.Sprintf("peer %d", i), Accepted: true})
	}
	if n := len(v.Results()); n != 2*maxResults {
		t.Errorf("%d results, want at most %d of either kind", n, maxResults)
	}
}
