package appraisal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// EventLog is what the event log says. The members of Boot are there only if the log leads to the RTMR3 that stands in the quote,
// and the sequence is a complete boot; they are true if the report is accepted.
type EventLog struct {
	Kind    eventlog.Kind `json:"kind"`
	Events  int           `json:"events"`
	Replays bool          `json:"replays"` // to every register that a log of this kind covers
	*Boot
}

// Boot is what dstack's guest extended into RTMR3, as hexadecimal text where dstack has bytes.
type Boot struct {
	AppID         string            `json:"app_id"`
	ComposeHash   string            `json:"compose_hash"`
	InstanceID    string            `json:"instance_id"` // empty: the application has none
	KeyProvider   KeyProvider       `json:"key_provider"`
	OSImageHash   string            `json:"os_image_hash,omitempty"` // as the KMS told it; only with a KMS
	StorageFS     string            `json:"storage_fs,omitempty"`
	MRKMS         []string          `json:"mr_kms,omitempty"`
	InitScripts   []string          `json:"init_script_hashes,omitempty"`
	GPUPolicy     string            `json:"gpu_policy_hash,omitempty"`
	GPUAttested   string            `json:"gpu_attestation,omitempty"` // the guest's own words
	AfterReady    []ApplicationWord `json:"after_system_ready,omitempty"`
	ConfigIDBound bool              `json:"mrconfigid_bound"` // MRCONFIGID binds the compose file as well
}

// KeyProvider says where the keys of the disk come from.
type KeyProvider struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// ApplicationWord is an event after system-ready. Any program with root in the guest can have extended it.
type ApplicationWord struct {
	Event   string `json:"event"`
	Payload string `json:"payload"`
}

// eventLog replays the log against the quote, and then reads the boot out of it.
func (a *appraiser) eventLog() {
	e := &a.request.Evidence
	if len(e.EventLog) == 0 {
		a.skipLog(noLog, codeLogForm, codeLogPayload)
		return
	}
	log, err := eventlog.Parse(e.EventLog)
	switch {
	case errors.Is(err, eventlog.ErrDigest):
		a.pass(codeLogForm, "an event log")
		a.fail(codeLogPayload, "digests that are those of names and payloads", err.Error())
		a.skipLog(notParsed)
		return
	case err != nil:
		a.fail(codeLogForm, "an event log of firmware (CCEL) or of dstack", err.Error())
		a.skipLog(notParsed, codeLogPayload)
		return
	case log.Kind == eventlog.KindTPM:
		a.fail(codeLogForm, "an event log of firmware (CCEL) or of dstack", "a TPM event log, which has other registers")
		a.skipLog("a TPM event log has other registers", codeLogPayload)
		return
	}
	a.pass(codeLogForm, string(log.Kind))
	if log.Kind == eventlog.KindCCEL {
		a.skip(codeLogPayload, "firmware's log has no named events")
	} else {
		a.pass(codeLogPayload, "digests that are those of names and payloads")
	}
	a.log = &EventLog{Kind: log.Kind, Events: len(log.Events)}
	if a.quote == nil {
		a.skipLog(noQuote)
		return
	}
	rtmr3 := a.replay(log)
	a.data(log)
	a.bootSequence(log, rtmr3)
}

// skipLog lists the checks that follow those of the form as not checked, after the codes named before.
func (a *appraiser) skipLog(reason string, before ...string) {
	codes := before
	for r := eventlog.RTMR0; r <= eventlog.RTMR3; r++ {
		codes = append(codes, codeLogReplay+r.String())
	}
	for _, code := range append(codes, codeLogData, codeLogBoot, codeLogConfigID) {
		a.skip(code, reason)
	}
}

// replay compares all registers that a log of this kind covers, and reports whether RTMR3 is as the quote says. A register that the
// log could cover and has no event for has to be zero in the quote.
func (a *appraiser) replay(log *eventlog.Log) (rtmr3 bool) {
	values := log.Replay()
	onlyRTMR3 := log.Kind == eventlog.KindDstackRuntime || a.request.Evidence.Stripped
	a.log.Replays = true
	for r := eventlog.RTMR0; r <= eventlog.RTMR3; r++ {
		if onlyRTMR3 && r != eventlog.RTMR3 {
			a.skip(codeLogReplay+r.String(), "the log has the events of rtmr3 only")
			continue
		}
		same := a.compare(codeLogReplay+r.String(), hex.EncodeToString(a.quote.Body.RTMR[r][:]), values[r].String())
		a.log.Replays = a.log.Replays && same
		rtmr3 = same
	}
	return rtmr3
}

// data refuses data that is not what was hashed, for the types of events where data is hashed. dstack empties the data of
// firmware's events, and what is not there was not altered.
func (a *appraiser) data(log *eventlog.Log) {
	checked := 0
	for i := range log.Events {
		e := &log.Events[i]
		if len(e.Data) == 0 && log.Kind != eventlog.KindCCEL {
			continue
		}
		switch e.CheckData() {
		case eventlog.DataDiffers:
			a.fail(codeLogData, "data that was hashed", fmt.Sprintf("event %d, %s in %s, has other data than its digest", e.Index, e.Type, e.Register))
			return
		case eventlog.DataMatches:
			checked++
		}
	}
	if checked == 0 {
		a.skip(codeLogData, "no event has data that its digest covers")
		return
	}
	a.pass(codeLogData, fmt.Sprintf("the data of %d events", checked))
}

const completeBoot = "dstack's boot events, each in its place, once, up to system-ready"

func (a *appraiser) bootSequence(log *eventlog.Log, rtmr3 bool) {
	switch {
	case log.Kind == eventlog.KindCCEL:
		a.skip(codeLogBoot, "firmware's log has none of dstack's events")
		a.skip(codeLogConfigID, noBoot)
		return
	case !rtmr3:
		a.skip(codeLogBoot, "the log does not lead to rtmr3")
		a.skip(codeLogConfigID, noBoot)
		return
	}
	boot, err := readBoot(log, a.request.Evidence.EventLog, a.quote.Body.RTMR[eventlog.RTMR3])
	if err != nil {
		a.fail(codeLogBoot, completeBoot, err.Error())
		a.skip(codeLogConfigID, noBoot)
		return
	}
	a.pass(codeLogBoot, completeBoot)
	a.boot = &boot
	a.log.Boot = newBoot(&boot)
	a.configID(&boot)
}

// readBoot reads the events of RTMR3 and holds them, computed once more by package dstack, to the register.
func readBoot(log *eventlog.Log, data []byte, rtmr3 [48]byte) (dstack.Boot, error) {
	events, err := runtimeEvents(log, data)
	if err != nil {
		return dstack.Boot{}, err
	}
	if got := dstack.ReplayRTMR3(events); got != rtmr3 {
		return dstack.Boot{}, fmt.Errorf("the runtime events lead to %s", got)
	}
	return dstack.ParseBoot(events)
}

// runtimeEvents leaves it to package dstack to refuse events that only look like dstack's: a name of a boot event on another
// register or type, and another type in RTMR3.
func runtimeEvents(log *eventlog.Log, data []byte) ([]dstack.RuntimeEvent, error) {
	if log.Kind == eventlog.KindDstack {
		array, err := logArray(data)
		if err != nil {
			return nil, err
		}
		return dstack.ParseRuntimeEvents(array)
	}
	var events []dstack.RuntimeEvent
	for i := range log.Events {
		e := &log.Events[i]
		event := dstack.RuntimeEvent{Name: e.Name, Payload: e.Data, Version: dstack.EventV1}
		if event.Digest() != dstack.Register(e.Digest) {
			event.Version = dstack.EventV2
		}
		events = append(events, event)
	}
	return events, nil
}

// logArray finds the array in what [eventlog.Parse] took for a JSON log of dstack: the array itself, or an object with event_log as
// an array or as text.
func logArray(data []byte) ([]byte, error) {
	data = bytes.TrimLeft(data, " \t\r\n")
	if data[0] == '[' {
		return data, nil
	}
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(data, &members); err != nil {
		return nil, err
	}
	array := []byte(members["event_log"])
	if array[0] != '"' {
		return array, nil
	}
	var text string
	if err := strictjson.Unmarshal(array, &text); err != nil {
		return nil, err
	}
	return []byte(text), nil
}

// configID holds MRCONFIGID, which the host chose before the guest ran and the guest compared, to the boot.
func (a *appraiser) configID(boot *dstack.Boot) {
	id := dstack.ConfigID(a.quote.Body.MRCONFIGID)
	err := dstack.CheckConfigID(id, *boot, mrConfig(a.request.Evidence.VMConfig))
	var mismatch *dstack.ConfigMismatchError
	switch {
	case errors.Is(err, dstack.ErrNoConfigID):
		a.skip(codeLogConfigID, "MRCONFIGID is zero: the host configured none")
	case errors.As(err, &mismatch):
		a.fail(codeLogConfigID, mismatch.What+" "+mismatch.Want, mismatch.What+" "+mismatch.Got)
	case err != nil:
		a.fail(codeLogConfigID, "an MRCONFIGID of this boot", err.Error())
	default:
		a.pass(codeLogConfigID, id.String())
		a.log.ConfigIDBound = true
	}
}

// mrConfig takes the document of form 3 out of dstack's vm_config, nil if there is none. The host wrote it; MRCONFIGID is its hash.
// vm_config grows with every release, so members that are not known are passed over.
func mrConfig(vmConfig string) []byte {
	var members map[string]json.RawMessage
	if vmConfig == "" || strictjson.Unmarshal([]byte(vmConfig), &members) != nil {
		return nil
	}
	var document string
	if strictjson.Unmarshal(members["mr_config"], &document) != nil {
		return nil
	}
	return []byte(document)
}

func newBoot(b *dstack.Boot) *Boot {
	boot := &Boot{
		AppID: b.App.String(), ComposeHash: b.Compose.String(), InstanceID: b.Instance.String(), StorageFS: b.StorageFS,
		GPUAttested: string(b.GPUAttestation), KeyProvider: newKeyProvider(b.KeyProvider),
	}
	if b.Image != nil {
		boot.OSImageHash = b.Image.String()
	}
	if b.GPUPolicy != nil {
		boot.GPUPolicy = b.GPUPolicy.String()
	}
	for _, h := range b.KMSMeasurements {
		boot.MRKMS = append(boot.MRKMS, h.String())
	}
	for _, h := range b.InitScripts {
		boot.InitScripts = append(boot.InitScripts, h.String())
	}
	for _, e := range b.ApplicationAfter {
		boot.AfterReady = append(boot.AfterReady, ApplicationWord{e.Name, hex.EncodeToString(e.Payload)})
	}
	return boot
}

// newKeyProvider reads the event's own payload, which spells the names that reference values have too.
func newKeyProvider(info dstack.KeyProviderInfo) KeyProvider {
	var k KeyProvider
	if json.Unmarshal(info.Payload(), &k) != nil {
		return KeyProvider{}
	}
	return k
}
