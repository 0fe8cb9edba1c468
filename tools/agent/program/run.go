package program

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent"
	"github.com/boardroom-tee/boardroom/tools/agent/metrics"
	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/dstack/guestagent"
	"github.com/boardroom-tee/boardroom/tools/evidence/collect"
	"github.com/boardroom-tee/boardroom/tools/evidence/verifier"
	"github.com/boardroom-tee/boardroom/tools/hub"
)

// Options is what a hub or an agent runs on. Run closes the listeners.
type Options struct {
	Config   agent.Config
	Insecure bool // a hub registers agents, or an agent at a hub, without verification
	// Verifier appraises agents for a hub and the hub for an agent; nil: none was configured.
	Verifier    *verifier.Verifier
	Socket      string // of dstack's guest agent
	API         net.Listener
	Attestation net.Listener
	Drain       time.Duration // for requests in flight when ctx ends
	Log         *slog.Logger
}

// Run serves until ctx ends or a listener fails; the error is the latter's.
func Run(ctx context.Context, o Options) error {
	defer o.API.Close()
	defer o.Attestation.Close()
	identity, ephemeral, err := agent.NewIdentity(o.Config)
	if err != nil {
		return err
	}
	set := new(metrics.Set)
	traffic := web.NewTraffic(set)
	attester := agent.NewAttester(identity, guestagent.New(o.Socket), time.Now, set)
	model := agent.NewModel(o.Config.ModelEndpoint, agent.DefaultModelLimits, o.Log, set)
	monitor := &agent.Monitor{
		Config: o.Config, Insecure: o.Insecure, Simulated: o.Verifier != nil && o.Verifier.Simulated(),
		Attester: attester, Model: model, Metrics: set,
	}
	announce(ctx, o, identity, ephemeral, attester)

	ctx, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()

	api := append(agent.Signed(identity, model.Routes()...), monitor.Health(), monitor.Scrape(), agent.AttestationsRoute(o.Verifier))
	if o.Config.IsHub() {
		options := hub.Options{
			Identity: identity, InsecureAcceptUnverified: o.Insecure, Shared: o.Config.SharedSecret, Log: o.Log, Metrics: set,
		}
		if o.Verifier != nil {
			options.Appraiser = hub.Verifying(o.Verifier)
		}
		h, err := hub.New(options)
		if err != nil {
			return err
		}
		api = append(api, h.Routes()...)
		api = append(api, agent.AttestationRoutes(attester, o.Log)...)
		background.Go(func() { h.Run(ctx) })
	}
	if !o.Config.Hub.IsZero() {
		client := &registration.Client{
			Hub: o.Config.Hub, InsecureHub: o.Insecure, HTTP: web.NewClient(nil), Agent: attester, Model: o.Config.Model,
			Endpoints: o.Config.Public, Shared: o.Config.SharedSecret, Log: o.Log,
		}
		if o.Verifier != nil {
			client.Appraiser = agent.HubVerifier{Verifier: o.Verifier, Collector: collect.Collector{HTTP: client.HTTP}}
		}
		background.Go(func() { client.Run(ctx) })
	}
	attestation := append(agent.AttestationRoutes(attester, o.Log), monitor.Health(), agent.AttestationsRoute(o.Verifier))
	return web.Serve(ctx, o.Log, o.Drain,
		web.Server{Name: "api", Listener: o.API, Handler: web.NewSite("api", o.Log, traffic, api...)},
		web.Server{Name: "attestation", Listener: o.Attestation, Handler: web.NewSite("attestation", o.Log, traffic, attestation...)},
	)
}

// announce logs what an operator asks first.
func announce(ctx context.Context, o Options, identity agent.Identity, ephemeral bool, attester *agent.Attester) {
	o.Log.Info("start", "version", agent.Version, "identity", identity, "model", o.Config.Model,
		"model_endpoint", o.Config.ModelEndpoint.String(), "memory_limit_mb", o.Config.MaxMemory>>20,
		"hub", o.Config.Hub.String(), "agent_private_key", o.Config.Seed, "hub_shared_secret", o.Config.SharedSecret,
		"client_encryption_key", o.Config.EncryptionKey)
	if ephemeral {
		o.Log.Warn("AGENT_PRIVATE_KEY is not set: this key was made now and ends with the process", "identity", identity)
	}
	if o.Verifier != nil {
		o.Log.Info("reference values", "path", o.Config.ReferenceValues, "sha256", o.Verifier.Digest(), "simulated", o.Verifier.Simulated())
	}
	if o.Insecure && !o.Config.IsHub() {
		o.Log.Warn("INSECURE: this agent registers at a hub that nobody verified; never use this with real data")
	}
	for _, warning := range o.Config.Warnings {
		o.Log.Warn(warning)
	}
	if err := attester.Available(ctx); err != nil {
		o.Log.Warn("no attestation: this process cannot prove what it is", "error", err.Error())
	}
}
