package hub

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// TestFailingRenewalEndsAsking is attack 61: what was good once is not good for as long as a registration lasts.
func TestFailingRenewalEndsAsking(t *testing.T) {
	for name, failure := range map[string]error{
		"refused": &Refusal{"tcb.status", "want UpToDate, got OutOfDate"},
		"wrapped": fmt.Errorf("step: %w", &Refusal{"bad_quote", "no"}),
	} {
		var verdict error
		h := newHub(t, func(o *Options) {
			o.Appraiser = appraise(func(evidence.Evidence) (Appraisal, error) { return Appraisal{Verified: true}, verdict })
		})
		a := h.agent("finance-acme", "finance", 1)
		a.register()
		h.clock = h.clock.Add(recheckEvery)
		h.sweep(t.Context())
		if len(h.liveAgents()) != 1 {
			t.Fatalf("%s: not live to begin with", name)
		}
		stale := h.registry.list(h.clock)[0]
		verdict = failure
		if status, _ := h.post(a.message()); status == 201 {
			t.Fatalf("%s: renewed", name)
		}
		if l := h.listing(); len(l.Agents) != 1 || l.Agents[0].Live || !strings.Contains(l.Agents[0].Failure, failure.Error()) {
			t.Errorf("%s: listing %+v", name, l)
		}
		if _, found := h.registry.pick(h.clock, "finance"); found {
			t.Errorf("%s: questions are still routed to it", name)
		}
		// A check that began before the renewal failed does not know of it.
		h.registry.checked(h.clock, stale, Appraisal{Verified: true}, nil)
		if len(h.liveAgents()) != 0 {
			t.Errorf("%s: an older check cleared the failure", name)
		}
	}
}

// TestUndecidedRenewalIsNoFailure: an outage of the collateral service takes no agent down at once, and renews none either.
func TestUndecidedRenewalIsNoFailure(t *testing.T) {
	var verdict error
	h := newHub(t, func(o *Options) {
		o.Appraiser = appraise(func(evidence.Evidence) (Appraisal, error) { return Appraisal{Verified: true}, verdict })
	})
	a := h.agent("finance-acme", "finance", 1)
	a.register()
	h.clock = h.clock.Add(registrationTTL - time.Second)
	verdict = errors.New("collateral: nobody answers")
	if status, code := h.post(a.message()); status != 503 || code != "appraisal_failed" {
		t.Fatalf("%d %s, want 503 appraisal_failed", status, code)
	}
	if l := h.listing(); len(l.Agents) != 1 || !l.Agents[0].Live || l.Agents[0].Failure != "" {
		t.Errorf("listing %+v", l)
	}
	h.clock = h.clock.Add(time.Second)
	if l := h.listing(); len(l.Agents) != 0 {
		t.Errorf("renewed all the same: %+v", l)
	}
}

// TestStrangersRenewalHarmsNobody: only the registered key can fail a renewal.
func TestStrangersRenewalHarmsNobody(t *testing.T) {
	h := newHub(t, func(o *Options) {
		o.Appraiser = appraise(func(e evidence.Evidence) (Appraisal, error) {
			return Appraisal{Verified: true}, nil
		})
	})
	h.agent("finance-acme", "finance", 1).register()
	stranger := h.agent("finance-acme", "finance", 2)
	if status, code := h.post(stranger.bare()); status != 409 || code != "id_taken" {
		t.Errorf("%d %s", status, code)
	}
	if len(h.liveAgents()) != 1 {
		t.Error("a stranger took an agent down")
	}
}

// TestRelayedAnswerIsRefused is attack 59: what answers at an attested agent's address must hold the attested key, and must
// have been asked this question.
func TestRelayedAnswerIsRefused(t *testing.T) {
	for name, spoil := range map[string]func(*simAgent){
		"another key": func(a *simAgent) { a.key = a.h.agent("other", "finance", 7).key },
		"another challenge": func(a *simAgent) {
			a.change = func(x *registration.Exchange) { x.Challenge = strings.Repeat("ab", 32) }
		},
		"another question": func(a *simAgent) { a.change = func(x *registration.Exchange) { x.Question = []byte("{}") } },
		"another answer":   func(a *simAgent) { a.change = func(x *registration.Exchange) { x.Answer = append(x.Answer, ' ') } },
		"another status":   func(a *simAgent) { a.change = func(x *registration.Exchange) { x.Status = 201 } },
		"another path":     func(a *simAgent) { a.change = func(x *registration.Exchange) { x.Path = "/v1/models" } },
	} {
		h := newHub(t, verifying)
		a := h.agent("finance-acme", "finance", 1)
		a.register()
		spoil(a)
		status, got := h.put(`{"to":"finance","question":"q"}`)
		if status != 502 || got.Answers[0].Status != StatusError || !strings.Contains(got.Answers[0].Error, registration.ErrAnswer.Error()) ||
			got.Answers[0].Answer != "" {
			t.Errorf("%s: %d %+v", name, status, got)
		}
	}
}

// TestSimulatedIsSaid: whatever rests on a simulated root says so.
func TestSimulatedIsSaid(t *testing.T) {
	h := newHub(t, func(o *Options) {
		o.Appraiser = appraise(func(evidence.Evidence) (Appraisal, error) { return Appraisal{Verified: true, Simulated: true}, nil })
	})
	a := h.agent("finance-acme", "finance", 1)
	m := a.message()
	var receipt registration.Receipt
	if status := h.do("POST", "/v1/agents", text(t, m), &receipt); status != 201 || !receipt.Simulated {
		t.Errorf("%d %+v", status, receipt)
	}
	if l := h.listing(); !l.Agents[0].Simulated {
		t.Errorf("listing %+v", l)
	}
	if _, got := h.put(`{"to":"finance","question":"q"}`); !got.Answers[0].Simulated {
		t.Errorf("answers %+v", got)
	}
	if !strings.Contains(h.log.String(), "SIMULATED") {
		t.Error("the log does not say so")
	}
}
