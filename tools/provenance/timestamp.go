package provenance

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha512" // SHA-384 and SHA-512, which timestamp authorities may use
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"time"
)

const (
	// maxTimestamp bounds a response of a timestamp authority, in bytes; one with a chain of certificates has 5 KiB.
	maxTimestamp = 64 << 10
	// maxAccuracy is the most that an authority may say its clock is off.
	maxAccuracy = time.Minute

	certificateVersion3 = 3
)

// The object identifiers of RFC 5652 (CMS), RFC 3161, RFC 5035 (ESS), RFC 5754 and RFC 8017.
var (
	oidSignedData        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidContentType       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCertV2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidSHA256            = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384            = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512            = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	oidECDSAWithSHA256   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSAWithSHA384   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidECDSAWithSHA512   = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}
	oidRSAEncryption     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidSHA256WithRSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidSHA384WithRSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}
	oidSHA512WithRSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}
	oidExtendedKeyUsage  = asn1.ObjectIdentifier{2, 5, 29, 37}
	asn1NullBytes        = []byte{5, 0}
	generalizedTimeInUTC = regexp.MustCompile(`^[0-9]{14}(\.[0-9]{0,8}[1-9])?Z$`)
)

// timeStampResp is TimeStampResp of RFC 3161 section 2.4.2.
type timeStampResp struct {
	Status struct {
		Status int
		Text   []asn1.RawValue `asn1:"optional"`
	}
	Token contentInfo
}

// contentInfo is ContentInfo of RFC 5652 section 3.
type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,tag:0"`
}

// signedData is SignedData of RFC 5652 section 5.1.
type signedData struct {
	Version          int
	DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
	Content          contentInfo
	Certificates     asn1.RawValue `asn1:"optional,tag:0"`
	Signers          []signerInfo  `asn1:"set"`
}

// signerInfo is SignerInfo of RFC 5652 section 5.3, version 1.
type signerInfo struct {
	Version            int
	Certificate        issuerAndSerial
	DigestAlgorithm    pkix.AlgorithmIdentifier
	SignedAttributes   asn1.RawValue `asn1:"tag:0"`
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Signature          []byte
	Unsigned           asn1.RawValue `asn1:"optional,tag:1"`
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

// tstInfo is TSTInfo of RFC 3161 section 2.4.2.
type tstInfo struct {
	Version int
	Policy  asn1.ObjectIdentifier
	Imprint struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	Serial     *big.Int
	Time       asn1.RawValue
	Accuracy   []asn1.RawValue `asn1:"optional"`
	Ordering   bool            `asn1:"optional"`
	Nonce      *big.Int        `asn1:"optional"`
	TSA        asn1.RawValue   `asn1:"optional,tag:0"`
	Extensions asn1.RawValue   `asn1:"optional,tag:1"`
}

// signingCertificate is SigningCertificateV2 of RFC 5035 section 3. The first certificate is the one that signs.
type signingCertificate struct {
	Certificates []struct {
		Algorithm    pkix.AlgorithmIdentifier `asn1:"optional"`
		Hash         []byte
		IssuerSerial asn1.RawValue `asn1:"optional"`
	}
	Policies asn1.RawValue `asn1:"optional"`
}

// Timestamp is a response of a timestamp authority (RFC 3161) as it stands in a bundle. Nothing in it can be believed before a
// [TrustRoot] verified it.
type Timestamp struct {
	info         tstInfo
	at           time.Time
	content      []byte // TSTInfo as signed
	certificates []*x509.Certificate
	signer       signerInfo
	// signed are the attributes as they are signed, and certificateHash is what they say about the certificate.
	signed          []byte
	certificateHash crypto.Hash
	certificateSum  []byte
}

// decode reads DER that has one form: what is read is what would be written.
func decode(data []byte, v any) error {
	rest, err := asn1.Unmarshal(data, v)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("expected nothing behind it, got %d bytes", len(rest))
	}
	return nil
}

// canonical holds v to the bytes that it was read from; encoding/asn1 passes over what stands behind the last field of a SEQUENCE.
func canonical(data []byte, v any) error {
	again, err := asn1.Marshal(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return errors.New("expected DER with nothing else in it, got another form")
	}
	return nil
}

// ParseTimestamp reads a response of at most 64 KiB. Of what the standards allow, it takes what Sigstore's authorities and others like them
// make: one signer, SHA-2, ECDSA or RSA, the signer's certificate named by its SHA-2. The error is a [*FormError].
func ParseTimestamp(response []byte) (*Timestamp, error) {
	t, err := parseTimestamp(response)
	if err != nil {
		return nil, &FormError{CodeTimestamp, err}
	}
	return t, nil
}

func parseTimestamp(response []byte) (*Timestamp, error) {
	if len(response) > maxTimestamp {
		return nil, fmt.Errorf("expected at most %d bytes, got %d", maxTimestamp, len(response))
	}
	// A response that grants nothing has no token.
	var refused struct{ Status struct{ Status int } }
	if _, err := asn1.Unmarshal(response, &refused); err != nil {
		return nil, fmt.Errorf("expected a TimeStampResp, got something else: %w", err)
	}
	if refused.Status.Status != 0 {
		return nil, fmt.Errorf("status: expected 0, granted, got %d", refused.Status.Status)
	}
	var r timeStampResp
	if err := errors.Join(decode(response, &r), canonical(response, r)); err != nil {
		return nil, fmt.Errorf("expected a TimeStampResp, got something else: %w", err)
	}
	if !r.Token.Type.Equal(oidSignedData) {
		return nil, fmt.Errorf("token: expected SignedData, got %v", r.Token.Type)
	}
	var data signedData
	if err := errors.Join(decode(r.Token.Content.Bytes, &data), canonical(r.Token.Content.Bytes, data)); err != nil {
		return nil, fmt.Errorf("token: expected SignedData, got something else: %w", err)
	}
	if data.Version != certificateVersion3 || len(data.Signers) != 1 || data.Signers[0].Version != 1 {
		return nil, fmt.Errorf("token: expected SignedData version %d with one signer of version 1, got version %d with %d", certificateVersion3, data.Version, len(data.Signers))
	}
	t := &Timestamp{signer: data.Signers[0]}
	if announced := data.DigestAlgorithms; len(announced) != 1 || !announced[0].Algorithm.Equal(t.signer.DigestAlgorithm.Algorithm) {
		return nil, errors.New("token: expected the signer's digest algorithm and no other, got others")
	}
	if !t.signer.SignedAttributes.IsCompound || (len(data.Certificates.FullBytes) > 0 && !data.Certificates.IsCompound) {
		return nil, errors.New("token: expected sets of attributes and of certificates, got something else")
	}
	if !data.Content.Type.Equal(oidTSTInfo) {
		return nil, fmt.Errorf("token: expected a TSTInfo inside, got %v", data.Content.Type)
	}
	if err := decode(data.Content.Content.Bytes, &t.content); err != nil {
		return nil, fmt.Errorf("token: expected a TSTInfo in an OCTET STRING, got something else: %w", err)
	}
	if err := t.readCertificates(data.Certificates); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	if err := t.readInfo(); err != nil {
		return nil, fmt.Errorf("TSTInfo: %w", err)
	}
	if err := t.readAttributes(); err != nil {
		return nil, fmt.Errorf("signed attributes: %w", err)
	}
	return t, nil
}

func (t *Timestamp) readCertificates(set asn1.RawValue) error {
	for rest := set.Bytes; len(rest) > 0; {
		if len(t.certificates) == maxChain {
			return fmt.Errorf("expected at most %d, got more", maxChain)
		}
		var one asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &one); err != nil {
			return fmt.Errorf("expected DER, got something else: %w", err)
		}
		certificate, err := x509.ParseCertificate(one.FullBytes)
		if err != nil {
			return fmt.Errorf("expected X.509, got something else: %w", err)
		}
		t.certificates = append(t.certificates, certificate)
	}
	return nil
}

func (t *Timestamp) readInfo() error {
	if err := errors.Join(decode(t.content, &t.info), canonical(t.content, t.info)); err != nil {
		return fmt.Errorf("expected one, got something else: %w", err)
	}
	if t.info.Version != 1 {
		return fmt.Errorf("version: expected 1, got %d", t.info.Version)
	}
	hash, err := hashOf(t.info.Imprint.Algorithm)
	if err != nil {
		return fmt.Errorf("messageImprint: %w", err)
	}
	if len(t.info.Imprint.Digest) != hash.Size() {
		return fmt.Errorf("messageImprint: expected %d bytes, got %d", hash.Size(), len(t.info.Imprint.Digest))
	}
	if len(t.info.Extensions.FullBytes) > 0 {
		return errors.New("extensions: expected none, got some")
	}
	when := t.info.Time
	if when.Class != asn1.ClassUniversal || when.Tag != asn1.TagGeneralizedTime || !generalizedTimeInUTC.Match(when.Bytes) {
		return fmt.Errorf("genTime: expected a GeneralizedTime in UTC, got %.40q", when.Bytes)
	}
	// A fraction of a second is read without being named.
	if t.at, err = time.Parse("20060102150405Z", string(when.Bytes)); err != nil {
		return fmt.Errorf("genTime: expected a time, got %.40q", when.Bytes)
	}
	return t.checkAccuracy()
}

// checkAccuracy reads Accuracy: seconds, milliseconds and microseconds, each of which may be left out.
func (t *Timestamp) checkAccuracy() error {
	units := []struct {
		class, tag int
		unit       time.Duration
		most       int64
	}{{asn1.ClassUniversal, asn1.TagInteger, time.Second, int64(maxAccuracy / time.Second)}, {asn1.ClassContextSpecific, 0, time.Millisecond, 999}, {asn1.ClassContextSpecific, 1, time.Microsecond, 999}}
	next := 0
	var accuracy time.Duration
	for _, part := range t.info.Accuracy {
		for next < len(units) && (part.Class != units[next].class || part.Tag != units[next].tag) {
			next++
		}
		if next == len(units) || part.IsCompound {
			return errors.New("accuracy: expected seconds, milliseconds and microseconds, got something else")
		}
		var n int64
		// The same content, as the INTEGER that it is.
		if err := decode(append([]byte{asn1.TagInteger, byte(min(len(part.Bytes), 9))}, part.Bytes...), &n); err != nil || n < 0 || n > units[next].most {
			return fmt.Errorf("accuracy: expected at most %s, got something else", maxAccuracy)
		}
		accuracy += time.Duration(n) * units[next].unit
		next++
	}
	if accuracy > maxAccuracy {
		return fmt.Errorf("accuracy: expected at most %s, got %s", maxAccuracy, accuracy)
	}
	return nil
}

// readAttributes asks for the three attributes that bind a signature to its content and its certificate (RFC 5652 section 11, RFC 3161
// section 2.4.2 as RFC 5816 has it). Others are signed, and mean nothing here.
func (t *Timestamp) readAttributes() error {
	hash, err := hashOf(t.signer.DigestAlgorithm)
	if err != nil {
		return err
	}
	values := make(map[string]asn1.RawValue)
	for rest := t.signer.SignedAttributes.Bytes; len(rest) > 0; {
		var attribute struct {
			Type   asn1.ObjectIdentifier
			Values []asn1.RawValue `asn1:"set"`
		}
		if rest, err = asn1.Unmarshal(rest, &attribute); err != nil {
			return fmt.Errorf("expected attributes, got something else: %w", err)
		}
		name := attribute.Type.String()
		if _, twice := values[name]; twice || len(attribute.Values) != 1 {
			return fmt.Errorf("expected %s once with one value, got it otherwise", name)
		}
		values[name] = attribute.Values[0]
	}
	var contentType asn1.ObjectIdentifier
	if err := decode(values[oidContentType.String()].FullBytes, &contentType); err != nil || !contentType.Equal(oidTSTInfo) {
		return errors.New("expected the content type TSTInfo, got another one or none")
	}
	var sum []byte
	h := hash.New()
	h.Write(t.content)
	if err := decode(values[oidMessageDigest.String()].FullBytes, &sum); err != nil || !bytes.Equal(sum, h.Sum(nil)) {
		return errors.New("expected the digest of the content, got another one or none")
	}
	var named signingCertificate
	if err := decode(values[oidSigningCertV2.String()].FullBytes, &named); err != nil || len(named.Certificates) == 0 {
		return errors.New("expected the attribute that names the certificate by SHA-2, got none")
	}
	first := named.Certificates[0]
	t.certificateHash, t.certificateSum = crypto.SHA256, first.Hash
	if len(first.Algorithm.Algorithm) > 0 {
		if t.certificateHash, err = hashOf(first.Algorithm); err != nil {
			return err
		}
	}
	// What is signed has the tag of a SET OF in the place of its own (RFC 5652 section 5.4).
	t.signed = bytes.Clone(t.signer.SignedAttributes.FullBytes)
	t.signed[0] = asn1.TagSet | 0x20
	return nil
}

func hashOf(algorithm pkix.AlgorithmIdentifier) (crypto.Hash, error) {
	if p := algorithm.Parameters.FullBytes; len(p) > 0 && !bytes.Equal(p, asn1NullBytes) {
		return 0, errors.New("algorithm: expected no parameters, got some")
	}
	switch oid := algorithm.Algorithm; {
	case oid.Equal(oidSHA256):
		return crypto.SHA256, nil
	case oid.Equal(oidSHA384):
		return crypto.SHA384, nil
	case oid.Equal(oidSHA512):
		return crypto.SHA512, nil
	default:
		return 0, fmt.Errorf("algorithm: expected SHA-256, SHA-384 or SHA-512, got %v", oid)
	}
}

// Nonce is the number that the request had, or nil.
func (t *Timestamp) Nonce() *big.Int { return t.info.Nonce }

// Covers holds if the timestamp is one of message.
func (t *Timestamp) Covers(message []byte) bool {
	hash, err := hashOf(t.info.Imprint.Algorithm)
	if err != nil {
		return false
	}
	h := hash.New()
	h.Write(message)
	return bytes.Equal(h.Sum(nil), t.info.Imprint.Digest)
}

// signatureAlgorithm is the one of a certificate's key and of what the signer says, which have to agree.
func (t *Timestamp) signatureAlgorithm(key any) (x509.SignatureAlgorithm, error) {
	hash, err := hashOf(t.signer.DigestAlgorithm)
	if err != nil {
		return 0, err
	}
	var algorithms map[crypto.Hash]x509.SignatureAlgorithm
	var named map[crypto.Hash]asn1.ObjectIdentifier
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		algorithms = map[crypto.Hash]x509.SignatureAlgorithm{crypto.SHA256: x509.ECDSAWithSHA256, crypto.SHA384: x509.ECDSAWithSHA384, crypto.SHA512: x509.ECDSAWithSHA512}
		named = map[crypto.Hash]asn1.ObjectIdentifier{crypto.SHA256: oidECDSAWithSHA256, crypto.SHA384: oidECDSAWithSHA384, crypto.SHA512: oidECDSAWithSHA512}
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSA {
			return 0, fmt.Errorf("expected a key of RSA with %d bits or more, got %d", minRSA, key.N.BitLen())
		}
		algorithms = map[crypto.Hash]x509.SignatureAlgorithm{crypto.SHA256: x509.SHA256WithRSA, crypto.SHA384: x509.SHA384WithRSA, crypto.SHA512: x509.SHA512WithRSA}
		named = map[crypto.Hash]asn1.ObjectIdentifier{crypto.SHA256: oidSHA256WithRSA, crypto.SHA384: oidSHA384WithRSA, crypto.SHA512: oidSHA512WithRSA}
		if t.signer.SignatureAlgorithm.Algorithm.Equal(oidRSAEncryption) {
			return algorithms[hash], nil
		}
	default:
		return 0, fmt.Errorf("expected a key of ECDSA or RSA, got %T", key)
	}
	if !t.signer.SignatureAlgorithm.Algorithm.Equal(named[hash]) {
		return 0, fmt.Errorf("expected the signature algorithm %v, got %v", named[hash], t.signer.SignatureAlgorithm.Algorithm)
	}
	return algorithms[hash], nil
}

// signs finds the certificate that the timestamp names among its own and the leaf of an authority.
func (t *Timestamp) signs(a Authority) *x509.Certificate {
	candidates := t.certificates
	if leaf := a.Chain[0]; !leaf.IsCA {
		candidates = []*x509.Certificate{leaf}
	}
	for _, c := range candidates {
		h := t.certificateHash.New()
		h.Write(c.Raw)
		if bytes.Equal(h.Sum(nil), t.certificateSum) && bytes.Equal(c.RawIssuer, t.signer.Certificate.Issuer.FullBytes) && c.SerialNumber.Cmp(t.signer.Certificate.Serial) == 0 {
			return c
		}
	}
	return nil
}

// errUnknown marks what is said by somebody whom the trust root does not list. It decides nothing.
var errUnknown = errors.New("not listed")

// timestamp verifies that an authority of the trust root signed the response over message, and returns its number. The error is
// a [*FormError]; it wraps errUnknown if the authority is none of the trust root's.
func (r TrustRoot) timestamp(response, message []byte) (*Timestamp, int, error) {
	t, err := ParseTimestamp(response)
	if err != nil {
		return nil, 0, err
	}
	if !t.Covers(message) {
		return nil, 0, malformed(CodeTimestampSubject, "expected one of the signature, got one of something else")
	}
	for i, a := range r.TimestampAuthorities {
		certificate := t.signs(a)
		if certificate == nil {
			continue
		}
		if err := a.timestamps(certificate, t.at); err != nil {
			// A certificate that the timestamp brings along is nobody's until it is issued by an authority.
			if a.Chain[0].IsCA && !issued(certificate, a) {
				continue
			}
			return nil, 0, &FormError{CodeTimestampAuthority, err}
		}
		algorithm, err := t.signatureAlgorithm(certificate.PublicKey)
		if err != nil {
			return nil, 0, &FormError{CodeTimestamp, err}
		}
		if err := certificate.CheckSignature(algorithm, t.signed, t.signer.Signature); err != nil {
			return nil, 0, malformed(CodeTimestamp, "expected a signature by the authority's certificate, got one that it does not verify: %w", err)
		}
		return t, i, nil
	}
	return nil, 0, malformed(CodeTimestampAuthority, "expected one by an authority of the trust root, got one by another: %w", errUnknown)
}

// issued holds if a certificate names an authority's first one as its issuer and has a signature by it.
func issued(c *x509.Certificate, a Authority) bool {
	return bytes.Equal(c.RawIssuer, a.Chain[0].RawSubject) && c.CheckSignatureFrom(a.Chain[0]) == nil
}

// timestamps asks whether a certificate is one of the authority's for timestamps and for nothing else (RFC 3161 section 2.3), at the time.
func (a Authority) timestamps(c *x509.Certificate, at time.Time) error {
	if !a.Validity.contains(at) {
		return fmt.Errorf("expected an authority that the trust root believes at %s, got one believed %s", at.Format(time.RFC3339), a.Validity)
	}
	critical := false
	for _, e := range c.Extensions {
		critical = critical || (e.Id.Equal(oidExtendedKeyUsage) && e.Critical)
	}
	if !critical || len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(c.UnknownExtKeyUsage) > 0 {
		return errors.New("expected a certificate for timestamps alone, got one for other things")
	}
	if _, err := a.chain(c, at, x509.ExtKeyUsageTimeStamping); err != nil {
		return fmt.Errorf("expected a certificate that the authority issued, valid at %s, got another one: %w", at.Format(time.RFC3339), err)
	}
	return nil
}

// chain returns the certificates from one that the authority issued to the one that is trusted.
func (a Authority) chain(c *x509.Certificate, at time.Time, usage x509.ExtKeyUsage) ([]*x509.Certificate, error) {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	last := len(a.Chain) - 1
	roots.AddCert(a.Chain[last])
	for _, intermediate := range a.Chain[:last] {
		intermediates.AddCert(intermediate)
	}
	chains, err := c.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return nil, err
	}
	return chains[0], nil
}
