package collect

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/dstack/guestagent"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/evidence/nonce"
	"github.com/boardroom-tee/boardroom/tools/evidence/ratls"
)

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func collector() Collector {
	return Collector{
		HTTP: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		Now:  func() time.Time { return now },
	}
}

// simAgent answers at an attestation port; its quotes are bytes of no meaning.
type simAgent struct {
	key    ed25519.PrivateKey
	seen   []string
	change func(*evidence.Evidence)
	claims func(*evidence.Claims)
}

func (a *simAgent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	challenge := r.URL.Query().Get("nonce")
	a.seen = append(a.seen, challenge)
	claims, err := evidence.NewClaims("finance-acme", "finance", a.key.Public().(ed25519.PublicKey), challenge, now)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if a.claims != nil {
		a.claims(&claims)
	}
	e, err := evidence.New(claims, []byte{4, 0, 2, 0}, "[]", "{}")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if a.change != nil {
		a.change(&e)
	}
	json.NewEncoder(w).Encode(e)
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func newAgent() *simAgent {
	return &simAgent{key: ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", 32)))}
}

func TestFromPort(t *testing.T) {
	a := newAgent()
	url := serve(t, a)
	first, err := collector().From(t.Context(), url+"/", "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := collector().From(t.Context(), url, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(a.seen) != 2 || a.seen[0] == a.seen[1] || len(a.seen[0]) != 2*nonce.Size || first.Nonce != a.seen[0] {
		t.Errorf("asked with %v, want a new nonce each time", a.seen)
	}
	want, err := evidence.ReportData(*first.Claims)
	if err != nil {
		t.Fatal(err)
	}
	if first.ReportData != want || second.ReportData == want || first.Freshness != ByNonce || first.TLS != nil {
		t.Errorf("collected %+v", first)
	}
	if string(first.Evidence.EventLog) != "[]" || first.Evidence.VMConfig != "{}" || first.Evidence.Claims.Nonce != first.Nonce || first.Evidence.Stripped {
		t.Errorf("evidence %+v", first.Evidence)
	}
}

// TestFromPortRefuses holds attacks 55, 56 and 57 as far as they show without the quote, which package appraisal looks at.
func TestFromPortRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*simAgent){
		"replayed":    func(a *simAgent) { a.claims = func(c *evidence.Claims) { c.Nonce = strings.Repeat("ab", 32) } },
		"stale":       func(a *simAgent) { a.claims = func(c *evidence.Claims) { c.Timestamp = "2026-11-22T09:54:59Z" } },
		"future":      func(a *simAgent) { a.claims = func(c *evidence.Claims) { c.Timestamp = "2026-11-22T10:01:01Z" } },
		"report data": func(a *simAgent) { a.change = func(e *evidence.Evidence) { e.ReportData[63] ^= 1 } },
		"zero data":   func(a *simAgent) { a.change = func(e *evidence.Evidence) { e.ReportData = [64]byte{} } },
		"another key": func(a *simAgent) {
			a.change = func(e *evidence.Evidence) { e.Claims.PublicKey = strings.Repeat("A", 43) }
		},
		"another agent": func(a *simAgent) { a.change = func(e *evidence.Evidence) { e.Claims.AgentID = "ceo-acme" } },
	} {
		a := newAgent()
		spoil(a)
		_, err := collector().FromPort(t.Context(), serve(t, a), "")
		var refused *EvidenceError
		var binding *evidence.BindingError
		if !errors.As(err, &refused) || !errors.As(err, &binding) {
			t.Errorf("%s: error %v, want an EvidenceError with a BindingError", name, err)
		}
	}
	for name, body := range map[string]string{"html": "<html>", "empty": "", "endless": strings.Repeat(" ", evidence.MaxSize+1)} {
		_, err := collector().FromPort(t.Context(), serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(body))
		})), "")
		var refused *EvidenceError
		if !errors.As(err, &refused) {
			t.Errorf("%s: error %v, want an EvidenceError", name, err)
		}
	}
}

func TestUnreachable(t *testing.T) {
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	silent := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx     context.Context
		address string
	}{
		"nobody":      {t.Context(), nobody.URL},
		"no evidence": {t.Context(), serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))},
		"redirect": {t.Context(), serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/attestation" {
				t.Error("a redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}))},
		"too late":    {canceled, silent},
		"no socket":   {t.Context(), "/nonexistent/dstack.sock"},
		"no TLS":      {t.Context(), "ra-tls://" + strings.TrimPrefix(silent, "http://")},
		"nobody, TLS": {t.Context(), "ra-tls://" + strings.TrimPrefix(nobody.URL, "http://")},
	} {
		if name == "no TLS" {
			ctx, cancel := context.WithTimeout(c.ctx, time.Second)
			defer cancel()
			c.ctx = ctx
		}
		_, err := collector().From(c.ctx, c.address, "")
		var unreachable *UnreachableError
		if !errors.As(err, &unreachable) {
			t.Errorf("%s: error %v, want an UnreachableError", name, err)
		}
	}
}

func TestAddressForms(t *testing.T) {
	for address, want := range map[string]string{
		"":                          "address",
		"dstack.sock":               "address",
		"ftp://host:1":              "scheme",
		"http://user:word@host":     "address",
		"http://host/?nonce=1":      "address",
		"ra-tls://host":             "ra-tls://host:port",
		"ra-tls://host:443/path":    "ra-tls://host:port",
		"http://127.0.0.1:1\x00/ab": "address",
	} {
		_, err := collector().From(t.Context(), address, "")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", address, err, want)
		}
	}
	if _, err := collector().From(t.Context(), "ra-tls://host:1", nonce.New()); err == nil {
		t.Error("a nonce for a certificate")
	}
	var claim *evidence.ClaimError
	if _, err := collector().From(t.Context(), "http://127.0.0.1:1", "short"); !errors.As(err, &claim) {
		t.Errorf("a short nonce: %v", err)
	}
	if _, err := collector().From(t.Context(), "/dstack.sock", "short"); !errors.As(err, &claim) {
		t.Errorf("a short nonce: %v", err)
	}
}

// simGuestAgent answers GetQuote on a socket and records what it was asked.
func simGuestAgent(t *testing.T, answer func(reportData string) map[string]string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "collect")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			ReportData string `json:"report_data"`
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		json.NewEncoder(w).Encode(answer(asked.ReportData))
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return path
}

func TestFromSocket(t *testing.T) {
	var asked []string
	socket := simGuestAgent(t, func(data string) map[string]string {
		asked = append(asked, data)
		return map[string]string{"quote": "04000200", "event_log": "[]", "report_data": data, "vm_config": "{}"}
	})
	var got []Collected
	for range 2 {
		c, err := collector().From(t.Context(), socket, "")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c)
	}
	// All 64 bytes are fixed: the nonce from the left, zeros to the end.
	for i, c := range got {
		if want := c.Nonce + strings.Repeat("00", 32); asked[i] != want || hex.EncodeToString(c.ReportData[:]) != want {
			t.Errorf("asked for %s, expects %x, want %s", asked[i], c.ReportData, want)
		}
	}
	if asked[0] == asked[1] || got[0].Claims != nil || got[0].Freshness != ByNonce || len(got[0].Evidence.Quote) != 4 {
		t.Errorf("collected %+v", got[0])
	}
	if _, err := collector().FromSocket(t.Context(), "/nonexistent", ""); !errors.Is(err, guestagent.ErrNoSocket) {
		t.Errorf("no socket: %v", err)
	}
	huge := simGuestAgent(t, func(data string) map[string]string {
		return map[string]string{"quote": strings.Repeat("00", evidence.MaxQuote+1), "event_log": "[]", "report_data": data}
	})
	var refused *EvidenceError
	if _, err := collector().FromSocket(t.Context(), huge, ""); !errors.As(err, &refused) {
		t.Errorf("a huge quote: %v", err)
	}
}

// certificate makes one with the extensions of dstack 0.5.8 and before.
func certificate(t *testing.T, key *ecdsa.PrivateKey, from, to time.Time, withQuote bool) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sim"}, NotBefore: from, NotAfter: to}
	if withQuote {
		for id, value := range map[int][]byte{1: {4, 0, 2, 0}, 2: []byte("[]")} {
			wrapped, err := asn1.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			template.ExtraExtensions = append(template.ExtraExtensions,
				pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 62397, 1, id}, Value: wrapped})
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func tlsServer(t *testing.T, c tls.Certificate, version uint16) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12, MaxVersion: version}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes fail on purpose
	server.StartTLS()
	t.Cleanup(server.Close)
	return "ra-tls://" + server.Listener.Addr().String()
}

func TestFromTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		key := newKey(t)
		address := tlsServer(t, certificate(t, key, now.Add(-time.Hour), now.Add(time.Hour), true), version)
		got, err := collector().From(t.Context(), address, "")
		if err != nil {
			t.Fatal(err)
		}
		public, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		// Computed anew: REPORTDATA is the digest of this very key.
		if want := sha512.Sum512(append([]byte("ratls-cert:"), public...)); got.ReportData != want {
			t.Errorf("expects %x, want %x", got.ReportData, want)
		}
		if got.Freshness != ByTLS || got.Nonce != "" || got.TLS == nil || string(got.TLS.PublicKey) != string(public) ||
			got.TLS.Version != version || got.TLS.Format != "quote" || !got.Evidence.Stripped || got.Claims != nil {
			t.Errorf("collected %+v", got)
		}
	}
}

// TestFromTLSBindsTheKeyOfTheSession is attack 59: somebody else's certificate is of no use without its key, and what is
// expected of the quote is the key of who terminated TLS, whatever is in the certificate.
func TestFromTLSBindsTheKeyOfTheSession(t *testing.T) {
	victim := newKey(t)
	stolen := certificate(t, victim, now.Add(-time.Hour), now.Add(time.Hour), true)
	stolen.PrivateKey = newKey(t)
	var unreachable *UnreachableError
	if _, err := collector().From(t.Context(), tlsServer(t, stolen, tls.VersionTLS13), ""); !errors.As(err, &unreachable) {
		t.Errorf("a certificate without its key: %v", err)
	}
	good, err := collector().From(t.Context(), tlsServer(t, certificate(t, victim, now.Add(-time.Hour), now.Add(time.Hour), true), tls.VersionTLS13), "")
	if err != nil {
		t.Fatal(err)
	}
	relay, err := collector().From(t.Context(), tlsServer(t, certificate(t, newKey(t), now.Add(-time.Hour), now.Add(time.Hour), true), tls.VersionTLS13), "")
	if err != nil {
		t.Fatal(err)
	}
	if good.ReportData == relay.ReportData {
		t.Error("two keys are expected to have one report data")
	}
}

func TestFromTLSRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		from, to time.Time
		quote    bool
		want     string
	}{
		"expired":       {now.Add(-2 * time.Hour), now.Add(-time.Second), true, "valid at"},
		"not yet valid": {now.Add(time.Second), now.Add(time.Hour), true, "valid at"},
		"no evidence":   {now.Add(-time.Hour), now.Add(time.Hour), false, ratls.ErrNoEvidence.Error()},
	} {
		_, err := collector().From(t.Context(), tlsServer(t, certificate(t, newKey(t), c.from, c.to, c.quote), tls.VersionTLS13), "")
		var refused *EvidenceError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want an EvidenceError with %q", name, err, c.want)
		}
	}
	if _, err := fromSession("x", tls.ConnectionState{DidResume: true}, now); err == nil {
		t.Error("a resumed session was taken")
	}
	if _, err := fromSession("x", tls.ConnectionState{}, now); err == nil {
		t.Error("a session without a certificate was taken")
	}
}
