//go:build simtee

package simtee

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

// Launch is what a simulated trust domain boots. The zero value boots an application that does nothing, on dstack 0.5.11.
type Launch struct {
	// MRTD and RTMR hold what the firmware and kernel measured; zero values become the simulated ones, see [Boot].
	MRTD eventlog.Digest
	RTMR [3]eventlog.Digest
	// Events are those of RTMR0 to RTMR2. Registers they touch must be zero above, or what the events lead to.
	Events []eventlog.Event
	// MRCONFIGID is what the host set; nil is dstack's form for the compose file, the compose hash.
	MRCONFIGID             *[48]byte
	MROWNER, MROWNERCONFIG [48]byte
	// Compose is an app-compose.json; empty is one that does nothing.
	Compose []byte
	// Dstack is the rest of what dstack measures. The zero release is 0.5.11; a KMS and an instance are made up where the compose
	// file needs them and none is given.
	Dstack dstack.Launch
	// VMConfig is what the host says of the machine; empty is one with Dstack.Image, two processors and 2 GiB.
	VMConfig string
	// QuoteVersion is 4 (also where it is zero) or 5; BodyKind is TD10 (also where it is empty) or, in version 5, TD15.
	QuoteVersion uint16
	BodyKind     string
}

// emptyCompose is an application of nothing, for a simulated trust domain of which nobody says what it runs.
const emptyCompose = `{"docker_compose_file":"services: {}\n","manifest_version":2,"name":"simulated","runner":"docker-compose"}`

// TD is a simulated trust domain. It is safe for concurrent use.
type TD struct {
	platform *Platform
	launch   Launch
	compose  *dstack.AppCompose
	boot     dstack.Boot
	notAfter time.Time
	version  uint16

	mu     sync.Mutex
	body   quote.Body
	events []dstack.RuntimeEvent
	calls  int // of GetTlsKey, each of which makes another key
}

// simulatedRegister is what an RTMR of 0 to 2 holds if nobody says otherwise: one event whose digest is the hash of a text.
func simulatedEvent(r eventlog.Register) eventlog.Event {
	text := "SIMULATED " + r.String()
	return eventlog.Event{Register: r, Type: eventlog.EvAction, Digest: eventlog.Sum([]byte(text)), Data: []byte(text)}
}

// Boot starts a trust domain on the platform. Where the launch says nothing, MRTD holds the text "SIMULATED MRTD", and RTMR0 to
// RTMR2 one event each, over the text "SIMULATED rtmr0" and so on. RTMR3 follows from dstack's boot sequence.
func (p *Platform) Boot(l Launch) (*TD, error) {
	td := &TD{platform: p, launch: l, body: p.Body(), notAfter: p.design.PCK.NotAfter, version: max(l.QuoteVersion, 4)}
	for _, step := range []func() error{td.setForm, td.setRegisters, td.bootDstack} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("boot a simulated TD: %w", err)
		}
	}
	return td, nil
}

func (t *TD) setForm() error {
	if t.version != 4 && t.version != 5 {
		return fmt.Errorf("quote version: expected 4 or 5, got %d", t.version)
	}
	switch kind := t.launch.BodyKind; {
	case kind == "":
	case kind == "TD10", kind == "TD15" && t.version == 5:
		t.body.Kind = kind
	default:
		return fmt.Errorf("body: expected TD10, or TD15 with quote version 5, got %q with version %d", kind, t.version)
	}
	return nil
}

func (t *TD) setRegisters() error {
	l := &t.launch
	if !l.MRTD.IsZero() {
		t.body.MRTD = l.MRTD
	}
	log := eventlog.Log{Kind: eventlog.KindDstack, Events: slices.Clone(l.Events)}
	touched := make(map[eventlog.Register]bool)
	for i, e := range log.Events {
		if e.Register > eventlog.RTMR2 {
			return fmt.Errorf("event %d: expected a register of rtmr0 to rtmr2, got %s", i, e.Register)
		}
		touched[e.Register] = true
	}
	for i, value := range l.RTMR {
		if r := eventlog.RTMR0 + eventlog.Register(i); value.IsZero() && !touched[r] {
			log.Events = append(log.Events, simulatedEvent(r))
			touched[r] = true
		}
	}
	replayed := log.Replay()
	for i, value := range l.RTMR {
		r := eventlog.RTMR0 + eventlog.Register(i)
		if touched[r] && !value.IsZero() && value != replayed[r] {
			return fmt.Errorf("%s: expected %s, to which the events lead, got %s", r, replayed[r], value)
		}
		if touched[r] {
			value = replayed[r]
		}
		t.body.RTMR[i] = value
	}
	l.Events = log.Events
	return nil
}

// simulatedImage is the hash of no image.
var simulatedImage = dstack.ImageHash([]byte("SIMULATED os image hash\x00\x00\x00\x00\x00\x00\x00\x00\x00"))

func (t *TD) bootDstack() error {
	l := &t.launch
	if len(l.Compose) == 0 {
		l.Compose = []byte(emptyCompose)
	}
	compose, err := dstack.ParseForeignAppCompose(l.Compose)
	if err != nil {
		return err
	}
	t.compose = compose
	if err := t.completeLaunch(); err != nil {
		return err
	}
	if t.boot, err = dstack.PredictBoot(compose, l.Dstack); err != nil {
		return err
	}
	if t.events, err = t.boot.Events(); err != nil {
		return err
	}
	t.body.RTMR[3] = dstack.ReplayRTMR3(t.events)
	t.body.MRCONFIGID = dstack.ConfigIDV1(compose.Hash())
	if l.MRCONFIGID != nil {
		t.body.MRCONFIGID = *l.MRCONFIGID
	}
	t.body.MROWNER, t.body.MROWNERCONFIG = l.MROWNER, l.MROWNERCONFIG
	return nil
}

// completeLaunch makes up what dstack needs and nobody gave.
func (t *TD) completeLaunch() error {
	l := &t.launch.Dstack
	if l.Release == (dstack.Release{}) {
		l.Release = dstack.Release{Major: 0, Minor: 5, Patch: 11}
	}
	app := t.compose.Hash().AppID()
	if l.App != nil {
		app = *l.App
	}
	if l.Instance.IsEmpty() && !t.compose.NoInstanceID {
		instance, err := dstack.NewInstanceID(t.platform.design.Seed.bytes("instance id seed", 20), app, nil)
		if err != nil {
			return err
		}
		l.Instance = instance
	}
	image := simulatedImage
	if l.Image != nil {
		image = *l.Image
	}
	if t.launch.VMConfig == "" {
		t.launch.VMConfig = fmt.Sprintf(`{"spec_version":1,"os_image_hash":"%s","cpu_count":2,"memory_size":%d}`, image, 2<<30)
	}
	switch t.compose.KeyProvider {
	case dstack.KeyProviderKMS:
		l.Image = &image
		if l.KeyProviderID == nil && len(t.compose.KeyProviderID) == 0 {
			id, err := x509.MarshalPKIXPublicKey(&t.seed().Private(keyKMS).PublicKey)
			if err != nil {
				return err
			}
			l.KeyProviderID = id
		}
	case dstack.KeyProviderLocal:
		if l.KeyProviderID == nil && len(t.compose.KeyProviderID) == 0 {
			id := sha256.Sum256([]byte("SIMULATED local key provider"))
			l.KeyProviderID = id[:]
		}
	}
	return nil
}

func (t *TD) seed() Seed { return t.platform.design.Seed }

// since tells whether the simulated dstack is of this release or later.
func (t *TD) since(major, minor, patch int) bool {
	r := t.launch.Dstack.Release
	return slices.Compare([]int{r.Major, r.Minor, r.Patch}, []int{major, minor, patch}) >= 0
}

// Body is the TD report as it stands, without report data.
func (t *TD) Body() quote.Body {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.body
}

// AppCompose is the app-compose.json that was booted, byte for byte.
func (t *TD) AppCompose() []byte { return t.compose.Raw() }

// VMConfig is what the host says of the machine.
func (t *TD) VMConfig() string { return t.launch.VMConfig }

// KeyProvider is what the key-provider event says.
func (t *TD) KeyProvider() dstack.KeyProviderInfo { return t.boot.KeyProvider }

// maxEvents bounds the log of a trust domain that somebody extends again and again.
const maxEvents = 1 << 14

// EmitEvent extends RTMR3 with an event of the application, whatever its name: the hardware does not know dstack's.
func (t *TD) EmitEvent(name string, payload []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.events) >= maxEvents {
		return errors.New("the event log is full")
	}
	e := dstack.RuntimeEvent{Name: name, Payload: bytes.Clone(payload), Version: t.boot.Version}
	digest := e.Digest()
	t.events = append(t.events, e)
	t.body.RTMR[3] = eventlog.Digest(t.body.RTMR[3]).Extend(eventlog.Digest(digest))
	return nil
}

// Evidence is a quote with the event log as it stood at that moment.
type Evidence struct {
	Quote    []byte
	EventLog []byte // dstack's JSON
	VMConfig string
}

// Quote makes evidence over report data. Edits change the quote before it is signed.
func (t *TD) Quote(reportData [64]byte, edits ...func(*Parts)) Evidence {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.evidence(reportData, false, edits...)
}

// evidence is called with the lock held. dstack strips what is not of RTMR3 from the log in containers and certificates.
func (t *TD) evidence(reportData [64]byte, strip bool, edits ...func(*Parts)) Evidence {
	body := t.body
	body.ReportData = reportData
	parts := t.platform.Parts(t.version, body)
	for _, edit := range edits {
		edit(parts)
	}
	parts.Sign()
	return Evidence{Quote: parts.Bytes(), EventLog: t.record().EventLog(strip), VMConfig: t.launch.VMConfig}
}

// record is what the trust domain knows of itself; called with the lock held.
func (t *TD) record() *agentapi.Record {
	b := &t.body
	device := dstack.Hash(sha256.Sum256(nil)) // what the guest shows, which does not verify its own quote
	if !t.since(0, 5, 6) {
		device = dstack.OldDeviceID(t.platform.Parts(t.version, *b).UserData)
	}
	return &agentapi.Record{
		Release: t.launch.Dstack.Release,
		TDX: dstack.TDX{
			MRTD: b.MRTD, RTMR0: b.RTMR[0], RTMR1: b.RTMR[1], RTMR2: b.RTMR[2],
			ConfigID: b.MRCONFIGID, Owner: b.MROWNER, OwnerConfig: b.MROWNERCONFIG,
		},
		RTMR3: b.RTMR[3], Firmware: t.launch.Events, Runtime: t.events, Boot: t.boot, Compose: t.compose, VMConfig: t.launch.VMConfig,
		Device: device, Vendor: simulated, Product: simulated,
	}
}

// Answer is a whole answer to GetQuote over up to 64 bytes, in JSON.
func (t *TD) Answer(reportData []byte) ([]byte, error) {
	return agentapi.QuoteAnswer(context.Background(), guest{t}, reportData)
}
