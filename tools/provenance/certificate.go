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

// keyOf returns the key of a certificate that the trust root issued and that is valid at the time. The time of a signature is not
// known: only a certificate that is still valid is proof.
func (r TrustRoot) keyOf(c *x509.Certificate, at time.Time) (Key, Code, error) {
	if at.Before(c.NotBefore) || at.After(c.NotAfter) {
		return Key{}, CodeCertificateTime, fmt.Errorf("certificate: expected one that is valid at %s, got one that is valid from %s to %s",
			at.UTC().Format(time.RFC3339), c.NotBefore.Format(time.RFC3339), c.NotAfter.Format(time.RFC3339))
	}
	if c.IsCA {
		return Key{}, CodeCertificate, errors.New("certificate: expected that of a signer, got that of an authority")
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, root := range r.Roots {
		roots.AddCert(root)
	}
	for _, intermediate := range r.Intermediates {
		intermediates.AddCert(intermediate)
	}
	if _, err := c.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}); err != nil {
		return Key{}, CodeCertificate, fmt.Errorf("certificate: expected one that an authority of the trust root issued for signing code, got another one: %w", err)
	}
	key, err := NewKey(c.PublicKey)
	if err != nil {
		return Key{}, CodeCertificate, fmt.Errorf("certificate: %w", err)
	}
	return key, "", nil
}
