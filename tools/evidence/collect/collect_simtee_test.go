//go:build simtee

package collect_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/evidence/collect"
	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/simtee"
)

func newPlatform(t *testing.T) *simtee.Platform {
	t.Helper()
	p, err := simtee.New(simtee.Seed{3}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func boot(t *testing.T, p *simtee.Platform, release dstack.Release) *simtee.TD {
	t.Helper()
	td, err := p.Boot(simtee.Launch{Dstack: dstack.Launch{Release: release}})
	if err != nil {
		t.Fatal(err)
	}
	return td
}

// appraise judges what was collected as any verifier should.
func appraise(t *testing.T, p *simtee.Platform, c collect.Collected) appraisal.Report {
	t.Helper()
	root, err := quote.ParseTrustRoot(p.RootPEM())
	if err != nil {
		t.Fatal(err)
	}
	return appraisal.Appraise(appraisal.Request{
		Evidence: c.Evidence, Verifier: quote.NewVerifier(p.Collateral(), root), At: time.Now(), ReportData: &c.ReportData,
	})
}

// endpoint terminates TLS with a key and certificates.
func endpoint(t *testing.T, key simtee.TLSKey) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: key.Chain, PrivateKey: key.Key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return "ra-tls://" + server.Listener.Addr().String()
}

func tlsKey(t *testing.T, td *simtee.TD) simtee.TLSKey {
	t.Helper()
	key, err := td.TLSKey(simtee.TLSRequest{Subject: "sim", RATLS: true, ServerAuth: true})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestRATLS takes evidence from certificates of both forms and has it accepted.
func TestRATLS(t *testing.T) {
	p := newPlatform(t)
	for format, release := range map[string]dstack.Release{
		"quote": {Minor: 5, Patch: 8}, "attestation v0": {Minor: 5, Patch: 11},
	} {
		c, err := collect.Collector{}.From(t.Context(), endpoint(t, tlsKey(t, boot(t, p, release))), "")
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if r := appraise(t, p, c); !r.Accepted || !r.Simulated || c.TLS.Format != format || c.Freshness != collect.ByTLS {
			t.Errorf("%s: collected %s, report %+v", format, c.TLS.Format, r.Failures())
		}
	}
}

// TestRATLSRelay is attack 59: a certificate with the evidence of another machine's key, around a key of the relay's own.
func TestRATLSRelay(t *testing.T) {
	p := newPlatform(t)
	td := boot(t, p, dstack.Release{Minor: 5, Patch: 11})
	victim := tlsKey(t, td)
	relay, err := td.TLSKey(simtee.TLSRequest{Subject: "relay", ServerAuth: true}, withExtensionsOf(t, victim))
	if err != nil {
		t.Fatal(err)
	}
	c, err := collect.Collector{}.From(t.Context(), endpoint(t, relay), "")
	if err != nil {
		t.Fatal(err)
	}
	if r := appraise(t, p, c); r.Accepted || !slices.Contains(r.Failures(), "report_data.expected") {
		t.Errorf("report %+v", r.Failures())
	}
}

// withExtensionsOf gives a certificate the extensions of dstack that another has.
func withExtensionsOf(t *testing.T, other simtee.TLSKey) func(*x509.Certificate) {
	t.Helper()
	c, err := x509.ParseCertificate(other.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	ours := func(e pkix.Extension) bool { return strings.HasPrefix(e.Id.String(), "1.3.6.1.4.1.62397.1.") }
	return func(leaf *x509.Certificate) {
		leaf.ExtraExtensions = slices.DeleteFunc(leaf.ExtraExtensions, ours)
		for _, e := range c.Extensions {
			if ours(e) {
				leaf.ExtraExtensions = append(leaf.ExtraExtensions, e)
			}
		}
	}
}

// TestSocket collects from a guest agent and has it accepted for the nonce of that call and for no other.
func TestSocket(t *testing.T) {
	p := newPlatform(t)
	td := boot(t, p, dstack.Release{Minor: 5, Patch: 11})
	dir, err := os.MkdirTemp("", "collect")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	listener, err := simtee.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- simtee.Serve(ctx, listener, td.GuestAgent()) }()
	t.Cleanup(func() { stop(); <-done })
	first, err := collect.Collector{}.From(t.Context(), socket, "")
	if err != nil {
		t.Fatal(err)
	}
	second, err := collect.Collector{}.From(t.Context(), socket, "")
	if err != nil {
		t.Fatal(err)
	}
	if r := appraise(t, p, first); !r.Accepted {
		t.Errorf("report %+v", r.Failures())
	}
	second.Evidence = first.Evidence
	if r := appraise(t, p, second); r.Accepted || !slices.Contains(r.Failures(), "report_data.expected") {
		t.Errorf("evidence of another call: %+v", r.Failures())
	}
}
