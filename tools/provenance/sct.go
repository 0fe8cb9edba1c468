package provenance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// oidSCTs is the extension with the promises of certificate logs (RFC 6962 section 3.3).
var oidSCTs = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}

const maxSCTs = 16

// sct is a signed certificate timestamp (RFC 6962 section 3.2).
type sct struct {
	log        [sha256.Size]byte
	at         uint64 // milliseconds since 1970
	extensions []byte
	// hash and algorithm are those of RFC 5246 section 7.4.1.4.1.
	hash, algorithm byte
	signature       []byte
}

// The values of RFC 5246 section 7.4.1.4.1.
const (
	tlsSHA256 = 4
	tlsRSA    = 1
	tlsECDSA  = 3
)

// tlsReader reads the presentation language of TLS (RFC 5246 section 4). Once something is missing, everything is.
type tlsReader struct {
	data []byte
	bad  bool
}

func (r *tlsReader) take(n int) []byte {
	if r.bad || len(r.data) < n {
		r.bad = true
		return make([]byte, min(n, 8))
	}
	taken := r.data[:n]
	r.data = r.data[n:]
	return taken
}

// vector reads what has its length before it, in two bytes.
func (r *tlsReader) vector() []byte {
	n := int(binary.BigEndian.Uint16(r.take(2)))
	if r.bad {
		return nil
	}
	return r.take(n)
}

// parseSCTs reads a SignedCertificateTimestampList.
func parseSCTs(data []byte) ([]sct, error) {
	malformed := errors.New("expected a list of signed certificate timestamps, got something else")
	list := tlsReader{data: data}
	entries := tlsReader{data: list.vector()}
	if list.bad || len(list.data) > 0 {
		return nil, malformed
	}
	var found []sct
	for len(entries.data) > 0 {
		r := tlsReader{data: entries.vector()}
		if entries.bad || len(found) == maxSCTs {
			return nil, malformed
		}
		version := r.take(1)[0]
		var s sct
		copy(s.log[:], r.take(len(s.log)))
		s.at = binary.BigEndian.Uint64(r.take(8))
		s.extensions = r.vector()
		algorithms := r.take(2)
		s.hash, s.algorithm = algorithms[0], algorithms[1]
		s.signature = r.vector()
		if r.bad || len(r.data) > 0 || version != 0 {
			return nil, malformed
		}
		found = append(found, s)
	}
	return found, nil
}

// scts returns the promises that are in a certificate, and what the logs signed: the certificate without them.
func scts(c *x509.Certificate) ([]sct, []byte, error) {
	var found []sct
	for _, e := range c.Extensions {
		if !e.Id.Equal(oidSCTs) {
			continue
		}
		if found != nil {
			return nil, nil, errors.New("expected one list of signed certificate timestamps, got more")
		}
		var list []byte
		if err := decode(e.Value, &list); err != nil {
			return nil, nil, errors.New("expected an OCTET STRING with signed certificate timestamps, got something else")
		}
		var err error
		if found, err = parseSCTs(list); err != nil {
			return nil, nil, err
		}
	}
	if len(found) == 0 {
		return nil, nil, errors.New("expected the promise of a certificate log, got none")
	}
	precertificate, err := withoutSCTs(c.RawTBSCertificate)
	if err != nil {
		return nil, nil, err
	}
	return found, precertificate, nil
}

// tbsExtensions is the tag of the extensions in a TBSCertificate (RFC 5280 section 4.1).
const tbsExtensions = 3

// withoutSCTs takes one extension out of a TBSCertificate and leaves every other byte.
func withoutSCTs(tbs []byte) ([]byte, error) {
	var sequence asn1.RawValue
	if err := decode(tbs, &sequence); err != nil {
		return nil, err
	}
	var out []byte
	for rest := sequence.Bytes; len(rest) > 0; {
		var field asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &field); err != nil {
			return nil, err
		}
		if field.Class != asn1.ClassContextSpecific || field.Tag != tbsExtensions {
			out = append(out, field.FullBytes...)
			continue
		}
		var extensions []asn1.RawValue
		if err := decode(field.Bytes, &extensions); err != nil {
			return nil, err
		}
		var kept []byte
		for _, e := range extensions {
			var id asn1.ObjectIdentifier
			if _, err := asn1.Unmarshal(e.Bytes, &id); err != nil {
				return nil, err
			}
			if !id.Equal(oidSCTs) {
				kept = append(kept, e.FullBytes...)
			}
		}
		list, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: kept})
		if err != nil {
			return nil, err
		}
		encoded, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tbsExtensions, IsCompound: true, Bytes: list})
		if err != nil {
			return nil, err
		}
		out = append(out, encoded...)
	}
	return asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: out})
}

// promises counts the certificate logs of the trust root that promised to publish a certificate. Promises of other logs do not count; one
// by a log that is listed has to verify.
func (r TrustRoot) promises(c, issuer *x509.Certificate) (int, error) {
	found, precertificate, err := scts(c)
	if err != nil {
		return 0, err
	}
	counted := make(operators)
	for _, s := range found {
		for i, l := range r.CertificateLogs {
			if id, err := l.ID(); err != nil || id != s.log {
				continue
			}
			if err := s.verify(l, precertificate, issuer); err != nil {
				return 0, err
			}
			counted.add(l.Operator, i)
		}
	}
	if len(counted) == 0 {
		return 0, fmt.Errorf("expected the promise of a certificate log of the trust root, got that of %.64x", found[0].log)
	}
	return len(counted), nil
}

// verify verifies a promise over what a log was shown: a PreCert (RFC 6962 section 3.2).
func (s sct) verify(l Log, precertificate []byte, issuer *x509.Certificate) error {
	at := time.UnixMilli(int64(s.at & (1<<62 - 1))).UTC()
	if !l.Validity.contains(at) {
		return fmt.Errorf("expected a promise at a time at which the trust root believes the certificate log, %s, got one of %s", l.Validity, at.Format(time.RFC3339))
	}
	issuerKey := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	var b bytes.Buffer
	b.Write([]byte{0, 0}) // version 1, certificate_timestamp
	b.Write(binary.BigEndian.AppendUint64(nil, s.at))
	b.Write([]byte{0, 1}) // precert_entry
	b.Write(issuerKey[:])
	b.Write([]byte{byte(len(precertificate) >> 16), byte(len(precertificate) >> 8), byte(len(precertificate))})
	b.Write(precertificate)
	b.Write(binary.BigEndian.AppendUint16(nil, uint16(len(s.extensions))))
	b.Write(s.extensions)
	sum := sha256.Sum256(b.Bytes())
	switch key := l.Key.(type) {
	case *ecdsa.PublicKey:
		if s.hash == tlsSHA256 && s.algorithm == tlsECDSA && ecdsa.VerifyASN1(key, sum[:], s.signature) {
			return nil
		}
	case *rsa.PublicKey:
		if s.hash == tlsSHA256 && s.algorithm == tlsRSA && rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], s.signature) == nil {
			return nil
		}
	}
	return errors.New("expected the promise of a certificate log over this certificate, got one that its key does not verify")
}
