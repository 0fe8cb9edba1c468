package guest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
	"github.com/boardroom-tee/boardroom/tools/guest/agent"
	"github.com/boardroom-tee/boardroom/tools/guest/engine"
	"github.com/boardroom-tee/boardroom/tools/guest/host"
	"github.com/boardroom-tee/boardroom/tools/guest/keys"
	"github.com/boardroom-tee/boardroom/tools/guest/public"
	"github.com/boardroom-tee/boardroom/tools/guest/registers"
	"github.com/boardroom-tee/boardroom/tools/guest/share"
)

// agentRelease is the release of dstack whose guest this is.
var agentRelease = agent.Release.String()

// says is what the guest agent calls itself in refusals.
const says = "the guest agent"

// system is what the steps do to the machine.
type system interface {
	Mount() error
	LoadModules() error
	// WatchButton has the power button call press.
	WatchButton(press func()) error
	OpenTEE() (registers.TEE, error)
	ReadShare() (share.Files, error)
	Network(ctx context.Context) error
	// SetClock takes the time from servers, and keeps the clock from then on. It returns by how much the host's clock was wrong.
	SetClock(ctx context.Context) (time.Duration, error)
	// Unpack puts the host's files and the compose file where the application finds them.
	Unpack(files share.Files, compose string) error
	// Reporter tells the host on a port of vsock.
	Reporter(port uint32) reporter
	// Serve serves handlers by their place: a path is a socket, hostPlace is for the host alone, anything else is an address of TCP.
	Serve(ctx context.Context, handlers map[string]http.Handler) error
	StartEngine(ctx context.Context, mirror string) (containers, error)
}

// reporter tells the host; see package host.
type reporter interface {
	Tell(event, payload string)
	Close(grace time.Duration)
}

// containers is the container engine.
type containers interface {
	public.Engine
	// Up starts the application that was unpacked.
	Up(ctx context.Context) error
	Ended() <-chan struct{}
	Err() error
	Stop()
}

// boot is what the steps of a boot have found out.
type boot struct {
	system  system
	console io.Writer
	started time.Time
	// stop ends the guest in order, by the context that its boot runs in.
	stop func()
	host reporter

	tee     registers.TEE
	log     *agent.Log
	files   share.Files
	config  share.System
	compose *dstack.AppCompose
	// facts and events are what is measured; the first done events are.
	facts  dstack.Boot
	events []dstack.RuntimeEvent
	done   int
	keys   *keys.Application
	agent  *agent.Agent
	engine containers
}

// step is one step of a boot.
type step struct {
	name string
	do   func(context.Context) error
}

func (b *boot) steps() []step {
	return []step{
		{"mount file systems", func(context.Context) error { return b.system.Mount() }},
		{"load kernel modules", func(context.Context) error { return b.system.LoadModules() }},
		{"watch the power button", func(context.Context) error { return b.system.WatchButton(b.stop) }},
		{"open the measurement registers", b.openTEE},
		{"read the host's files", b.readShare},
		{"check the application", b.check},
		{"check mr_config_id", b.checkConfigID},
		{"measure the application", func(context.Context) error { return b.measure("boot-mr-done") }},
		{"bring up the network", b.system.Network},
		{"set the clock", b.setClock},
		{"make the application's keys", b.makeKeys},
		{"measure the key provider", func(context.Context) error { return b.measure("storage-fs") }},
		{"unpack the application", b.unpack},
		{"serve the guest agent", b.serve},
		{"measure that the system is ready", func(context.Context) error { return b.measure("system-ready") }},
		{"start the container engine", b.startEngine},
		{"answer the host", b.serveHost},
		{"serve the public port", b.servePublic},
		{"start the application", func(ctx context.Context) error { return b.engine.Up(ctx) }},
	}
}

// StepError says which step ended the boot.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return e.Step + ": " + e.Err.Error() }
func (e *StepError) Unwrap() error { return e.Err }

// farewell is how long the host may take to learn why the guest ends.
const farewell = 2 * time.Second

// run takes the steps in their order. The error is a [*StepError].
func (b *boot) run(ctx context.Context) error {
	b.host = (*host.Reporter)(nil) // until it is known where it listens
	for _, s := range b.steps() {
		b.say("%s", s.name)
		b.host.Tell(host.BootProgress, s.name)
		if err := s.do(ctx); err != nil {
			err := &StepError{s.name, err}
			b.host.Tell(host.BootError, err.Error())
			b.host.Close(farewell)
			return err
		}
	}
	b.say("ready")
	b.host.Tell(host.BootProgress, "done")
	return nil
}

// say writes a line with the time since the program started.
func (b *boot) say(format string, args ...any) {
	fmt.Fprintf(b.console, "boardroom-guest: %6.2fs %s\n", time.Since(b.started).Seconds(), fmt.Sprintf(format, args...))
}

// preparing is the first event of every boot.
var preparing = dstack.RuntimeEvent{Name: "system-preparing", Version: dstack.EventV1}

func (b *boot) openTEE(context.Context) (err error) {
	if b.tee, err = b.system.OpenTEE(); err != nil {
		return err
	}
	if b.log, err = agent.Begin(b.tee); err != nil {
		return err
	}
	return b.log.Extend(preparing)
}

func (b *boot) readShare(context.Context) (err error) {
	if b.files, err = b.system.ReadShare(); err != nil {
		return err
	}
	if b.config, err = share.ParseSystem(b.files[share.SysConfig]); err != nil {
		return err
	}
	port, err := host.ParseURL(b.config.HostAPI)
	if err != nil {
		return &share.FileError{Name: share.SysConfig, Err: fmt.Errorf("host_api_url: %w", err)}
	}
	if port != 0 {
		b.host = b.system.Reporter(port)
	}
	// Without a KMS there is nothing in it to take: the seed is new each time, and the application's id is that of the compose hash.
	if _, err = share.ParseInstance(b.files[share.InstanceInfo]); err != nil {
		return err
	}
	b.compose, err = dstack.ParseAppCompose(b.files[share.AppCompose])
	return err
}

// check finds out what will be measured.
func (b *boot) check(context.Context) error {
	if err := checkApplication(b.compose, b.files); err != nil {
		return err
	}
	launch := dstack.Launch{Release: agent.Release}
	var seed []byte
	if !b.compose.NoInstanceID {
		seed = make([]byte, 20)
		rand.Read(seed)
		instance, err := dstack.NewInstanceID(seed, b.compose.Hash().AppID(), nil)
		if err != nil {
			return err
		}
		launch.Instance = instance
	}
	var err error
	if b.facts, err = dstack.PredictBoot(b.compose, launch); err != nil {
		return err
	}
	if b.events, err = b.facts.Events(); err != nil {
		return err
	}
	if first := b.events[0]; first.Digest() != preparing.Digest() {
		return fmt.Errorf("expected %s as the first event, got %s", preparing.Name, first.Name)
	}
	b.done = 1
	document, err := json.Marshal(struct {
		Seed     string `json:"instance_id_seed"`
		Instance string `json:"instance_id"`
		App      string `json:"app_id"`
	}{hex.EncodeToString(seed), b.facts.Instance.String(), b.facts.App.String()})
	if err != nil {
		return err
	}
	b.host.Tell(host.InstanceInfo, string(document))
	return nil
}

// checkConfigID holds the launch to what the host bound when it made the TD. A host that bound nothing is let pass, as by dstack: a verifier
// sees that.
func (b *boot) checkConfigID(context.Context) error {
	values, err := b.tee.Registers()
	if err != nil {
		return err
	}
	err = dstack.CheckConfigID(values.ConfigID, b.facts, b.config.MRConfig)
	if errors.Is(err, dstack.ErrNoConfigID) {
		b.say("%v", err)
		return nil
	}
	return err
}

// measure extends RTMR3 up to the event.
func (b *boot) measure(last string) error {
	end := slices.IndexFunc(b.events, func(e dstack.RuntimeEvent) bool { return e.Name == last })
	if end < b.done {
		return fmt.Errorf("expected event %s among those that are left, got %d of %d events before", last, b.done, len(b.events))
	}
	for ; b.done <= end; b.done++ {
		if err := b.log.Extend(b.events[b.done]); err != nil {
			return err
		}
	}
	return nil
}

// setClock has everything that follows, the certificates of the guest's own keys first, at a time that somebody else than the host vouches for.
func (b *boot) setClock(ctx context.Context) error {
	if !b.compose.SecureTime {
		b.say("secure_time is false: the clock is the host's")
		return nil
	}
	wrong, err := b.system.SetClock(ctx)
	if err != nil {
		return &dstack.FieldError{Field: "secure_time", Err: err}
	}
	b.say("the host's clock was wrong by %v", wrong)
	return nil
}

func (b *boot) makeKeys(context.Context) (err error) {
	b.keys, err = keys.Generate()
	return err
}

func (b *boot) unpack(context.Context) error {
	return b.system.Unpack(b.files, b.compose.DockerComposeFile)
}

// Where the guest agent listens: dstack's socket, its second place since 0.5.8, and those of its predecessor.
var (
	dstackSockets = []string{"/run/dstack.sock", "/run/dstack/dstack.sock"}
	tappdSockets  = []string{"/run/tappd.sock", "/run/dstack/tappd.sock"}
)

// publicAddress is where everybody may ask.
const publicAddress = ":8090"

func (b *boot) serve(ctx context.Context) error {
	b.agent = agent.New(b.log, b.keys, b.facts, b.compose, b.config.VMConfig)
	handlers := make(map[string]http.Handler)
	for _, socket := range dstackSockets {
		handlers[socket] = agentapi.Dstack(b.agent, says)
	}
	for _, socket := range tappdSockets {
		handlers[socket] = agentapi.Tappd(b.agent, says)
	}
	return b.system.Serve(ctx, handlers)
}

func (b *boot) startEngine(ctx context.Context) (err error) {
	b.engine, err = b.system.StartEngine(ctx, b.config.Registry)
	return err
}

// hostPlace is where the host may ask, and nobody else.
const hostPlace = "vsock"

func (b *boot) serveHost(ctx context.Context) error {
	return b.system.Serve(ctx, map[string]http.Handler{hostPlace: host.Handler(host.Guest{
		Agent: b.agent, Containers: b.engine, Resolv: resolvFile, Stored: "/var", Shutdown: b.stop,
	}, says)})
}

func (b *boot) servePublic(ctx context.Context) error {
	worker := agentapi.Worker(b.agent, says, b.compose.PublicTCBInfo)
	page := public.Handler(public.Page{
		Application: b.compose.Name, App: b.facts.App.String(), Instance: b.facts.Instance.String(), ComposeHash: b.facts.Compose.String(),
		Version: agentRelease, Logs: b.compose.PublicLogs, SysInfo: b.compose.PublicSysinfo,
	}, b.engine, worker)
	return b.system.Serve(ctx, map[string]http.Handler{publicAddress: page})
}

var _ containers = (*running)(nil)

// running is the engine with the application's folder.
type running struct{ *engine.Engine }

// Up starts the application.
func (r *running) Up(ctx context.Context) error {
	return r.Engine.Up(ctx, applicationFolder, composeFile)
}

// wait waits until the guest is asked to end, or its engine ends by itself.
func (b *boot) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		b.say("stopping")
		b.host.Tell(host.ShutdownProgress, "stopping the application")
		b.engine.Stop()
		b.host.Tell(host.ShutdownProgress, "powering off")
		b.host.Close(farewell)
		return nil
	case <-b.engine.Ended():
		err := b.engine.Err()
		b.host.Tell(host.BootError, err.Error())
		b.host.Close(farewell)
		return err
	}
}
