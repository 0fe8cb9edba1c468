//go:build simtee

package simtee

import (
	"context"
	"net"
	"net/http"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
)

// simulated is what the simulated machine says it is, where a real one names its maker.
const simulated = "SIMULATED"

// GuestAgent speaks dstack's guest agent API, each method where the simulated release of dstack has it, and the quotes of its
// predecessor under /prpc/Tappd. A method that needs a KMS, or whose result only a KMS could vouch for, answers dstack's form of an
// error.
func (t *TD) GuestAgent() http.Handler { return agentapi.Dstack(guest{t}, "the simulated guest agent") }

// guest is a trust domain as the guest agent's API sees it.
type guest struct{ td *TD }

func (g guest) Release() dstack.Release { return g.td.launch.Dstack.Release }
func (g guest) Revision() string        { return simulated }

func (g guest) Quote(_ context.Context, reportData [64]byte) (agentapi.Evidence, error) {
	return agentapi.Evidence(g.td.Quote(reportData)), nil
}

func (g guest) Attest(_ context.Context, reportData [64]byte) ([]byte, error) {
	return g.td.Attestation(reportData), nil
}

func (g guest) EmitEvent(_ context.Context, name string, payload []byte) error {
	return g.td.EmitEvent(name, payload)
}

func (g guest) Key(r agentapi.KeyRequest) (agentapi.Key, error) { return g.td.key(r) }

func (g guest) TLSKey(_ context.Context, r agentapi.TLSRequest) (answer agentapi.TLSKey, err error) {
	key, err := g.td.TLSKey(TLSRequest(r))
	if err != nil {
		return answer, err
	}
	answer.Key, answer.Chain, err = key.PEM()
	return answer, err
}

func (g guest) Info(context.Context) (agentapi.Info, error) {
	certificate, err := g.td.TLSKey(TLSRequest{Subject: "demo-cert", ClientAuth: true, RATLS: true})
	if err != nil {
		return agentapi.Info{}, err
	}
	_, chain, err := certificate.PEM()
	if err != nil {
		return agentapi.Info{}, err
	}
	g.td.mu.Lock()
	defer g.td.mu.Unlock()
	return g.td.record().Info(chain)
}

// Listen opens the guest agent's socket, see [agentapi.Listen].
func Listen(ctx context.Context, socket string) (net.Listener, error) {
	return agentapi.Listen(ctx, socket)
}

// Serve serves until the context ends, and closes the listener.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	return agentapi.Serve(ctx, listener, handler)
}
