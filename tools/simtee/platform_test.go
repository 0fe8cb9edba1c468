//go:build simtee

package simtee_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-tdx-guest/verify"

	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/simtee"
)

var (
	seed = simtee.Seed{1, 2, 3}
	at   = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
)

func newPlatform(t testing.TB, edits ...func(*simtee.Design)) *simtee.Platform {
	t.Helper()
	p, err := simtee.New(seed, at, edits...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// getter is how go-tdx-guest fetches: from a handler, whatever host it names.
type getter struct{ from http.Handler }

func (g getter) Get(address string) (map[string][]string, []byte, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, err
	}
	w := httptest.NewRecorder()
	g.from.ServeHTTP(w, httptest.NewRequest(http.MethodGet, u.RequestURI(), nil))
	if w.Code != http.StatusOK {
		return nil, nil, fmt.Errorf("%s: status %d", address, w.Code)
	}
	header := http.Header{}
	for name, values := range w.Header() { // as a client's transport does
		header[http.CanonicalHeaderKey(name)] = values
	}
	return header, w.Body.Bytes(), nil
}

// foreignVerdict is what Google's verifier says with collateral and revocation lists from the platform's PCS.
func foreignVerdict(p *simtee.Platform, raw []byte) error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.RootPEM())
	return verify.RawTdxQuote(raw, &verify.Options{
		CheckRevocations: true, GetCollateral: true, Getter: getter{p.PCS()}, TrustedRoots: roots,
		Now: &verify.TimeSet{PckCertChain: at, TcbInfo: at, QeIdentity: at, PckCrl: at, RootCaCrl: at},
	})
}

func body(p *simtee.Platform, kind string) quote.Body {
	b := p.Body()
	b.Kind = kind
	b.RTMR[0], b.ReportData = [48]byte{0: 0xaa}, [64]byte{63: 0xbb}
	return b
}

func TestForeignVerifier(t *testing.T) {
	tests := []struct {
		name    string
		version uint16
		kind    string
		edit    func(*simtee.Design)
		refuse  string
	}{
		{name: "version 4", version: 4, kind: "TD10"},
		{name: "version 5", version: 5, kind: "TD10"},
		{name: "version 5 of TDX 1.5", version: 5, kind: "TD15"},
		{name: "platform revoked", version: 4, kind: "TD10", edit: simtee.RevokePCK, refuse: "revoked"},
		{name: "platform revoked", version: 5, kind: "TD15", edit: simtee.RevokePCK, refuse: "revoked"},
		{name: "CA revoked", version: 4, kind: "TD10", edit: simtee.RevokePCKCA, refuse: "revoked"},
		{name: "signer revoked", version: 4, kind: "TD10", edit: simtee.RevokeTCBSigning, refuse: "revoked"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t)
			if tt.edit != nil {
				p = newPlatform(t, tt.edit)
			}
			err := foreignVerdict(p, p.Quote(tt.version, body(p, tt.kind)))
			t.Log(err)
			if (err == nil) != (tt.refuse == "") || err != nil && !bytes.Contains([]byte(err.Error()), []byte(tt.refuse)) {
				t.Errorf("verdict %v, want %q", err, tt.refuse)
			}
		})
	}
}
