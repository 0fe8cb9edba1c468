package hub

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent"
	"github.com/boardroom-tee/boardroom/tools/agent/metrics"
	"github.com/boardroom-tee/boardroom/tools/agent/secret"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/evidence/nonce"
)

// Bounds of judging evidence.
const (
	registrationsAtOnce = 8 // 2 MiB each
	appraisalTimeout    = time.Minute
)

// Options is what a hub is made of.
type Options struct {
	// Appraiser judges evidence; nil is RefuseAll.
	Appraiser Appraiser
	// Identity signs receipts; its key is the one in the hub's own evidence.
	Identity agent.Identity
	// InsecureAcceptUnverified registers agents without appraisal and without evidence. It excludes an Appraiser.
	InsecureAcceptUnverified bool
	// Shared, when set, is required of every agent as an HMAC.
	Shared secret.Text
	// Client reaches agents; nil is one that follows no redirects and no link-local addresses.
	Client *http.Client
	// Now is the clock; nil is time.Now.
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *metrics.Set
}

// Hub registers agents and passes questions on to them. It is safe for concurrent use.
type Hub struct {
	appraiser Appraiser
	identity  agent.Identity
	insecure  bool
	verifies  bool // was given an appraiser
	shared    secret.Text
	client    *http.Client
	now       func() time.Time
	log       *slog.Logger

	nonces      nonce.Store
	registry    *registry
	registering web.Slots
	asking      web.Slots // questions
	calling     web.Slots // agents being asked

	registrations *metrics.Counter
	rechecks      *metrics.Counter
	answers       *metrics.Counter
}

// New makes a hub. It refuses contradictory options.
func New(o Options) (*Hub, error) {
	if o.InsecureAcceptUnverified && o.Appraiser != nil {
		return nil, errors.New("a hub that accepts unverified agents has no use for an appraiser: choose one")
	}
	if o.Identity.Public == nil {
		return nil, errors.New("a hub needs an identity to sign receipts with")
	}
	h := &Hub{
		appraiser:   o.Appraiser,
		identity:    o.Identity,
		insecure:    o.InsecureAcceptUnverified,
		verifies:    o.Appraiser != nil,
		shared:      o.Shared,
		client:      o.Client,
		now:         o.Now,
		log:         o.Log,
		registry:    newRegistry(),
		registering: web.NewSlots(registrationsAtOnce),
		asking:      web.NewSlots(questionsAtOnce),
		calling:     web.NewSlots(callsAtOnce),

		registrations: o.Metrics.Counter("boardroom_hub_registrations_total", "Registrations, by what came of them.", "outcome"),
		rechecks:      o.Metrics.Counter("boardroom_hub_rechecks_total", "Checks of registered agents, by what came of them.", "outcome"),
		answers:       o.Metrics.Counter("boardroom_hub_answers_total", "Agents asked, by what came of it.", "status"),
	}
	switch {
	case h.insecure:
		h.appraiser = acceptUnverified{}
		h.log.Warn("INSECURE HUB: agents are registered without verification; never use this with real data")
	case h.appraiser == nil:
		h.appraiser = RefuseAll{}
		h.log.Warn("no quote verifier is configured: this hub refuses every agent")
	}
	if h.client == nil {
		h.client = web.NewClient(web.RefuseLinkLocal)
	}
	if h.now == nil {
		h.now = time.Now
	}
	o.Metrics.Reading("boardroom_hub_agents", "Agents that may be asked.", func() (float64, bool) {
		return float64(len(h.liveAgents())), true
	})
	return h, nil
}

// Routes returns the hub's part of the API.
func (h *Hub) Routes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/v1/nonce", Handle: h.issueNonce},
		{Method: http.MethodPost, Path: "/v1/agents", Handle: h.register},
		{Method: http.MethodGet, Path: "/v1/agents", Handle: h.list},
		{Method: http.MethodPost, Path: "/v1/ask", Handle: h.ask},
	}
}

// liveAgents returns the agents that may be asked, by id.
func (h *Hub) liveAgents() []member {
	now := h.now()
	var live []member
	for _, m := range h.registry.list(now) {
		if m.live(now) {
			live = append(live, m)
		}
	}
	return live
}

// Run checks the registered agents again and again until ctx ends.
func (h *Hub) Run(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			h.sweep(ctx)
		case <-ctx.Done():
			return
		}
	}
}
