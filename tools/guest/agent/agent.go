package agent

import (
	"context"
	"crypto/sha256"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"sync"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/guest/keys"
	"github.com/boardroom-tee/boardroom/tools/guest/registers"
)

// Release is that of dstack whose API and whose boot events the guest has.
var Release = dstack.Release{Major: 0, Minor: 5, Patch: 11}

// Log is RTMR3 and the events in it. It is safe for concurrent use.
type Log struct {
	tee      registers.TEE
	firmware []eventlog.Event

	mu     sync.Mutex
	events []dstack.RuntimeEvent
}

// maxEvents bounds the log of an application that extends again and again.
const maxEvents = 1 << 14

// Begin begins a log. RTMR3 must be untouched: what somebody extended before is in no log.
func Begin(tee registers.TEE) (*Log, error) {
	values, err := tee.Registers()
	if err != nil {
		return nil, err
	}
	if values.RTMR3 != (dstack.Register{}) {
		return nil, fmt.Errorf("RTMR3: expected it untouched, got %s", values.RTMR3)
	}
	firmware, err := tee.Firmware()
	if err != nil {
		return nil, err
	}
	return &Log{tee: tee, firmware: firmware}, nil
}

// Extend extends RTMR3 with an event.
func (l *Log) Extend(e dstack.RuntimeEvent) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) >= maxEvents {
		return errors.New("the event log is full")
	}
	if err := l.tee.Extend(e.Digest()); err != nil {
		return fmt.Errorf("event %s: %w", e.Name, err)
	}
	l.events = append(l.events, e)
	return nil
}

// Agent answers for a guest that has booted.
type Agent struct {
	log      *Log
	keys     *keys.Application
	boot     dstack.Boot
	compose  *dstack.AppCompose
	vmConfig string
}

// New returns an agent.
func New(log *Log, keys *keys.Application, boot dstack.Boot, compose *dstack.AppCompose, vmConfig string) *Agent {
	return &Agent{log, keys, boot, compose, vmConfig}
}

// Release is [Release].
func (a *Agent) Release() dstack.Release { return Release }

// Revision is empty. What names the build is the image's digest, which the host says in its vm_config and a verifier holds to the registers; a
// revision in the program would make another image of every commit.
func (*Agent) Revision() string { return "" }

// record is called with the log's lock held, so that registers and events are of one moment.
func (a *Agent) record() (*agentapi.Record, error) {
	values, err := a.log.tee.Registers()
	if err != nil {
		return nil, err
	}
	vendor, product := a.log.tee.Name()
	return &agentapi.Record{
		Release: Release, TDX: values.TDX, RTMR3: values.RTMR3, Firmware: a.log.firmware, Runtime: a.log.events, Boot: a.boot, Compose: a.compose,
		VMConfig: a.vmConfig,
		// The guest does not verify its own quote, and so does not know which platform it is on: dstack shows the hash of nothing then.
		Device: sha256.Sum256(nil), Vendor: vendor, Product: product,
	}, nil
}

// quote is called with the log's lock held.
func (a *Agent) quote(ctx context.Context, reportData [64]byte) ([]byte, *agentapi.Record, error) {
	record, err := a.record()
	if err != nil {
		return nil, nil, err
	}
	quote, err := a.log.tee.Quote(ctx, reportData)
	return quote, record, err
}

// Quote makes a quote, with the log as it stands at that moment.
func (a *Agent) Quote(ctx context.Context, reportData [64]byte) (agentapi.Evidence, error) {
	a.log.mu.Lock()
	defer a.log.mu.Unlock()
	quote, record, err := a.quote(ctx, reportData)
	if err != nil {
		return agentapi.Evidence{}, err
	}
	return agentapi.Evidence{Quote: quote, EventLog: record.EventLog(false), VMConfig: a.vmConfig}, nil
}

// Attest makes a quote in dstack's container.
func (a *Agent) Attest(ctx context.Context, reportData [64]byte) ([]byte, error) {
	a.log.mu.Lock()
	defer a.log.mu.Unlock()
	quote, record, err := a.quote(ctx, reportData)
	if err != nil {
		return nil, err
	}
	return record.Container(quote, reportData), nil
}

// EmitEvent extends RTMR3 with an event of the application. Names of boot events are refused, as verifiers would refuse the whole log.
func (a *Agent) EmitEvent(_ context.Context, name string, payload []byte) error {
	event := dstack.RuntimeEvent{Name: name, Payload: payload, Version: a.boot.Version}
	with := a.boot
	with.ApplicationAfter = []dstack.RuntimeEvent{event}
	if _, err := with.Events(); err != nil {
		return err
	}
	return a.log.Extend(event)
}

// Key derives a key of the application.
func (a *Agent) Key(r agentapi.KeyRequest) (agentapi.Key, error) { return a.keys.Key(r) }

// TLSKey makes a key with a certificate, which has evidence about the key if that is asked for.
func (a *Agent) TLSKey(ctx context.Context, r agentapi.TLSRequest) (agentapi.TLSKey, error) {
	return a.keys.TLSKey(r, func(publicKey []byte) ([]pkix.Extension, error) {
		a.log.mu.Lock()
		defer a.log.mu.Unlock()
		if !r.RATLS {
			record, err := a.record()
			if err != nil {
				return nil, err
			}
			return record.Extensions(r, nil, [64]byte{})
		}
		binding := dstack.KeyBinding(publicKey)
		quote, record, err := a.quote(ctx, binding)
		if err != nil {
			return nil, err
		}
		return record.Extensions(r, quote, binding)
	})
}

// Info tells what was measured, with a certificate of the application.
func (a *Agent) Info(ctx context.Context) (agentapi.Info, error) {
	certificate, err := a.TLSKey(ctx, agentapi.TLSRequest{Subject: "demo-cert", ClientAuth: true, RATLS: true})
	if err != nil {
		return agentapi.Info{}, err
	}
	a.log.mu.Lock()
	defer a.log.mu.Unlock()
	record, err := a.record()
	if err != nil {
		return agentapi.Info{}, err
	}
	return record.Info(certificate.Chain)
}
