package provenance_test

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

func TestVerifyStatement(t *testing.T) {
	s := statement(t, testType, artifact, otherArtifact)
	tests := []struct {
		name       string
		bundles    [][]byte
		threshold  int
		signers    []string
		notCounted []provenance.Code
	}{
		{"one of one", [][]byte{signed(t, 1, s)}, 1, []string{"alice"}, []provenance.Code{}},
		{"the second key of one", [][]byte{signed(t, 2, s)}, 1, []string{"alice"}, []provenance.Code{}},
		{"two of two, in any order", [][]byte{signed(t, 3, s), signed(t, 1, s)}, 2, []string{"alice", "bob"}, []provenance.Code{}},
		{"a stranger beside", [][]byte{signed(t, 9, s), signed(t, 3, s)}, 1, []string{"bob"}, []provenance.Code{provenance.CodeSigner}},
		{"one twice beside", [][]byte{signed(t, 1, s), signed(t, 2, s), signed(t, 3, s)}, 2, []string{"alice", "bob"}, []provenance.Code{provenance.CodeRepeated}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			verified, err := provenance.VerifyStatement(tt.bundles, provenance.DigestOf(artifact), policy(t, tt.threshold), provenance.TrustRoot{})
			check(t, err)
			var names []string
			for _, signer := range verified.Signers {
				names = append(names, signer.Name)
			}
			codes := []provenance.Code{}
			for _, reason := range verified.NotCounted {
				codes = append(codes, reason.Code)
			}
			if strings.Join(names, " ") != strings.Join(tt.signers, " ") || len(codes) != len(tt.notCounted) || (len(codes) > 0 && codes[0] != tt.notCounted[0]) {
				t.Errorf("signed by %v, not counted %v; want %v, %v", names, codes, tt.signers, tt.notCounted)
			}
			payload, err := s.Encode()
			check(t, err)
			if !bytes.Equal(verified.Payload, payload) || verified.Statement.PredicateType != testType {
				t.Errorf("verified %s, want %s", verified.Payload, payload)
			}
		})
	}
}

func TestVerifyBlob(t *testing.T) {
	b, err := provenance.SignBlob(t.Context(), signer(t, 3), artifact)
	check(t, err)
	verified, err := provenance.VerifyBlob([][]byte{encoded(t, b)}, provenance.DigestOf(artifact), policy(t, 1), provenance.TrustRoot{})
	if err != nil || verified.Statement != nil || len(verified.Signers) != 1 || verified.Signers[0].Name != "bob" || verified.Signers[0].Key != signer(t, 3).Key().Fingerprint() {
		t.Errorf("verified %+v: %v", verified, err)
	}
}

// What stock cosign signed counts as what we sign does.
func TestVerifyWhatCosignSigned(t *testing.T) {
	key, err := provenance.ParseKey(read(t, "cosign/cosign.pub"))
	check(t, err)
	p := provenance.Policy{Identities: []provenance.Identity{{Name: "cosign", Keys: []provenance.ValidKey{{Key: key}}}}, Threshold: 1, At: now}
	digest := provenance.DigestOf(read(t, "cosign/artifact"))
	if _, err := provenance.VerifyBlob([][]byte{read(t, "cosign/blob.sigstore.json")}, digest, p, provenance.TrustRoot{}); err != nil {
		t.Errorf("blob: %v", err)
	}
	p.PredicateTypes = []string{"https://example.com/p/v1"}
	attestation := [][]byte{read(t, "cosign/attestation.sigstore.json")}
	var refusal *provenance.Refusal
	if _, err := provenance.VerifyStatement(attestation, digest, p, provenance.TrustRoot{}); !errors.As(err, &refusal) || refusal.Code() != provenance.CodeStatementType {
		t.Errorf("a statement v0.1 that nobody asked for: %v", err)
	}
	p.OlderStatements = true
	if verified, err := provenance.VerifyStatement(attestation, digest, p, provenance.TrustRoot{}); err != nil || string(verified.Statement.Predicate) != `{"a":1}` {
		t.Errorf("attestation: %+v: %v", verified, err)
	}
}

// What bundles bring along and nobody looks at is named, and does not help.
func TestNotChecked(t *testing.T) {
	b, err := provenance.SignBlob(t.Context(), signer(t, 1), artifact)
	check(t, err)
	b.LogEntries = []json.RawMessage{json.RawMessage(`{"logIndex":"1"}`)}
	b.Timestamps = []json.RawMessage{json.RawMessage(`{"signedTimestamp":"eA=="}`)}
	bundles := [][]byte{encoded(t, b), encoded(t, b)}
	verified, err := provenance.VerifyBlob(bundles, provenance.DigestOf(artifact), policy(t, 1), provenance.TrustRoot{})
	check(t, err)
	if strings.Join(verified.NotChecked, ", ") != "timestamps, transparency log entries" {
		t.Errorf("not checked: %q", verified.NotChecked)
	}
}

// payloadOf replaces the payload of a bundle.
func payloadOf(t *testing.T, bundle []byte, payload string) []byte {
	t.Helper()
	b, err := provenance.ParseBundle(bundle)
	check(t, err)
	b.Envelope.Payload = []byte(payload)
	return encoded(t, b)
}

func TestVerifyStatementRefuses(t *testing.T) {
	good := signed(t, 1, statement(t, testType, artifact))
	text, err := statement(t, testType, artifact).Encode()
	check(t, err)
	// changed alters one text of the payload, or else of the bundle.
	changed := func(old, new string) []byte {
		if altered := strings.Replace(string(text), old, new, 1); altered != string(text) {
			return payloadOf(t, good, altered)
		}
		altered := strings.Replace(string(good), old, new, 1)
		if altered == string(good) {
			t.Fatalf("%q is not in the bundle", old)
		}
		return []byte(altered)
	}
	signature := func(n byte, s provenance.Statement) string {
		b, err := provenance.ParseBundle(signed(t, n, s))
		check(t, err)
		return base64.StdEncoding.EncodeToString(b.Envelope.Signatures[0].Bytes)
	}
	// anything is an envelope of any kind, soundly signed.
	anything := func(payloadType, payload string) []byte {
		e := provenance.Envelope{PayloadType: payloadType, Payload: []byte(payload)}
		check(t, e.Sign(t.Context(), signer(t, 1)))
		return encoded(t, provenance.Bundle{Hint: signer(t, 1).Key().Hint(), Envelope: &e})
	}
	blob, err := provenance.SignBlob(t.Context(), signer(t, 1), artifact)
	check(t, err)
	hint := signer(t, 1).Key().Hint()
	sig := signature(1, statement(t, testType, artifact))
	is := func(name string, bundle []byte, code provenance.Code, want string) tampered {
		return tampered{name, [][]byte{bundle}, nil, code, want}
	}
	are := func(name string, change func(*provenance.Policy), code provenance.Code, want string, bundles ...[]byte) tampered {
		return tampered{name, bundles, change, code, want}
	}
	two := func(p *provenance.Policy) { p.Threshold = 2 }
	same := statement(t, testType, artifact)
	other := statement(t, testType, artifact, otherArtifact)
	tests := []tampered{
		is("media type", changed("bundle.v0.3", "bundle.v0.4"), provenance.CodeBundle, "mediaType"),
		is("signature altered", changed(sig, sig[:20]+"AAAA"+sig[24:]), provenance.CodeSignature, "does not verify"),
		is("signature of another statement", changed(sig, signature(1, other)), provenance.CodeSignature, "does not verify"),
		is("signature of another key", changed(sig, signature(3, same)), provenance.CodeKeyHint, "expected the hint"),
		is("signature of a stranger", changed(sig, signature(9, same)), provenance.CodeSignature, "does not verify"),
		is("signature stripped", changed(`{"sig":"`+sig+`"}`, ``), provenance.CodeEnvelope, "signatures: expected 1 to 64, got 0"),
		is("signature empty", changed(sig, ""), provenance.CodeEnvelope, "signatures[0].sig"),
		is("signature over the payload without its type", changed(sig, base64.StdEncoding.EncodeToString(must(signer(t, 1).Sign(t.Context(), text)))), provenance.CodeSignature, "does not verify"),
		is("hint of another key", changed(hint, signer(t, 3).Key().Hint()), provenance.CodeKeyHint, "expected the hint "+hint),
		is("hint of nobody", changed(hint, "x"), provenance.CodeKeyHint, "expected the hint "+hint),
		is("keyid added", changed(`{"sig"`, `{"keyid":"`+hint+`","sig"`), provenance.CodeBundle, "without a keyid"),
		is("payload type", changed(`"payloadType":"application/vnd.in-toto+json"`, `"payloadType":"application/vnd.in-toto+xml"`), provenance.CodeSignature, "does not verify"),
		is("_type", changed("Statement/v1", "Statement/v2"), provenance.CodeSignature, "does not verify"),
		is("subject's name", changed(`"name":"a"`, `"name":"b"`), provenance.CodeSignature, "does not verify"),
		is("subject's digest", changed(provenance.DigestOf(artifact).String()[7:], provenance.DigestOf(otherArtifact).String()[7:]), provenance.CodeSignature, "does not verify"),
		is("predicate type", changed(testType, otherType), provenance.CodeSignature, "does not verify"),
		is("predicate", changed(`"reviewed":true`, `"reviewed":false`), provenance.CodeSignature, "does not verify"),
		is("white space in the payload", changed(`{"_type"`, ` {"_type"`), provenance.CodeSignature, "does not verify"),
		is("a stranger's bundle", signed(t, 9, same), provenance.CodeSigner, "expected a signature by a key of the policy"),
		is("a stranger's bundle with the hint of a friend", []byte(strings.Replace(string(signed(t, 9, same)), signer(t, 9).Key().Hint(), hint, 1)), provenance.CodeSignature, "does not verify"),
		is("signature over a blob", encoded(t, blob), provenance.CodeContent, "expected a statement, got a signature over a blob"),
		is("other predicate type, signed", signed(t, 1, statement(t, otherType, artifact)), provenance.CodePredicateType, otherType),
		is("predicate type with a tail, signed", signed(t, 1, statement(t, testType+"/x", artifact)), provenance.CodePredicateType, testType+"/x"),
		is("other artifact, signed", signed(t, 1, statement(t, testType, otherArtifact)), provenance.CodeSubject, "expected "+provenance.DigestOf(artifact).String()),
		is("other payload type, signed", anything("application/json", string(text)), provenance.CodePayloadType, `expected "application/vnd.in-toto+json", got "application/json"`),
		is("statement v0.1, signed", anything(provenance.PayloadType, strings.Replace(string(text), "/v1", "/v0.1", 1)), provenance.CodeStatementType, "Statement/v0.1"),
		is("unknown statement, signed", anything(provenance.PayloadType, strings.Replace(string(text), "/v1", "/v2", 1)), provenance.CodeStatementType, "Statement/v2"),
		is("no statement, signed", anything(provenance.PayloadType, "{}"), provenance.CodeStatementType, "_type: expected"),
		is("no JSON, signed", anything(provenance.PayloadType, "x"), provenance.CodeStatement, "malformed JSON"),
		is("digest in upper case, signed", anything(provenance.PayloadType, strings.Replace(string(text), provenance.DigestOf(artifact).String()[7:], strings.ToUpper(provenance.DigestOf(artifact).String()[7:]), 1)), provenance.CodeStatement, "lower-case"),
		is("digest under another algorithm, signed", anything(provenance.PayloadType, strings.Replace(string(text), `"sha256"`, `"dirHash"`, 1)), provenance.CodeSubject, "expected "+provenance.DigestOf(artifact).String()),
		is("predicate type twice, signed", anything(provenance.PayloadType, strings.Replace(string(text), `"predicateType"`, `"predicateType":"`+otherType+`","predicateType"`, 1)), provenance.CodeStatement, "stands twice"),
		is("not a bundle", []byte("x"), provenance.CodeBundle, "malformed JSON"),
		is("an envelope without a bundle", []byte(goodEnvelope), provenance.CodeBundle, "unknown member"),

		are("no bundle", nil, provenance.CodeBundle, "expected 1 to 64 bundles, got 0"),
		are("many bundles", nil, provenance.CodeBundle, "expected 1 to 64 bundles, got 65", repeat(good, 65)...),
		are("threshold of two, one bundle", two, provenance.CodeThreshold, "expected signatures of 2 distinct identities, got 1", good),
		are("threshold of two, one bundle twice", two, provenance.CodeThreshold, `got "alice" with key `, good, good),
		are("threshold of two, two keys of one identity", two, provenance.CodeThreshold, `got "alice" with key `, good, signed(t, 2, same)),
		are("threshold of two, one key under two hints", two, provenance.CodeThreshold, "expected the hint", good, changed(hint, signer(t, 3).Key().Hint())),
		are("threshold of two, one without a hint", two, provenance.CodeThreshold, `got "alice" with key `, good, changed(`"hint":"`+hint+`"`, ``)),
		are("threshold of two, a friend and a stranger", two, provenance.CodeThreshold, "bundle 1: expected a signature by a key of the policy", good, signed(t, 9, same)),
		are("threshold of two, about other things", two, provenance.CodeDiffering, "bundle 1: expected the statement of bundle 0", good, signed(t, 3, other)),
		are("threshold of two, another kind", two, provenance.CodeContent, "bundle 1: expected a statement", good, encoded(t, blob)),
		are("a good bundle and a malformed one", nil, provenance.CodeBundle, "bundle 1: bundle: malformed JSON", good, []byte("x")),
		are("key that is not valid yet", func(p *provenance.Policy) { p.Identities[0].Keys[0].NotBefore = now.Add(time.Second) }, provenance.CodeKeyTime, "valid from 2026-11-23T00:00:01Z for ever", good),
		are("key that is not valid any more", func(p *provenance.Policy) { p.Identities[0].Keys[0].NotAfter = now.Add(-time.Second) }, provenance.CodeKeyTime, "valid from ever to 2026-11-22T23:59:59Z", good),
		are("the only friend is struck off", func(p *provenance.Policy) { p.Identities = p.Identities[1:] }, provenance.CodeSigner, "expected a signature by a key of the policy", good),
	}
	refused(t, tests, policy(t, 1), provenance.TrustRoot{}, provenance.VerifyStatement)

	// Bounds of a key's time belong to it.
	p := policy(t, 1)
	p.Identities[0].Keys[0].NotBefore, p.Identities[0].Keys[0].NotAfter = now, now
	if _, err := provenance.VerifyStatement([][]byte{good}, provenance.DigestOf(artifact), p, provenance.TrustRoot{}); err != nil {
		t.Errorf("at the bounds of a key's time: %v", err)
	}
}

// Every byte of a bundle counts: whichever is altered, the statement is refused or the same.
func TestEveryByteOfABundle(t *testing.T) {
	good := signed(t, 1, statement(t, testType, artifact))
	want, err := statement(t, testType, artifact).Encode()
	check(t, err)
	p := policy(t, 1)
	accepted := 0
	for i := range good {
		for _, b := range []byte{good[i] ^ 1, good[i] ^ 0x20, 0, ' '} {
			altered := bytes.Clone(good)
			altered[i] = b
			if bytes.Equal(altered, good) {
				continue
			}
			verified, err := provenance.VerifyStatement([][]byte{altered}, provenance.DigestOf(artifact), p, provenance.TrustRoot{})
			if err != nil {
				continue
			}
			accepted++
			if !bytes.Equal(verified.Payload, want) {
				t.Fatalf("byte %d as %q: accepted %s", i, b, verified.Payload)
			}
		}
	}
	if accepted > 0 {
		t.Errorf("%d altered bundles were accepted", accepted)
	}
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}

func repeat(data []byte, n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = data
	}
	return list
}

// tampered is one way to be refused.
type tampered struct {
	name    string
	bundles [][]byte
	change  func(*provenance.Policy)
	code    provenance.Code
	want    string
}

type verify func([][]byte, provenance.Digest, provenance.Policy, provenance.TrustRoot) (*provenance.Verified, error)

func refused(t *testing.T, tests []tampered, p provenance.Policy, root provenance.TrustRoot, verify verify) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changed := p
			changed.Identities = nil
			for _, identity := range p.Identities {
				identity.Keys = append([]provenance.ValidKey(nil), identity.Keys...)
				changed.Identities = append(changed.Identities, identity)
			}
			if tt.change != nil {
				tt.change(&changed)
			}
			verified, err := verify(tt.bundles, provenance.DigestOf(artifact), changed, root)
			var refusal *provenance.Refusal
			if !errors.As(err, &refusal) || refusal.Code() != tt.code || !strings.Contains(err.Error(), tt.want) || verified != nil {
				t.Errorf("got %+v, %v; want %s with %q", verified, err, tt.code, tt.want)
			}
		})
	}
}

func TestVerifyBlobRefuses(t *testing.T) {
	sign := func(n byte, data []byte) provenance.Bundle {
		b, err := provenance.SignBlob(t.Context(), signer(t, n), data)
		check(t, err)
		return b
	}
	relabelled := sign(1, otherArtifact)
	relabelled.Blob.Digest = provenance.DigestOf(artifact)
	refused(t, []tampered{
		{"another artifact", [][]byte{encoded(t, sign(1, otherArtifact))}, nil, provenance.CodeSubject, "expected a signature over " + provenance.DigestOf(artifact).String()},
		{"another artifact under this one's digest", [][]byte{encoded(t, relabelled)}, nil, provenance.CodeSignature, "does not verify"},
		{"a statement", [][]byte{signed(t, 1, statement(t, testType, artifact))}, nil, provenance.CodeContent, "expected a signature over a blob, got a statement"},
		{"a stranger", [][]byte{encoded(t, sign(9, artifact))}, nil, provenance.CodeSigner, "expected a signature by a key"},
		{"one signer twice", [][]byte{encoded(t, sign(1, artifact)), encoded(t, sign(2, artifact))}, func(p *provenance.Policy) { p.Threshold = 2 }, provenance.CodeThreshold, "expected signatures of 2"},
	}, policy(t, 1), provenance.TrustRoot{}, provenance.VerifyBlob)
}

func TestPolicyErrors(t *testing.T) {
	good := [][]byte{signed(t, 1, statement(t, testType, artifact))}
	certificate := provenance.CertificateIdentity{Issuer: issuer, Subject: workflow}
	for name, change := range map[string]func(*provenance.Policy){
		"identities: expected at least one":       func(p *provenance.Policy) { p.Identities = nil },
		"threshold: expected 1 to 2":              func(p *provenance.Policy) { p.Threshold = 0 },
		"the number of identities, got -1":        func(p *provenance.Policy) { p.Threshold = -1 },
		"the number of identities, got 3":         func(p *provenance.Policy) { p.Threshold = 3 },
		"time: expected one, got none":            func(p *provenance.Policy) { p.At = time.Time{} },
		"predicate types: expected at least one":  func(p *provenance.Policy) { p.PredicateTypes = nil },
		"and none empty":                          func(p *provenance.Policy) { p.PredicateTypes = []string{""} },
		`no name twice, got "alice"`:              func(p *provenance.Policy) { p.Identities[1].Name = "alice" },
		`no name twice, got ""`:                   func(p *provenance.Policy) { p.Identities[1].Name = "" },
		`"bob": expected a key or a certificate`:  func(p *provenance.Policy) { p.Identities[1].Keys = nil },
		`"bob": expected a key, got an empty one`: func(p *provenance.Policy) { p.Identities[1].Keys[0].Key = provenance.Key{} },
		`"bob": expected each key once`:           func(p *provenance.Policy) { p.Identities[1].Keys[0].Key = signer(t, 2).Key() },
		`"bob": expected a key that ends after it begins`: func(p *provenance.Policy) {
			p.Identities[1].Keys[0].NotBefore, p.Identities[1].Keys[0].NotAfter = now, now.Add(-1)
		},
		`"bob": expected issuer and subject`: func(p *provenance.Policy) {
			p.Identities[1].Certificates = []provenance.CertificateIdentity{{Subject: "x"}}
		},
		`"bob": expected each certificate once`: func(p *provenance.Policy) {
			p.Identities[0].Certificates, p.Identities[1].Certificates = []provenance.CertificateIdentity{certificate}, []provenance.CertificateIdentity{certificate}
		},
	} {
		p := policy(t, 1)
		change(&p)
		verified, err := provenance.VerifyStatement(good, provenance.DigestOf(artifact), p, provenance.TrustRoot{})
		var unusable *provenance.PolicyError
		if !errors.As(err, &unusable) || !strings.Contains(err.Error(), name) || verified != nil {
			t.Errorf("got %+v, %v; want %q", verified, err, name)
		}
	}
}

func TestCertificates(t *testing.T) {
	ca, stranger := newAuthority(t), newAuthority(t)
	s := statement(t, testType, artifact)
	public := &signer(t, 5).private.PublicKey
	bundle := func(n byte, c *x509.Certificate) []byte {
		b, err := provenance.ParseBundle(signed(t, n, s))
		check(t, err)
		b.Certificate = c
		return encoded(t, b)
	}
	p := policy(t, 1)
	p.Identities = append(p.Identities, provenance.Identity{Name: "ci", Certificates: []provenance.CertificateIdentity{{Issuer: issuer, Subject: workflow}}})
	good := bundle(5, ca.issue(public, nil))
	for name, c := range map[string]*x509.Certificate{
		"both extensions": ca.issue(public, nil),
		"the newer one":   ca.issue(public, func(c *x509.Certificate) { c.ExtraExtensions = issuerExtensions(t, "", issuer) }),
		"the older one":   ca.issue(public, func(c *x509.Certificate) { c.ExtraExtensions = issuerExtensions(t, issuer, "") }),
		"at its bounds":   ca.issue(public, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now, now }),
	} {
		verified, err := provenance.VerifyStatement([][]byte{bundle(5, c)}, provenance.DigestOf(artifact), p, ca.root())
		if err != nil || len(verified.Signers) != 1 || verified.Signers[0].Name != "ci" || verified.Signers[0].Key != signer(t, 5).Key().Fingerprint() {
			t.Errorf("%s: %+v, %v", name, verified, err)
		}
	}
	link := func(text string) *url.URL {
		u, err := url.Parse(text)
		check(t, err)
		return u
	}
	one := func(name string, change func(*x509.Certificate), code provenance.Code, want string) tampered {
		return tampered{name, [][]byte{bundle(5, ca.issue(public, change))}, nil, code, want}
	}
	subject := func(name, text string) tampered {
		return one(name, func(c *x509.Certificate) { c.URIs = []*url.URL{link(text)} }, provenance.CodeSigner, "expected a certificate of an identity of the policy")
	}
	refused(t, []tampered{
		one("not valid any more", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Second) }, provenance.CodeCertificateTime, "valid at 2026-11-23T00:00:00Z"),
		one("not valid yet", func(c *x509.Certificate) { c.NotBefore = now.Add(time.Second) }, provenance.CodeCertificateTime, "valid at 2026-11-23T00:00:00Z"),
		one("for a server", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, provenance.CodeCertificate, "for signing code"),
		one("an authority's", func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, provenance.CodeCertificate, "got that of an authority"),
		subject("another ref", strings.Replace(workflow, "main", "mainx", 1)),
		subject("another repository", strings.Replace(workflow, "org/repo", "org/repo-fork", 1)),
		subject("in upper case", strings.Replace(workflow, "org", "ORG", 1)),
		subject("a tail", workflow+"/x"),
		one("another issuer", func(c *x509.Certificate) { c.ExtraExtensions = issuerExtensions(t, issuer+"/", issuer+"/") }, provenance.CodeSigner, "expected a certificate of an identity"),
		one("two issuers", func(c *x509.Certificate) { c.ExtraExtensions = issuerExtensions(t, "https://evil.example", issuer) }, provenance.CodeCertificate, "expected one OIDC issuer"),
		one("no issuer", func(c *x509.Certificate) { c.ExtraExtensions = nil }, provenance.CodeCertificate, "expected the extension that names the OIDC issuer"),
		one("two subjects", func(c *x509.Certificate) { c.EmailAddresses = []string{"a@example.com"} }, provenance.CodeCertificate, "expected one e-mail address or URI"),
		one("a host beside", func(c *x509.Certificate) { c.DNSNames = []string{"example.com"} }, provenance.CodeCertificate, "and 1 others"),
		one("an address beside", func(c *x509.Certificate) { c.IPAddresses = []net.IP{{127, 0, 0, 1}} }, provenance.CodeCertificate, "and 1 others"),
		one("no subject", func(c *x509.Certificate) { c.URIs = nil }, provenance.CodeCertificate, "got 0 and 0 others"),
		{"of another authority", [][]byte{bundle(5, stranger.issue(public, nil))}, nil, provenance.CodeCertificate, "authority of the trust root"},
		{"of another key", [][]byte{bundle(6, ca.issue(public, nil))}, nil, provenance.CodeSignature, "by the key of the certificate"},
		{"of a friend's key, signed by it", [][]byte{bundle(1, stranger.issue(&signer(t, 1).private.PublicKey, nil))}, nil, provenance.CodeCertificate, "authority of the trust root"},
		{"on another curve", [][]byte{bundle(5, ca.issue(ca.certificate.PublicKey, nil))}, nil, provenance.CodeCertificate, "curve P-256"},
		{"one identity twice", [][]byte{good, bundle(6, ca.issue(&signer(t, 6).private.PublicKey, nil))}, func(p *provenance.Policy) { p.Threshold = 2 }, provenance.CodeThreshold, `got "ci" with key`},
		{"one key as two identities", [][]byte{bundle(1, ca.issue(&signer(t, 1).private.PublicKey, nil)), signed(t, 1, s)}, func(p *provenance.Policy) { p.Threshold = 2 }, provenance.CodeThreshold, `got "alice" with key`},
	}, p, ca.root(), provenance.VerifyStatement)
	var refusal *provenance.Refusal
	if _, err := provenance.VerifyStatement([][]byte{good}, provenance.DigestOf(artifact), p, provenance.TrustRoot{}); !errors.As(err, &refusal) || refusal.Code() != provenance.CodeCertificate {
		t.Errorf("without a trust root: %v", err)
	}
	p.Threshold = 2
	if verified, err := provenance.VerifyStatement([][]byte{good, signed(t, 1, s)}, provenance.DigestOf(artifact), p, ca.root()); err != nil || len(verified.Signers) != 2 {
		t.Errorf("a certificate and a key: %+v, %v", verified, err)
	}
}
