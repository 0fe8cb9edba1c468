package hub

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/evidence/nonce"
)

// Bounds of checking agents again.
const (
	sweepEvery     = 5 * time.Second
	recheckTimeout = 45 * time.Second // an agent gives its guest agent 30
	rechecksAtOnce = 16               // 2 MiB each
)

// sweep checks every agent whose check is due and returns when all are judged.
func (h *Hub) sweep(ctx context.Context) {
	slots := web.NewSlots(rechecksAtOnce)
	var checking sync.WaitGroup
	for _, m := range h.registry.due(h.now()) {
		if slots.Wait(ctx) != nil {
			break
		}
		checking.Go(func() {
			defer slots.Leave()
			h.recheck(ctx, m)
		})
	}
	checking.Wait()
}

// recheck judges one agent by evidence fetched now.
func (h *Hub) recheck(ctx context.Context, m member) {
	found, err := h.inspect(ctx, m)
	if err != nil && ctx.Err() != nil {
		return // the hub is stopping, which says nothing about the agent
	}
	h.registry.checked(h.now(), m, found, err)
	if err != nil {
		h.rechecks.Add("failed")
		h.log.Warn("agent failed its check and is not asked until it passes one", "agent_id", m.Claims.AgentID, "error", err.Error())
		return
	}
	h.rechecks.Add("ok")
}

// inspect fetches evidence at the address the agent signed, for a nonce that nobody else has seen, and makes the checks of
// a registration: bound to the nonce, the same agent with the same key, recent, and accepted by the appraiser.
func (h *Hub) inspect(ctx context.Context, m member) (Appraisal, error) {
	ctx, cancel := context.WithTimeout(ctx, recheckTimeout)
	defer cancel()
	challenge := nonce.New()
	e, err := h.fetch(ctx, m.Endpoints.Attestation+"/attestation?nonce="+challenge)
	if err != nil {
		return Appraisal{}, err
	}
	if err := e.CheckBinding(challenge); err != nil {
		return Appraisal{}, err
	}
	if e.Claims.PublicKey != m.Claims.PublicKey || e.Claims.AgentID != m.Claims.AgentID || e.Claims.AgentType != m.Claims.AgentType {
		return Appraisal{}, fmt.Errorf("want the agent %s (%s) with the key %s, got %s (%s) with %s", m.Claims.AgentID, m.Claims.AgentType,
			m.Claims.PublicKey, e.Claims.AgentID, e.Claims.AgentType, e.Claims.PublicKey)
	}
	if err := e.Claims.CheckTime(h.now()); err != nil {
		return Appraisal{}, err
	}
	return h.appraise(ctx, e)
}

// fetch gets an evidence document.
func (h *Hub) fetch(ctx context.Context, url string) (evidence.Evidence, error) {
	got, err := h.call(ctx, http.MethodGet, url, nil, nil, evidence.MaxSize)
	if err != nil {
		return evidence.Evidence{}, err
	}
	return evidence.Parse(got.body)
}
