package dstack_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/dstack"
)

// boots are one of each release's shape.
func boots() map[string]dstack.Boot {
	image, kms, policy := dstack.ImageHash{4}, dstack.Hash{5}, dstack.Hash{6}
	provider := dstack.KeyProviderInfo{Kind: dstack.KeyProviderKMS, ID: []byte{0x30, 0x59}}
	instance := must(dstack.ParseInstanceID(strings.Repeat("03", 20)))
	return map[string]dstack.Boot{
		"0.5.2 without keys": {Version: dstack.EventV1, App: dstack.AppID{1}, Compose: dstack.ComposeHash{2}, KeyProvider: dstack.KeyProviderInfo{Kind: dstack.KeyProviderNone, ID: []byte{}}},
		"0.5.11 with a KMS": {Version: dstack.EventV1, App: dstack.AppID{1}, Compose: dstack.ComposeHash{2}, Instance: instance, KMSMeasurements: []dstack.Hash{kms, kms},
			Image: &image, KeyProvider: provider, StorageFS: dstack.StorageZFS,
			ApplicationAfter: []dstack.RuntimeEvent{{Name: "mine", Payload: []byte{1}, Version: dstack.EventV1}}},
		"0.6.0": {Version: dstack.EventV2, App: dstack.AppID{1}, Compose: dstack.ComposeHash{2}, InitScripts: []dstack.Hash{{7}, {8}}, GPUPolicy: &policy,
			GPUAttestation: []byte(`{"version":2}`), Instance: instance, Image: &image, KeyProvider: provider, StorageFS: dstack.StorageExt4},
	}
}

// jsonLog writes the log as dstack's guest agent does.
func jsonLog(t testing.TB, events []dstack.RuntimeEvent) []byte {
	t.Helper()
	var entries []map[string]any
	for _, e := range events {
		entry := map[string]any{
			"imr": 3, "event_type": 0x08000001, "digest": e.Digest().String(), "event": e.Name, "event_payload": hex.EncodeToString(e.Payload),
		}
		if e.Version == dstack.EventV2 {
			entry["version"], entry["preimage"] = 2, hex.EncodeToString(e.Preimage())
		}
		entries = append(entries, entry)
	}
	return must(json.Marshal(entries))
}

func TestBootsThereAndBack(t *testing.T) {
	for name, boot := range boots() {
		t.Run(name, func(t *testing.T) {
			events, err := boot.Events()
			if err != nil {
				t.Fatal(err)
			}
			read, err := dstack.ParseRuntimeEvents(jsonLog(t, events))
			if err != nil {
				t.Fatal(err)
			}
			again, err := dstack.ParseBoot(read)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := asJSON(t, again), asJSON(t, boot); got != want {
				t.Errorf("got\n%s, want\n%s", got, want)
			}
			all, boottime, err := boot.RTMR3()
			if err != nil || all != dstack.ReplayRTMR3(read) || all == boottime {
				t.Errorf("RTMR3 is %s and %s, %v", all, boottime, err)
			}
		})
	}
}

// Attacks E 66 to 70: what a log may not do, however well it replays.
func TestParseBootRefuses(t *testing.T) {
	type events = []dstack.RuntimeEvent
	v1 := dstack.EventV1
	find := func(e events, name string) int {
		return slices.IndexFunc(e, func(e dstack.RuntimeEvent) bool { return e.Name == name })
	}
	without := func(name string) func(events) events {
		return func(e events) events { i := find(e, name); return slices.Delete(e, i, i+1) }
	}
	before := func(name string, added dstack.RuntimeEvent) func(events) events {
		return func(e events) events { return slices.Insert(e, find(e, name), added) }
	}
	payload := func(name string, p []byte) func(events) events {
		return func(e events) events { e[find(e, name)].Payload = p; return e }
	}
	tests := []struct {
		name   string
		change func(events) events
		want   string
	}{
		{"empty", func(events) events { return nil }, "expected system-preparing, got the end of the log"},
		{"compose-hash twice", before("instance-id", dstack.RuntimeEvent{Name: "compose-hash", Payload: make([]byte, 32), Version: v1}), "got \"compose-hash\" a second time"},
		{"app-id twice in a row", before("compose-hash", dstack.RuntimeEvent{Name: "app-id", Payload: make([]byte, 20), Version: v1}), "got \"app-id\" a second time"},
		{"compose-hash after ready", func(e events) events {
			return append(e, dstack.RuntimeEvent{Name: "compose-hash", Payload: make([]byte, 32), Version: v1})
		}, "compose-hash stands after system-ready"},
		{"ready twice", func(e events) events { return append(e, dstack.RuntimeEvent{Name: "system-ready", Version: v1}) }, "system-ready stands after system-ready"},
		{"unknown before ready", before("system-ready", dstack.RuntimeEvent{Name: "mine", Version: v1}), `expected system-ready, got "mine", which dstack does not extend before system-ready`},
		{"swapped", func(e events) events { e[1], e[2] = e[2], e[1]; return e }, `expected app-id, got "compose-hash" out of order`},
		{"no app-id", without("app-id"), "expected app-id"},
		{"no compose-hash", without("compose-hash"), "expected compose-hash"},
		{"no instance-id", without("instance-id"), "expected instance-id"},
		{"no boot-mr-done", without("boot-mr-done"), "expected boot-mr-done"},
		{"no key-provider", without("key-provider"), "expected key-provider"},
		{"not ready", func(e events) events { return e[:find(e, "system-ready")] }, "expected system-ready, got the end of the log"},
		{"short app-id", payload("app-id", []byte{1}), "app-id: expected 20 bytes, got 1"},
		{"short compose-hash", payload("compose-hash", []byte{1}), "compose-hash: expected 32 bytes, got 1"},
		{"odd instance-id", payload("instance-id", []byte{1}), "instance-id: expected 20 bytes or none, got 1"},
		{"payload of a marker", payload("system-ready", []byte{1}), "system-ready: expected 0 bytes, got 1"},
		{"provider without id", payload("key-provider", []byte(`{"name":"kms","id":""}`)), "expected the KMS root's public key"},
		{"none with an id", payload("key-provider", []byte(`{"name":"none","id":"00"}`)), "expected none for key provider none"},
		{"provider downgraded", payload("key-provider", []byte(`{"name":"none","id":""}`)), "only a KMS"},
		{"provider unknown", payload("key-provider", []byte(`{"name":"local","id":""}`)), "expected none, local-sgx, kms or tpm"},
		{"provider respelled", payload("key-provider", []byte(`{"id":"3059","name":"kms"}`)), "as dstack spells it"},
		{"provider twice", payload("key-provider", []byte(`{"name":"kms","id":"3059","id":"3060"}`)), "stands twice"},
		{"filesystem", payload("storage-fs", []byte("xfs")), "expected one of [zfs ext4]"},
		{"other version", func(e events) events { e[2].Version = dstack.EventV2; return e }, "expected event version 1 like the first event's, got 2"},
		{"too many connections", func(e events) events {
			i := find(e, "mr-kms")
			return slices.Insert(e, i, slices.Repeat(events{e[i]}, 64)...)
		}, "a second time"},
		{"GPUs without policy", before("instance-id", dstack.RuntimeEvent{Name: "gpu-attestation", Payload: []byte("{}"), Version: v1}), "gpu-policy-hash: expected one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			good := must(boots()["0.5.11 with a KMS"].Events())
			_, err := dstack.ParseBoot(tt.change(good))
			var sequence *dstack.SequenceError
			if !errors.As(err, &sequence) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want a *SequenceError with %q", err, tt.want)
			}
		})
	}
}

func TestParseRuntimeEventsRefuses(t *testing.T) {
	entry := func(format string, args ...any) string { return "[" + fmt.Sprintf(format, args...) + "]" }
	const runtime = 0x08000001
	tests := []struct{ name, log, want string }{
		{"no JSON", `[`, "ends too early"},
		{"no array", `{}`, "expected an array"},
		{"null entry", `[null]`, "entry 0: expected an object, got null"},
		{"unknown member", entry(`{"imr":3,"event_type":%d,"digest":"","event":"a","event_payload":"","x":1}`, runtime), `unknown member "x"`},
		{"twice", entry(`{"imr":3,"imr":0,"event_type":%d,"digest":"","event":"a","event_payload":""}`, runtime), `stands twice`},
		{"register", entry(`{"imr":4,"event_type":%d,"digest":"","event":"a","event_payload":""}`, runtime), "imr: expected 0 to 3, got 4"},
		{"runtime elsewhere", entry(`{"imr":2,"event_type":%d,"digest":"","event":"compose-hash","event_payload":""}`, runtime), "stands in RTMR2, where dstack puts none"},
		{"name elsewhere", entry(`{"imr":1,"event_type":6,"digest":"","event":"compose-hash","event_payload":""}`), `event "compose-hash" stands in RTMR1 with type 0x6`},
		{"type", entry(`{"imr":3,"event_type":6,"digest":"","event":"compose-hash","event_payload":""}`), "event_type: expected 0x8000001 in RTMR3, got 0x6"},
		{"version", entry(`{"imr":3,"event_type":%d,"digest":"","event":"a","event_payload":"","version":3}`, runtime), "version: expected 1 or 2, got 3"},
		{"payload", entry(`{"imr":3,"event_type":%d,"digest":"","event":"a","event_payload":"AB"}`, runtime), "event_payload: expected lower-case hex"},
		{"digest", entry(`{"imr":3,"event_type":%d,"digest":"%s","event":"a","event_payload":""}`, runtime, strings.Repeat("0", 96)), `digest: expected that of event "a"`},
		{"preimage", entry(`{"imr":3,"event_type":%d,"digest":"","event":"a","event_payload":"","version":2,"preimage":"00"}`, runtime), `preimage: expected that of event "a"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := dstack.ParseRuntimeEvents([]byte(tt.log))
			var refused *dstack.LogError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want a *LogError with %q", err, tt.want)
			}
		})
	}
	if _, err := dstack.ParseRuntimeEvents(bytes.Repeat([]byte(" "), 10<<20+1)); err == nil {
		t.Error("a log above the limit was accepted")
	}
}

func TestPredictBoot(t *testing.T) {
	image := dstack.ImageHash{4}
	instance := must(dstack.ParseInstanceID(strings.Repeat("03", 20)))
	compose := must(dstack.ParseAppCompose(with(t, `"key_provider_id":""`, `"key_provider_id":"3059"`)))
	given := dstack.AppID{9}
	launch := dstack.Launch{Release: must(dstack.ParseRelease("0.5.4")), Instance: instance, Image: &image, App: &given}
	names := func(l dstack.Launch) string {
		var list []string
		for _, e := range must(must(dstack.PredictBoot(compose, l)).Events()) {
			list = append(list, e.Name)
		}
		return strings.Join(list, " ")
	}
	for release, want := range map[string]string{
		"0.5.4":    "system-preparing app-id compose-hash instance-id boot-mr-done os-image-hash key-provider system-ready",
		"0.5.11":   "system-preparing app-id compose-hash instance-id boot-mr-done os-image-hash key-provider storage-fs system-ready",
		"0.6.0.a1": "system-preparing app-id compose-hash gpu-policy-hash instance-id boot-mr-done os-image-hash key-provider storage-fs system-ready",
	} {
		launch.Release = must(dstack.ParseRelease(release))
		if got := names(launch); got != want {
			t.Errorf("%s: events are\n%s, want\n%s", release, got, want)
		}
		boot := must(dstack.PredictBoot(compose, launch))
		if boot.App != given || boot.Compose != compose.Hash() {
			t.Errorf("%s: predicted %+v", release, boot)
		}
		id, document, err := dstack.ConfigIDFor(compose, launch)
		if err != nil {
			t.Fatal(err)
		}
		form := byte(2)
		if release == "0.6.0.a1" {
			form = 3
		}
		if id[0] != form || (document != nil) != (form == 3) {
			t.Errorf("%s: mr_config_id is %s, document %s", release, id, document)
		}
		if err := dstack.CheckConfigID(id, boot, document); err != nil {
			t.Errorf("%s: %v", release, err)
		}
		boot.App[0] ^= 1
		var mismatch *dstack.ConfigMismatchError
		if err := dstack.CheckConfigID(id, boot, document); !errors.As(err, &mismatch) {
			t.Errorf("%s: another app id: %v", release, err)
		}
	}
	unpinned := must(dstack.ParseAppCompose([]byte(ours)))
	launch.KeyProviderID = []byte{1}
	if id, _, err := dstack.ConfigIDFor(unpinned, launch); err != nil || id != dstack.ConfigIDV1(unpinned.Hash()) {
		t.Errorf("unpinned: %s, %v", id, err)
	}
}

func TestPredictBootRefuses(t *testing.T) {
	image := dstack.ImageHash{4}
	instance := must(dstack.ParseInstanceID(strings.Repeat("03", 20)))
	good := dstack.Launch{Release: dstack.Release{Minor: 5, Patch: 11}, Instance: instance, Image: &image, KeyProviderID: []byte{1}}
	kms := must(dstack.ParseAppCompose([]byte(ours)))
	none := must(dstack.ParseAppCompose([]byte(strings.Replace(strings.Replace(ours, `"key_provider":"kms"`, `"key_provider":"none"`, 1), `"kms_enabled":true`, `"kms_enabled":false`, 1))))
	pinned := must(dstack.ParseAppCompose(with(t, `"key_provider_id":""`, `"key_provider_id":"02"`)))
	v3 := must(dstack.ParseAppCompose(with(t, `"manifest_version":2`, `"manifest_version":"3"`)))
	other := dstack.AppID{1}
	tests := []struct {
		name    string
		compose *dstack.AppCompose
		change  func(*dstack.Launch)
		want    string
	}{
		{"old release", kms, func(l *dstack.Launch) { l.Release.Patch = 1 }, "0.5.2 or later"},
		{"not parsed", &dstack.AppCompose{}, func(*dstack.Launch) {}, "has no hash"},
		{"manifest", v3, func(*dstack.Launch) {}, "manifest_version 3 needs release 0.6.0"},
		{"instance", kms, func(l *dstack.Launch) { l.Instance = dstack.InstanceID{} }, "instance id"},
		{"image", kms, func(l *dstack.Launch) { l.Image = nil }, "os image hash"},
		{"image without KMS", none, func(l *dstack.Launch) { l.KeyProviderID = nil }, "only a KMS tells one"},
		{"given id without KMS", none, func(l *dstack.Launch) { l.App = &other }, "without a KMS"},
		{"pinned provider", pinned, func(*dstack.Launch) {}, "the compose file pins 02, got 01"},
		{"no provider id", kms, func(l *dstack.Launch) { l.KeyProviderID = nil }, "the KMS root's public key"},
		{"mr-kms in 0.6", kms, func(l *dstack.Launch) { l.Release = dstack.Release{Minor: 6}; l.KMSMeasurements = []dstack.Hash{{}} }, "mr-kms events are gone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := good
			tt.change(&l)
			if _, err := dstack.PredictBoot(tt.compose, l); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one with %q", err, tt.want)
			}
		})
	}
	for _, s := range []string{"", "0.5", "v0.5.2", "0.5.2 x", "0.5.-1", "123456.0.0"} {
		if _, err := dstack.ParseRelease(s); err == nil {
			t.Errorf("release %q was accepted", s)
		}
	}
}

func TestCheckConfigIDRefuses(t *testing.T) {
	boot := boots()["0.6.0"]
	m := &dstack.MRConfig{App: &boot.App, Compose: boot.Compose, GPUPolicy: boot.GPUPolicy, Instance: &boot.Instance,
		InitScripts: boot.InitScripts, KeyProvider: boot.KeyProvider.Kind, KeyProviderID: boot.KeyProvider.ID}
	document := must(m.Document())
	if err := dstack.CheckConfigID(dstack.ConfigIDV3(document), boot, document); err != nil {
		t.Fatal(err)
	}
	if err := dstack.CheckConfigID(dstack.ConfigIDV3(document), boot, append(document, ' ')); err == nil {
		t.Error("another spelling of the document was accepted")
	}
	if err := dstack.CheckConfigID(dstack.ConfigIDV3(document), boot, nil); err == nil {
		t.Error("form 3 was accepted without its document")
	}
	if err := dstack.CheckConfigID(dstack.ConfigID{4}, boot, nil); err == nil || !strings.Contains(err.Error(), "expected form 1, 2 or 3") {
		t.Errorf("form 4: %v", err)
	}
	padded := dstack.ConfigIDV1(boot.Compose)
	padded[47] = 1
	var mismatch *dstack.ConfigMismatchError
	if err := dstack.CheckConfigID(padded, boot, nil); !errors.As(err, &mismatch) {
		t.Errorf("padding: %v", err)
	}
	for name, change := range map[string]func(*dstack.Boot){
		"compose_hash":       func(b *dstack.Boot) { b.Compose[0] ^= 1 },
		"app_id":             func(b *dstack.Boot) { b.App[0] ^= 1 },
		"instance_id":        func(b *dstack.Boot) { b.Instance = dstack.InstanceID{} },
		"key_provider":       func(b *dstack.Boot) { b.KeyProvider.Kind = dstack.KeyProviderTPM },
		"key_provider_id":    func(b *dstack.Boot) { b.KeyProvider.ID = []byte{1} },
		"gpu_policy_hash":    func(b *dstack.Boot) { b.GPUPolicy = nil },
		"init_script_hashes": func(b *dstack.Boot) { b.InitScripts = b.InitScripts[:1] },
	} {
		b := boots()["0.6.0"]
		change(&b)
		if err := dstack.CheckConfigID(dstack.ConfigIDV3(document), b, document); !errors.As(err, &mismatch) || mismatch.What != "mr_config."+name {
			t.Errorf("%s: %v", name, err)
		}
	}
	for in, want := range map[string]string{
		`{}`: "compose_hash: the member is missing", `{"x":1}`: "unknown member", `{"compose_hash":"` + strings.Repeat("0", 64) + `"}`: "key_provider",
		`{"key_provider":"kms","version":2,"compose_hash":"` + strings.Repeat("0", 64) + `"}`:                 "version: expected 3, got 2",
		`{"key_provider":"kms","init_script_hashes":[null],"compose_hash":"` + strings.Repeat("0", 64) + `"}`: "init_script_hashes[0]",
		`{"key_provider":"kms","key_provider_id":"0","compose_hash":"` + strings.Repeat("0", 64) + `"}`:       "key_provider_id",
		strings.Repeat(" ", 33<<10): "at most",
	} {
		if _, err := dstack.ParseMRConfig([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error is %v, want one with %q", in, err, want)
		}
	}
}
