package collect

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/evidence/ratls"
)

// Freshness is what shows that evidence is not a recording.
type Freshness string

// The two kinds; the package comment tells them apart.
const (
	ByNonce Freshness = "nonce" // REPORTDATA commits to a nonce made for this call
	ByTLS   Freshness = "tls"   // REPORTDATA commits to the key that terminated this TLS session
)

// Collected is evidence that was fetched now. Nothing in it is verified.
type Collected struct {
	Source     string // where from, as it was asked for
	Evidence   appraisal.Evidence
	ReportData [64]byte // REPORTDATA of the quote must be this, all of it
	Freshness  Freshness
	Nonce      string           // lower-case hex; empty for TLS
	Claims     *evidence.Claims // from an attestation port: who answers, and its key; else nil
	TLS        *Session         // from a TLS endpoint; else nil
	At         time.Time
}

// Session is the TLS session that evidence was taken from.
type Session struct {
	PublicKey []byte // DER SubjectPublicKeyInfo of the certificate that terminated it; REPORTDATA binds this
	NotBefore time.Time
	NotAfter  time.Time
	Version   uint16 // as in crypto/tls
	Format    string // of the evidence in the certificate, see [ratls.Evidence]
	Usage     string // the certificate issuer's word, not attested
}

// UnreachableError means that there was nothing to judge: nobody answered, or not in time, or the answer was that there is no
// evidence. It says nothing about the peer.
type UnreachableError struct {
	Source string
	Err    error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("collect evidence from %s: %v", e.Source, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }

// EvidenceError means that an answer came and is not good: malformed, for another nonce, of another time, bound to another key.
type EvidenceError struct {
	Source string
	Err    error
}

func (e *EvidenceError) Error() string { return fmt.Sprintf("evidence from %s: %v", e.Source, e.Err) }

// Unwrap returns the reason: an *evidence.FormError, *evidence.ClaimError, *evidence.BindingError, *ratls.FormError or another.
func (e *EvidenceError) Unwrap() error { return e.Err }

// Collector fetches evidence. Give each call a context with a deadline; a quote on a busy host takes seconds.
type Collector struct {
	// HTTP asks attestation ports. It must not follow redirects: the answer counts for the address that was asked.
	HTTP *http.Client
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (c Collector) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// From collects from an address: http or https with an attestation port, ra-tls://host:port, or the absolute path of a guest
// agent's socket. An address of another form is an error of neither type. An empty nonce is replaced by a new one, which is
// what everyone should do; another is for evidence that somebody else judges. A TLS endpoint takes none.
func (c Collector) From(ctx context.Context, address, nonce string) (Collected, error) {
	if strings.HasPrefix(address, "/") {
		return c.FromSocket(ctx, address, nonce)
	}
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Host == "" {
		return Collected{}, fmt.Errorf("address: want http://host:port, https://host:port, ra-tls://host:port or the absolute path of a socket, got %.100q", address)
	}
	switch u.Scheme {
	case "http", "https":
		return c.FromPort(ctx, strings.TrimSuffix(address, "/"), nonce)
	case "ra-tls":
		switch {
		case nonce != "":
			return Collected{}, fmt.Errorf("nonce: want none for %s: a certificate's evidence has no room for one", address)
		case u.Port() == "" || u.Path != "":
			return Collected{}, fmt.Errorf("address: want ra-tls://host:port, got %.100q", address)
		}
		return c.FromTLS(ctx, u.Host)
	default:
		return Collected{}, fmt.Errorf("address: want the scheme http, https or ra-tls, got %.40q", u.Scheme)
	}
}

// fromCertificate joins what a certificate holds with the session it terminated.
func fromCertificate(source string, e ratls.Evidence, s Session, reportData [64]byte, at time.Time) Collected {
	s.Format, s.Usage = e.Format, e.Usage
	return Collected{
		Source:     source,
		Evidence:   appraisal.Evidence{Quote: e.Quote, EventLog: e.EventLog, VMConfig: e.VMConfig, Stripped: true, ReportData: &reportData},
		ReportData: reportData,
		Freshness:  ByTLS,
		TLS:        &s,
		At:         at,
	}
}
