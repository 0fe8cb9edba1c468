package registration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent/secret"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/dstack/guestagent"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// Timing of the loop. The longest pause stays well below the hub's time to live, so that a hub that was away a while is
// found again before the registration ends.
const (
	attemptTimeout = 90 * time.Second // nonce, quote and post; a quote takes seconds on a busy host
	firstPause     = time.Second
	longestPause   = time.Minute
	longestRenewal = time.Hour
	shortestTTL    = 20 * time.Second
)

// maxAnswer bounds what a hub answers, in bytes.
const maxAnswer = 64 << 10

// NonceAnswer is the hub's answer to GET /v1/nonce.
type NonceAnswer struct {
	Nonce     string `json:"nonce"`
	ExpiresAt string `json:"expires_at"` // RFC 3339
}

// HubError is the hub's refusal.
type HubError struct {
	Status  int
	Code    string
	Message string
}

func (e *HubError) Error() string {
	return fmt.Sprintf("the hub refused: status %d, %.60q: %.300q", e.Status, e.Code, e.Message)
}

// Attester is the agent as the loop needs it.
type Attester interface {
	Claims(nonce string) (evidence.Claims, error)
	Attest(ctx context.Context, nonce string) (evidence.Evidence, error)
	Sign(digest []byte) []byte
}

// HubAppraiser judges a hub before it is told anything.
type HubAppraiser interface {
	// AppraiseHub returns the public key, spelled as in claims, that the evidence of the hub at base is bound to.
	AppraiseHub(ctx context.Context, base string) (publicKey string, err error)
}

// ErrUnappraisedHub means that this agent has evidence and nothing to judge the hub by.
var ErrUnappraisedHub = errors.New("AGENT_HUB_REFERENCE_VALUES is not set: an agent that can prove what it is gives its evidence to no hub that it has not appraised")

// Client registers one agent at one hub.
type Client struct {
	Hub Endpoint
	// Appraiser judges the hub; nil when the agent was given no reference values.
	Appraiser HubAppraiser
	// InsecureHub gives evidence to a hub that was not appraised. It excludes an Appraiser.
	InsecureHub bool
	HTTP        *http.Client // as web.NewClient makes it
	Agent       Attester
	Model       string
	Endpoints   Endpoints
	Shared      secret.Text // unset: no HMAC
	Log         *slog.Logger
}

// Run registers and renews until ctx ends. It never gives up; failures are logged and tried again with growing, jittered
// pauses.
func (c *Client) Run(ctx context.Context) {
	for failures := 0; ; {
		receipt, err := c.Register(ctx)
		var pause time.Duration
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			pause = jitter(min(firstPause<<min(failures, 10), longestPause))
			failures++
			c.Log.Warn("registration failed", "hub", c.Hub.String(), "error", err.Error(), "failures", failures, "retry_in", pause.String())
		default:
			pause = jitter(min(time.Duration(receipt.TTLSeconds)*time.Second/2, longestRenewal))
			failures = 0
			c.Log.Info("registered", "hub", c.Hub.String(), "agent_id", receipt.AgentID, "verified", receipt.Verified,
				"simulated", receipt.Simulated, "hub_public_key", receipt.HubPublicKey, "hub_appraised", c.Appraiser != nil, "expires_at", receipt.ExpiresAt, "renew_in", pause.String())
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// jitter returns a random pause from half of d up to d, so that agents started together do not stay together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) } //nolint:gosec // spreads load; nobody gains by guessing it

// Register does it once: appraise the hub, get a nonce, attest, register, check that the appraised hub signed the receipt. Without a guest agent it sends the reason in place of evidence; whether that is good enough is the
// hub's decision, and a hub that verifies refuses it. The error is a [*HubError] when the hub said no.
func (c *Client) Register(ctx context.Context) (Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	hub, err := c.appraiseHub(ctx)
	if err != nil {
		return Receipt{}, fmt.Errorf("appraise the hub: %w", err)
	}
	var issued NonceAnswer
	if err := c.call(ctx, http.MethodGet, "/v1/nonce", nil, http.StatusOK, &issued); err != nil {
		return Receipt{}, fmt.Errorf("get a nonce: %w", err)
	}
	// The claims hold the nonce to its form, so a hostile hub cannot choose what is hashed beyond that.
	message, err := c.compose(ctx, issued.Nonce, hub)
	if err != nil {
		return Receipt{}, err
	}
	body, err := json.Marshal(message)
	if err != nil {
		return Receipt{}, err
	}
	var receipt Receipt
	if err := c.call(ctx, http.MethodPost, "/v1/agents", body, http.StatusCreated, &receipt); err != nil {
		return Receipt{}, fmt.Errorf("register: %w", err)
	}
	if receipt.AgentID != message.Claims.AgentID || receipt.TTLSeconds < int(shortestTTL/time.Second) {
		return Receipt{}, fmt.Errorf("register: want a receipt for %s of at least %v, got %q for %d s",
			message.Claims.AgentID, shortestTTL, receipt.AgentID, receipt.TTLSeconds)
	}
	if err := receipt.check(message, hub); err != nil {
		return Receipt{}, fmt.Errorf("register: %w", err)
	}
	return receipt, nil
}

// appraiseHub returns the key of an appraised hub, or none where the agent was not told how to appraise one.
func (c *Client) appraiseHub(ctx context.Context) (publicKey string, err error) {
	if c.Appraiser != nil {
		return c.Appraiser.AppraiseHub(ctx, c.Hub.String())
	}
	c.Log.Warn("the hub is not appraised: nothing shows what it is", "hub", c.Hub.String())
	return "", nil
}

// compose makes the message for a nonce and for the hub that holds a key, empty when none was appraised.
func (c *Client) compose(ctx context.Context, nonce, hub string) (Message, error) {
	statement := Statement{Model: c.Model, Endpoints: c.Endpoints, HubPublicKey: hub}
	e, err := c.Agent.Attest(ctx, nonce)
	switch {
	case err == nil && c.Appraiser == nil && !c.InsecureHub:
		return Message{}, ErrUnappraisedHub
	case err == nil:
		statement.Claims = e.Claims
		return Compose(statement, &e, "", c.Agent.Sign, c.Shared)
	case errors.Is(err, guestagent.ErrNoSocket):
		c.Log.Warn("no evidence: registering without, which only an insecure hub accepts", "error", err.Error())
		if statement.Claims, err = c.Agent.Claims(nonce); err != nil {
			return Message{}, err
		}
		return Compose(statement, nil, guestagent.ErrNoSocket.Error(), c.Agent.Sign, c.Shared)
	default:
		return Message{}, fmt.Errorf("attest: %w", err)
	}
}

// call sends one request to the hub and decodes its answer, which must have the wanted status.
func (c *Client) call(ctx context.Context, method, path string, body []byte, want int, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, c.Hub.At(path), bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("read the hub's answer: %w", err)
	}
	if len(data) > maxAnswer {
		return fmt.Errorf("the hub's answer exceeds %d bytes", maxAnswer)
	}
	if response.StatusCode != want {
		refused := &HubError{Status: response.StatusCode, Code: "unknown"}
		var detail web.ErrorBody
		if strictjson.Unmarshal(data, &detail) == nil && detail.Error.Code != "" {
			refused.Code, refused.Message = detail.Error.Code, detail.Error.Message
		}
		return refused
	}
	if err := strictjson.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("the hub's answer: %w", err)
	}
	return nil
}
