package quote

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
)

// revocations is a revocation list (RFC 5280 section 5) whose form was checked.
type revocations struct {
	list    *x509.RevocationList
	serials map[string]struct{} // big-endian
}

var (
	oidAuthorityKeyID = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidCRLNumber      = asn1.ObjectIdentifier{2, 5, 29, 20}
)

// parseRevocations reads a list in DER. Extensions that make it less than the whole list of its issuer are critical (delta
// lists, 5.2.4; lists for some certificates, 5.2.5; entries of other issuers, 5.3.3), so that critical ones are refused.
func parseRevocations(der []byte) (*revocations, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("expected an X.509 revocation list in DER: %w", err)
	}
	if !bytes.Equal(list.Raw, der) {
		return nil, errors.New("expected an X.509 revocation list in DER and nothing else, got bytes around it")
	}
	for _, extension := range list.Extensions {
		if !extension.Id.Equal(oidAuthorityKeyID) && !extension.Id.Equal(oidCRLNumber) {
			return nil, fmt.Errorf("extensions: expected only number and authority key identifier, got %s", extension.Id)
		}
	}
	if list.Number == nil || list.Number.Sign() < 0 {
		return nil, errors.New("CRL number: expected one that is not negative, got none or another")
	}
	if list.NextUpdate.IsZero() {
		return nil, errors.New("nextUpdate: expected a time, got none")
	}
	r := &revocations{list: list, serials: make(map[string]struct{}, len(list.RevokedCertificateEntries))}
	for _, entry := range list.RevokedCertificateEntries {
		for _, extension := range entry.Extensions {
			if extension.Critical {
				return nil, fmt.Errorf("entry %x: expected no critical extension, got %s", entry.SerialNumber, extension.Id)
			}
		}
		r.serials[string(entry.SerialNumber.Bytes())] = struct{}{}
	}
	return r, nil
}

// checkSignature says why the list is not of an issuer.
func (r *revocations) checkSignature(issuer *x509.Certificate) error {
	if !bytes.Equal(r.list.RawIssuer, issuer.RawSubject) {
		return fmt.Errorf("issuer: expected %.200s, got %.200s", issuer.Subject, r.list.Issuer)
	}
	return checkSignedBy("revocation list", r.list.SignatureAlgorithm, r.list.RawTBSRevocationList, r.list.Signature, issuer)
}

func (r *revocations) has(cert *x509.Certificate) bool {
	_, listed := r.serials[string(cert.SerialNumber.Bytes())]
	return listed
}

func (r *revocations) span(what string) span { return span{what, r.list.ThisUpdate, r.list.NextUpdate} }
