package provenance_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

// promise is a signed certificate timestamp (RFC 6962 section 3.2), after change.
type promise struct {
	by         crypto.Signer
	version    byte
	id         []byte
	at         time.Time
	extensions []byte
	// algorithm is RSA (1) or ECDSA (3) as TLS numbers them.
	algorithm byte
	// entry and issuerKey are what is signed.
	entry, issuerKey []byte
	tail             []byte
}

func vector(data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(data))), data...)
}

func (p promise) encode(t testing.TB) []byte {
	t.Helper()
	at := binary.BigEndian.AppendUint64(nil, uint64(p.at.UnixMilli()))
	signed := append(append([]byte{0, 0}, at...), 0, 1)
	signed = append(append(signed, p.issuerKey...), byte(len(p.entry)>>16), byte(len(p.entry)>>8), byte(len(p.entry)))
	signed = append(append(signed, p.entry...), vector(p.extensions)...)
	sum := sha256.Sum256(signed)
	signature, err := p.by.Sign(rand.Reader, sum[:], crypto.SHA256)
	check(t, err)
	out := append([]byte{p.version}, p.id...)
	out = append(append(append(out, at...), vector(p.extensions)...), 4, p.algorithm)
	return append(append(out, vector(signature)...), p.tail...)
}

func list(scts ...[]byte) []byte {
	var entries []byte
	for _, s := range scts {
		entries = append(entries, vector(s)...)
	}
	return vector(entries)
}

// promised is a certificate with an extension made of what logs promised about it without that extension.
func (a authority) promised(public any, wrap func(entry []byte) []byte) *x509.Certificate {
	a.t.Helper()
	plain := a.issue(public, nil)
	return a.issue(public, func(c *x509.Certificate) {
		value, err := asn1.Marshal(wrap(plain.RawTBSCertificate))
		check(a.t, err)
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}, Value: value})
	})
}

func TestCertificateLogs(t *testing.T) {
	ca := newAuthority(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	issuerKey := sha256.Sum256(ca.certificate.RawSubjectPublicKeyInfo)
	ecdsaLog := provenance.Log{URL: "https://ct.example.com/1", Key: &signer(t, 8).private.PublicKey, Validity: provenance.Validity{NotBefore: now.Add(-time.Hour), NotAfter: now}}
	rsaLog := provenance.Log{URL: "https://ct.example.com/2", Key: &rsaKey.PublicKey}
	unlisted := provenance.Log{URL: "https://ct.example.com/3", Key: &signer(t, 7).private.PublicKey}
	idOf := func(l provenance.Log) []byte {
		id, err := l.ID()
		check(t, err)
		return id[:]
	}
	byECDSA := func(entry []byte, change func(*promise)) []byte {
		p := promise{by: signer(t, 8).private, id: idOf(ecdsaLog), at: now.Add(-time.Minute), algorithm: 3, entry: entry, issuerKey: issuerKey[:]}
		if change != nil {
			change(&p)
		}
		return p.encode(t)
	}
	byRSA := func(entry []byte) []byte {
		return promise{by: rsaKey, id: idOf(rsaLog), at: now, algorithm: 1, entry: entry, issuerKey: issuerKey[:], extensions: []byte("x")}.encode(t)
	}
	byStranger := func(entry []byte) []byte {
		return promise{by: signer(t, 7).private, id: idOf(unlisted), at: now, algorithm: 3, entry: entry, issuerKey: issuerKey[:]}.encode(t)
	}
	ecdsaOnly := func(change func(*promise)) func([]byte) []byte {
		return func(entry []byte) []byte { return list(byECDSA(entry, change)) }
	}
	tests := []struct {
		name   string
		wrap   func([]byte) []byte
		needed int
		want   string
	}{
		{"of a log", ecdsaOnly(nil), 0, ""},
		{"of a log with RSA", func(e []byte) []byte { return list(byRSA(e)) }, 1, ""},
		{"with extensions", ecdsaOnly(func(p *promise) { p.extensions = []byte("extension") }), 1, ""},
		{"of two", func(e []byte) []byte { return list(byECDSA(e, nil), byRSA(e)) }, 2, ""},
		{"of a stranger beside", func(e []byte) []byte { return list(byStranger(e), byECDSA(e, nil)) }, 1, ""},

		{"of one where two are asked for", ecdsaOnly(nil), 2, "expected promises of 2 certificate logs of the trust root, got 1"},
		{"of one, twice", func(e []byte) []byte { return list(byECDSA(e, nil), byECDSA(e, nil)) }, 2, "expected promises of 2 certificate logs of the trust root, got 1"},
		{"of a stranger", func(e []byte) []byte { return list(byStranger(e)) }, 0, "expected the promise of a certificate log of the trust root"},
		{"over another certificate", ecdsaOnly(func(p *promise) { p.entry = append([]byte{}, p.entry...); p.entry[20] ^= 1 }), 0, "its key does not verify"},
		{"for another issuer", ecdsaOnly(func(p *promise) { p.issuerKey = make([]byte, 32) }), 0, "its key does not verify"},
		{"by another key in its name", ecdsaOnly(func(p *promise) { p.by = signer(t, 7).private }), 0, "its key does not verify"},
		{"algorithm of RSA", ecdsaOnly(func(p *promise) { p.algorithm = 1 }), 0, "its key does not verify"},
		{"a bad one beside a good one", func(e []byte) []byte {
			return list(byRSA(e), byECDSA(e, func(p *promise) { p.issuerKey = make([]byte, 32) }))
		}, 0, "its key does not verify"},
		{"before the log was believed", ecdsaOnly(func(p *promise) { p.at = now.Add(-2 * time.Hour) }), 0, "believes the certificate log, from 2026-11-22T23:00:00Z to 2026-11-23T00:00:00Z, got one of 2026-11-22T22:00:00Z"},
		{"after the log was believed", ecdsaOnly(func(p *promise) { p.at = now.Add(time.Second) }), 0, "got one of 2026-11-23T00:00:01Z"},
		{"of another version", ecdsaOnly(func(p *promise) { p.version = 1 }), 0, "expected a list of signed certificate timestamps"},
		{"with something behind", ecdsaOnly(func(p *promise) { p.tail = []byte{0} }), 0, "expected a list of signed certificate timestamps"},
		{"with a short identifier", ecdsaOnly(func(p *promise) { p.id = nil }), 0, "expected a list of signed certificate timestamps"},
		{"no list", func([]byte) []byte { return []byte("x") }, 0, "expected a list of signed certificate timestamps"},
		{"something behind the list", func(e []byte) []byte { return append(list(byECDSA(e, nil)), 0) }, 0, "expected a list of signed certificate timestamps"},
		{"a list of nothing", func([]byte) []byte { return list() }, 0, "expected the promise of a certificate log, got none"},
		{"an empty one", func([]byte) []byte { return list(nil) }, 0, "expected a list of signed certificate timestamps"},
		{"many", func(e []byte) []byte {
			one := byECDSA(e, nil)
			return list(one, one, one, one, one, one, one, one, one, one, one, one, one, one, one, one, one)
		}, 0, "expected a list of signed certificate timestamps"},
	}
	root := ca.root()
	root.CertificateLogs = []provenance.Log{ecdsaLog, rsaLog}
	p := policy(t, 1)
	p.Identities = append(p.Identities, provenance.Identity{Name: "ci", Certificates: []provenance.CertificateIdentity{{Issuer: issuer, Subject: workflow}}})
	verify := func(c *x509.Certificate, p provenance.Policy, root provenance.TrustRoot) error {
		b, err := provenance.SignBlob(t.Context(), signer(t, 5), artifact)
		check(t, err)
		b.Hint, b.Certificate = "", c
		_, err = provenance.VerifyBlob([][]byte{encoded(t, b)}, provenance.DigestOf(artifact), p, root)
		return err
	}
	public := &signer(t, 5).private.PublicKey
	var refusal *provenance.Refusal
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := p
			p.CertificateLogs = tt.needed
			err := verify(ca.promised(public, tt.wrap), p, root)
			if tt.want == "" && err != nil {
				t.Error(err)
			}
			if tt.want != "" && (!errors.As(err, &refusal) || refusal.Code() != provenance.CodeCertificateLog || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v; want %s", err, tt.want)
			}
		})
	}
	if err := verify(ca.issue(public, nil), p, root); !errors.As(err, &refusal) || refusal.Code() != provenance.CodeCertificateLog {
		t.Errorf("without any promise: %v", err)
	}
	if err := verify(ca.issue(public, nil), p, ca.root()); err != nil {
		t.Errorf("without any promise, where nobody promises: %v", err)
	}
	twice := ca.promised(public, ecdsaOnly(nil))
	bare := ca.issue(public, func(c *x509.Certificate) {
		for _, e := range twice.Extensions {
			if e.Id.String() == "1.3.6.1.4.1.11129.2.4.2" {
				c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: e.Id, Value: []byte("x")})
			}
		}
	})
	if err := verify(bare, p, root); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "expected an OCTET STRING") {
		t.Errorf("no OCTET STRING: %v", err)
	}
	var undecided *provenance.PolicyError
	p.CertificateLogs = 3
	if err := verify(ca.issue(public, nil), p, root); !errors.As(err, &undecided) {
		t.Errorf("three of two: %v", err)
	}
}

// A certificate is one that an authority issued, at a time at which the authority is believed.
func TestAuthorities(t *testing.T) {
	ca := newAuthority(t)
	middle := &ecdsa.PrivateKey{}
	*middle = *signer(t, 4).private
	template := &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "intermediate"}, NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, &middle.PublicKey, ca.private)
	check(t, err)
	intermediate, err := x509.ParseCertificate(der)
	check(t, err)
	below := authority{t, middle, intermediate}
	b, err := provenance.SignBlob(t.Context(), signer(t, 5), artifact)
	check(t, err)
	b.Hint, b.Certificate = "", below.issue(&signer(t, 5).private.PublicKey, nil)
	bundle := encoded(t, b)
	p := policy(t, 1)
	p.Identities = append(p.Identities, provenance.Identity{Name: "ci", Certificates: []provenance.CertificateIdentity{{Issuer: issuer, Subject: workflow}}})
	chain := []*x509.Certificate{intermediate, ca.certificate}
	for name, tt := range map[string]struct {
		authorities []provenance.Authority
		want        string
	}{
		"whole chain":                {[]provenance.Authority{{Chain: chain}}, ""},
		"intermediate as the anchor": {[]provenance.Authority{{Chain: chain[:1]}}, ""},
		"the second of two":          {[]provenance.Authority{newAuthority(t).root().Authorities[0], {Chain: chain}}, ""},
		"believed":                   {[]provenance.Authority{{Chain: chain, Validity: provenance.Validity{NotBefore: now, NotAfter: now}}}, ""},
		"root alone":                 {[]provenance.Authority{{Chain: chain[1:]}}, "signed by unknown authority"},
		"nobody":                     {nil, "the trust root lists none"},
		"not believed yet":           {[]provenance.Authority{{Chain: chain, Validity: provenance.Validity{NotBefore: now.Add(time.Second)}}}, "the trust root believes it from 2026-11-23T00:00:01Z for ever"},
		"not believed any more":      {[]provenance.Authority{{Chain: chain, Validity: provenance.Validity{NotAfter: now.Add(-time.Second)}}}, "the trust root believes it from ever to 2026-11-22T23:59:59Z"},
	} {
		_, err := provenance.VerifyBlob([][]byte{bundle}, provenance.DigestOf(artifact), p, provenance.TrustRoot{Authorities: tt.authorities})
		var refusal *provenance.Refusal
		switch {
		case tt.want == "":
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case !errors.As(err, &refusal) || refusal.Code() != provenance.CodeCertificate || !strings.Contains(err.Error(), tt.want):
			t.Errorf("%s: got %v; want %s", name, err, tt.want)
		}
	}
}

func FuzzSCTs(f *testing.F) {
	p := promise{by: signer(f, 8).private, id: make([]byte, 32), at: now, algorithm: 3, issuerKey: make([]byte, 32), extensions: []byte("x")}
	f.Add(list(p.encode(f)))
	f.Add(list(p.encode(f), p.encode(f)))
	f.Add(list())
	f.Fuzz(func(t *testing.T, data []byte) {
		// One has at least 47 bytes, and its length before it.
		if n, err := provenance.ParseSCTs(data); err == nil && n*49+2 > len(data) {
			t.Errorf("read %d of %d bytes", n, len(data))
		}
	})
}
