package agent

import (
	"context"
	"net/http"

	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/evidence/collect"
	"github.com/boardroom-tee/boardroom/tools/evidence/verifier"
)

// Attestations is the JSON of GET /v1/attestations: what this process found when it appraised others.
type Attestations struct {
	// Configured says whether this process was given reference values; without, it appraises nobody.
	Configured bool `json:"configured"`
	// Simulated says that the trust root is another than Intel's, so that what is accepted is no hardware.
	Simulated       bool              `json:"simulated"`
	ReferenceValues string            `json:"reference_values_sha256,omitempty"`
	Attestations    []verifier.Result `json:"attestations"` // newest of each peer, by agent id
}

// AttestationsRoute serves the results of a verifier, which is nil where none is configured.
func AttestationsRoute(v *verifier.Verifier) web.Route {
	return web.Route{Method: http.MethodGet, Path: "/v1/attestations", Handle: func(w http.ResponseWriter, _ *http.Request) {
		listing := Attestations{Attestations: []verifier.Result{}}
		if v != nil {
			listing.Configured, listing.Simulated, listing.ReferenceValues = true, v.Simulated(), v.Digest()
			listing.Attestations = append(listing.Attestations, v.Results()...)
		}
		web.JSON(w, http.StatusOK, listing)
	}}
}

// HubVerifier appraises a hub for [registration.Client].
type HubVerifier struct {
	*verifier.Verifier
	Collector collect.Collector
}

// AppraiseHub fetches the evidence of the hub at base for a nonce of its own and judges it. It returns the key that the evidence
// is bound to. The error is a [*verifier.Refusal] for "no", one of package collect, or tells why nothing could be told.
func (h HubVerifier) AppraiseHub(ctx context.Context, base string) (publicKey string, err error) {
	collected, err := h.Collector.FromPort(ctx, base, "")
	if err != nil {
		return "", err
	}
	claims := collected.Claims
	if claims.AgentType != HubType {
		return "", &verifier.Refusal{
			Codes:  []string{"evidence.claims"},
			Reason: "evidence: agent_type: want " + HubType + ", got " + claims.AgentType,
		}
	}
	if _, err := h.Appraise(ctx, collected.Evidence, collected.Nonce); err != nil {
		return "", err
	}
	return claims.PublicKey, nil
}
