package collect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/evidence/ratls"
)

// FromTLS makes a TLS handshake with host:port and takes the evidence from the certificate of the key that terminated it. No
// certificate authority is asked: an RA-TLS certificate is vouched for by its quote, and its names by nobody.
func (c Collector) FromTLS(ctx context.Context, address string) (Collected, error) {
	source := "ra-tls://" + address
	var dialer net.Dialer
	plain, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return Collected{}, &UnreachableError{source, err}
	}
	defer plain.Close()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return Collected{}, &UnreachableError{source, err}
	}
	conn := tls.Client(plain, sessionConfig(host))
	if err := conn.HandshakeContext(ctx); err != nil {
		return Collected{}, &UnreachableError{source, fmt.Errorf("TLS handshake: %w", err)}
	}
	collected, err := fromSession(source, conn.ConnectionState(), c.now())
	if err != nil {
		return Collected{}, &EvidenceError{source, err}
	}
	return collected, nil
}

// sessionConfig is for a handshake that proves one thing, that the peer holds the private key of its certificate. Sessions are
// not resumed, so each one proves it anew. TLS 1.2 is what dstack's gateway speaks by default (gateway.toml tls_versions).
func sessionConfig(host string) *tls.Config {
	return &tls.Config{
		ServerName:             host,
		MinVersion:             tls.VersionTLS12,
		InsecureSkipVerify:     true, //nolint:gosec // the quote in the certificate vouches for its key; see FromTLS
		SessionTicketsDisabled: true,
	}
}

// fromSession reads the leaf of a session and binds it to that session.
func fromSession(source string, state tls.ConnectionState, now time.Time) (Collected, error) {
	if state.DidResume || len(state.PeerCertificates) == 0 {
		return Collected{}, errors.New("want a full handshake with a certificate")
	}
	leaf := state.PeerCertificates[0]
	if err := checkValidity(leaf, now); err != nil {
		return Collected{}, err
	}
	e, err := ratls.FromCertificate(leaf)
	if err != nil {
		return Collected{}, err
	}
	session := Session{
		PublicKey: leaf.RawSubjectPublicKeyInfo, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Version: state.Version,
	}
	return fromCertificate(source, e, session, dstack.KeyBinding(leaf.RawSubjectPublicKeyInfo), now), nil
}

func checkValidity(c *x509.Certificate, now time.Time) error {
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return fmt.Errorf("certificate: want one valid at %s, got one from %s to %s",
			now.UTC().Format(time.RFC3339), c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}
