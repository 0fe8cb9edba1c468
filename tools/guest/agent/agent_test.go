package agent_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/evidence/ratls"
	"github.com/boardroom-tee/boardroom/tools/guest/agent"
	"github.com/boardroom-tee/boardroom/tools/guest/keys"
	"github.com/boardroom-tee/boardroom/tools/guest/registers"
)

// simTEE quotes by writing down what it was asked: the report data and RTMR3.
type simTEE struct {
	values registers.Values
	err    error
}

func (s *simTEE) Registers() (registers.Values, error) { return s.values, s.err }
func (s *simTEE) Name() (vendor, product string)       { return "sim", "tee" }

func (s *simTEE) Firmware() ([]eventlog.Event, error) {
	return []eventlog.Event{{Register: eventlog.RTMR1, Type: eventlog.EvEFIAction, Digest: eventlog.Digest{1}, Data: []byte("not shown")}}, nil
}

func (s *simTEE) Quote(_ context.Context, reportData [64]byte) ([]byte, error) {
	return append(reportData[:], s.values.RTMR3[:]...), s.err
}

func (s *simTEE) Extend(digest dstack.Register) error {
	if s.err != nil {
		return s.err
	}
	s.values.RTMR3 = dstack.Register(eventlog.Digest(s.values.RTMR3).Extend(eventlog.Digest(digest)))
	return nil
}

// simAgent is an agent of an application that has booted.
func simAgent(t *testing.T, tee *simTEE) *agent.Agent {
	t.Helper()
	compose, err := dstack.ParseAppCompose([]byte(`{"manifest_version":2,"name":"simapp","runner":"docker-compose","docker_compose_file":"services: {}\n","no_instance_id":true}`))
	if err != nil {
		t.Fatal(err)
	}
	boot, err := dstack.PredictBoot(compose, dstack.Launch{Release: agent.Release})
	if err != nil {
		t.Fatal(err)
	}
	log, err := agent.Begin(tee)
	if err != nil {
		t.Fatal(err)
	}
	events, err := boot.Events()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := log.Extend(e); err != nil {
			t.Fatal(err)
		}
	}
	application, err := keys.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return agent.New(log, application, boot, compose, `{"os_image_hash":"00"}`)
}

func TestQuote(t *testing.T) {
	tee := &simTEE{}
	a := simAgent(t, tee)
	for range 2 {
		e, err := a.Quote(t.Context(), [64]byte{9})
		if err != nil {
			t.Fatal(err)
		}
		events, err := dstack.ParseRuntimeEvents(e.EventLog)
		if err != nil {
			t.Fatal(err)
		}
		rtmr3 := dstack.ReplayRTMR3(events)
		if e.Quote[0] != 9 || !bytes.HasSuffix(e.Quote, rtmr3[:]) || e.VMConfig != `{"os_image_hash":"00"}` {
			t.Errorf("the log leads to %s, the quote is %x", rtmr3, e.Quote)
		}
		if !bytes.Contains(e.EventLog, []byte(`{"imr":1,"event_type":2147483655,"digest":"01`)) || bytes.Contains(e.EventLog, []byte("not shown")) {
			t.Errorf("event log %s", e.EventLog)
		}
		if err := a.EmitEvent(t.Context(), "mine", []byte("x")); err != nil { // and once more
			t.Fatal(err)
		}
	}
	before := tee.values.RTMR3
	for _, name := range []string{"system-ready", "app-id", "key-provider"} {
		if err := a.EmitEvent(t.Context(), name, nil); err == nil || tee.values.RTMR3 != before {
			t.Errorf("an application extended %s: %v", name, err)
		}
	}
	container, err := a.Attest(t.Context(), [64]byte{7})
	if err != nil || !bytes.HasPrefix(container, []byte{0, 0}) || !bytes.HasSuffix(container, []byte(`{"os_image_hash":"00"}`)) {
		t.Errorf("container %x, %v", container, err)
	}
	tee.err = errors.New("away")
	if _, err := a.Quote(t.Context(), [64]byte{}); !errors.Is(err, tee.err) {
		t.Errorf("without a TEE: %v", err)
	}
	if _, err := a.Attest(t.Context(), [64]byte{}); !errors.Is(err, tee.err) {
		t.Errorf("without a TEE: %v", err)
	}
	if err := a.EmitEvent(t.Context(), "mine", nil); !errors.Is(err, tee.err) {
		t.Errorf("without a TEE: %v", err)
	}
}

func TestBegin(t *testing.T) {
	tee := &simTEE{}
	tee.values.RTMR3[5] = 1
	if _, err := agent.Begin(tee); err == nil || !strings.Contains(err.Error(), "untouched") {
		t.Errorf("a register that somebody extended: %v", err)
	}
}

func TestTLSKey(t *testing.T) {
	a := simAgent(t, &simTEE{})
	parse := func(chain []string) *x509.Certificate {
		t.Helper()
		block, _ := pem.Decode([]byte(chain[0]))
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return leaf
	}
	key, err := a.TLSKey(t.Context(), agentapi.TLSRequest{RATLS: true, WithAppInfo: true})
	if err != nil {
		t.Fatal(err)
	}
	leaf := parse(key.Chain)
	read, err := ratls.FromCertificate(leaf)
	if err != nil {
		t.Fatal(err)
	}
	if binding := dstack.KeyBinding(leaf.RawSubjectPublicKeyInfo); !bytes.HasPrefix(read.Quote, binding[:]) || read.Usage != "app:custom" {
		t.Errorf("the quote %x is not bound to the key; usage %q", read.Quote, read.Usage)
	}
	plain, err := a.TLSKey(t.Context(), agentapi.TLSRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if read, err := ratls.FromCertificate(parse(plain.Chain)); err == nil {
		t.Errorf("a quote that was not asked for: %x", read.Quote)
	}
}

func TestInfo(t *testing.T) {
	tee := &simTEE{}
	a := simAgent(t, tee)
	info, err := a.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var tcb struct {
		RTMR3      string `json:"rtmr3"`
		AppCompose string `json:"app_compose"`
	}
	if err := json.Unmarshal([]byte(info.TCBInfo), &tcb); err != nil {
		t.Fatal(err)
	}
	hash := dstack.ComposeHashOf([]byte(tcb.AppCompose))
	if tcb.RTMR3 != tee.values.RTMR3.String() || info.ComposeHash != hash.String() || info.App != hash.AppID().String() || info.Instance != "" {
		t.Errorf("info %+v, tcb %+v", info, tcb)
	}
	if info.KeyProviderInfo != `{"name":"none","id":""}` || info.Vendor != "sim" || info.Name != "simapp" || info.ImageHash != "00" {
		t.Errorf("info %+v", info)
	}
}
