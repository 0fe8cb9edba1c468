package hub

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// Bounds of registrations.
const (
	maxAgents       = 64
	registrationTTL = 10 * time.Minute
	recheckEvery    = 5 * time.Minute  // so that every registration is checked at least once more
	recheckRetry    = 30 * time.Second // after a failure
	recheckGrace    = 5 * time.Minute  // from the first failure to removal
)

// Reasons why the registry does not take an agent.
var (
	errTaken = errors.New("another key holds this agent id")
	errFull  = errors.New("the hub has as many agents as it takes")
)

// member is one registered agent.
type member struct {
	registration.Statement
	hasEvidence  bool
	found        Appraisal
	registeredAt time.Time // for the first time
	checkedAt    time.Time // evidence last found good; zero: never
	expires      time.Time
	nextCheck    time.Time
	failingSince time.Time // zero: not failing
	failure      string
	generation   uint64 // of the registration, so that a late check does not judge a newer one
	lastAsked    uint64
}

// live says whether the agent may be asked.
func (m member) live(now time.Time) bool { return now.Before(m.expires) && m.failingSince.IsZero() }

// registry holds the registrations, in memory only: the disk under a confidential VM belongs to the host, and a list of
// agents read back from it would be the host's list. After a restart agents register again within minutes.
type registry struct {
	mu      sync.Mutex
	members map[string]*member // by agent id
	counter uint64             // of generations and of questions
}

func newRegistry() *registry { return &registry{members: make(map[string]*member)} }

// expire removes what has ended; the caller holds mu.
func (r *registry) expire(now time.Time) {
	for id, m := range r.members {
		if !now.Before(m.expires) || !m.failingSince.IsZero() && now.Sub(m.failingSince) >= recheckGrace {
			delete(r.members, id)
		}
	}
}

// vacant returns [errTaken] or [errFull] if this agent could not be put.
func (r *registry) vacant(now time.Time, s registration.Statement) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.vacancy(now, s)
}

func (r *registry) vacancy(now time.Time, s registration.Statement) error {
	r.expire(now)
	old := r.members[s.Claims.AgentID]
	if old != nil && old.Claims.PublicKey != s.Claims.PublicKey {
		return errTaken
	}
	if old == nil && len(r.members) >= maxAgents {
		return errFull
	}
	return nil
}

// put adds or renews an agent and returns when it expires. A renewal at the same addresses does not clear a failure: the
// agent is fine, but what answers at its addresses was not.
func (r *registry) put(now time.Time, s registration.Statement, hasEvidence bool, found Appraisal) (expires time.Time, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.vacancy(now, s); err != nil {
		return time.Time{}, err
	}
	r.counter++
	m := &member{
		Statement:    s,
		hasEvidence:  hasEvidence,
		found:        found,
		registeredAt: now,
		expires:      now.Add(registrationTTL),
		nextCheck:    now,
		generation:   r.counter,
	}
	if hasEvidence {
		m.checkedAt = now
	}
	if old := r.members[s.Claims.AgentID]; old != nil {
		m.registeredAt, m.lastAsked = old.registeredAt, old.lastAsked
		if old.Endpoints == s.Endpoints {
			m.failingSince, m.failure = old.failingSince, old.failure
			m.nextCheck = old.nextCheck
		}
	}
	r.members[s.Claims.AgentID] = m
	return m.expires, nil
}

// list returns copies of all members, by id.
func (r *registry) list(now time.Time) []member {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire(now)
	all := make([]member, 0, len(r.members))
	for _, m := range r.members {
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b member) int { return strings.Compare(a.Claims.AgentID, b.Claims.AgentID) })
	return all
}

// pick returns the live agent of a type whose turn it is.
func (r *registry) pick(now time.Time, kind string) (member, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var next *member
	for _, m := range r.members {
		if !m.live(now) || m.Claims.AgentType != kind {
			continue
		}
		if next == nil || m.lastAsked < next.lastAsked ||
			m.lastAsked == next.lastAsked && m.Claims.AgentID < next.Claims.AgentID {
			next = m
		}
	}
	if next == nil {
		return member{}, false
	}
	r.counter++
	next.lastAsked = r.counter
	return *next, true
}

// due returns the members with evidence whose check is due. One without has nothing to check; it lasts until it expires.
func (r *registry) due(now time.Time) []member {
	return slices.DeleteFunc(r.list(now), func(m member) bool { return !m.hasEvidence || now.Before(m.nextCheck) })
}

// checked records the outcome of a check, unless the agent has registered anew since it began.
func (r *registry) checked(now time.Time, checked member, found Appraisal, failure error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.members[checked.Claims.AgentID]
	if m == nil || m.generation != checked.generation {
		return
	}
	if failure == nil {
		m.found, m.checkedAt, m.nextCheck = found, now, now.Add(recheckEvery)
		m.failingSince, m.failure = time.Time{}, ""
		return
	}
	m.fail(now, failure.Error())
}

// failed records that an agent's own renewal was refused: it is not asked until a check finds it good.
func (r *registry) failed(now time.Time, c evidence.Claims, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.members[c.AgentID]
	if m == nil || m.Claims.PublicKey != c.PublicKey {
		return
	}
	r.counter++
	m.generation = r.counter // a check that began before can not clear this
	m.fail(now, reason)
}

// fail keeps the time of the first failure of a row.
func (m *member) fail(now time.Time, reason string) {
	m.failure, m.nextCheck = reason, now.Add(recheckRetry)
	if m.failingSince.IsZero() {
		m.failingSince = now
	}
}
