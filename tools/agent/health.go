package agent

import (
	"context"
	"net/http"

	"github.com/boardroom-tee/boardroom/tools/agent/metrics"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
)

// Health is the JSON of GET /health.
type Health struct {
	Status   string `json:"status"` // "ok", or "degraded" when attestation or the model is missing
	Version  string `json:"version"`
	Type     string `json:"type"`
	ID       string `json:"id"`
	Model    string `json:"model"`
	Insecure bool   `json:"insecure"` // verifies nobody: a hub its agents, an agent its hub
	// Simulated says that others are appraised under a trust root that is not Intel's.
	Simulated bool   `json:"simulated"`
	Memory    Memory `json:"memory"`
	// Attestation is available when the guest agent answers on its socket.
	Attestation   Availability  `json:"attestation"`
	ModelEndpoint ModelEndpoint `json:"model_endpoint"`
}

// Availability says whether something can be used, and if not, why.
type Availability struct {
	Available bool   `json:"available"`
	Reason    string `json:"reason,omitempty"`
}

// Monitor answers GET /health and GET /metrics.
type Monitor struct {
	Config    Config
	Insecure  bool
	Simulated bool
	Attester  *Attester
	Model     *Model
	Metrics   *metrics.Set
}

// Check looks at everything now.
func (m *Monitor) Check(ctx context.Context) Health {
	h := Health{
		Status:        "ok",
		Version:       Version,
		Type:          m.Config.Type,
		ID:            m.Config.ID,
		Model:         m.Config.Model,
		Insecure:      m.Insecure,
		Simulated:     m.Simulated,
		Memory:        ReadMemory(m.Config.MaxMemory),
		Attestation:   Availability{Available: true},
		ModelEndpoint: m.Model.State(ctx),
	}
	if err := m.Attester.Available(ctx); err != nil {
		h.Attestation = Availability{Reason: err.Error()}
	}
	if !h.Attestation.Available || h.ModelEndpoint.State != ModelReachable {
		h.Status = "degraded"
	}
	return h
}

// Health is the route of GET /health. It answers 200 whatever it finds: the process serves, and a restart would not bring
// a guest agent or a model.
func (m *Monitor) Health() web.Route {
	return web.Route{Method: http.MethodGet, Path: "/health", Handle: func(w http.ResponseWriter, r *http.Request) {
		web.JSON(w, http.StatusOK, m.Check(r.Context()))
	}}
}

// Scrape is the route of GET /metrics. It declares the metrics of memory, so call it once.
func (m *Monitor) Scrape() web.Route {
	m.Metrics.Reading("boardroom_memory_used_bytes", "Memory that the Go runtime counts against its limit.",
		func() (float64, bool) { return float64(goMemory()), true })
	m.Metrics.Reading("boardroom_memory_limit_bytes", "Limit of that memory.",
		func() (float64, bool) { return float64(m.Config.MaxMemory), true })
	m.Metrics.Reading("boardroom_memory_resident_bytes", "Resident set size.",
		func() (float64, bool) { rss := residentSet(); return float64(rss), rss > 0 })
	return web.Route{Method: http.MethodGet, Path: "/metrics", Handle: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", metrics.ContentType)
		w.Write(m.Metrics.Text())
	}}
}
