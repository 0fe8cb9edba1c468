package guest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/guest/engine"
	"github.com/boardroom-tee/boardroom/tools/guest/registers"
	"github.com/boardroom-tee/boardroom/tools/guest/share"
)

// simTEE has registers and no quotes.
type simTEE struct {
	values  registers.Values
	extends int
	broken  error
}

func (s *simTEE) Registers() (registers.Values, error)            { return s.values, nil }
func (s *simTEE) Firmware() ([]eventlog.Event, error)             { return nil, nil }
func (s *simTEE) Name() (vendor, product string)                  { return "sim", "sim" }
func (s *simTEE) Quote(context.Context, [64]byte) ([]byte, error) { return []byte("sim quote"), nil }

func (s *simTEE) Extend(digest dstack.Register) error {
	if s.broken != nil {
		return s.broken
	}
	s.extends++
	s.values.RTMR3 = dstack.Register(eventlog.Digest(s.values.RTMR3).Extend(eventlog.Digest(digest)))
	return nil
}

// simSystem records what a boot does to it; a step that is to fail has an error.
type simSystem struct {
	tee      *simTEE
	files    share.Files
	fail     map[string]error
	done     []string
	compose  string
	mirror   string
	handlers map[string]http.Handler
	port     uint32
	told     []string
}

func (s *simSystem) note(what string) error {
	s.done = append(s.done, fmt.Sprintf("%s after %d events", what, s.tee.extends))
	return s.fail[what]
}

func (s *simSystem) Mount() error                    { return s.note("mount") }
func (s *simSystem) LoadModules() error              { return s.note("modules") }
func (s *simSystem) WatchButton(func()) error        { return s.note("button") }
func (s *simSystem) OpenTEE() (registers.TEE, error) { return s.tee, s.note("tee") }
func (s *simSystem) ReadShare() (share.Files, error) { return s.files, s.note("share") }
func (s *simSystem) Network(context.Context) error   { return s.note("network") }

func (s *simSystem) SetClock(context.Context) (time.Duration, error) {
	return time.Hour, s.note("clock")
}

func (s *simSystem) Reporter(port uint32) reporter {
	s.port = port
	return simReporter{s}
}

// simReporter is a host that listens.
type simReporter struct{ *simSystem }

func (r simReporter) Tell(event, payload string) { r.told = append(r.told, event+": "+payload) }
func (r simReporter) Close(time.Duration)        { r.told = append(r.told, "closed") }

func (s *simSystem) Unpack(_ share.Files, compose string) error {
	s.compose = compose
	return s.note("unpack")
}

func (s *simSystem) Serve(_ context.Context, handlers map[string]http.Handler) error {
	maps.Copy(s.handlers, handlers)
	return s.note("serve " + strings.Join(slices.Sorted(maps.Keys(handlers)), " "))
}

func (s *simSystem) StartEngine(_ context.Context, mirror string) (containers, error) {
	s.mirror = mirror
	return simEngine{s}, s.note("engine")
}

// simEngine runs nothing.
type simEngine struct{ *simSystem }

func (e simEngine) Up(context.Context) error { return e.note("up") }
func (simEngine) Ended() <-chan struct{}     { return nil }
func (simEngine) Err() error                 { return nil }
func (e simEngine) Stop()                    { _ = e.note("stop") }

func (simEngine) Containers(context.Context) ([]engine.Container, error) { return nil, nil }

func (simEngine) Logs(context.Context, string, engine.LogQuery) (io.ReadCloser, bool, error) {
	return nil, false, errors.New("no logs")
}

const simServices = "services: {}\n"

// simCompose is an app-compose.json with some members changed.
func simCompose(t *testing.T, changed map[string]any) []byte {
	t.Helper()
	members := map[string]any{
		"manifest_version": 2, "name": "simapp", "runner": "docker-compose", "docker_compose_file": simServices, "secure_time": false,
	}
	maps.Copy(members, changed)
	for name, value := range changed {
		if value == nil {
			delete(members, name)
		}
	}
	file, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// simBoot is a boot of a compose file that is in order, which a test may change.
func simBoot(t *testing.T, compose []byte) (*boot, *simSystem, *bytes.Buffer) {
	t.Helper()
	s := &simSystem{tee: new(simTEE), handlers: make(map[string]http.Handler), files: share.Files{
		share.AppCompose: compose, share.SysConfig: []byte(`{"vm_config":"{\"cpu_count\":1}","docker_registry":"https://mirror.example","host_api_url":"vsock://2:10000/api"}`),
	}}
	var console bytes.Buffer
	return &boot{system: s, console: &console}, s, &console
}

func TestBoot(t *testing.T) {
	compose := simCompose(t, nil)
	b, s, console := simBoot(t, compose)
	s.tee.values.ConfigID = dstack.ConfigIDV1(dstack.ComposeHashOf(compose))
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Events: system-preparing; app-id, compose-hash, instance-id, boot-mr-done; key-provider, storage-fs; system-ready.
	want := []string{
		"mount after 0 events", "modules after 0 events", "button after 0 events", "tee after 0 events", "share after 1 events", "network after 5 events",
		"unpack after 7 events", "serve /run/dstack.sock /run/dstack/dstack.sock /run/dstack/tappd.sock /run/tappd.sock after 7 events",
		"engine after 8 events", "serve vsock after 8 events", "serve :8090 after 8 events", "up after 8 events",
	}
	if !slices.Equal(s.done, want) {
		t.Errorf("the boot was\n%q, want\n%q", s.done, want)
	}
	if s.compose != simServices || s.mirror != "https://mirror.example" {
		t.Errorf("started %q with mirror %q", s.compose, s.mirror)
	}
	if !strings.HasSuffix(console.String(), " ready\n") {
		t.Errorf("console %q", console)
	}
	if s.port != 10000 || len(s.told) < 3 || s.told[0] != "boot.progress: check the application" ||
		!strings.HasPrefix(s.told[1], `instance.info: {"instance_id_seed":"`) || s.told[len(s.told)-1] != "boot.progress: done" {
		t.Errorf("port %d was told %q", s.port, s.told)
	}
	// What the guest says of itself leads to what is in the register, and is what was predicted.
	w := httptest.NewRecorder()
	s.handlers["/run/dstack.sock"].ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/GetQuote?report_data=abcd", nil))
	var answer map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("GetQuote: %d %s", w.Code, w.Body)
	}
	events, err := dstack.ParseRuntimeEvents([]byte(answer["event_log"]))
	if err != nil {
		t.Fatal(err)
	}
	if got := dstack.ReplayRTMR3(events); got != s.tee.values.RTMR3 {
		t.Errorf("the log leads to RTMR3 %s, the register holds %s", got, s.tee.values.RTMR3)
	}
	facts, err := dstack.ParseBoot(events)
	if err != nil || facts.Compose != dstack.ComposeHashOf(compose) || facts.App != facts.Compose.AppID() || facts.Instance.IsEmpty() || facts.StorageFS != "zfs" {
		t.Errorf("the log says %+v, %v", facts, err)
	}
	if answer["vm_config"] != `{"cpu_count":1}` {
		t.Errorf("vm_config %q", answer["vm_config"])
	}
}

// TestClock: the clock is set when the application asks for it, or does not say, after the network is there and before there are keys.
func TestClock(t *testing.T) {
	for name, tt := range map[string]struct {
		compose map[string]any
		set     bool
		said    string
	}{
		"true":    {map[string]any{"secure_time": true}, true, "the host's clock was wrong by 1h0m0s"},
		"not set": {map[string]any{"secure_time": nil}, true, "the host's clock was wrong by 1h0m0s"},
		"false":   {nil, false, "secure_time is false: the clock is the host's"},
	} {
		t.Run(name, func(t *testing.T) {
			b, s, console := simBoot(t, simCompose(t, tt.compose))
			if err := b.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			at := slices.Index(s.done, "clock after 5 events")
			if (at > 0) != tt.set || tt.set && s.done[at-1] != "network after 5 events" || !strings.Contains(console.String(), tt.said) {
				t.Errorf("the boot was %q, and said\n%s", s.done, console)
			}
		})
	}
}

// TestInstanceIsNew: without a key provider no instance outlives its boot, whatever seed the host gives.
func TestInstanceIsNew(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		b, s, _ := simBoot(t, simCompose(t, nil))
		s.files[share.InstanceInfo] = []byte(`{"instance_id_seed":"00112233445566778899aabbccddeeff00112233"}`)
		if err := b.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		seen[b.facts.Instance.String()] = true
	}
	if len(seen) != 3 {
		t.Errorf("three boots had the instances %v", seen)
	}
	b, _, _ := simBoot(t, simCompose(t, map[string]any{"no_instance_id": true}))
	if err := b.run(t.Context()); err != nil || !b.facts.Instance.IsEmpty() {
		t.Errorf("instance %s, %v, want none", b.facts.Instance, err)
	}
}

// TestBootRefuses: each of these ends the boot at its step, with no keys made and nothing started.
func TestBootRefuses(t *testing.T) {
	other := dstack.ConfigIDV1(dstack.ComposeHash{1})
	failure := errors.New("simulated failure")
	for name, tt := range map[string]struct {
		compose map[string]any
		change  func(*simSystem)
		step    string
		want    string
	}{
		"mount":                 {nil, func(s *simSystem) { s.fail = map[string]error{"mount": failure} }, "mount file systems", "simulated"},
		"modules":               {nil, func(s *simSystem) { s.fail = map[string]error{"modules": failure} }, "load kernel modules", "simulated"},
		"no TEE":                {nil, func(s *simSystem) { s.fail = map[string]error{"tee": failure} }, "open the measurement registers", "simulated"},
		"RTMR3 was extended":    {nil, func(s *simSystem) { s.tee.values.RTMR3[0] = 1 }, "open the measurement registers", "untouched"},
		"RTMR3 does not extend": {nil, func(s *simSystem) { s.tee.broken = failure }, "open the measurement registers", "system-preparing"},
		"no share":              {nil, func(s *simSystem) { s.fail = map[string]error{"share": failure} }, "read the host's files", "simulated"},
		"system configuration":  {nil, func(s *simSystem) { s.files[share.SysConfig] = []byte("{") }, "read the host's files", share.SysConfig},
		"instance":              {nil, func(s *simSystem) { s.files[share.InstanceInfo] = []byte("[]") }, "read the host's files", share.InstanceInfo},
		"compose file is none":  {nil, func(s *simSystem) { s.files[share.AppCompose] = []byte("x") }, "read the host's files", "app-compose"},
		"unknown member":        {map[string]any{"typo": 1}, nil, "read the host's files", "typo"},
		"address of the host":   {nil, func(s *simSystem) { s.files[share.SysConfig] = []byte(`{"vm_config":"{}","host_api_url":"http://x/"}`) }, "read the host's files", "host_api_url"},
		"network":               {nil, func(s *simSystem) { s.fail = map[string]error{"network": failure} }, "bring up the network", "simulated"},
		"mr_config_id":          {nil, func(s *simSystem) { s.tee.values.ConfigID = other }, "check mr_config_id", "mr_config_id"},
		"environment": {
			nil, func(s *simSystem) { s.files[share.EncryptedEnv] = []byte{1} }, "check the application", share.EncryptedEnv,
		},
		"empty environment": {nil, func(s *simSystem) { s.files[share.EncryptedEnv] = nil }, "check the application", share.EncryptedEnv},
		"key provider kms":  {map[string]any{"key_provider": "kms", "kms_enabled": true}, nil, "check the application", "key_provider"},
		"key provider local": {
			map[string]any{"key_provider": "local", "local_key_provider_enabled": true}, nil, "check the application", "key_provider",
		},
		"key provider tpm":  {map[string]any{"key_provider": "tpm"}, nil, "check the application", "key_provider"},
		"pre-launch script": {map[string]any{"pre_launch_script": "true"}, nil, "check the application", "pre_launch_script"},
		"init script":       {map[string]any{"init_script": "true"}, nil, "check the application", "init_script"},
		"bash": {
			map[string]any{"runner": "bash", "bash_script": "true", "docker_compose_file": nil}, nil, "check the application", "runner",
		},
		"gateway":      {map[string]any{"gateway_enabled": true}, nil, "check the application", "gateway_enabled"},
		"secure time":  {map[string]any{"secure_time": nil}, func(s *simSystem) { s.fail = map[string]error{"clock": failure} }, "set the clock", "secure_time: simulated"},
		"swap":         {map[string]any{"swap_size": 4096}, nil, "check the application", "swap_size"},
		"data disk":    {map[string]any{"storage_fs": "ext4"}, nil, "check the application", "storage_fs"},
		"requirements": {map[string]any{"manifest_version": "3", "requirements": map[string]any{}}, nil, "check the application", "requirements"},
		"manifest of a later dstack": {
			map[string]any{"manifest_version": "3"}, nil, "check the application", "manifest_version 3",
		},
		"event log of a later dstack": {map[string]any{"event_log_version": 2}, nil, "check the application", "event_log_version"},
	} {
		t.Run(name, func(t *testing.T) {
			b, s, _ := simBoot(t, simCompose(t, tt.compose))
			if tt.change != nil {
				tt.change(s)
			}
			err := b.run(t.Context())
			var stopped *StepError
			if !errors.As(err, &stopped) || stopped.Step != tt.step || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one of step %q with %q", err, tt.step, tt.want)
			}
			if b.keys != nil || b.agent != nil || b.engine != nil || len(s.handlers) > 0 {
				t.Error("there are keys, or something was started")
			}
			if n := len(s.told); s.port != 0 && (n < 2 || s.told[n-1] != "closed" || s.told[n-2] != "boot.error: "+err.Error()) {
				t.Errorf("the host was told %q", s.told)
			}
		})
	}
}

func TestZeroConfigIDIsSaid(t *testing.T) {
	b, _, console := simBoot(t, simCompose(t, nil))
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(console.String(), dstack.ErrNoConfigID.Error()) {
		t.Errorf("console %q does not say that the host bound nothing", console)
	}
}

func TestWaitStops(t *testing.T) {
	b, s, _ := simBoot(t, simCompose(t, nil))
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.wait(ctx); err != nil || !strings.HasPrefix(s.done[len(s.done)-1], "stop") {
		t.Errorf("%v, last was %s", err, s.done[len(s.done)-1])
	}
	want := []string{"shutdown.progress: stopping the application", "shutdown.progress: powering off", "closed"}
	if got := s.told[len(s.told)-3:]; !slices.Equal(got, want) {
		t.Errorf("the host was told %q last, want %q", got, want)
	}
}

// TestWorkerKeepsTCBInfo: an application that says so keeps its measurements from the public port.
func TestWorkerKeepsTCBInfo(t *testing.T) {
	for _, public := range []bool{true, false} {
		b, s, _ := simBoot(t, simCompose(t, map[string]any{"public_tcbinfo": public}))
		if err := b.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		s.handlers[":8090"].ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/prpc/Worker.Info", nil))
		var answer map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
			t.Fatalf("Info: %d %s", w.Code, w.Body)
		}
		if (answer["tcb_info"] != "") != public || (answer["vm_config"] != "") != public || answer["app_id"] == "" {
			t.Errorf("public_tcbinfo %t: %v", public, answer)
		}
	}
}
