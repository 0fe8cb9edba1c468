package provenancetest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"io"
	"math/big"
	"net/http"
	"testing"
	"time"
)

// The object identifiers of RFC 5652, RFC 3161, RFC 5035, RFC 5754 and RFC 5758.
var (
	SHA256          = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	SHA1            = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	TSTInfo         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	Data            = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	ECDSAWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	RSAEncryption   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}

	signedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	contentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	messageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	// SigningCertificateV2 is the attribute that names the certificate.
	SigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
)

// TimestampAuthority has a root, and a certificate for timestamps.
type TimestampAuthority struct {
	t              testing.TB
	Root           *x509.Certificate
	Leaf           *x509.Certificate
	rootKey, key   crypto.Signer
	Now            time.Time
	Change         func(*Token)
	Answer         func(http.ResponseWriter) bool
	signatureNamed asn1.ObjectIdentifier
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// NewTimestampAuthority makes one whose clock stands at now. Its certificate is one after change.
func NewTimestampAuthority(t testing.TB, now time.Time, change func(*x509.Certificate)) *TimestampAuthority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	return newTimestampAuthority(t, now, key, ECDSAWithSHA256, change)
}

// NewRSATimestampAuthority makes one with a key of RSA.
func NewRSATimestampAuthority(t testing.TB, now time.Time, bits int) *TimestampAuthority {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	check(t, err)
	return newTimestampAuthority(t, now, key, RSAEncryption, nil)
}

func newTimestampAuthority(t testing.TB, now time.Time, key crypto.Signer, named asn1.ObjectIdentifier, change func(*x509.Certificate)) *TimestampAuthority {
	t.Helper()
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	a := &TimestampAuthority{t: t, rootKey: rootKey, key: key, Now: now, signatureNamed: named}
	a.Root = Certify(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "timestamps"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, rootKey.Public(), rootKey)
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "timestamp"}, NotBefore: now.AddDate(0, -1, 0), NotAfter: now.AddDate(0, 1, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		// Go marks it as not critical, which RFC 3161 section 2.3 does not have.
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}
	if change != nil {
		change(template)
	}
	a.Leaf = Certify(t, template, a.Root, key.Public(), rootKey)
	return a
}

// Certify makes a certificate; without a parent, it signs itself.
func Certify(t testing.TB, template, parent *x509.Certificate, public any, by crypto.Signer) *x509.Certificate {
	t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	check(t, err)
	c, err := x509.ParseCertificate(der)
	check(t, err)
	return c
}

// Token is what goes into a timestamp.
type Token struct {
	Status           int
	Version          int
	ImprintAlgorithm asn1.ObjectIdentifier
	Imprint          []byte
	// Time is the text of a GeneralizedTime.
	Time string
	// Accuracy and Extensions are whole elements, or empty.
	Accuracy, Extensions []byte
	Nonce                *big.Int
	// Content is what kind of content is signed, as it stands outside and in the attributes.
	Content, ContentAttribute asn1.ObjectIdentifier
	// Digest and CertificateHash are attributes; if nil, the right ones.
	Digest, CertificateHash []byte
	// Without and Twice name an attribute, or not.
	Without, Twice asn1.ObjectIdentifier
	Certificates   []*x509.Certificate
	Signers        int
	Signature      asn1.ObjectIdentifier
	// Tails stand behind the last element of TSTInfo and of the response.
	InfoTail, Tail []byte
}

func (a *TimestampAuthority) token(digest []byte, nonce *big.Int) Token {
	return Token{
		Version: 1, ImprintAlgorithm: SHA256, Imprint: digest, Time: a.Now.UTC().Format("20060102150405Z"), Nonce: nonce, Content: TSTInfo, ContentAttribute: TSTInfo,
		Certificates: []*x509.Certificate{a.Leaf}, Signers: 1, Signature: a.signatureNamed,
	}
}

// Stamp returns a response over message, after change.
func (a *TimestampAuthority) Stamp(message []byte, change func(*Token)) []byte {
	digest := sha256.Sum256(message)
	token := a.token(digest[:], nil)
	if change != nil {
		change(&token)
	}
	return a.encode(token)
}

// ServeHTTP answers requests (RFC 3161 section 3.4), after Change.
func (a *TimestampAuthority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	check(a.t, err)
	var request struct {
		Version int
		Imprint struct {
			Algorithm pkix.AlgorithmIdentifier
			Digest    []byte
		}
		Nonce       *big.Int `asn1:"optional"`
		Certificate bool     `asn1:"optional"`
	}
	rest, err := asn1.Unmarshal(body, &request)
	if err != nil || len(rest) > 0 || request.Version != 1 || !request.Certificate || !request.Imprint.Algorithm.Algorithm.Equal(SHA256) ||
		r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/timestamp-query" {
		a.t.Errorf("asked %s %s %x: %v", r.Method, r.URL, body, err)
	}
	if a.Answer != nil && a.Answer(w) {
		return
	}
	token := a.token(request.Imprint.Digest, request.Nonce)
	if a.Change != nil {
		a.Change(&token)
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	if _, err := w.Write(a.encode(token)); err != nil {
		a.t.Error(err)
	}
}

func (a *TimestampAuthority) encode(k Token) []byte {
	if k.Status != 0 {
		return sequence(sequence(a.der(k.Status)))
	}
	info := [][]byte{
		a.der(k.Version), a.der(asn1.ObjectIdentifier{1, 2, 3}), sequence(sequence(a.der(k.ImprintAlgorithm)), a.der(k.Imprint)), a.der(7),
		element(asn1.ClassUniversal, asn1.TagGeneralizedTime, false, []byte(k.Time)), k.Accuracy,
	}
	if k.Nonce != nil {
		info = append(info, a.der(k.Nonce))
	}
	content := sequence(append(info, k.Extensions, k.InfoTail)...)
	if k.Digest == nil {
		sum := sha256.Sum256(content)
		k.Digest = sum[:]
	}
	if k.CertificateHash == nil {
		sum := sha256.Sum256(a.Leaf.Raw)
		k.CertificateHash = sum[:]
	}
	var attributes [][]byte
	for _, attribute := range []struct {
		id    asn1.ObjectIdentifier
		value []byte
	}{{contentType, a.der(k.ContentAttribute)}, {messageDigest, a.der(k.Digest)}, {SigningCertificateV2, sequence(sequence(sequence(a.der(k.CertificateHash))))}} {
		encoded := sequence(a.der(attribute.id), set(attribute.value))
		if !attribute.id.Equal(k.Without) {
			attributes = append(attributes, encoded)
		}
		if attribute.id.Equal(k.Twice) {
			attributes = append(attributes, encoded)
		}
	}
	sum := sha256.Sum256(set(attributes...))
	signature, err := a.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	check(a.t, err)
	signer := sequence(a.der(1), sequence(a.Leaf.RawIssuer, a.der(a.Leaf.SerialNumber)), sequence(a.der(SHA256)),
		element(asn1.ClassContextSpecific, 0, true, attributes...), sequence(a.der(k.Signature)), a.der(signature))
	var signers, certificates [][]byte
	for range k.Signers {
		signers = append(signers, signer)
	}
	for _, c := range k.Certificates {
		certificates = append(certificates, c.Raw)
	}
	parts := [][]byte{a.der(3), set(sequence(a.der(SHA256))), sequence(a.der(k.Content), element(asn1.ClassContextSpecific, 0, true, a.der(content)))}
	if len(certificates) > 0 {
		parts = append(parts, element(asn1.ClassContextSpecific, 0, true, certificates...))
	}
	token := sequence(a.der(signedData), element(asn1.ClassContextSpecific, 0, true, sequence(append(parts, set(signers...))...)))
	return append(sequence(sequence(a.der(0)), token), k.Tail...)
}

func (a *TimestampAuthority) der(v any) []byte {
	data, err := asn1.Marshal(v)
	check(a.t, err)
	return data
}

// element is an ASN.1 element in DER.
func element(class, tag int, compound bool, parts ...[]byte) []byte {
	var content []byte
	for _, part := range parts {
		content = append(content, part...)
	}
	data, err := asn1.Marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: compound, Bytes: content})
	if err != nil {
		panic(err) // there is no such value
	}
	return data
}

func sequence(parts ...[]byte) []byte {
	return element(asn1.ClassUniversal, asn1.TagSequence, true, parts...)
}

func set(parts ...[]byte) []byte { return element(asn1.ClassUniversal, asn1.TagSet, true, parts...) }
