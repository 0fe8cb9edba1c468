package collateral_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/collateral"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

// Folders of testdata, and what they are about.
const (
	intel2026 = "go-tdx-guest-v5-cf77a6e9-202601-uptodate"
	intel2025 = "tdx-attestation-sdk-v4-4cca351e-202502-uptodate"
	newer2025 = "attested-tls-v4-d0ee491c-202503-uptodate"
	simulated = "syn-v4-processor-ca"
)

var (
	in2026 = time.Date(2026, 1, 27, 15, 36, 27, 0, time.UTC)
	in2025 = time.Date(2025, 2, 15, 12, 0, 0, 0, time.UTC) // intel2025 and newer2025 are valid
	inSim  = time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)

	target2026 = collateral.Target{FMSPC: [6]byte{0x90, 0xc0, 0x6f}, CA: quote.PlatformCA}
	target2025 = collateral.Target{FMSPC: [6]byte{0x00, 0x80, 0x6f, 0x05}, CA: quote.PlatformCA}
	targetSim  = collateral.Target{FMSPC: [6]byte{0x90, 0xc0, 0x6f}, CA: quote.ProcessorCA}
)

func read(t testing.TB, elem ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func directory(t testing.TB, name string) quote.Collateral {
	t.Helper()
	c, err := collateral.ReadDirectory(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newer is the collateral of 2025 with a newer TCB info and QE identity.
func newer(t testing.TB) quote.Collateral {
	t.Helper()
	c, n := directory(t, intel2025), directory(t, newer2025)
	c.TCBInfo, c.TCBInfoChain, c.QEIdentity, c.QEIdentityChain = n.TCBInfo, n.TCBInfoChain, n.QEIdentity, n.QEIdentityChain
	return c
}

// pccs is a service whose answers can be changed.
type pccs struct {
	*httptest.Server
	mu       sync.Mutex
	c        quote.Collateral
	requests []string
	// before may answer itself.
	before func(w http.ResponseWriter, r *http.Request) bool
}

func (p *pccs) serve(c quote.Collateral) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.c = c
}

// asked returns the requests since it was last called.
func (p *pccs) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.requests
	p.requests = nil
	return asked
}

func percent(chain []byte) string {
	return strings.ReplaceAll(url.QueryEscape(string(chain)), "+", "%20")
}

// newPCCS serves what the reference PCCS would: the root's list as hex text.
func newPCCS(t testing.TB, c quote.Collateral) *pccs {
	p := &pccs{c: c}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		c := p.c
		p.requests = append(p.requests, r.URL.RequestURI())
		before := p.before
		p.mu.Unlock()
		if before != nil && before(w, r) {
			return
		}
		answer(w, r, c)
	}))
	t.Cleanup(p.Close)
	return p
}

func answer(w http.ResponseWriter, r *http.Request, c quote.Collateral) {
	switch r.URL.Path {
	case "/tdx/certification/v4/tcb":
		w.Header().Set("TCB-Info-Issuer-Chain", percent(c.TCBInfoChain))
		w.Write(c.TCBInfo)
	case "/tdx/certification/v4/qe/identity":
		w.Header().Set("SGX-Enclave-Identity-Issuer-Chain", percent(c.QEIdentityChain))
		w.Write(c.QEIdentity)
	case "/sgx/certification/v4/pckcrl":
		w.Header().Set("SGX-PCK-CRL-Issuer-Chain", percent(c.PCKCRLChain))
		w.Write(c.PCKCRL)
	case "/sgx/certification/v4/rootcacrl":
		w.Write([]byte(hex.EncodeToString(c.RootCRL)))
	case "/IntelSGXRootCA.der":
		w.Write(c.RootCRL)
	default:
		http.NotFound(w, r)
	}
}

func open(t testing.TB, spec string, o collateral.Options) *collateral.Source {
	t.Helper()
	s, err := collateral.Open(spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func equal(t *testing.T, got, want quote.Collateral) {
	t.Helper()
	for file, data := range collateral.Files(want) {
		if !bytes.Equal(collateral.Files(got)[file], data) {
			t.Errorf("%s is %.60q…, want %.60q…", file, collateral.Files(got)[file], data)
		}
	}
}

func TestFetchFromPCCS(t *testing.T) {
	want := directory(t, intel2026)
	p := newPCCS(t, want)
	for _, base := range []string{p.URL, p.URL + "/", p.URL + "/sgx/certification/v4", p.URL + "/sgx/certification/v4/", p.URL + "/tdx/certification/v4/"} {
		got, err := open(t, base, collateral.Options{}).Get(t.Context(), target2026)
		if err != nil {
			t.Fatalf("%s: %v", base, err)
		}
		equal(t, got, want)
		asked := p.asked()
		for _, request := range []string{
			"/tdx/certification/v4/tcb?fmspc=90c06f000000", "/tdx/certification/v4/qe/identity", "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
			"/sgx/certification/v4/rootcacrl",
		} {
			if !strings.Contains(strings.Join(asked, "\n")+"\n", request+"\n") {
				t.Errorf("%s: asked for %q, and not for %s", base, asked, request)
			}
		}
		if len(asked) != 4 {
			t.Errorf("%s: asked for %q, want 4 requests", base, asked)
		}
	}
}

func TestFor(t *testing.T) {
	want := directory(t, intel2026)
	p := newPCCS(t, want)
	q, err := quote.Parse(read(t, intel2026, "quote.bin"))
	if err != nil {
		t.Fatal(err)
	}
	for _, spec := range []string{p.URL, filepath.Join("testdata", intel2026)} {
		got, err := open(t, spec, collateral.Options{}).For(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, got, want)
	}
	if asked := strings.Join(p.asked(), "\n"); !strings.Contains(asked, "?fmspc=90c06f000000") || !strings.Contains(asked, "?ca=platform&") {
		t.Errorf("asked for %q", asked)
	}
	// Nobody is asked about a quote that does not tell.
	for _, certificates := range []string{"", "x", string(want.TCBInfoChain), string(want.PCKCRLChain)} {
		unfit := *q
		unfit.Certificates = []byte(certificates)
		got, err := open(t, p.URL, collateral.Options{}).For(t.Context(), &unfit)
		if err != nil || len(collateral.Files(got)) > 0 {
			t.Errorf("%.40q: %d members, %v, want none and no error", certificates, len(collateral.Files(got)), err)
		}
		var is *collateral.TargetError
		if _, err := collateral.TargetOf(&unfit); !errors.As(err, &is) {
			t.Errorf("%.40q: error is %v, want a TargetError", certificates, err)
		}
	}
	if asked := p.asked(); len(asked) > 0 {
		t.Errorf("asked for %q", asked)
	}
}

func TestUpdateChannel(t *testing.T) {
	p := newPCCS(t, directory(t, intel2026))
	if _, err := open(t, p.URL, collateral.Options{Update: collateral.Early}).Get(t.Context(), target2026); err != nil {
		t.Fatal(err)
	}
	asked := strings.Join(p.asked(), "\n") + "\n"
	for _, request := range []string{"/tcb?fmspc=90c06f000000&update=early\n", "/qe/identity?update=early\n"} {
		if !strings.Contains(asked, request) {
			t.Errorf("asked for %q, and not for %q", asked, request)
		}
	}
	if _, err := collateral.Open(p.URL, collateral.Options{Update: "latest"}); !errors.Is(err, collateral.ErrSpec) {
		t.Errorf("update latest: %v, want ErrSpec", err)
	}
}

// intel answers for every host, and remembers which were asked.
type intel struct {
	c     quote.Collateral
	mu    sync.Mutex
	hosts map[string][]string
}

func (i *intel) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	i.hosts[r.URL.Scheme+"://"+r.URL.Host] = append(i.hosts[r.URL.Scheme+"://"+r.URL.Host], r.URL.Path)
	i.mu.Unlock()
	w := httptest.NewRecorder()
	answer(w, r, i.c)
	return w.Result(), nil
}

func TestIntelServesTheRootListElsewhere(t *testing.T) {
	want := directory(t, intel2026)
	i := &intel{c: want, hosts: map[string][]string{}}
	got, err := open(t, "", collateral.Options{Transport: i}).Get(t.Context(), target2026)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, want)
	if len(i.hosts) != 2 || len(i.hosts["https://api.trustedservices.intel.com"]) != 3 {
		t.Errorf("asked %v, want three paths of the API's host and one of another", i.hosts)
	}
	if list := i.hosts["https://certificates.trustedservices.intel.com"]; len(list) != 1 || list[0] != "/IntelSGXRootCA.der" {
		t.Errorf("asked %v for the list of the root", i.hosts)
	}
}

func TestForms(t *testing.T) {
	want := directory(t, intel2026)
	asPEM := func(der []byte) string { return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})) }
	for name, body := range map[string]string{
		"DER": string(want.RootCRL), "PEM": asPEM(want.RootCRL), "hex": hex.EncodeToString(want.RootCRL), "upper-case hex with line feed": strings.ToUpper(hex.EncodeToString(want.RootCRL)) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := newPCCS(t, want)
			p.before = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "rootcacrl") {
					return false
				}
				w.Write([]byte(body))
				return true
			}
			got, err := open(t, p.URL, collateral.Options{}).Get(t.Context(), target2026)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, got, want)
		})
	}
	for name, set := range map[string]func(http.Header){
		"percent":        func(h http.Header) { h.Set("TCB-Info-Issuer-Chain", percent(want.TCBInfoChain)) },
		"form":           func(h http.Header) { h.Set("TCB-Info-Issuer-Chain", url.QueryEscape(string(want.TCBInfoChain))) },
		"plus unescaped": func(h http.Header) { h.Set("TCB-Info-Issuer-Chain", url.PathEscape(string(want.TCBInfoChain))) },
		"CRLF": func(h http.Header) {
			h.Set("TCB-Info-Issuer-Chain", percent(bytes.ReplaceAll(want.TCBInfoChain, []byte("\n"), []byte("\r\n"))))
		},
		"no line feed at the end": func(h http.Header) {
			h.Set("TCB-Info-Issuer-Chain", percent(bytes.TrimSuffix(want.TCBInfoChain, []byte("\n"))))
		},
		"blank lines behind": func(h http.Header) {
			h.Set("TCB-Info-Issuer-Chain", percent(append(bytes.Clone(want.TCBInfoChain), "\n \n"...)))
		},
		"the older name":  func(h http.Header) { h.Set("SGX-TCB-Info-Issuer-Chain", percent(want.TCBInfoChain)) },
		"in lower case":   func(h http.Header) { h["tcb-info-issuer-chain"] = []string{percent(want.TCBInfoChain)} },
		"as Intel has it": func(h http.Header) { h["TCB-Info-Issuer-Chain"] = []string{percent(want.TCBInfoChain)} },
	} {
		t.Run("header "+name, func(t *testing.T) {
			p := newPCCS(t, want)
			p.before = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/tcb") {
					return false
				}
				set(w.Header())
				w.Write(want.TCBInfo)
				return true
			}
			got, err := open(t, p.URL, collateral.Options{}).Get(t.Context(), target2026)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, got, want)
		})
	}
}

// at answers requests for one path.
func at(path string, do http.HandlerFunc) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path {
			return false
		}
		do(w, r)
		return true
	}
}

func TestFaultsOfServices(t *testing.T) {
	const (
		tcb      = "/tdx/certification/v4/tcb"
		identity = "/tdx/certification/v4/qe/identity"
		pckCRL   = "/sgx/certification/v4/pckcrl"
		rootCRL  = "/sgx/certification/v4/rootcacrl"
	)
	c := directory(t, intel2026)
	text := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) }
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	header := func(name string, values ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for _, value := range values {
				w.Header().Add(name, value)
			}
			w.Write(c.TCBInfo)
		}
	}
	const unreachable, malformed = "unreachable", "malformed"
	for _, tt := range []struct {
		name   string
		path   string
		answer http.HandlerFunc
		kind   string
		want   string
	}{
		{"404", tcb, status(404), unreachable, "expected status 200, got 404, which says that the service knows nothing of this FMSPC"},
		{"404 of a CA", pckCRL, status(404), unreachable, "expected status 200, got 404, which says that the service knows nothing of this CA"},
		{"404 of what all platforms share", identity, status(404), unreachable, "/identity: expected status 200, got 404."},
		{"404 of the root's list", rootCRL, status(404), unreachable, "/rootcacrl: expected status 200, got 404."},
		{"500", identity, status(500), unreachable, "expected status 200, got 500"},
		{"204", pckCRL, status(204), unreachable, "expected status 200, got 204"},
		{"461 of a PCCS", pckCRL, status(461), unreachable, "this PCCS has nothing"},
		{"too large", tcb, text(strings.Repeat("x", collateral.MaxMember+1)), unreachable, "at most 1048576 bytes, got more"},
		{"truncated", pckCRL, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3000")
			w.Write(c.PCKCRL[:100])
		}, unreachable, "ends too early"},
		{"headers too large", tcb, header("TCB-Info-Issuer-Chain", strings.Repeat("x", 1<<20)), unreachable, "headers"},
		{"another host", tcb, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		}, unreachable, "redirected to http://127.0.0.1:1, and only"},
		{"another scheme", rootCRL, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://"+r.Host+r.URL.Path, http.StatusFound)
		}, unreachable, "redirected to https://"},
		{"in circles", tcb, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }, unreachable, "more than 3 times"},
		{"a web page", tcb, text("<html>please log in</html>"), malformed, `expected JSON, got "<html>please log in</html>"`},
		{"nothing", identity, text(""), malformed, `expected JSON, got ""`},
		{"truncated without a length", identity, text(string(c.QEIdentity[:100])), malformed, "expected JSON"},
		{"no chain", tcb, text(string(c.TCBInfo)), malformed, "expected the header TCB-Info-Issuer-Chain, got none"},
		{"no chain of the identity", identity, text(string(c.QEIdentity)), malformed, "expected the header SGX-Enclave-Identity-Issuer-Chain, got none"},
		{"no chain of the list", pckCRL, text(string(c.PCKCRL)), malformed, "expected the header SGX-PCK-CRL-Issuer-Chain, got none"},
		{"two chains", tcb, header("TCB-Info-Issuer-Chain", percent(c.TCBInfoChain), percent(c.TCBInfoChain)), malformed, "once, got 2"},
		{"a chain that is no PEM", tcb, header("TCB-Info-Issuer-Chain", "aGVsbG8="), malformed, "expected URL-encoded PEM certificates"},
		{"a chain that is a key", tcb, header("TCB-Info-Issuer-Chain", percent(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"}))), malformed, "expected URL-encoded PEM certificates"},
		{"a chain that is badly encoded", tcb, header("TCB-Info-Issuer-Chain", "%zz"), malformed, "invalid URL escape"},
		{"a list that is none", rootCRL, text("not a list"), malformed, "expected a revocation list in DER, PEM or hex"},
		{"an empty list", rootCRL, text(""), malformed, "expected a revocation list"},
		{"a list with more behind", rootCRL, text(string(c.RootCRL) + "x"), malformed, "expected a revocation list"},
		{"two lists in PEM", rootCRL, text(strings.Repeat(string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: c.RootCRL})), 2)), malformed, "expected one PEM block"},
		{"a list by another name", rootCRL, text(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.RootCRL}))), malformed, "expected one PEM block X509 CRL"},
		{"a certificate for a list", rootCRL, text(string(c.TCBInfoChain)), malformed, "expected one PEM block X509 CRL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPCCS(t, c)
			p.before = at(tt.path, tt.answer)
			got, err := open(t, p.URL, collateral.Options{}).Get(t.Context(), target2026)
			if err == nil || !strings.Contains(err.Error()+".", tt.want) { // a full stop is the end
				t.Fatalf("error is %v, want one with %q", err, tt.want)
			}
			var answer *collateral.AnswerError
			if errors.Is(err, collateral.ErrUnreachable) != (tt.kind == unreachable) || errors.As(err, &answer) != (tt.kind == malformed) {
				t.Errorf("error %v (%T) is not of the kind %s", err, err, tt.kind)
			}
			if !strings.Contains(err.Error(), tt.path) {
				t.Errorf("error %v does not name %s", err, tt.path)
			}
			if len(collateral.Files(got)) > 0 {
				t.Error("there is collateral beside the error")
			}
		})
	}
}

func TestRedirectToItself(t *testing.T) {
	want := directory(t, intel2026)
	p := newPCCS(t, want)
	p.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("again") || r.URL.Path != "/sgx/certification/v4/rootcacrl" {
			return false
		}
		http.Redirect(w, r, r.URL.Path+"?again", http.StatusFound)
		return true
	}
	got, err := open(t, p.URL, collateral.Options{}).Get(t.Context(), target2026)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, want)
}

func TestNobodyListens(t *testing.T) {
	p := newPCCS(t, quote.Collateral{})
	p.Close()
	_, err := open(t, p.URL, collateral.Options{}).Get(t.Context(), target2026)
	if !errors.Is(err, collateral.ErrUnreachable) {
		t.Errorf("error is %v, want ErrUnreachable", err)
	}
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Errorf("error %v hides that of the network", err)
	}
}

// A service that never answers is given up when the context ends, and the other requests with it.
func TestContextEnds(t *testing.T) {
	p := newPCCS(t, directory(t, intel2026))
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no patience")
	released := make(chan struct{})
	p.before = at("/tdx/certification/v4/tcb", func(_ http.ResponseWriter, r *http.Request) {
		cancel(why)
		<-r.Context().Done()
		close(released)
	})
	_, err := open(t, p.URL, collateral.Options{}).Get(ctx, target2026)
	if !errors.Is(err, collateral.ErrUnreachable) || !errors.Is(err, why) {
		t.Errorf("error is %v, want ErrUnreachable and the reason", err)
	}
	<-released
}

// One that fails ends the requests that still wait.
func TestFirstFailureEndsTheRest(t *testing.T) {
	p := newPCCS(t, directory(t, intel2026))
	p.before = func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/identity") {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else {
			<-r.Context().Done()
		}
		return true
	}
	_, err := open(t, p.URL, collateral.Options{}).Get(t.Context(), target2026)
	if err == nil || !strings.Contains(err.Error(), "got 503") {
		t.Errorf("error is %v, want that of the request that failed", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tt := range []struct {
		spec string
		want string
		is   error
	}{
		{"ftp://pccs.example", "expected https:// or http://", collateral.ErrSpec},
		{"https://", "expected https:// or http://", collateral.ErrSpec},
		{"https://user:secret@pccs.example", "without user", collateral.ErrSpec},
		{"https://pccs.example/?a=b", "without user, query", collateral.ErrSpec},
		{"https://pccs.example/#a", "without user, query and fragment", collateral.ErrSpec},
		{"https://pccs.example:port", "invalid port", collateral.ErrSpec},
		{"testdata/nowhere", "there is no file", os.ErrNotExist},
		{pipe, "expected a directory or a file", nil},
	} {
		_, err := collateral.Open(tt.spec, collateral.Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: error is %v, want one with %q that is %v", tt.spec, err, tt.want, tt.is)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v tells the password", tt.spec, err)
		}
	}
}
