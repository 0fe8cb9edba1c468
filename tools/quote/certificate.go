package quote

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// The common names of Intel's SGX PKI (Intel SGX PCK Certificate and CRL Profile Specification).
const (
	nameRoot        = "Intel SGX Root CA"
	namePlatformCA  = "Intel SGX PCK Platform CA"
	nameProcessorCA = "Intel SGX PCK Processor CA"
	namePCK         = "Intel SGX PCK Certificate"
	nameTCBSigning  = "Intel SGX TCB Signing"
)

// role is what a certificate has to be to serve in one place of a chain.
type role struct {
	names    []string // common name, one of
	ca       bool
	pathLens []int // of a CA, one of; -1 is without limit
	usage    x509.KeyUsage
}

var (
	roleRoot = role{
		names: []string{nameRoot}, ca: true, pathLens: []int{1, -1}, usage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	rolePCKCA = role{
		names: []string{namePlatformCA, nameProcessorCA}, ca: true, pathLens: []int{0}, usage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	rolePCK        = role{names: []string{namePCK}, usage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment}
	roleTCBSigning = role{names: []string{nameTCBSigning}, usage: x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment}
)

var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// check says why a certificate does not serve in the role under an issuer. Validity in time is not part of it.
func (r role) check(cert, issuer *x509.Certificate) error {
	names := 0
	for _, attribute := range cert.Subject.Names {
		if attribute.Type.Equal(oidCommonName) {
			names++
		}
	}
	switch {
	case names != 1 || !slices.Contains(r.names, cert.Subject.CommonName):
		return fmt.Errorf("subject: expected the common name %s, got %.100q", strings.Join(r.names, " or "), cert.Subject.CommonName)
	case cert.Version != 3:
		return fmt.Errorf("%s: version: expected 3, got %d", cert.Subject.CommonName, cert.Version)
	case !bytes.Equal(cert.RawIssuer, issuer.RawSubject) && cert.Issuer.String() == issuer.Subject.String():
		return fmt.Errorf("%s: issuer: expected %.200s as %x, got %x", cert.Subject.CommonName, issuer.Subject, issuer.RawSubject, cert.RawIssuer)
	case !bytes.Equal(cert.RawIssuer, issuer.RawSubject):
		return fmt.Errorf("%s: issuer: expected %.200s, got %.200s", cert.Subject.CommonName, issuer.Subject, cert.Issuer)
	case !cert.BasicConstraintsValid || cert.IsCA != r.ca:
		return fmt.Errorf("%s: basic constraints: expected CA %t, got present %t, CA %t", cert.Subject.CommonName, r.ca, cert.BasicConstraintsValid, cert.IsCA)
	case r.ca && !slices.Contains(r.pathLens, cert.MaxPathLen):
		return fmt.Errorf("%s: path length: expected %d, got %d", cert.Subject.CommonName, r.pathLens[0], cert.MaxPathLen)
	case cert.KeyUsage != r.usage:
		return fmt.Errorf("%s: key usage: expected bits %#x, got %#x", cert.Subject.CommonName, int(r.usage), int(cert.KeyUsage))
	case len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0:
		return fmt.Errorf("%s: extended key usage: expected none, got %d", cert.Subject.CommonName, len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage))
	case len(cert.UnhandledCriticalExtensions) > 0:
		return fmt.Errorf("%s: critical extensions: expected known ones, got %s", cert.Subject.CommonName, cert.UnhandledCriticalExtensions[0])
	}
	if _, err := p256(cert); err != nil {
		return err
	}
	return checkSignedBy(cert.Subject.CommonName, cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature, issuer)
}

// checkSignedBy says why something in X.509 is not signed by the key of a certificate.
func checkSignedBy(what string, algorithm x509.SignatureAlgorithm, signed, signature []byte, issuer *x509.Certificate) error {
	if algorithm != x509.ECDSAWithSHA256 {
		return fmt.Errorf("%s: signature algorithm: expected %s, got %s", what, x509.ECDSAWithSHA256, algorithm)
	}
	key, err := p256(issuer)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(signed)
	if !ecdsa.VerifyASN1(key, digest[:], signature) {
		return fmt.Errorf("%s: signature: expected one by the key of %s, got another", what, issuer.Subject.CommonName)
	}
	return nil
}

func p256(cert *x509.Certificate) (*ecdsa.PublicKey, error) {
	key, is := cert.PublicKey.(*ecdsa.PublicKey)
	if !is || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: public key: expected ECDSA P-256, got another kind", cert.Subject.CommonName)
	}
	return key, nil
}

// verifyRaw verifies a signature over SHA-256 in the form of quotes and collateral: r and s, 32 bytes each, big-endian. Either
// outside of [1, n-1] is refused. s and n-s both verify; a quote has no unique bytes.
func verifyRaw(key *ecdsa.PublicKey, signed, signature []byte) bool {
	if len(signature) != 64 {
		return false
	}
	digest := sha256.Sum256(signed)
	return ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
}

const beginCertificate = "-----BEGIN CERTIFICATE-----\n"

var errNotPEM = errors.New("not a certificate in PEM")

// splitPEM reads exactly n certificates from text in canonical PEM, as Intel serves it: lines of 64 characters, ended by line
// feeds, and nothing before, between or after. Only the last line feed may be missing. There is one text for given
// certificates, so that no byte of a chain is without meaning.
func splitPEM(text []byte, n int) ([][]byte, error) {
	ders := make([][]byte, 0, n)
	for rest := text; len(rest) > 0; {
		if len(ders) == n {
			return nil, fmt.Errorf("expected %d certificates in PEM and nothing after them, got %d bytes more", n, len(rest))
		}
		if !bytes.HasPrefix(rest, []byte(beginCertificate)) {
			return nil, fmt.Errorf("certificate %d of %d: %w: expected %q at byte %d, got %.30q", len(ders)+1, n, errNotPEM, beginCertificate, len(text)-len(rest), rest)
		}
		block, after := pem.Decode(rest)
		if block == nil {
			return nil, fmt.Errorf("certificate %d of %d: %w", len(ders)+1, n, errNotPEM)
		}
		taken := rest[:len(rest)-len(after)]
		canonical := encodePEM(block.Bytes)
		if !bytes.Equal(taken, canonical) && (len(after) > 0 || !bytes.Equal(taken, canonical[:len(canonical)-1])) {
			return nil, fmt.Errorf("certificate %d of %d: expected canonical PEM with lines of 64 characters, got another form", len(ders)+1, n)
		}
		ders = append(ders, block.Bytes)
		rest = after
	}
	if len(ders) != n {
		return nil, fmt.Errorf("expected %d certificates in PEM, got %d", n, len(ders))
	}
	return ders, nil
}

func encodePEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// span is a time in which something is valid, both ends included.
type span struct {
	what     string
	from, to time.Time
}

func spanOf(cert *x509.Certificate) span {
	return span{cert.Subject.CommonName, cert.NotBefore, cert.NotAfter}
}

// spans holds whether a time is in all of them, and tells the first that it is not in.
func (l *ledger) spans(c code, at time.Time, spans ...span) {
	for _, s := range spans {
		if at.Before(s.from) || at.After(s.to) {
			l.note(c, false, fmt.Sprintf("%s: %s to %s", s.what, stamp(s.from), stamp(s.to)), stamp(at))
			return
		}
	}
	var from, to time.Time
	for i, s := range spans {
		if i == 0 || s.from.After(from) {
			from = s.from
		}
		if i == 0 || s.to.Before(to) {
			to = s.to
		}
	}
	l.note(c, len(spans) > 0, stamp(from)+" to "+stamp(to), stamp(at))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
