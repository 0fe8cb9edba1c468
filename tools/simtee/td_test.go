//go:build simtee

package simtee_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/dstack/guestagent"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/evidence/ratls"
	"github.com/boardroom-tee/boardroom/tools/simtee"
)

// reportDataAt is where REPORTDATA stands in a version 4 quote: 48 bytes of header, then 520 of the TD report. RTMR0 stands at 376.
const (
	reportDataAt = 568
	rtmr0At      = 376
)

const kmsCompose = `{"manifest_version":2,"name":"with kms","runner":"docker-compose","docker_compose_file":"services: {}\n",` +
	`"kms_enabled":true,"no_instance_id":true}`

func boot(t testing.TB, l simtee.Launch) *simtee.TD {
	t.Helper()
	td, err := newPlatform(t).Boot(l)
	if err != nil {
		t.Fatal(err)
	}
	return td
}

func release(minor, patch int) dstack.Launch {
	return dstack.Launch{Release: dstack.Release{Minor: minor, Patch: patch}}
}

// serve gives the guest agent of a trust domain a socket.
func serve(t *testing.T, td *simtee.TD) string {
	t.Helper()
	// t.TempDir can exceed the 107 bytes of a socket address when the test has a long name.
	dir, err := os.MkdirTemp("", "simtee")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "dstack.sock")
	ctx, stop := context.WithCancel(context.Background())
	listener, err := simtee.Listen(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- simtee.Serve(ctx, listener, td.GuestAgent()) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return socket
}

func TestGuestAgentClient(t *testing.T) {
	td := boot(t, simtee.Launch{})
	if err := td.EmitEvent("application", []byte("event")); err != nil {
		t.Fatal(err)
	}
	asked := [64]byte{0: 1, 63: 2}
	answer, err := guestagent.New(serve(t, td)).GetQuote(t.Context(), asked)
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Quote[reportDataAt : reportDataAt+64]; !bytes.Equal(got, asked[:]) {
		t.Errorf("report data %x, want %x", got, asked)
	}
	if err := foreignVerdict(newPlatform(t), answer.Quote); err != nil {
		t.Errorf("verdict of the quote: %v", err)
	}
	log, err := eventlog.ParseDstackJSON([]byte(answer.EventLog))
	if err != nil {
		t.Fatal(err)
	}
	for r, value := range log.Replay() {
		at := rtmr0At + 48*int(r)
		if got := answer.Quote[at : at+48]; !bytes.Equal(got, value[:]) {
			t.Errorf("%s is %x in the quote, the log leads to %s", r, got, value)
		}
	}
	events, err := dstack.ParseRuntimeEvents([]byte(answer.EventLog))
	if err != nil {
		t.Fatal(err)
	}
	booted, err := dstack.ParseBoot(events)
	if err != nil {
		t.Fatal(err)
	}
	if booted.Compose != dstack.ComposeHashOf(td.AppCompose()) || len(booted.ApplicationAfter) != 1 || booted.StorageFS != "zfs" {
		t.Errorf("boot %+v", booted)
	}
	if want := `{"spec_version":1,"os_image_hash":"` + hex.EncodeToString([]byte("SIMULATED os image hash")); !strings.HasPrefix(answer.VMConfig, want) {
		t.Errorf("vm_config %s, want it to begin %s", answer.VMConfig, want)
	}
	if body := td.Body(); body.MRCONFIGID != dstack.ConfigIDV1(booted.Compose) {
		t.Errorf("MRCONFIGID %x is not that of the compose file", body.MRCONFIGID)
	}
}

// call asks a method with JSON and decodes the answer.
func call(t *testing.T, td *simtee.TD, method, request string, answer any) {
	t.Helper()
	status, body := post(td, method, request, "application/json")
	if status != http.StatusOK {
		t.Fatalf("%s: status %d: %s", method, status, body)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(answer); err != nil {
		t.Fatalf("%s: %v in %s", method, err, body)
	}
}

func post(td *simtee.TD, method, request, kind string) (int, []byte) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/"+method, strings.NewReader(request))
	r.Header.Set("Content-Type", kind)
	td.GuestAgent().ServeHTTP(w, r)
	return w.Code, w.Body.Bytes()
}

func TestReportDataIsPadded(t *testing.T) {
	td := boot(t, simtee.Launch{})
	var answer struct {
		Quote      string
		EventLog   string `json:"event_log"`
		ReportData string `json:"report_data"`
		VMConfig   string `json:"vm_config"`
	}
	want := "abcd" + strings.Repeat("00", 62)
	for _, asked := range []string{"abcd", "0xabcd", "ABCD"} {
		call(t, td, "GetQuote", `{"report_data":"`+asked+`","unknown":1}`, &answer)
		if answer.ReportData != want || answer.Quote[2*reportDataAt:2*reportDataAt+128] != want {
			t.Errorf("%s: report_data %s, want %s, and in the quote", asked, answer.ReportData, want)
		}
	}
	w := httptest.NewRecorder()
	td.GuestAgent().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/GetQuote?report_data=abcd", nil))
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.ReportData != want {
		t.Errorf("GET: %v, %s", err, w.Body)
	}
}

func TestGuestAgentRefuses(t *testing.T) {
	v6 := release(6, 0)
	tests := []struct {
		name, method, request, kind string
		launch                      simtee.Launch
		want                        string
	}{
		{"65 bytes", "GetQuote", `{"report_data":"` + strings.Repeat("00", 65) + `"}`, "application/json", simtee.Launch{}, "Report data is too long"},
		{"no hex", "GetQuote", `{"report_data":"zz"}`, "application/json", simtee.Launch{}, "Failed to decode request"},
		{"no JSON", "GetQuote", `{`, "application/json", simtee.Launch{}, "Failed to decode request"},
		{"unknown", "GetSecret", `{}`, "application/json", simtee.Launch{}, `method "GetSecret" is not in`},
		{"needs a KMS", "Sign", `{}`, "application/json", simtee.Launch{}, `method "Sign" is not in`},
		{"gone", "EmitEvent", `{"event":"x"}`, "application/json", simtee.Launch{Dstack: v6}, `not in the simulated guest agent of dstack 0.6.0`},
		{"not there yet", "Attest", `{}`, "application/json", simtee.Launch{Dstack: release(5, 5)}, `guest agent of dstack 0.5.5`},
		{"algorithm", "GetKey", `{"algorithm":"rsa"}`, "application/json", simtee.Launch{}, "Unsupported algorithm"},
		{"raw", "prpc/Tappd.TdxQuote", `{"hash_algorithm":"raw","report_data":"00"}`, "application/json", simtee.Launch{}, "expected 64 bytes with raw, got 1"},
		{"year", "GetTlsKey", `{"not_after":253402300800}`, "application/json", simtee.Launch{}, "expected seconds since 1970"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := post(boot(t, tt.launch), tt.method, tt.request, tt.kind)
			var answer struct{ Error string }
			if err := json.Unmarshal(body, &answer); err != nil || status != 400 || !strings.Contains(answer.Error, tt.want) {
				t.Errorf("status %d, %s, want 400 and %q", status, body, tt.want)
			}
		})
	}
	status, body := post(boot(t, simtee.Launch{}), "GetQuote", "", "application/octet-stream")
	if status != 400 || len(body) < 2 || body[0] != 0x0a || int(body[1]) != len(body)-2 || !bytes.Contains(body, []byte("JSON only")) {
		t.Errorf("protobuf: status %d, %q, want 400 and one text field", status, body)
	}
}

func TestTdxQuote(t *testing.T) {
	td := boot(t, simtee.Launch{})
	var answer struct {
		Quote, Prefix string
		EventLog      string `json:"event_log"`
		Algorithm     string `json:"hash_algorithm"`
	}
	call(t, td, "prpc/Tappd.TdxQuote", `{"report_data":"abcd"}`, &answer)
	want := sha512.Sum512([]byte("app-data:\xab\xcd"))
	if got := answer.Quote[2*reportDataAt : 2*reportDataAt+128]; got != hex.EncodeToString(want[:]) {
		t.Errorf("report data %s, want %x", got, want)
	}
	call(t, td, "prpc/TdxQuote", `{"report_data":"abcd","hash_algorithm":"sha256","prefix":"p"}`, &answer)
	short := sha256.Sum256([]byte("p:\xab\xcd"))
	if got := answer.Quote[2*reportDataAt : 2*reportDataAt+128]; got != hex.EncodeToString(short[:])+strings.Repeat("00", 32) {
		t.Errorf("report data %s, want %x and zeros", got, short)
	}
}

func TestInfo(t *testing.T) {
	td := boot(t, simtee.Launch{Compose: []byte(kmsCompose)})
	var info map[string]string
	call(t, td, "Info", "", &info)
	hash := sha256.Sum256([]byte(kmsCompose))
	empty := sha256.Sum256(nil)
	for member, want := range map[string]string{
		"app_id": hex.EncodeToString(hash[:20]), "compose_hash": hex.EncodeToString(hash[:]), "instance_id": "", "app_name": "with kms",
		"device_id": hex.EncodeToString(empty[:]), "cloud_vendor": "SIMULATED", "key_provider_info": string(td.KeyProvider().Payload()),
	} {
		if info[member] != want {
			t.Errorf("%s: %q, want %q", member, info[member], want)
		}
	}
	var tcb struct {
		RTMR3       string
		AppCompose  string `json:"app_compose"`
		MRAggregate string `json:"mr_aggregated"`
	}
	if err := json.Unmarshal([]byte(info["tcb_info"]), &tcb); err != nil {
		t.Fatal(err)
	}
	body := td.Body()
	aggregated := dstack.TDX{
		MRTD: body.MRTD, RTMR0: body.RTMR[0], RTMR1: body.RTMR[1], RTMR2: body.RTMR[2], ConfigID: body.MRCONFIGID,
	}.MRAggregated(body.RTMR[3])
	if tcb.RTMR3 != hex.EncodeToString(body.RTMR[3][:]) || tcb.AppCompose != kmsCompose || tcb.MRAggregate != aggregated.String() {
		t.Errorf("tcb_info %+v", tcb)
	}
}

func extension(c *x509.Certificate, arc int) ([]byte, bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 62397, 1, arc}) {
			var content []byte
			rest, err := asn1.Unmarshal(e.Value, &content)
			return content, err == nil && len(rest) == 0
		}
	}
	return nil, false
}

func TestGetTlsKey(t *testing.T) {
	for _, tt := range []struct {
		name    string
		launch  simtee.Launch
		classic bool
		chain   int
	}{
		{"0.5.8", simtee.Launch{Dstack: release(5, 8)}, true, 2},
		{"0.5.11", simtee.Launch{Dstack: release(5, 11)}, false, 2},
		{"with a KMS", simtee.Launch{Compose: []byte(kmsCompose)}, false, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			td := boot(t, tt.launch)
			var answer struct {
				Key   string
				Chain []string `json:"certificate_chain"`
			}
			call(t, td, "GetTlsKey", `{"subject":"example","alt_names":["a.example"],"usage_ra_tls":true,"usage_server_auth":true,"with_app_info":true}`, &answer)
			chain := parse(t, answer.Chain)
			if len(chain) != tt.chain {
				t.Fatalf("chain of %d, want %d", len(chain), tt.chain)
			}
			leaf := chain[0]
			roots, middle := x509.NewCertPool(), x509.NewCertPool()
			roots.AddCert(chain[len(chain)-1])
			middle.AddCert(chain[1])
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, DNSName: "a.example", CurrentTime: at}); err != nil {
				t.Errorf("chain: %v", err)
			}
			key, err := x509.ParsePKCS8PrivateKey(decodePEM(t, answer.Key))
			if err != nil || !key.(*ecdsa.PrivateKey).PublicKey.Equal(leaf.PublicKey) {
				t.Errorf("key: %v, or another key than the certificate's", err)
			}
			spki, err := x509.MarshalPKIXPublicKey(leaf.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			binding := sha512.Sum512(append([]byte("ratls-cert:"), spki...))
			read, err := ratls.FromCertificate(leaf)
			if err != nil {
				t.Fatal(err)
			}
			quote := read.Quote
			if want := map[bool]string{true: "quote", false: "attestation v0"}[tt.classic]; read.Format != want || read.Usage != "app:custom" {
				t.Errorf("format %q, usage %q, want %q and app:custom", read.Format, read.Usage, want)
			}
			if want := map[bool]string{true: "", false: td.VMConfig()}[tt.classic]; read.VMConfig != want {
				t.Errorf("vm_config %q, want %q", read.VMConfig, want)
			}
			events, err := dstack.ParseRuntimeEvents(read.EventLog)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := dstack.ReplayRTMR3(events), td.Body().RTMR[3]; got != want || bytes.Contains(read.EventLog, []byte(`"imr":0`)) {
				t.Errorf("event log %s leads to RTMR3 %s, want %x and no other register", read.EventLog, got, want)
			}
			if err := foreignVerdict(newPlatform(t), quote); err != nil {
				t.Errorf("verdict: %v", err)
			}
			if !bytes.Equal(quote[reportDataAt:reportDataAt+64], binding[:]) {
				t.Error("the quote is not bound to the certificate's key")
			}
			if info, _ := extension(leaf, 9); len(info) < 100 || info[0] != 0x98 || info[1] != 0xc4 || info[2] != 20 {
				t.Errorf("app info %x, want an array of eight whose first are 20 bytes", info)
			}
			app := dstack.ComposeHashOf(td.AppCompose()).AppID()
			if id, ok := extension(leaf, 3); ok != (tt.chain == 3) || ok && !bytes.Equal(id, app[:]) {
				t.Errorf("app id %x", id)
			}
			before := answer.Key
			call(t, td, "GetTlsKey", `{}`, &answer)
			if answer.Key == before {
				t.Error("two calls gave one key")
			}
			if _, ok := extension(parse(t, answer.Chain)[0], 8); ok {
				t.Error("a quote that was not asked for")
			}
		})
	}
}

func TestAttest(t *testing.T) {
	td := boot(t, simtee.Launch{VMConfig: `{"cpu_count":1}`})
	var answer map[string]string
	call(t, td, "Attest", `{"report_data":"abcd"}`, &answer)
	container, err := hex.DecodeString(answer["attestation"])
	if err != nil {
		t.Fatal(err)
	}
	reportData := append([]byte{0xab, 0xcd}, make([]byte, 62)...)
	end := append(bytes.Clone(reportData), "\x3c"+td.VMConfig()...) // 15 bytes, as a compact integer
	if !bytes.HasPrefix(container, []byte{0, 0}) || !bytes.HasSuffix(container, end) || bytes.Count(container, reportData) != 2 {
		t.Errorf("container %x…%x, want version 0, TDX, and %x at the end and in the quote", container[:8], container[len(container)-80:], end)
	}
}

func TestGetKey(t *testing.T) {
	var first, other struct {
		Key   string
		Chain []string `json:"signature_chain"`
	}
	td := boot(t, simtee.Launch{Compose: []byte(kmsCompose)})
	call(t, td, "GetKey", `{"path":"a","purpose":"p"}`, &first)
	call(t, td, "GetKey", `{"path":"a","purpose":"q","algorithm":"ed25519"}`, &other)
	if first.Key != other.Key || first.Chain[0] == other.Chain[0] || first.Chain[1] != other.Chain[1] {
		t.Error("path alone decides the key, purpose and key the first signature, the application the second")
	}
	if len(first.Chain) != 2 || len(first.Chain[0]) != 130 || len(first.Chain[1]) != 130 {
		t.Errorf("chain %v, want two signatures of 65 bytes", first.Chain)
	}
	call(t, td, "GetKey", `{"path":"b","purpose":"p"}`, &other)
	if first.Key == other.Key {
		t.Error("two paths gave one key")
	}
	call(t, boot(t, simtee.Launch{}), "GetKey", `{}`, &other)
	if len(other.Chain) != 2 || other.Chain[1] != "" {
		t.Errorf("chain %v, want no second signature where there is no KMS", other.Chain)
	}
}

func TestBootRefuses(t *testing.T) {
	event := eventlog.Event{Register: eventlog.RTMR1, Type: eventlog.EvAction, Digest: eventlog.Digest{1}}
	for name, tt := range map[string]struct {
		launch simtee.Launch
		want   string
	}{
		"register beside events": {simtee.Launch{Events: []eventlog.Event{event}, RTMR: [3]eventlog.Digest{1: {2}}}, "rtmr1: expected"},
		"events of RTMR3":        {simtee.Launch{Events: []eventlog.Event{{Register: eventlog.RTMR3}}}, "expected a register of rtmr0 to rtmr2"},
		"quote version":          {simtee.Launch{QuoteVersion: 6}, "expected 4 or 5, got 6"},
		"body":                   {simtee.Launch{BodyKind: "TD15"}, "with version 4"},
		"compose file":           {simtee.Launch{Compose: []byte(`{}`)}, "app-compose"},
		"release":                {simtee.Launch{Dstack: release(4, 0)}, "expected release 0.5.2 or later"},
	} {
		if _, err := newPlatform(t).Boot(tt.launch); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
	// A value without events stays, and the log says nothing of that register.
	td := boot(t, simtee.Launch{Events: []eventlog.Event{event}, RTMR: [3]eventlog.Digest{2: {7}}, MRTD: eventlog.Digest{9}})
	body := td.Body()
	log, err := eventlog.ParseDstackJSON(td.Quote([64]byte{}).EventLog)
	if err != nil {
		t.Fatal(err)
	}
	replayed := log.Replay()
	if body.MRTD != [48]byte{9} || body.RTMR[2] != [48]byte{7} || replayed[eventlog.RTMR1] != body.RTMR[1] || body.RTMR[1] != eventlog.Sum(make([]byte, 48), event.Digest[:]) {
		t.Errorf("registers %+v", body)
	}
}

func TestListen(t *testing.T) {
	td := boot(t, simtee.Launch{})
	socket := serve(t, td)
	if _, err := simtee.Listen(t.Context(), socket); err == nil || !strings.Contains(err.Error(), "somebody listens") {
		t.Errorf("error %v, want that somebody listens", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := simtee.Listen(t.Context(), file); err == nil {
		t.Error("replaced a file by a socket")
	}
	stale := filepath.Join(filepath.Dir(socket), "stale")
	for range 2 { // the second time, the socket of the first is in the way
		listener, err := simtee.Listen(t.Context(), stale)
		if err != nil {
			t.Fatal(err)
		}
		listener.(interface{ SetUnlinkOnClose(bool) }).SetUnlinkOnClose(false)
		listener.Close()
	}
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("mode %v, %v, want what dstack's socket has, 0777", info.Mode(), err)
	}
}

func decodePEM(t *testing.T, text string) []byte {
	t.Helper()
	block, rest := pem.Decode([]byte(text))
	if block == nil || len(rest) > 0 {
		t.Fatalf("not one PEM block: %.100q", text)
	}
	return block.Bytes
}

func parse(t *testing.T, chain []string) []*x509.Certificate {
	t.Helper()
	var list []*x509.Certificate
	for _, text := range chain {
		c, err := x509.ParseCertificate(decodePEM(t, text))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	return list
}

// FuzzGuestAgent sends what nobody should: the answer is JSON or a protobuf error, and the agent lives.
func FuzzGuestAgent(f *testing.F) {
	p, err := simtee.New(seed, at)
	if err != nil {
		f.Fatal(err)
	}
	for _, method := range []string{"GetQuote", "Info", "GetKey", "GetTlsKey", "EmitEvent", "Attest", "Version", "prpc/Tappd.TdxQuote", "prpc/RawQuote", ""} {
		f.Add(method, `{"report_data":"00","subject":"a","alt_names":["b"],"event":"e","payload":"00"}`, "application/json")
		f.Add(method, ``, "application/octet-stream")
	}
	f.Fuzz(func(t *testing.T, method, request, kind string) {
		td, err := p.Boot(simtee.Launch{})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(request))
		r.URL.Path = "/" + method
		r.Header.Set("Content-Type", kind)
		td.GuestAgent().ServeHTTP(w, r)
		switch answer := w.Body.Bytes(); {
		case w.Code == http.StatusBadRequest && bytes.HasPrefix(answer, []byte{0x0a}):
		case w.Code != http.StatusOK && w.Code != http.StatusBadRequest, !json.Valid(answer):
			t.Errorf("status %d, %q", w.Code, answer)
		}
	})
}
