package provenance

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"
)

// The extensions of Fulcio (docs/oid-info.md there) that name the OIDC issuer: the first as bare text, the second as a UTF8String.
var (
	issuerV1 = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}
	issuerV2 = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}
)

// identityOf reads whom a certificate names. It has to name one.
func identityOf(c *x509.Certificate) (CertificateIdentity, error) {
	names := append([]string(nil), c.EmailAddresses...)
	for _, uri := range c.URIs {
		names = append(names, uri.String())
	}
	if len(names) != 1 || len(c.DNSNames)+len(c.IPAddresses) > 0 {
		return CertificateIdentity{}, fmt.Errorf("expected one e-mail address or URI as its alternative name, got %d and %d others", len(names), len(c.DNSNames)+len(c.IPAddresses))
	}
	found := CertificateIdentity{Subject: names[0]}
	for _, extension := range c.Extensions {
		var issuer string
		switch {
		case extension.Id.Equal(issuerV1):
			issuer = string(extension.Value)
		case extension.Id.Equal(issuerV2):
			rest, err := asn1.UnmarshalWithParams(extension.Value, &issuer, "utf8")
			if err != nil || len(rest) > 0 {
				return CertificateIdentity{}, fmt.Errorf("extension %s: expected a UTF8String, got something else", issuerV2)
			}
		default:
			continue
		}
		if issuer == "" || (found.Issuer != "" && found.Issuer != issuer) {
			return CertificateIdentity{}, fmt.Errorf("expected one OIDC issuer, got %.80q and %.80q", found.Issuer, issuer)
		}
		found.Issuer = issuer
	}
	if found.Issuer == "" {
		return CertificateIdentity{}, errors.New("expected the extension that names the OIDC issuer, got none")
	}
	return found, nil
}

// certifies asks whether an authority of the trust root issued a signer's certificate, valid at each of the times, and how many certificate
// logs promised to publish it.
func (r TrustRoot) certifies(c *x509.Certificate, times []time.Time, needed int) (Code, error) {
	if c.IsCA {
		return CodeCertificate, errors.New("certificate: expected that of a signer, got that of an authority")
	}
	for _, at := range times {
		if at.Before(c.NotBefore) || at.After(c.NotAfter) {
			return CodeCertificateTime, fmt.Errorf("certificate: expected one that is valid at %s, got one that is valid from %s to %s",
				at.UTC().Format(time.RFC3339), c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
		}
	}
	issuer, err := r.issuer(c, times)
	if err != nil {
		return CodeCertificate, fmt.Errorf("certificate: expected one that an authority of the trust root issued for signing code, got another one: %w", err)
	}
	if len(r.CertificateLogs) == 0 {
		return "", nil
	}
	got, err := r.promises(c, issuer)
	if err != nil {
		return CodeCertificateLog, fmt.Errorf("certificate: %w", err)
	}
	if got < needed {
		return CodeCertificateLog, fmt.Errorf("certificate: expected promises of %d certificate logs of the trust root, got %d", needed, got)
	}
	return "", nil
}

// issuer returns the authority's certificate that issued another one. One authority has to be believed at all times.
func (r TrustRoot) issuer(c *x509.Certificate, times []time.Time) (*x509.Certificate, error) {
	err := errors.New("the trust root lists none")
	for _, a := range r.Authorities {
		var chain []*x509.Certificate
		for _, at := range times {
			if !a.Validity.contains(at) {
				chain, err = nil, fmt.Errorf("the trust root believes it %s", a.Validity)
				break
			}
			if chain, err = a.chain(c, at, x509.ExtKeyUsageCodeSigning); err != nil {
				break
			}
		}
		if err == nil {
			return chain[1], nil
		}
	}
	return nil, err
}
