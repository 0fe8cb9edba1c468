//go:build simtee

package appraisal_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/simtee"
)

var at = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// entry is an event in dstack's JSON log.
type entry struct {
	IMR     uint32 `json:"imr"`
	Type    uint32 `json:"event_type"`
	Digest  string `json:"digest"`
	Name    string `json:"event"`
	Payload string `json:"event_payload"`
}

func runtimeEntry(name string, payload []byte) entry {
	digest := dstack.RuntimeEvent{Name: name, Payload: payload, Version: dstack.EventV1}.Digest()
	return entry{IMR: 3, Type: dstack.RuntimeEventType, Digest: digest.String(), Name: name, Payload: hex.EncodeToString(payload)}
}

func firmwareEntry(imr, kind uint32, data string) entry {
	return entry{IMR: imr, Type: kind, Digest: eventlog.Sum([]byte(data)).String(), Payload: hex.EncodeToString([]byte(data))}
}

// Types of firmware's events (PFP 1.06 table 27).
const (
	separator = 4
	tag       = 6
	platform  = 10
	action    = 0x80000007
)

// machine is a simulated TD: what was extended, what its log says, and who asks.
type machine struct {
	extended []entry // what hardware saw
	logged   []entry // nil: the same
	body     func(*quote.Body)
	request  appraisal.Request
	td15     bool // the report is of TDX 1.5, in a quote of version 5
}

var (
	nonce   = []byte("0123456789abcdef0123456789abcdef")
	compose = dstack.ComposeHashOf([]byte(`{"name":"finance"}`))
	kms     = dstack.KeyProviderInfo{Kind: dstack.KeyProviderKMS, ID: []byte("public key of the KMS")}
)

func newMachine(t *testing.T) *machine {
	t.Helper()
	image := dstack.ImageHash(sha256.Sum256([]byte("image")))
	boot := dstack.Boot{App: compose.AppID(), Compose: compose, KeyProvider: kms, Image: &image, StorageFS: dstack.StorageZFS}
	events, err := boot.Events()
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{extended: []entry{
		firmwareEntry(0, platform, "TD HOB"), firmwareEntry(0, platform, "ACPI DATA"), firmwareEntry(0, separator, "\x00\x00\x00\x00"),
		firmwareEntry(1, action, "Calling EFI Application from Boot Option"), firmwareEntry(1, separator, "\x00\x00\x00\x00"),
		firmwareEntry(2, tag, "dstack.rootfs_hash=11 initrd=initrd"),
	}}
	for _, e := range events {
		m.extended = append(m.extended, runtimeEntry(e.Name, e.Payload))
	}
	m.body = func(b *quote.Body) {
		copy(b.ReportData[:], nonce)
		b.MRCONFIGID = dstack.ConfigIDV1(compose)
	}
	m.request.Nonce = nonce
	return m
}

// find is the index of the event of a name.
func (m *machine) find(name string) int {
	return slices.IndexFunc(m.extended, func(e entry) bool { return e.Name == name })
}

func (m *machine) insert(i int, e entry) { m.extended = slices.Insert(m.extended, i, e) }

// registers are what the entries lead to.
func registers(t *testing.T, entries []entry) (r [4]eventlog.Digest) {
	t.Helper()
	for _, e := range entries {
		d, err := eventlog.ParseDigest(e.Digest)
		if err != nil {
			t.Fatal(err)
		}
		r[e.IMR] = r[e.IMR].Extend(d)
	}
	return r
}

func expect(t *testing.T, document any) []appraisal.Expectation {
	t.Helper()
	text, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	e, err := appraisal.ParseExpectation(text)
	if err != nil {
		t.Fatal(err)
	}
	return []appraisal.Expectation{e}
}

// appraise lets the simulated hardware sign what was extended, and judges it together with the log.
func (m *machine) appraise(t *testing.T) appraisal.Report {
	t.Helper()
	p, err := simtee.New(simtee.Seed{1}, at)
	if err != nil {
		t.Fatal(err)
	}
	root, err := quote.ParseTrustRoot(p.RootPEM())
	if err != nil {
		t.Fatal(err)
	}
	body := p.Body()
	for i, value := range registers(t, m.extended) {
		body.RTMR[i] = value
	}
	if m.body != nil {
		m.body(&body)
	}
	r := m.request
	version := uint16(4)
	if m.td15 {
		version, body.Kind = 5, quote.TD15
	}
	r.Evidence.Quote = p.Quote(version, body)
	if r.Evidence.EventLog == nil {
		logged := m.logged
		if logged == nil {
			logged = m.extended
		}
		if r.Evidence.EventLog, err = json.Marshal(logged); err != nil {
			t.Fatal(err)
		}
	}
	r.At, r.Verifier = at, quote.NewVerifier(p.Collateral(), root)
	return appraisal.Appraise(r)
}

// What an honest machine gives is accepted, with everything asked for; without this, the refusals below would show nothing.
func TestHonestMachine(t *testing.T) {
	m := newMachine(t)
	r := registers(t, m.extended)
	m.request.Expect = expect(t, map[string]any{
		"rtmr0": r[0], "rtmr1": r[1], "rtmr2": r[2], "rtmr3": r[3], "compose_hash": compose, "app_id": compose.AppID(), "instance_id": "",
		"mrconfigid": dstack.ConfigIDV1(compose), "key_provider": map[string]string{"name": "kms", "id": hex.EncodeToString(kms.ID)},
		"os_image_hash": dstack.ImageHash(sha256.Sum256([]byte("image"))),
	})
	report := m.appraise(t)
	if !report.Accepted || len(report.Failures()) > 0 || !report.Simulated {
		t.Fatalf("accepted %v, simulated %v, failures %q", report.Accepted, report.Simulated, report.Failures())
	}
	log := report.EventLog
	if !log.Replays || log.Boot == nil || log.ComposeHash != compose.String() || log.KeyProvider.Name != "kms" || !log.ConfigIDBound {
		t.Errorf("event log is %+v", log)
	}
	// A log with application events after system-ready is one too; they are listed as the application's.
	m.request.Expect = nil
	m.insert(len(m.extended), runtimeEntry("model-loaded", []byte{1}))
	report = m.appraise(t)
	if !report.Accepted || len(report.EventLog.AfterReady) != 1 || report.EventLog.AfterReady[0].Payload != "01" {
		t.Errorf("with an application event: failures %q, event log %+v", report.Failures(), report.EventLog)
	}
}

// Each attack of parts D to F of the list whose refusal is this package's, by its number there.
func TestAttacks(t *testing.T) {
	tests := []struct {
		name   string
		attack func(t *testing.T, m *machine)
		want   []string // the checks that fail
	}{
		{"55 old quote, asked with another nonce", func(_ *testing.T, m *machine) {
			m.request.Nonce = bytes.Repeat([]byte{9}, 32)
		}, []string{"report_data.nonce"}},
		{"56 nonce beside the quote only", func(t *testing.T, m *machine) {
			claims, data := claimsFor(t, nonce, at)
			m.request.Evidence.Claims, m.request.Evidence.ReportData = &claims, &data
			m.body = func(b *quote.Body) { b.ReportData = [64]byte{1} }
		}, []string{"report_data.claims", "report_data.copy"}},
		{"56 copy of REPORTDATA altered", func(_ *testing.T, m *machine) {
			m.request.Evidence.ReportData = &[64]byte{1}
		}, []string{"report_data.copy"}},
		{"57 REPORTDATA is zero", func(_ *testing.T, m *machine) {
			m.body = nil
		}, []string{"report_data.nonce"}},
		{"57 REPORTDATA is zero, and so is the nonce", func(_ *testing.T, m *machine) {
			m.body, m.request.Nonce = nil, make([]byte, 32)
		}, []string{"report_data.nonce"}},
		{"57 the nonce is empty", func(_ *testing.T, m *machine) {
			m.body, m.request.Nonce = nil, []byte{}
		}, []string{"report_data.nonce"}},
		{"58 a tail behind the nonce", func(_ *testing.T, m *machine) {
			m.body = func(b *quote.Body) { copy(b.ReportData[:], nonce); b.ReportData[63] = 1 }
		}, []string{"report_data.nonce"}},
		{"58 the nonce goes on", func(_ *testing.T, m *machine) {
			m.request.Nonce = nonce[:16]
		}, []string{"report_data.nonce"}},
		{"58 a nonce longer than REPORTDATA", func(_ *testing.T, m *machine) {
			m.request.Nonce = append(append([]byte{}, nonce...), make([]byte, 33)...)
		}, []string{"report_data.nonce"}},
		{"58 REPORTDATA differs in the last byte", func(_ *testing.T, m *machine) {
			want := [64]byte{63: 1}
			copy(want[:], nonce)
			m.request.ReportData = &want
		}, []string{"report_data.expected"}},
		{"59 relayed: bound to another endpoint's key", func(t *testing.T, m *machine) {
			_, theirs := claimsFor(t, nonce, at)
			m.request.ReportData, m.request.Nonce = &theirs, nil
		}, []string{"report_data.expected"}},
		{"60 the same image on another machine", func(_ *testing.T, m *machine) {
			m.request.Policy.Platforms = [][16]byte{{1}}
		}, []string{"policy.platform"}},
		{"61 claims of long ago", func(t *testing.T, m *machine) {
			claims, data := claimsFor(t, nonce, at.Add(-6*time.Minute))
			m.request.Evidence.Claims, m.request.MaxAge = &claims, 5*time.Minute
			m.body = func(b *quote.Body) { b.ReportData = data }
		}, []string{"claims.timestamp"}},
		{"61 claims of the future", func(t *testing.T, m *machine) {
			claims, data := claimsFor(t, nonce, at.Add(2*time.Minute))
			m.request.Evidence.Claims, m.request.MaxAge = &claims, 5*time.Minute
			m.body = func(b *quote.Body) { b.ReportData = data }
		}, []string{"claims.timestamp"}},
		{"61 an age is asked for and nothing has one", func(_ *testing.T, m *machine) {
			m.request.MaxAge = 5 * time.Minute
		}, []string{"claims.timestamp"}},
		{"62 claims with another's nonce", func(t *testing.T, m *machine) {
			claims, data := claimsFor(t, bytes.Repeat([]byte{9}, 32), at)
			m.request.Evidence.Claims = &claims
			m.body = func(b *quote.Body) { b.ReportData = data }
		}, []string{"report_data.nonce"}},
		{"64 event added", func(_ *testing.T, m *machine) {
			m.logged = append(slices.Clone(m.extended), firmwareEntry(1, separator, "\x00\x00\x00\x00"))
		}, []string{"event_log.replay.rtmr1"}},
		{"64 event omitted", func(_ *testing.T, m *machine) {
			m.logged = slices.Delete(slices.Clone(m.extended), m.find("compose-hash"), m.find("compose-hash")+1)
		}, []string{"event_log.replay.rtmr3"}},
		{"64 events reordered", func(_ *testing.T, m *machine) {
			m.logged = slices.Clone(m.extended)
			m.logged[0], m.logged[1] = m.logged[1], m.logged[0]
		}, []string{"event_log.replay.rtmr0"}},
		{"64 event duplicated", func(_ *testing.T, m *machine) {
			m.logged = slices.Insert(slices.Clone(m.extended), 5, m.extended[5])
		}, []string{"event_log.replay.rtmr2"}},
		{"64 all events of a register omitted", func(_ *testing.T, m *machine) {
			m.logged = slices.DeleteFunc(slices.Clone(m.extended), func(e entry) bool { return e.IMR == 0 })
		}, []string{"event_log.replay.rtmr0"}},
		{"65 other data under a firmware digest", func(_ *testing.T, m *machine) {
			m.logged = slices.Clone(m.extended)
			m.logged[3].Payload = hex.EncodeToString([]byte("Returning from EFI Application from Boot Option"))
		}, []string{"event_log.data"}},
		{"65 other payload under a runtime digest", func(_ *testing.T, m *machine) {
			m.logged = slices.Clone(m.extended)
			m.logged[m.find("compose-hash")].Payload = strings.Repeat("00", 32)
		}, []string{"event_log.payload"}},
		{"65 other payload and no digest", func(_ *testing.T, m *machine) {
			m.logged = slices.Clone(m.extended)
			e := &m.logged[m.find("compose-hash")]
			e.Payload, e.Digest = strings.Repeat("00", 32), ""
		}, []string{"event_log.replay.rtmr3"}},
		{"66 compose-hash in another register", func(_ *testing.T, m *machine) {
			e := runtimeEntry("compose-hash", make([]byte, 32))
			e.IMR = 2
			m.insert(len(m.extended), e)
		}, []string{"event_log.boot"}},
		{"66 compose-hash of firmware's type in another register", func(_ *testing.T, m *machine) {
			e := firmwareEntry(1, tag, "x")
			e.Name = "compose-hash"
			m.insert(len(m.extended), e)
		}, []string{"event_log.boot"}},
		{"66 compose-hash of another type in RTMR3", func(_ *testing.T, m *machine) {
			e := firmwareEntry(3, tag, "x")
			e.Name = "compose-hash"
			m.insert(m.find("compose-hash"), e)
		}, []string{"event_log.boot"}},
		{"67 compose-hash after system-ready", func(_ *testing.T, m *machine) {
			m.insert(len(m.extended), runtimeEntry("compose-hash", make([]byte, 32)))
		}, []string{"event_log.boot"}},
		{"67 compose-hash twice", func(_ *testing.T, m *machine) {
			m.insert(m.find("compose-hash"), runtimeEntry("compose-hash", make([]byte, 32)))
		}, []string{"event_log.boot"}},
		{"67 key-provider twice", func(_ *testing.T, m *machine) {
			m.insert(m.find("key-provider"), runtimeEntry("key-provider", kms.Payload()))
		}, []string{"event_log.boot"}},
		{"68 unknown event before system-ready", func(_ *testing.T, m *machine) {
			m.insert(m.find("system-ready"), runtimeEntry("hello", nil))
		}, []string{"event_log.boot"}},
		{"68 event before system-preparing", func(_ *testing.T, m *machine) {
			m.insert(m.find("system-preparing"), runtimeEntry("hello", nil))
		}, []string{"event_log.boot"}},
		{"68 events out of order", func(_ *testing.T, m *machine) {
			i, j := m.find("app-id"), m.find("compose-hash")
			m.extended[i], m.extended[j] = m.extended[j], m.extended[i]
		}, []string{"event_log.boot"}},
		{"68 boot that never became ready", func(_ *testing.T, m *machine) {
			m.extended = m.extended[:m.find("system-ready")]
		}, []string{"event_log.boot"}},
		{"68 boot without compose-hash", func(_ *testing.T, m *machine) {
			m.extended = slices.Delete(m.extended, m.find("compose-hash"), m.find("compose-hash")+1)
		}, []string{"event_log.boot"}},
		{"69 another kernel, and a log that says so", func(t *testing.T, m *machine) {
			m.request.Expect = expect(t, map[string]any{"rtmr1": registers(t, m.extended)[1]})
			m.insert(4, firmwareEntry(1, action, "another kernel"))
		}, []string{"reference_values", "reference_values.rtmr1"}},
		{"70 empty log and zero registers", func(_ *testing.T, m *machine) {
			m.extended = []entry{}
		}, []string{"event_log.boot"}},
		{"70 no log where facts of one are expected", func(t *testing.T, m *machine) {
			m.request.Expect = expect(t, map[string]any{"compose_hash": compose})
			m.request.Evidence.EventLog = []byte{}
		}, []string{"reference_values", "reference_values.compose_hash"}},
		{"70 no log where a fact of one is expected to be empty", func(t *testing.T, m *machine) {
			m.request.Expect = expect(t, map[string]any{"instance_id": ""})
			m.request.Evidence.EventLog = []byte{}
		}, []string{"reference_values", "reference_values.instance_id"}},
		{"71 no log at all", func(_ *testing.T, m *machine) {
			m.request.Evidence.EventLog = []byte("no log")
		}, []string{"event_log.form"}},
		{"71 register 4", func(_ *testing.T, m *machine) {
			m.logged = slices.Clone(m.extended)
			m.logged[0].IMR = 4
		}, []string{"event_log.form"}},
		{"71 SHA-256 digest", func(_ *testing.T, m *machine) {
			m.logged = slices.Clone(m.extended)
			m.logged[0].Digest = strings.Repeat("00", 32)
		}, []string{"event_log.form"}},
		{"72 log order is not extend order", func(_ *testing.T, m *machine) {
			m.logged = slices.Clone(m.extended)
			i := m.find("os-image-hash")
			m.logged[i], m.logged[i+1] = m.logged[i+1], m.logged[i]
		}, []string{"event_log.replay.rtmr3"}},
		{"73 other ACPI tables, 74 another machine shape", func(t *testing.T, m *machine) {
			m.request.Expect = expect(t, map[string]any{"rtmr0": registers(t, m.extended)[0]})
			m.extended[1] = firmwareEntry(0, platform, "ACPI DATA of more processors")
		}, []string{"reference_values", "reference_values.rtmr0"}},
		{"75 another kernel command line", func(t *testing.T, m *machine) {
			m.request.Expect = expect(t, map[string]any{"rtmr2": registers(t, m.extended)[2]})
			m.extended[5] = firmwareEntry(2, tag, "dstack.rootfs_hash=11 dstack.storage_encrypted=0 initrd=initrd")
		}, []string{"reference_values", "reference_values.rtmr2"}},
		{"78 another compose file, with MRCONFIGID to match", func(t *testing.T, m *machine) {
			m.request.Expect = expect(t, map[string]any{"compose_hash": dstack.ComposeHashOf([]byte("approved"))})
		}, []string{"reference_values", "reference_values.compose_hash"}},
		{"80 key provider of the host", func(t *testing.T, m *machine) {
			m.request.Expect = expect(t, map[string]any{"key_provider": map[string]string{"name": "kms", "id": "00"}})
		}, []string{"reference_values", "reference_values.key_provider"}},
		{"52 MRCONFIGID of another compose file", func(_ *testing.T, m *machine) {
			m.body = func(b *quote.Body) {
				copy(b.ReportData[:], nonce)
				b.MRCONFIGID = dstack.ConfigIDV1(dstack.ComposeHash{1})
			}
		}, []string{"event_log.mrconfigid"}},
		{"52 MRCONFIGID of no form", func(_ *testing.T, m *machine) {
			m.body = func(b *quote.Body) { copy(b.ReportData[:], nonce); b.MRCONFIGID = [48]byte{4} }
		}, []string{"event_log.mrconfigid"}},
		{"52 MRCONFIGID without its document", func(_ *testing.T, m *machine) {
			m.body = func(b *quote.Body) { copy(b.ReportData[:], nonce); b.MRCONFIGID = dstack.ConfigIDV3([]byte("{}")) }
		}, []string{"event_log.mrconfigid"}},
		{"88 an expectation without values", func(_ *testing.T, m *machine) {
			m.request.Expect = []appraisal.Expectation{{}}
		}, []string{"reference_values"}},
		{"88 no expectation in the list", func(_ *testing.T, m *machine) {
			m.request.Expect = []appraisal.Expectation{}
		}, []string{"reference_values"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			tt.attack(t, m)
			report := m.appraise(t)
			if report.Accepted {
				t.Error("accepted")
			}
			if got := report.Failures(); !slices.Equal(got, tt.want) {
				t.Errorf("failures are %q, want %q", got, tt.want)
			}
			if report.EventLog != nil && report.EventLog.Boot != nil && slices.Contains(tt.want, "event_log.boot") {
				t.Errorf("facts of a boot that is none: %+v", report.EventLog.Boot)
			}
		})
	}
}

// claimsFor are an honest agent's claims, with the REPORTDATA that binds them.
func claimsFor(t *testing.T, nonce []byte, when time.Time) (evidence.Claims, [64]byte) {
	t.Helper()
	key := ed25519.PublicKey(bytes.Repeat([]byte{7}, ed25519.PublicKeySize))
	claims, err := evidence.NewClaims("finance-acme", "finance", key, hex.EncodeToString(nonce), when)
	if err != nil {
		t.Fatal(err)
	}
	data, err := evidence.ReportData(claims)
	if err != nil {
		t.Fatal(err)
	}
	return claims, data
}

// Claims that REPORTDATA binds, with the asker's nonce and of now, are accepted; at the edges of the time, too.
func TestClaims(t *testing.T) {
	for _, when := range []time.Time{at, at.Add(-5 * time.Minute), at.Add(evidence.MaxAhead)} {
		t.Run(when.Format(time.RFC3339), func(t *testing.T) {
			m := newMachine(t)
			claims, data := claimsFor(t, nonce, when)
			m.request.Evidence.Claims, m.request.Evidence.ReportData, m.request.MaxAge = &claims, &data, 5*time.Minute
			m.request.ReportData = &data
			m.body = func(b *quote.Body) { b.ReportData = data }
			if report := m.appraise(t); !report.Accepted {
				t.Errorf("refused: %q", report.Failures())
			}
		})
	}
}

// Of several sets one has to hold in full; what is reported is the one that does, or the nearest.
func TestAlternatives(t *testing.T) {
	m := newMachine(t)
	r := registers(t, m.extended)
	right := map[string]any{"rtmr0": r[0], "rtmr1": r[1]}
	half := map[string]any{"rtmr0": r[0], "rtmr1": r[2]}
	wrong := map[string]any{"rtmr0": r[1], "rtmr1": r[2], "rtmr2": r[0]}
	tests := []struct {
		document any
		accepted bool
		actual   string
		failures []string
	}{
		{[]any{wrong, half, right}, true, "set 3 of 3", nil},
		{[]any{right}, true, "set 1 of 1", nil},
		{[]any{wrong, half}, false, "set 2 comes nearest, 1 of its 2 values differ", []string{"reference_values", "reference_values.rtmr1"}},
	}
	for _, tt := range tests {
		m.request.Expect = expect(t, tt.document)
		report := m.appraise(t)
		i := slices.IndexFunc(report.Checks, func(c quote.Check) bool { return c.Code == "reference_values" })
		if report.Accepted != tt.accepted || report.Checks[i].Actual != tt.actual || !slices.Equal(report.Failures(), tt.failures) {
			t.Errorf("%v: accepted %v, %q, failures %q", tt.document, report.Accepted, report.Checks[i].Actual, report.Failures())
		}
	}
	// Several expectations are alternatives as well.
	m.request.Expect = append(expect(t, wrong), expect(t, right)...)
	if report := m.appraise(t); !report.Accepted {
		t.Errorf("two expectations, one of which holds: failures %q", report.Failures())
	}
}

// Forms of logs with the events of RTMR3 alone leave the other registers to reference values, and hold RTMR3 all the same.
func TestRuntimeEventsOnly(t *testing.T) {
	runtime := func(m *machine) []entry {
		return slices.DeleteFunc(slices.Clone(m.extended), func(e entry) bool { return e.IMR != 3 })
	}
	lines := func(entries []entry) []byte {
		var b bytes.Buffer
		for _, e := range entries {
			payload, err := hex.DecodeString(e.Payload)
			if err != nil {
				t.Fatal(err)
			}
			line, err := json.Marshal(map[string]any{"event": e.Name, "payload": payload})
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s\n", line)
		}
		return b.Bytes()
	}
	tests := []struct {
		name   string
		change func(m *machine)
		want   []string
	}{
		{"stripped log", func(m *machine) { m.request.Evidence.Stripped, m.logged = true, runtime(m) }, nil},
		{"runtime log", func(m *machine) { m.request.Evidence.EventLog = lines(runtime(m)) }, nil},
		{"stripped log that nobody said is one", func(m *machine) { m.logged = runtime(m) }, []string{
			"event_log.replay.rtmr0", "event_log.replay.rtmr1", "event_log.replay.rtmr2",
		}},
		{"stripped log, event omitted", func(m *machine) {
			m.request.Evidence.Stripped, m.logged = true, runtime(m)[1:]
		}, []string{"event_log.replay.rtmr3"}},
		{"runtime log, event omitted", func(m *machine) { m.request.Evidence.EventLog = lines(runtime(m)[1:]) }, []string{"event_log.replay.rtmr3"}},
		{"runtime log, not ready", func(m *machine) {
			m.extended = m.extended[:m.find("system-ready")]
			m.request.Evidence.EventLog = lines(runtime(m))
		}, []string{"event_log.boot"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			tt.change(m)
			report := m.appraise(t)
			if got := report.Failures(); !slices.Equal(got, tt.want) || report.Accepted != (tt.want == nil) {
				t.Errorf("accepted %v, failures %q, want %q", report.Accepted, got, tt.want)
			}
			if report.EventLog == nil || (report.EventLog.Boot != nil) != (tt.want == nil || tt.want[0] == "event_log.replay.rtmr0") {
				t.Errorf("event log is %+v", report.EventLog)
			}
		})
	}
}

// The document of form 3 that vm_config has counts if MRCONFIGID is its hash and it says what the log says.
func TestConfigIDDocument(t *testing.T) {
	for _, tt := range []struct {
		name     string
		document dstack.MRConfig
		want     []string
	}{
		{"of the boot", dstack.MRConfig{Compose: compose, KeyProvider: dstack.KeyProviderKMS, KeyProviderID: kms.ID}, nil},
		{"of another key provider", dstack.MRConfig{Compose: compose, KeyProvider: dstack.KeyProviderKMS, KeyProviderID: []byte{1}}, []string{"event_log.mrconfigid"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t)
			document, err := tt.document.Document()
			if err != nil {
				t.Fatal(err)
			}
			vmConfig, err := json.Marshal(map[string]any{"cpu_count": 2, "mr_config": string(document)})
			if err != nil {
				t.Fatal(err)
			}
			m.request.Evidence.VMConfig = string(vmConfig)
			m.body = func(b *quote.Body) { copy(b.ReportData[:], nonce); b.MRCONFIGID = dstack.ConfigIDV3(document) }
			report := m.appraise(t)
			if got := report.Failures(); !slices.Equal(got, tt.want) {
				t.Errorf("failures are %q, want %q", got, tt.want)
			}
		})
	}
}
