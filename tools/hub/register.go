package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent"
	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/evidence"
)

func (h *Hub) issueNonce(w http.ResponseWriter, _ *http.Request) {
	nonce, expires := h.nonces.Issue(h.now())
	web.JSON(w, http.StatusOK, registration.NonceAnswer{Nonce: nonce, ExpiresAt: stamp(expires)})
}

// stamp writes a time as all documents here do.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// denial is why a registration is not accepted.
type denial struct {
	status int
	code   string
	reason string
}

func deny(code string, err error) *denial { return &denial{http.StatusForbidden, code, err.Error()} }

func (h *Hub) register(w http.ResponseWriter, r *http.Request) {
	if !h.registering.Enter() {
		h.registrations.Add("busy")
		w.Header().Set("Retry-After", "1")
		web.Fail(w, http.StatusServiceUnavailable, "busy", "the hub is judging as many registrations as it takes")
		return
	}
	defer h.registering.Leave()
	body, ok := web.ReadBody(w, r, registration.MaxSize)
	if !ok {
		return
	}
	message, err := registration.Parse(body)
	if err != nil {
		h.registrations.Add("malformed")
		web.Fail(w, http.StatusBadRequest, "malformed", err.Error())
		return
	}
	found, expires, denied := h.admit(r.Context(), message)
	claims := message.Claims
	if denied != nil {
		h.registrations.Add(denied.code)
		h.log.Warn("registration refused", "agent_id", claims.AgentID, "agent_type", claims.AgentType, "code", denied.code, "reason", denied.reason)
		web.Fail(w, denied.status, denied.code, denied.reason)
		return
	}
	receipt, err := registration.Receipt{
		AgentID:    claims.AgentID,
		Verified:   found.Verified,
		Simulated:  found.Simulated,
		ExpiresAt:  stamp(expires),
		TTLSeconds: int(registrationTTL / time.Second),
	}.Sign(message, h.identity.Public, h.identity.Sign)
	if err != nil {
		panic(fmt.Errorf("a receipt of checked values: %w", err))
	}
	h.registrations.Add("ok")
	attributes := []any{"agent_id", claims.AgentID, "agent_type", claims.AgentType, "public_key", claims.PublicKey,
		"api", message.Endpoints.API, "attestation", message.Endpoints.Attestation, "verified", found.Verified, "expires_at", stamp(expires)}
	switch {
	case h.insecure:
		h.log.Warn("INSECURE: agent registered without verification", append(attributes, "no_evidence_because", message.Reason)...)
	case found.Simulated:
		h.log.Warn("SIMULATED: agent registered with evidence of a TEE that is not hardware", attributes...)
	default:
		h.log.Info("agent registered", attributes...)
	}
	web.JSON(w, http.StatusCreated, receipt)
}

// admit makes every check of a registration, the cheap ones first, and registers the agent unless it is denied.
func (h *Hub) admit(ctx context.Context, m registration.Message) (found Appraisal, expires time.Time, _ *denial) {
	if d := h.authenticate(m); d != nil {
		return Appraisal{}, time.Time{}, d
	}
	// Twice, here and in put: a judgement is too dear for an agent that could not be taken anyway.
	if err := h.registry.vacant(h.now(), m.Statement); err != nil {
		return Appraisal{}, time.Time{}, vacancyDenial(err)
	}
	found, d := h.judge(ctx, m)
	if d != nil {
		// The holder of the registered key had its say; what was good before does not outlive it. An outage says nothing about the agent,
		// which is checked and expires as before.
		if d.status == http.StatusForbidden {
			h.registry.failed(h.now(), m.Claims, d.reason)
		}
		return Appraisal{}, time.Time{}, d
	}
	expires, err := h.registry.put(h.now(), m.Statement, m.Evidence != nil, found)
	if err != nil {
		return Appraisal{}, time.Time{}, vacancyDenial(err)
	}
	return found, expires, nil
}

// authenticate checks that the message is fresh and from the holder of the key it names.
func (h *Hub) authenticate(m registration.Message) *denial {
	// Before the nonce is spent: who does not know the secret should not cost an agent its exchange.
	if h.shared.IsSet() {
		if err := m.CheckHMAC(h.shared); err != nil {
			return deny("bad_hmac", err)
		}
	} else if m.HasHMAC() {
		h.log.Warn("an agent sent an HMAC, and this hub has no HUB_SHARED_SECRET to check it with", "agent_id", m.Claims.AgentID)
	}
	if !h.nonces.Take(h.now(), m.Claims.Nonce) {
		return deny("bad_nonce", errors.New("the nonce was not issued by this hub, has expired or was used before"))
	}
	if err := m.Claims.CheckTime(h.now()); err != nil {
		return deny("bad_time", err)
	}
	if err := m.CheckSignature(); err != nil {
		return deny("bad_signature", err)
	}
	if err := h.meant(m); err != nil {
		return deny("wrong_hub", err)
	}
	if agent.ReservedType(m.Claims.AgentType) {
		return deny("bad_type", fmt.Errorf("no agent has the type %q", m.Claims.AgentType))
	}
	return nil
}

// meant returns an error unless the message is for this hub: who stands between an agent and another hub can show the agent this
// hub's nonce and bring what the agent makes of it here. Only a hub that verifies asks that evidence names a hub at all.
func (h *Hub) meant(m registration.Message) error {
	own := evidence.EncodeKey(h.identity.Public)
	switch {
	case m.HubPublicKey == own:
		return nil
	case m.HubPublicKey != "":
		return fmt.Errorf("hub_public_key: want the key of this hub, %s, got %s: the registration is meant for another hub", own, m.HubPublicKey)
	case h.verifies && m.Evidence != nil:
		return fmt.Errorf("hub_public_key: want the key of this hub, %s, got none: a hub that verifies takes evidence only of an agent that "+
			"has appraised it (AGENT_HUB_REFERENCE_VALUES)", own)
	default:
		return nil
	}
}

// judge has the evidence appraised, or decides whether it may be missing.
func (h *Hub) judge(ctx context.Context, m registration.Message) (Appraisal, *denial) {
	if m.Evidence == nil {
		if !h.insecure {
			return Appraisal{}, deny("no_evidence", fmt.Errorf("want evidence, got none because %q", m.Reason))
		}
		return Appraisal{}, nil
	}
	if err := m.Evidence.CheckBinding(m.Claims.Nonce); err != nil {
		return Appraisal{}, deny("bad_binding", err)
	}
	found, err := h.appraise(ctx, *m.Evidence)
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		return Appraisal{}, deny("refused", err)
	case err != nil:
		return Appraisal{}, &denial{http.StatusServiceUnavailable, "appraisal_failed", "the evidence could not be judged: " + err.Error()}
	}
	return found, nil
}

func vacancyDenial(err error) *denial {
	if errors.Is(err, errTaken) {
		return &denial{http.StatusConflict, "id_taken", err.Error()}
	}
	return &denial{http.StatusServiceUnavailable, "full", err.Error()}
}
