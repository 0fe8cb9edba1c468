package agent

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
)

func monitor(t *testing.T, socket string, endpoint registration.Endpoint) *Monitor {
	t.Helper()
	a, set := testAttester(t, socket)
	return &Monitor{
		Config:   Config{ID: "finance-acme", Type: "finance", Model: "AdaptLLM/finance-LLM", MaxMemory: 7000 << 20},
		Attester: a,
		Model:    NewModel(endpoint, DefaultModelLimits, silent, set),
		Metrics:  set,
	}
}

func TestHealth(t *testing.T) {
	model := httptest.NewServer(http.NotFoundHandler())
	defer model.Close()
	m := monitor(t, simGuestAgent(t, quoting(t)), parseEndpoint(t, model.URL))
	site := httptest.NewServer(web.NewSite("api", silent, web.NewTraffic(m.Metrics), m.Health(), m.Scrape()))
	defer site.Close()
	status, body, _ := get(t, site.URL+"/health")
	var h Health
	if err := json.Unmarshal(body, &h); err != nil || status != 200 {
		t.Fatalf("status %d, %v", status, err)
	}
	if h.Status != "ok" || h.Version != Version || h.Type != "finance" || h.ID != "finance-acme" || h.Model != "AdaptLLM/finance-LLM" ||
		h.Insecure || h.Attestation != (Availability{Available: true}) || h.ModelEndpoint != (ModelEndpoint{State: ModelReachable}) {
		t.Errorf("health %+v", h)
	}
	if h.Memory.LimitMB != 7000 || h.Memory.LimitBytes != 7000<<20 || h.Memory.UsedBytes == 0 || h.Memory.UsedMB == 0 || h.Memory.RSSBytes == 0 {
		t.Errorf("memory %+v", h.Memory)
	}
	status, body, header := get(t, site.URL+"/metrics")
	if status != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("metrics: status %d, %s", status, header.Get("Content-Type"))
	}
	for _, want := range []string{"boardroom_memory_limit_bytes 7.340032e+09\n", "boardroom_memory_used_bytes ", "boardroom_memory_resident_bytes ",
		`boardroom_http_requests_total{site="api",route="/health",code="200"} 1`, "# TYPE boardroom_model_errors_total counter",
		"# TYPE boardroom_attestations_total counter", "# TYPE boardroom_http_request_duration_seconds histogram"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the metrics lack %s:\n%s", want, body)
		}
	}
}

func TestHealthDegraded(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, c := range map[string]struct {
		endpoint registration.Endpoint
		state    string
	}{
		"unset":       {registration.Endpoint{}, ModelUnset},
		"unreachable": {parseEndpoint(t, gone.URL), ModelUnreachable},
	} {
		h := monitor(t, "/nonexistent/dstack.sock", c.endpoint).Check(t.Context())
		if h.Status != "degraded" || h.Attestation.Available || !strings.Contains(h.Attestation.Reason, "no dstack guest agent") ||
			h.ModelEndpoint.State != c.state || h.ModelEndpoint.Reason == "" {
			t.Errorf("%s: health %+v", name, h)
		}
	}
}
