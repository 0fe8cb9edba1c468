package hub

import (
	"net/http"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
)

// Listing is the JSON of GET /v1/agents.
type Listing struct {
	Insecure bool     `json:"insecure"` // the hub registers without verification
	Agents   []Listed `json:"agents"`   // by id
}

// Listed is one registered agent. Times are RFC 3339 in UTC.
type Listed struct {
	AgentID       string                 `json:"agent_id"`
	AgentType     string                 `json:"agent_type"`
	Model         string                 `json:"model"`
	PublicKey     string                 `json:"public_key"`
	Endpoints     registration.Endpoints `json:"endpoints"`
	Verified      bool                   `json:"verified"`  // a verifier accepted its evidence
	Simulated     bool                   `json:"simulated"` // as that of a TEE that is no hardware
	Evidence      bool                   `json:"evidence"`  // it sent evidence at all
	Live          bool                   `json:"live"`      // it may be asked
	Failure       string                 `json:"failure,omitempty"`
	RegisteredAt  string                 `json:"registered_at"`
	LastCheckedAt string                 `json:"last_checked_at,omitempty"` // evidence last found good
	ExpiresAt     string                 `json:"expires_at"`
}

func (h *Hub) list(w http.ResponseWriter, _ *http.Request) {
	now := h.now()
	listing := Listing{Insecure: h.insecure, Agents: []Listed{}}
	for _, m := range h.registry.list(now) {
		listing.Agents = append(listing.Agents, listed(m, now))
	}
	web.JSON(w, http.StatusOK, listing)
}

func listed(m member, now time.Time) Listed {
	l := Listed{
		AgentID:      m.Claims.AgentID,
		AgentType:    m.Claims.AgentType,
		Model:        m.Model,
		PublicKey:    m.Claims.PublicKey,
		Endpoints:    m.Endpoints,
		Verified:     m.found.Verified,
		Simulated:    m.found.Simulated,
		Evidence:     m.hasEvidence,
		Live:         m.live(now),
		Failure:      m.failure,
		RegisteredAt: stamp(m.registeredAt),
		ExpiresAt:    stamp(m.expires),
	}
	if !m.checkedAt.IsZero() {
		l.LastCheckedAt = stamp(m.checkedAt)
	}
	return l
}
