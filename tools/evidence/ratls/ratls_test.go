package ratls

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
)

// certificate makes a self-signed one with these extensions, each wrapped as dstack does.
func certificate(t *testing.T, extensions map[string][]byte) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sim"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<31, 0),
	}
	for _, id := range slices.Sorted(maps.Keys(extensions)) {
		value, err := asn1.Marshal(extensions[id])
		if err != nil {
			t.Fatal(err)
		}
		oid := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 62397, 1, int(id[0] - '0')}
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: oid, Value: value})
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

const fixtures = "../../dstack/testdata/"

// lite is the published container, and the GetQuote answer of the same machine.
func lite(t testing.TB) (container []byte, quote []byte, log string) {
	t.Helper()
	var a struct{ Attestation string }
	var q struct {
		Quote    string
		EventLog string `json:"event_log"`
	}
	if err := errors.Join(json.Unmarshal(read(t, "testdata/tdx-lite-attestation.json"), &a),
		json.Unmarshal(read(t, fixtures+"verifier-fixtures/tdx-lite-getquote.json"), &q)); err != nil {
		t.Fatal(err)
	}
	container, err := hex.DecodeString(a.Attestation)
	if err != nil {
		t.Fatal(err)
	}
	if quote, err = hex.DecodeString(q.Quote); err != nil {
		t.Fatal(err)
	}
	return container, quote, q.EventLog
}

func replayed(t testing.TB, log []byte) *eventlog.Log {
	t.Helper()
	parsed, err := eventlog.ParseDstackJSON(log)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// rtmr3 is where a v4 quote has it.
func rtmr3(quote []byte) []byte { return quote[48+472 : 48+520] }

func TestContainerV0(t *testing.T) {
	container, quote, _ := lite(t)
	e, err := FromCertificate(certificate(t, map[string][]byte{"8": container, "4": []byte("kms:rpc")}))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(e.Quote[48:636], quote[48:636]) || e.Format != "attestation v0" || e.Usage != "kms:rpc" {
		t.Errorf("got %s %q and a quote of %d bytes", e.Format, e.Usage, len(e.Quote))
	}
	log := replayed(t, e.EventLog)
	// The log is stripped: three ACPI events of RTMR0 and all of RTMR3.
	counts := map[eventlog.Register]int{}
	register := make([]byte, 48)
	for _, event := range log.Events {
		counts[event.Register]++
		if event.Register == eventlog.RTMR3 {
			digest := eventlog.Sum(append(bytes.Clone(register), event.Digest[:]...))
			register = digest[:]
		}
	}
	if counts[0] != 3 || counts[eventlog.RTMR3] != 9 || len(counts) != 2 {
		t.Errorf("events by register: %v", counts)
	}
	if !bytes.Equal(register, rtmr3(e.Quote)) {
		t.Errorf("RTMR3 replays to %x, the quote has %x", register, rtmr3(e.Quote))
	}
	var config map[string]any
	if err := json.Unmarshal([]byte(e.VMConfig), &config); err != nil || config["os_image_hash"] == nil {
		t.Errorf("vm_config %.100q, %v", e.VMConfig, err)
	}
}

// TestContainerV0WholeLog reads the simulator's, which is not stripped and holds a whole sys-config.
func TestContainerV0WholeLog(t *testing.T) {
	e, err := parseContainer(read(t, fixtures+"simulator-main/attestation.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(replayed(t, e.EventLog).Events); got != 17+5+2+9 {
		t.Errorf("%d events, want 33", got)
	}
	if !strings.HasPrefix(e.VMConfig, "{") || strings.Contains(e.VMConfig, "kms_urls") {
		t.Errorf("vm_config %.100q", e.VMConfig)
	}
}

func TestQuoteExtensions(t *testing.T) {
	quote := []byte{4, 0, 2, 0}
	log := read(t, fixtures+"simulator-v0.5.2/eventlog.json")
	var zipped bytes.Buffer
	zipped.WriteString(gzipMagic)
	w := gzip.NewWriter(&zipped)
	w.Write(log)
	w.Close()
	for name, extension := range map[string][]byte{"plain": log, "gzip": zipped.Bytes()} {
		e, err := FromCertificate(certificate(t, map[string][]byte{"1": quote, "2": extension}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(e.Quote, quote) || !bytes.Equal(e.EventLog, log) || e.Format != "quote" || e.VMConfig != "" {
			t.Errorf("%s: got %s, %d and %d bytes", name, e.Format, len(e.Quote), len(e.EventLog))
		}
	}
}

// TestContainerCountsFirst holds the order of upstream's reader, so that a certificate does not mean two things.
func TestContainerCountsFirst(t *testing.T) {
	container, _, _ := lite(t)
	e, err := FromCertificate(certificate(t, map[string][]byte{"1": {4, 0}, "2": []byte("[]"), "8": container}))
	if err != nil || e.Format != "attestation v0" {
		t.Errorf("%s, %v", e.Format, err)
	}
	if _, err := FromCertificate(certificate(t, map[string][]byte{"1": {4, 0}, "2": []byte("[]"), "8": {}})); err == nil {
		t.Error("a broken container was passed over for an old quote")
	}
}

func TestCertificateRefused(t *testing.T) {
	var bomb bytes.Buffer
	bomb.WriteString(gzipMagic)
	w := gzip.NewWriter(&bomb)
	w.Write(make([]byte, maxInflated+1))
	w.Close()
	for name, c := range map[string]struct {
		extensions map[string][]byte
		want       string
	}{
		"no log":       {map[string][]byte{"1": {4, 0}}, "event log"},
		"bomb":         {map[string][]byte{"1": {4, 0}, "2": bomb.Bytes()}, "16384 bytes"},
		"no gzip":      {map[string][]byte{"1": {4, 0}, "2": []byte(gzipMagic)}, "gzip"},
		"empty quote":  {map[string][]byte{"1": {}, "2": []byte("[]")}, "quote"},
		"huge quote":   {map[string][]byte{"1": make([]byte, 1<<16+1), "2": []byte("[]")}, "quote"},
		"long usage":   {map[string][]byte{"1": {4, 0}, "2": []byte("[]"), "4": make([]byte, 65)}, "special usage"},
		"no container": {map[string][]byte{"8": {}}, "1 to"},
		"other form":   {map[string][]byte{"8": {0x01}}, "first byte"},
		"sev-snp":      {map[string][]byte{"8": {0, 3}}, "sev-snp"},
		"gcp":          {map[string][]byte{"8": {0, 1}}, "gcp-tdx"},
		"unknown kind": {map[string][]byte{"8": {0, 9}}, "unknown"},
	} {
		_, err := FromCertificate(certificate(t, c.extensions))
		var form *FormError
		if !errors.As(err, &form) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want a FormError with %q", name, err, c.want)
		}
	}
	if _, err := FromCertificate(certificate(t, nil)); !errors.Is(err, ErrNoEvidence) {
		t.Errorf("plain certificate: %v", err)
	}
	c := certificate(t, nil)
	c.Extensions = append(c.Extensions, pkix.Extension{Id: oidQuote, Value: []byte{4, 1, 0, 0}})
	if _, err := FromCertificate(c); err == nil {
		t.Error("bytes after the OCTET STRING were taken")
	}
}

func TestContainerV0Refused(t *testing.T) {
	container, _, _ := lite(t)
	for n := range container {
		if _, err := parseContainer(container[:n]); err == nil {
			t.Fatalf("%d of %d bytes were taken", n, len(container))
		}
	}
	if _, err := parseContainer(append(bytes.Clone(container), 0)); err == nil {
		t.Error("a byte after the end was taken")
	}
	// The quote's length, 5006 bytes, in four bytes where two do.
	long := binary.LittleEndian.AppendUint32([]byte{0, 0}, 5006<<2|2)
	if _, err := parseContainer(append(long, container[4:]...)); err == nil || !strings.Contains(err.Error(), "shortest") {
		t.Errorf("two spellings of a length: %v", err)
	}
	for _, huge := range [][]byte{{0, 0, 0xfe, 0xff, 0xff, 0xff}, {0, 0, 0x03, 0xff, 0xff, 0xff, 0xff}} {
		if _, err := parseContainer(huge); err == nil {
			t.Errorf("% x was taken", huge)
		}
	}
}

// pack is a MessagePack encoder of what the tests need; members is a map with an order.
type members []any

func pack(v any) []byte {
	switch v := v.(type) {
	case nil:
		return []byte{0xc0}
	case int:
		if v < 128 {
			return []byte{byte(v)}
		}
		return binary.BigEndian.AppendUint32([]byte{0xce}, uint32(v))
	case string:
		return append(binary.BigEndian.AppendUint16([]byte{0xda}, uint16(len(v))), v...)
	case []byte:
		return append(binary.BigEndian.AppendUint16([]byte{0xc5}, uint16(len(v))), v...)
	case members:
		out := []byte{0x80 | byte(len(v)/2)}
		for _, e := range v {
			out = append(out, pack(e)...)
		}
		return out
	case []any:
		out := binary.BigEndian.AppendUint16([]byte{0xdc}, uint16(len(v)))
		for _, e := range v {
			out = append(out, pack(e)...)
		}
		return out
	}
	panic("not packed")
}

// numbers is a Vec<u8> as serde writes it.
func numbers(data []byte) []any {
	out := make([]any, len(data))
	for i, b := range data {
		out[i] = int(b)
	}
	return out
}

type v1 struct {
	version int
	kind    string
	quote   any
	log     []any
	stack   members
}

func goodV1() v1 {
	return v1{1, "tdx", numbers(bytes.Repeat([]byte{4, 0x80}, 100)),
		[]any{
			members{"imr", 3, "event_type", runtimeType, "digest", []byte{}, "event", "app-id", "event_payload", []byte{1, 2}},
			members{"imr", 3, "event_type", runtimeType, "digest", []byte{}, "event", "system-ready", "event_payload", []byte{}, "version", 2, "preimage", nil},
		},
		members{"kind", "dstack", "data", members{
			"report_data", numbers(make([]byte, 64)), "runtime_events", []any{members{"event", "ignored", "payload", []byte{}}},
			"config", `{"vm_config":"{\"cpus\":2}"}`}},
	}
}

func (v v1) pack() []byte {
	return pack(members{"version", v.version,
		"platform", members{"kind", v.kind, "data", members{"quote", v.quote, "event_log", v.log}}, "stack", v.stack})
}

func TestContainerV1(t *testing.T) {
	e, err := parseContainer(goodV1().pack())
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"imr":3,"event_type":134217729,"digest":"","event":"app-id","event_payload":"0102"},` +
		`{"imr":3,"event_type":134217729,"digest":"","event":"system-ready","event_payload":"","version":2}]`
	if string(e.EventLog) != want || e.VMConfig != `{"cpus":2}` || !bytes.Equal(e.Quote, bytes.Repeat([]byte{4, 0x80}, 100)) {
		t.Errorf("log %s, vm_config %s, quote % x", e.EventLog, e.VMConfig, e.Quote)
	}
	if got := len(replayed(t, e.EventLog).Events); got != 2 {
		t.Errorf("%d events", got)
	}
	// Without events beside the quote the others count; a byte string is as good as an array; a pod has one member more.
	v := goodV1()
	v.quote, v.log = []byte{4, 0}, []any{}
	v.stack = members{"kind", "dstack-pod", "data", members{"report_data", make([]byte, 64),
		"runtime_events", []any{members{"event", "app-id", "payload", []byte{9}, "version", 2}}, "config", "", "report_data_payload", "{}"}}
	if e, err = parseContainer(v.pack()); err != nil {
		t.Fatal(err)
	}
	if want := `[{"imr":3,"event_type":134217729,"digest":"","event":"app-id","event_payload":"09","version":2}]`; string(e.EventLog) != want {
		t.Errorf("log %s, want %s", e.EventLog, want)
	}
}

func TestContainerV1Refused(t *testing.T) {
	good := goodV1().pack()
	for n := range good {
		if _, err := parseContainer(good[:n]); err == nil {
			t.Fatalf("%d of %d bytes were taken", n, len(good))
		}
	}
	for name, c := range map[string]struct {
		change func(*v1)
		want   string
	}{
		"version":        {func(v *v1) { v.version = 2 }, "want 1"},
		"platform":       {func(v *v1) { v.kind = "sev-snp" }, "sev-snp"},
		"number as byte": {func(v *v1) { v.quote = []any{256} }, "the number 256"},
		"no events":      {func(v *v1) { v.log = nil; v.stack[3].(members)[3] = []any{} }, "want events"},
		"null event":     {func(v *v1) { v.log = []any{nil} }, "want a map"},
		"unknown member": {func(v *v1) { v.stack[3] = append(v.stack[3].(members), "x", 1) }, `unknown member "x"`},
		"twice":          {func(v *v1) { v.stack[3] = append(v.stack[3].(members), "config", "") }, "twice"},
		"missing":        {func(v *v1) { v.stack[3] = v.stack[3].(members)[:4] }, `"config" is missing`},
		"report data":    {func(v *v1) { v.stack[3].(members)[1] = []byte{1} }, "64 bytes"},
		"data first":     {func(v *v1) { v.stack = members{"data", v.stack[3], "kind", "dstack"} }, "kind before data"},
		"not UTF-8":      {func(v *v1) { v.stack[3].(members)[5] = "\xff" }, "UTF-8"},
		"config no JSON": {func(v *v1) { v.stack[3].(members)[5] = "x" }, "config"},
		"nested no text": {func(v *v1) { v.stack[3].(members)[5] = `{"vm_config":{}}` }, "config.vm_config"},
	} {
		v := goodV1()
		c.change(&v)
		_, err := parseContainer(v.pack())
		var form *FormError
		if !errors.As(err, &form) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want a FormError with %q", name, err, c.want)
		}
	}
	if _, err := parseContainer(append(good, 0)); err == nil {
		t.Error("a byte after the end was taken")
	}
	for _, huge := range [][]byte{
		{0xdf, 0xff, 0xff, 0xff, 0xff},
		append([]byte{0x81, 0xa8}, "platform\x82\xa4kind\xa3tdx\xa4data\x81\xa5quote\xdd\xff\xff\xff\xff"...),
		append([]byte{0x81, 0xa8}, "platform\x82\xa4kind\xa3tdx\xa4data\x81\xa5quote\xc6\xff\xff\xff\xff"...),
	} {
		if _, err := parseContainer(huge); err == nil {
			t.Errorf("% x was taken", huge)
		}
	}
}

func FuzzContainer(f *testing.F) {
	container, _, _ := lite(f)
	f.Add(container)
	f.Add(goodV1().pack())
	f.Add([]byte{0, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := parseContainer(data)
		if err != nil {
			var form *FormError
			if !errors.As(err, &form) {
				t.Errorf("an error of type %T: %v", err, err)
			}
			return
		}
		if !json.Valid(e.EventLog) {
			t.Errorf("event log %q", e.EventLog)
		}
	})
}
