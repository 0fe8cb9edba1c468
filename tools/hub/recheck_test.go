package hub

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/boardroom-tee/boardroom/tools/evidence"
)

func TestRecheckPasses(t *testing.T) {
	h := newHub(t, verifying)
	a := h.agent("finance-acme", "finance", 1)
	var asked []string
	a.attest = func(nonce string) (evidence.Evidence, error) {
		asked = append(asked, nonce)
		return a.evidence(nonce), nil
	}
	a.register()
	h.sweep(t.Context())
	h.sweep(t.Context())
	if len(asked) != 1 {
		t.Fatalf("checked %d times at the start, want once", len(asked))
	}
	h.clock = h.clock.Add(recheckEvery)
	h.sweep(t.Context())
	if len(asked) != 2 || asked[0] == asked[1] {
		t.Errorf("nonces %v, want a fresh one for each check", asked)
	}
	if l := h.listing(); !l.Agents[0].Live || l.Agents[0].LastCheckedAt != "2026-11-22T10:05:00Z" {
		t.Errorf("listing %+v", l)
	}
}

func TestRecheckFails(t *testing.T) {
	var verdict error
	for name, break_ := range map[string]func(*testHub, *simAgent){
		"unreachable": func(h *testHub, a *simAgent) { delete(h.net, a.host()) },
		"no evidence": func(_ *testHub, a *simAgent) {
			a.attest = func(string) (evidence.Evidence, error) {
				return evidence.Evidence{}, errors.New("no dstack guest agent")
			}
		},
		"replayed": func(h *testHub, a *simAgent) {
			old := a.evidence(strings.Repeat("ab", 32))
			a.attest = func(string) (evidence.Evidence, error) { return old, nil }
		},
		"another key": func(h *testHub, a *simAgent) {
			other := h.agent(a.id, a.kind, 9)
			a.attest = func(nonce string) (evidence.Evidence, error) { return other.evidence(nonce), nil }
			h.net[a.host()] = a.serve
		},
		"another id": func(h *testHub, a *simAgent) {
			other := h.agent("ceo-acme", a.kind, 1)
			a.attest = func(nonce string) (evidence.Evidence, error) { return other.evidence(nonce), nil }
		},
		"another type": func(h *testHub, a *simAgent) {
			other := h.agent(a.id, "ceo", 1)
			a.attest = func(nonce string) (evidence.Evidence, error) { return other.evidence(nonce), nil }
			h.net[a.host()] = a.serve
		},
		"report data": func(_ *testHub, a *simAgent) {
			a.attest = func(nonce string) (evidence.Evidence, error) {
				e := a.evidence(nonce)
				e.ReportData[5] ^= 1
				return e, nil
			}
		},
		"clock": func(_ *testHub, a *simAgent) {
			a.attest = func(nonce string) (evidence.Evidence, error) {
				c := a.claims(nonce)
				c.Timestamp = "2020-01-01T00:00:00Z"
				return evidence.New(c, []byte{4}, "[]", "")
			}
		},
		"garbage": func(h *testHub, a *simAgent) {
			h.net[a.host()] = func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) }
		},
		"endless": func(h *testHub, a *simAgent) {
			h.net[a.host()] = func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, evidence.MaxSize+1)) }
		},
		"redirect": func(h *testHub, a *simAgent) {
			h.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			h.net[a.host()] = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://other.example.com", http.StatusFound)
			}
			h.net["other.example.com"] = func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }
		},
		"refused": func(*testHub, *simAgent) { verdict = &Refusal{"bad_tcb", "out of date"} },
	} {
		t.Run(name, func(t *testing.T) {
			verdict = nil
			h := newHub(t, func(o *Options) {
				o.Appraiser = appraise(func(evidence.Evidence) (Appraisal, error) { return Appraisal{Verified: true}, verdict })
			})
			a := h.agent("finance-acme", "finance", 1)
			a.register()
			h.sweep(t.Context())
			break_(h, a)
			if h.clock = h.clock.Add(recheckEvery - time.Second); len(h.liveAgents()) != 1 {
				t.Fatal("not live before the check is due")
			}
			h.clock = h.clock.Add(time.Second)
			h.sweep(t.Context())
			if l := h.listing(); len(l.Agents) != 1 || l.Agents[0].Live || l.Agents[0].Failure == "" {
				t.Fatalf("after the failed check: %+v", l)
			}
			if _, found := h.registry.pick(h.clock, "finance"); found {
				t.Error("questions are still routed to it")
			}
			h.clock = h.clock.Add(recheckGrace - time.Second)
			h.sweep(t.Context())
			if l := h.listing(); len(l.Agents) != 1 || l.Agents[0].Live {
				t.Errorf("within the grace: %+v", l)
			}
			h.clock = h.clock.Add(time.Second)
			if l := h.listing(); len(l.Agents) != 0 {
				t.Errorf("after the grace: %+v", l)
			}
		})
	}
}

func TestRecheckRecovers(t *testing.T) {
	h := newHub(t, verifying)
	a := h.agent("finance-acme", "finance", 1)
	a.register()
	good := h.net[a.host()]
	delete(h.net, a.host())
	h.sweep(t.Context())
	if len(h.liveAgents()) != 0 {
		t.Fatal("live after a failed check")
	}
	// A renewal proves the agent, not what answers at its address.
	a.register()
	if len(h.liveAgents()) != 0 {
		t.Error("a renewal at the same addresses cleared the failure")
	}
	h.net[a.host()] = good
	h.clock = h.clock.Add(recheckRetry)
	h.sweep(t.Context())
	if l := h.listing(); !l.Agents[0].Live || l.Agents[0].Failure != "" {
		t.Errorf("recovered: %+v", l)
	}
}

// TestLateCheckDoesNotJudgeANewerRegistration: the check of a registration that was renewed meanwhile is void.
func TestLateCheckDoesNotJudgeANewerRegistration(t *testing.T) {
	h := newHub(t, verifying)
	a := h.agent("finance-acme", "finance", 1)
	a.register()
	stale := h.registry.list(h.clock)[0]
	a.register()
	h.registry.checked(h.clock, stale, Appraisal{}, errors.New("late"))
	if len(h.liveAgents()) != 1 {
		t.Error("a late check took a renewed agent down")
	}
}

func TestAgentWithoutEvidenceIsNotChecked(t *testing.T) {
	h := newHub(t, insecure)
	a := h.agent("finance-acme", "finance", 1)
	a.attest = func(string) (evidence.Evidence, error) {
		t.Error("asked for evidence it does not have")
		return evidence.Evidence{}, errors.New("none")
	}
	if status, code := h.post(a.bare()); status != 201 {
		t.Fatalf("%d %s", status, code)
	}
	h.sweep(t.Context())
	if l := h.listing(); !l.Agents[0].Live || l.Agents[0].LastCheckedAt != "" {
		t.Errorf("listing %+v", l)
	}
}

func TestRunSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, verifying)
		h.Hub.now = time.Now
		h.clock = time.Now()
		a := h.agent("finance-acme", "finance", 1)
		a.register()
		// An agent that takes a question and never answers must not hold up the sweep for ever.
		h.net[a.host()] = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		go h.Run(t.Context())
		time.Sleep(sweepEvery + recheckTimeout + time.Second)
		if l := h.listing(); len(l.Agents) != 1 || l.Agents[0].Live || !strings.Contains(l.Agents[0].Failure, "deadline") {
			t.Errorf("listing %+v", l)
		}
	})
}
