//go:build simtee

package simtee

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the key identifier of RFC 5280 section 4.2.1.2, which protects nothing
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// Common names of Intel's certificates.
const (
	NameRoot        = "Intel SGX Root CA"
	NamePlatformCA  = "Intel SGX PCK Platform CA"
	NameProcessorCA = "Intel SGX PCK Processor CA"
	NamePCK         = "Intel SGX PCK Certificate"
	NameTCBSigning  = "Intel SGX TCB Signing"
)

// Where Intel's certificates say that their revocation lists are.
const (
	rootCRLAddress = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
	pckCRLAddress  = "https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=%s&encoding=der"
)

// Certificate is a certificate before it is signed.
type Certificate struct {
	Name   string // common name of the subject; the rest of the name is Intel's
	Issuer string // common name of the issuer
	Serial *big.Int
	// Key is the subject's, Signer the key that signs: the issuer's, unless a lie is wanted.
	Key, Signer         Key
	NotBefore, NotAfter time.Time
	// CA and PathLen are the basic constraints; a negative length is left out.
	CA      bool
	PathLen int
	Usage   x509.KeyUsage
	// CRLAddress is the distribution point of the list that the certificate may stand on.
	CRLAddress string
	// Extensions are added to those that the fields above give.
	Extensions []pkix.Extension
	// Edit changes what the fields do not reach. The template may be inconsistent only as far as crypto/x509 signs it.
	Edit func(template *x509.Certificate)
}

// distinguishedName encodes a name in the attribute order of Intel's certificates: CN, O, L, ST, C.
func distinguishedName(common string) ([]byte, error) {
	attribute := func(id int, value string) pkix.RelativeDistinguishedNameSET {
		return pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, id}, Value: value}}
	}
	return asn1.Marshal(pkix.RDNSequence{
		attribute(3, common), attribute(10, "Intel Corporation"), attribute(7, "Santa Clara"), attribute(8, "CA"), attribute(6, "US"),
	})
}

func (s Seed) keyID(k Key) []byte {
	public := s.Public(k)
	id := sha1.Sum(append([]byte{4}, public[:]...)) //nolint:gosec // as above
	return id[:]
}

// issuer is as much of a certificate as signing something in its name needs.
func (s Seed) issuer(name string, k Key) (*x509.Certificate, error) {
	subject, err := distinguishedName(name)
	return &x509.Certificate{RawSubject: subject, SubjectKeyId: s.keyID(k), KeyUsage: x509.KeyUsageCRLSign}, err
}

// certificate signs a certificate and returns its DER.
func (s Seed) certificate(c Certificate) ([]byte, error) {
	subject, err := distinguishedName(c.Name)
	if err != nil {
		return nil, err
	}
	parent, err := s.issuer(c.Issuer, c.Signer)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		RawSubject: subject, SerialNumber: c.Serial, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		BasicConstraintsValid: true, IsCA: c.CA, MaxPathLen: -1, KeyUsage: c.Usage,
		SubjectKeyId: s.keyID(c.Key), AuthorityKeyId: parent.SubjectKeyId,
		ExtraExtensions: c.Extensions, SignatureAlgorithm: x509.ECDSAWithSHA256,
	}
	if c.CA && c.PathLen >= 0 {
		template.MaxPathLen, template.MaxPathLenZero = c.PathLen, c.PathLen == 0
	}
	if c.CRLAddress != "" {
		template.CRLDistributionPoints = []string{c.CRLAddress}
	}
	if c.Edit != nil {
		c.Edit(template)
	}
	der, err := x509.CreateCertificate(nil, template, parent, &s.Private(c.Key).PublicKey, signer{s.Private(c.Signer)})
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", c.Name, err)
	}
	return der, nil
}

// CRL is a certificate revocation list before it is signed.
type CRL struct {
	Issuer                 string // common name
	Signer                 Key
	Number                 int64
	ThisUpdate, NextUpdate time.Time
	Revoked                []*big.Int
	// Edit changes what the fields do not reach.
	Edit func(template *x509.RevocationList)
}

// keyCompromise is the reason in each entry of Intel's lists (RFC 5280 section 5.3.1).
const keyCompromise = 1

func (s Seed) crl(c CRL) ([]byte, error) {
	issuer, err := s.issuer(c.Issuer, c.Signer)
	if err != nil {
		return nil, err
	}
	template := &x509.RevocationList{
		Number: big.NewInt(c.Number), ThisUpdate: c.ThisUpdate, NextUpdate: c.NextUpdate, SignatureAlgorithm: x509.ECDSAWithSHA256,
	}
	for _, serial := range c.Revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: serial, RevocationTime: c.ThisUpdate, ReasonCode: keyCompromise})
	}
	if c.Edit != nil {
		c.Edit(template)
	}
	der, err := x509.CreateRevocationList(nil, template, issuer, signer{s.Private(c.Signer)})
	if err != nil {
		return nil, fmt.Errorf("revocation list of %s: %w", c.Issuer, err)
	}
	return der, nil
}

// PEM joins certificates, given as DER, as Intel's services and quotes do.
func PEM(certificates ...[]byte) []byte {
	var b bytes.Buffer
	for _, der := range certificates {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return b.Bytes()
}
