package dstack

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// RuntimeEventType is the type of every event that dstack's guest extends into RTMR3. TCG does not define it
// (dstack/cc-eventlog/src/runtime_events.rs DSTACK_RUNTIME_EVENT_TYPE).
const RuntimeEventType = 0x08000001

// runtimeRegister is the index of RTMR3 in a JSON event log, where registers count from 0.
const runtimeRegister = 3

// EventVersion says what of a runtime event is hashed.
type EventVersion int

// Event versions; app-compose.json names one in event_log_version.
const (
	EventV1 EventVersion = 1 // type, name and payload joined by colons
	EventV2 EventVersion = 2 // a canonical JSON object; dstack 0.6
)

// RuntimeEvent is one event of RTMR3.
type RuntimeEvent struct {
	Name    string
	Payload []byte
	Version EventVersion
}

// Preimage is what the digest is over.
func (e RuntimeEvent) Preimage() []byte {
	if e.Version == EventV2 {
		text := appendText([]byte(`{"name":`), e.Name)
		text = append(text, `,"payload":"`...)
		text = hex.AppendEncode(text, e.Payload)
		return append(text, `","type":134217729}`...)
	}
	data := binary.LittleEndian.AppendUint32(nil, RuntimeEventType)
	data = append(data, ':')
	data = append(data, e.Name...)
	data = append(data, ':')
	return append(data, e.Payload...)
}

// Digest is what RTMR3 is extended with.
func (e RuntimeEvent) Digest() Register { return sha512.Sum384(e.Preimage()) }

// ReplayRTMR3 extends a zero register with the events in order.
func ReplayRTMR3(events []RuntimeEvent) Register {
	var r Register
	for _, e := range events {
		digest := e.Digest()
		r = sha512.Sum384(append(r[:], digest[:]...))
	}
	return r
}

// Bounds of an event log that is read. dstack limits the message around it to 10 MiB.
const (
	maxEventLog     = 10 << 20
	maxEventEntries = 1 << 16
)

// LogError says which entry of an event log does not hold.
type LogError struct {
	// Entry counts from 0; it is negative for the log as a whole.
	Entry int
	Err   error
}

func (e *LogError) Error() string {
	if e.Entry < 0 {
		return "event log: " + e.Err.Error()
	}
	return fmt.Sprintf("event log: entry %d: %v", e.Entry, e.Err)
}

func (e *LogError) Unwrap() error { return e.Err }

// logEntry is TdxEvent (dstack/cc-eventlog/src/tdx.rs).
type logEntry struct {
	Register uint32 `json:"imr"`
	Type     uint32 `json:"event_type"`
	Digest   string `json:"digest"`
	Name     string `json:"event"`
	Payload  string `json:"event_payload"`
	Version  uint32 `json:"version,omitempty"`
	Preimage string `json:"preimage,omitempty"`
}

// ParseRuntimeEvents returns the events of RTMR3 from a JSON event log, as GetQuote and tcb_info carry it. Entries of the other
// registers are left to package eventlog; here they may only not pass for runtime events: a runtime type outside RTMR3, another
// type inside, or the name of a boot event on another register is refused. An entry's digest may be empty, as dstack strips it,
// and otherwise has to be that of its name and payload. The error is a [*LogError].
func ParseRuntimeEvents(log []byte) ([]RuntimeEvent, error) {
	if len(log) > maxEventLog {
		return nil, &LogError{-1, fmt.Errorf("expected at most %d bytes, got %d", maxEventLog, len(log))}
	}
	var entries []*logEntry
	if err := strictjson.Unmarshal(log, &entries); err != nil {
		return nil, &LogError{-1, err}
	}
	if len(entries) > maxEventEntries {
		return nil, &LogError{-1, fmt.Errorf("expected at most %d entries, got %d", maxEventEntries, len(entries))}
	}
	var events []RuntimeEvent
	for i, entry := range entries {
		if entry == nil {
			return nil, &LogError{i, errors.New("expected an object, got null")}
		}
		if entry.Register != runtimeRegister {
			if err := entry.checkOther(); err != nil {
				return nil, &LogError{i, err}
			}
			continue
		}
		event, err := entry.event()
		if err != nil {
			return nil, &LogError{i, err}
		}
		events = append(events, event)
	}
	return events, nil
}

func (l *logEntry) checkOther() error {
	switch {
	case l.Register > runtimeRegister:
		return fmt.Errorf("imr: expected 0 to %d, got %d", runtimeRegister, l.Register)
	case l.Type == RuntimeEventType:
		return fmt.Errorf("runtime event %s stands in RTMR%d, where dstack puts none", shown(l.Name), l.Register)
	case isBootEvent(l.Name):
		return fmt.Errorf("event %s stands in RTMR%d with type %#x, where dstack puts none of that name", shown(l.Name), l.Register, l.Type)
	}
	return nil
}

func (l *logEntry) event() (RuntimeEvent, error) {
	if l.Type != RuntimeEventType {
		return RuntimeEvent{}, fmt.Errorf("event_type: expected %#x in RTMR3, got %#x", RuntimeEventType, l.Type)
	}
	event := RuntimeEvent{Name: l.Name, Version: EventV1}
	switch l.Version {
	case 0, 1:
	case 2:
		event.Version = EventV2
	default:
		return RuntimeEvent{}, fmt.Errorf("version: expected 1 or 2, got %d", l.Version)
	}
	payload, err := decodeBytes(l.Payload)
	if err != nil {
		return RuntimeEvent{}, fmt.Errorf("event_payload: %w", err)
	}
	event.Payload = payload
	if want := hex.EncodeToString(event.Preimage()); l.Preimage != "" && l.Preimage != want {
		return RuntimeEvent{}, fmt.Errorf("preimage: expected that of event %s, %s, got %s", shown(l.Name), shown(want), shown(l.Preimage))
	}
	if want := event.Digest().String(); l.Digest != "" && l.Digest != want {
		return RuntimeEvent{}, fmt.Errorf("digest: expected that of event %s and its payload, %s, got %s", shown(l.Name), want, shown(l.Digest))
	}
	return event, nil
}

// Names of the events of a boot, in their order (system_setup.rs measure_app_info, verify_app, setup_fs).
const (
	eventPreparing      = "system-preparing"
	eventAppID          = "app-id"
	eventComposeHash    = "compose-hash"
	eventInitScript     = "init-script-hash"
	eventGPUPolicy      = "gpu-policy-hash"
	eventGPUAttestation = "gpu-attestation"
	eventInstanceID     = "instance-id"
	eventBootMRDone     = "boot-mr-done"
	eventKMSMeasurement = "mr-kms"
	eventImageHash      = "os-image-hash"
	eventKeyProvider    = "key-provider"
	eventStorageFS      = "storage-fs"
	eventReady          = "system-ready"
)

var bootEvents = []string{
	eventPreparing, eventAppID, eventComposeHash, eventInitScript, eventGPUPolicy, eventGPUAttestation, eventInstanceID,
	eventBootMRDone, eventKMSMeasurement, eventImageHash, eventKeyProvider, eventStorageFS, eventReady,
}

func isBootEvent(name string) bool { return slices.Contains(bootEvents, name) }

// maxKMSMeasurements bounds the repeated event: the guest extends one for each connection to a KMS, and asks each KMS once.
const maxKMSMeasurements = 64

// maxGPUAttestation bounds the payload that is kept as it came, in bytes; the real one has about 200.
const maxGPUAttestation = 64 << 10

// KeyProviderInfo is the payload of the key-provider event.
type KeyProviderInfo struct {
	Kind KeyProvider
	// ID is the KMS root CA's public key (DER) or the local provider's MRENCLAVE; none and tpm have no id.
	ID []byte
}

// eventNames spells the kinds as the event does, which is not how app-compose.json does.
var eventNames = map[KeyProvider]string{
	KeyProviderNone: "none", KeyProviderLocal: "local-sgx", KeyProviderKMS: "kms", KeyProviderTPM: "tpm",
}

// Payload is the event's payload, byte for byte as serde_json writes it.
func (k KeyProviderInfo) Payload() []byte {
	return fmt.Appendf(nil, `{"name":"%s","id":"%x"}`, eventNames[k.Kind], k.ID)
}

func parseKeyProviderInfo(payload []byte) (KeyProviderInfo, error) {
	var members struct {
		Name string `json:"name"`
		ID   string `json:"id"`
	}
	if err := strictjson.Unmarshal(payload, &members); err != nil {
		return KeyProviderInfo{}, err
	}
	id, err := decodeBytes(members.ID)
	if err != nil {
		return KeyProviderInfo{}, fmt.Errorf("id: %w", err)
	}
	for _, kind := range keyProviders {
		if eventNames[kind] == members.Name {
			info := KeyProviderInfo{Kind: kind, ID: id}
			// The digest is over the text, so another spelling of the same facts is another event.
			if string(info.Payload()) != string(payload) {
				return KeyProviderInfo{}, fmt.Errorf("expected %s as dstack spells it, got %s", shown(string(info.Payload())), shown(string(payload)))
			}
			return info, info.check()
		}
	}
	return KeyProviderInfo{}, fmt.Errorf("name: expected none, local-sgx, kms or tpm, got %s", shown(members.Name))
}

// check holds the id to the kind. In dstack 0.5.6 to 0.5.11 tpm had an id; see the fact's source, verify_app.
func (k KeyProviderInfo) check() error {
	switch k.Kind {
	case KeyProviderNone:
		if len(k.ID) > 0 {
			return fmt.Errorf("id: expected none for key provider none, got %d bytes", len(k.ID))
		}
	case KeyProviderLocal:
		if len(k.ID) != sha256.Size {
			return fmt.Errorf("id: expected an MRENCLAVE of %d bytes, got %d bytes", sha256.Size, len(k.ID))
		}
	case KeyProviderKMS:
		if len(k.ID) == 0 {
			return errors.New("id: expected the KMS root's public key, got nothing")
		}
	case KeyProviderTPM:
	default:
		return fmt.Errorf("name: expected one of %v, got %s", keyProviders, shown(string(k.Kind)))
	}
	return nil
}

// Boot is what a guest extends into RTMR3 until it is ready. Which members are there depends on the release of dstack; a nil
// or empty one has no event. [Boot.Events] and [ParseBoot] are each other's inverse.
type Boot struct {
	Version          EventVersion // zero: [EventV1]
	App              AppID
	Compose          ComposeHash
	InitScripts      []Hash // dstack 0.6
	GPUPolicy        *Hash  // dstack 0.6
	GPUAttestation   []byte // dstack 0.6, with GPUs: JSON as the guest wrote it
	Instance         InstanceID
	KMSMeasurements  []Hash     // dstack 0.5, where the KMS's certificate carries attestation: its mr_aggregated
	Image            *ImageHash // with a KMS: what the KMS said; the host's vm_config is what counts since 0.5.6
	KeyProvider      KeyProviderInfo
	StorageFS        string // since 0.5.5
	ApplicationAfter []RuntimeEvent
}

// Events lists the events in order, those of the application last. It refuses what no guest extends.
func (b Boot) Events() ([]RuntimeEvent, error) {
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("boot events: %w", err)
	}
	version := max(b.Version, EventV1)
	var events []RuntimeEvent
	add := func(name string, payload []byte) {
		events = append(events, RuntimeEvent{Name: name, Payload: payload, Version: version})
	}
	add(eventPreparing, nil)
	add(eventAppID, b.App[:])
	add(eventComposeHash, b.Compose[:])
	for _, script := range b.InitScripts {
		add(eventInitScript, slices.Clone(script[:]))
	}
	if b.GPUPolicy != nil {
		add(eventGPUPolicy, b.GPUPolicy[:])
	}
	if b.GPUAttestation != nil {
		add(eventGPUAttestation, b.GPUAttestation)
	}
	add(eventInstanceID, b.Instance.Bytes())
	add(eventBootMRDone, nil)
	for _, kms := range b.KMSMeasurements {
		add(eventKMSMeasurement, slices.Clone(kms[:]))
	}
	if b.Image != nil {
		add(eventImageHash, b.Image[:])
	}
	add(eventKeyProvider, b.KeyProvider.Payload())
	if b.StorageFS != "" {
		add(eventStorageFS, []byte(b.StorageFS))
	}
	add(eventReady, nil)
	return append(events, b.ApplicationAfter...), nil
}

// RTMR3 is the register after all events, and after boot-mr-done: what dstack's KMS calls boot time.
func (b Boot) RTMR3() (all, boottime Register, err error) {
	events, err := b.Events()
	if err != nil {
		return Register{}, Register{}, err
	}
	done := slices.IndexFunc(events, func(e RuntimeEvent) bool { return e.Name == eventBootMRDone })
	return ReplayRTMR3(events), ReplayRTMR3(events[:done+1]), nil
}

func (b Boot) check() error {
	if err := b.KeyProvider.check(); err != nil {
		return fmt.Errorf("%s: %w", eventKeyProvider, err)
	}
	switch {
	case b.Version != 0 && b.Version != EventV1 && b.Version != EventV2:
		return fmt.Errorf("event log version: expected 1 or 2, got %d", b.Version)
	case len(b.InitScripts) > maxInitScripts:
		return fmt.Errorf("%s: expected at most %d, got %d", eventInitScript, maxInitScripts, len(b.InitScripts))
	case b.GPUPolicy == nil && (b.InitScripts != nil || b.GPUAttestation != nil):
		return fmt.Errorf("%s: expected one, because events of dstack 0.6 stand beside it, got none", eventGPUPolicy)
	case len(b.GPUAttestation) > maxGPUAttestation:
		return fmt.Errorf("%s: expected at most %d bytes, got %d", eventGPUAttestation, maxGPUAttestation, len(b.GPUAttestation))
	case b.KeyProvider.Kind != KeyProviderKMS && b.Image != nil:
		return fmt.Errorf("%s: only a KMS tells one, and the key provider is %s", eventImageHash, b.KeyProvider.Kind)
	case b.KeyProvider.Kind != KeyProviderKMS && b.KMSMeasurements != nil:
		return fmt.Errorf("%s: only a KMS has one, and the key provider is %s", eventKMSMeasurement, b.KeyProvider.Kind)
	case len(b.KMSMeasurements) > maxKMSMeasurements:
		return fmt.Errorf("%s: expected at most %d, got %d", eventKMSMeasurement, maxKMSMeasurements, len(b.KMSMeasurements))
	case b.StorageFS != "" && b.StorageFS != StorageZFS && b.StorageFS != StorageExt4:
		return fmt.Errorf("%s: expected zfs or ext4, got %s", eventStorageFS, shown(b.StorageFS))
	}
	for _, e := range b.ApplicationAfter {
		if isBootEvent(e.Name) {
			return fmt.Errorf("event %s stands after %s, where only the application's own events may", e.Name, eventReady)
		}
	}
	return nil
}

// SequenceError says where the events of a boot leave the order that dstack extends them in.
type SequenceError struct {
	// Position counts the runtime events from 0.
	Position int
	Err      error
}

func (e *SequenceError) Error() string { return fmt.Sprintf("runtime event %d: %v", e.Position, e.Err) }
func (e *SequenceError) Unwrap() error { return e.Err }

// ParseBoot reads a complete boot: every event up to system-ready is known, stands in its place, and stands once (but for
// init-script-hash and mr-kms, which may repeat). What follows is the application's, and may not bear a boot event's name. A
// log that ends before system-ready is refused, as is an empty one. The error is a [*SequenceError].
//
// The facts hold only if [ReplayRTMR3] of the same events is the RTMR3 of a verified quote.
func ParseBoot(events []RuntimeEvent) (Boot, error) {
	r := &bootReader{events: events}
	if len(events) > 0 {
		r.boot.Version = events[0].Version
	}
	b := &r.boot
	r.empty(eventPreparing)
	r.bytes(eventAppID, b.App[:])
	r.bytes(eventComposeHash, b.Compose[:])
	for range maxInitScripts {
		r.optional(eventInitScript, func(p []byte) error { return appendHash(&b.InitScripts, p) })
	}
	r.optional(eventGPUPolicy, func(p []byte) error { b.GPUPolicy = new(Hash); return fill(b.GPUPolicy[:], p) })
	r.optional(eventGPUAttestation, func(p []byte) error { b.GPUAttestation = append([]byte{}, p...); return nil })
	r.required(eventInstanceID, func(p []byte) (err error) { b.Instance, err = instanceIDFrom(p); return err })
	r.empty(eventBootMRDone)
	for range maxKMSMeasurements {
		r.optional(eventKMSMeasurement, func(p []byte) error { return appendHash(&b.KMSMeasurements, p) })
	}
	r.optional(eventImageHash, func(p []byte) error { b.Image = new(ImageHash); return fill(b.Image[:], p) })
	r.required(eventKeyProvider, func(p []byte) (err error) { b.KeyProvider, err = parseKeyProviderInfo(p); return err })
	r.optional(eventStorageFS, func(p []byte) error { b.StorageFS = string(p); return oneOf(b.StorageFS, StorageZFS, StorageExt4) })
	r.empty(eventReady)
	if r.err != nil {
		return Boot{}, &SequenceError{r.next, r.err}
	}
	b.ApplicationAfter = append(b.ApplicationAfter, events[r.next:]...)
	for i, e := range b.ApplicationAfter {
		if isBootEvent(e.Name) {
			return Boot{}, &SequenceError{r.next + i, fmt.Errorf("%s stands after %s, where only the application's own events may", e.Name, eventReady)}
		}
	}
	if err := b.check(); err != nil {
		return Boot{}, &SequenceError{r.next - 1, err}
	}
	return *b, nil
}

// bootReader walks the events of a boot.
type bootReader struct {
	events []RuntimeEvent
	next   int
	err    error
	boot   Boot
}

// required takes the event that has to stand next.
func (r *bootReader) required(name string, take func([]byte) error) {
	before := r.next
	r.optional(name, take)
	if r.err != nil || r.next > before {
		return
	}
	if r.next == len(r.events) {
		r.err = fmt.Errorf("expected %s, got the end of the log", name)
		return
	}
	got := r.events[r.next].Name
	switch {
	case slices.ContainsFunc(r.events[:r.next], func(e RuntimeEvent) bool { return e.Name == got }):
		r.err = fmt.Errorf("expected %s, got %s a second time", name, shown(got))
	case isBootEvent(got):
		r.err = fmt.Errorf("expected %s, got %s out of order", name, shown(got))
	default:
		r.err = fmt.Errorf("expected %s, got %s, which dstack does not extend before %s", name, shown(got), eventReady)
	}
}

// optional takes the next event if it has the name.
func (r *bootReader) optional(name string, take func([]byte) error) {
	if r.err != nil || r.next == len(r.events) || r.events[r.next].Name != name {
		return
	}
	event := r.events[r.next]
	if event.Version != r.boot.Version {
		r.err = fmt.Errorf("%s: expected event version %d like the first event's, got %d", name, r.boot.Version, event.Version)
		return
	}
	if err := take(event.Payload); err != nil {
		r.err = fmt.Errorf("%s: %w", name, err)
		return
	}
	r.next++
}

func (r *bootReader) empty(name string) {
	r.required(name, func(p []byte) error { return fill(nil, p) })
}

func (r *bootReader) bytes(name string, to []byte) {
	r.required(name, func(p []byte) error { return fill(to, p) })
}

func fill(to, payload []byte) error {
	if len(payload) != len(to) {
		return fmt.Errorf("expected %d bytes, got %d", len(to), len(payload))
	}
	copy(to, payload)
	return nil
}

func appendHash(to *[]Hash, payload []byte) error {
	var h Hash
	if err := fill(h[:], payload); err != nil {
		return err
	}
	*to = append(*to, h)
	return nil
}

func oneOf(got string, allowed ...string) error {
	if !slices.Contains(allowed, got) {
		return fmt.Errorf("expected one of %v, got %s", allowed, shown(got))
	}
	return nil
}
