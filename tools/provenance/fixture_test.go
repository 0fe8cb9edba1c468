package provenance_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"flag"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

var update = flag.Bool("update", false, "write the golden files anew")

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		check(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	check(t, err)
	if string(got) != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", file, got, want)
	}
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	return readFile(t, filepath.Join("testdata", name))
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	check(t, err)
	return data
}

// testSigner signs in the same way each time (RFC 6979).
type testSigner struct {
	private *ecdsa.PrivateKey
	key     provenance.Key
}

// signer is the n-th test key.
func signer(t testing.TB, n byte) testSigner {
	t.Helper()
	scalar := make([]byte, 32)
	scalar[31] = n
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	check(t, err)
	key, err := provenance.NewKey(&private.PublicKey)
	check(t, err)
	return testSigner{private, key}
}

func (s testSigner) Key() provenance.Key { return s.key }

func (s testSigner) Sign(_ context.Context, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	return s.private.Sign(nil, digest[:], crypto.SHA256)
}

// liar says that it has another key, or that it can not sign.
type liar struct {
	testSigner
	other provenance.Key
	err   error
}

func (l liar) Key() provenance.Key { return l.other }

func (l liar) Sign(ctx context.Context, message []byte) ([]byte, error) {
	if l.err != nil {
		return nil, l.err
	}
	return l.testSigner.Sign(ctx, message)
}

var errSigner = errors.New("the token was pulled out")

const (
	testType  = "https://example.com/claim/v1"
	otherType = "https://example.com/claim/v2"
)

var (
	artifact      = []byte("an artifact\n")
	otherArtifact = []byte("another artifact\n")
	now           = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
)

type claim struct {
	Reviewed bool   `json:"reviewed"`
	Notes    string `json:"notes"`
}

func statement(t testing.TB, predicateType string, about ...[]byte) provenance.Statement {
	t.Helper()
	var subjects []provenance.Subject
	for i, data := range about {
		subjects = append(subjects, provenance.Subject{Name: string(rune('a' + i)), Digest: provenance.DigestOf(data).Set()})
	}
	s, err := provenance.NewStatement(subjects, predicateType, claim{Reviewed: true, Notes: "1 < 2 & \u2028"})
	check(t, err)
	return s
}

// signed is a bundle as JSON.
func signed(t testing.TB, n byte, s provenance.Statement) []byte {
	t.Helper()
	b, err := provenance.SignStatement(t.Context(), signer(t, n), s)
	check(t, err)
	return encoded(t, b)
}

func encoded(t testing.TB, b provenance.Bundle) []byte {
	t.Helper()
	data, err := b.Encode()
	check(t, err)
	return data
}

func identity(t testing.TB, name string, numbers ...byte) provenance.Identity {
	t.Helper()
	i := provenance.Identity{Name: name}
	for _, n := range numbers {
		i.Keys = append(i.Keys, provenance.ValidKey{Key: signer(t, n).Key()})
	}
	return i
}

// policy is one that alice (keys 1 and 2) and bob (key 3) can meet.
func policy(t testing.TB, threshold int) provenance.Policy {
	t.Helper()
	return provenance.Policy{
		Identities: []provenance.Identity{identity(t, "alice", 1, 2), identity(t, "bob", 3)},
		Threshold:  threshold, At: now, PredicateTypes: []string{testType},
	}
}

// authority is a certificate authority for tests.
type authority struct {
	t           testing.TB
	private     *ecdsa.PrivateKey
	certificate *x509.Certificate
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	check(t, err)
	certificate, err := x509.ParseCertificate(der)
	check(t, err)
	return authority{t, private, certificate}
}

func (a authority) root() provenance.TrustRoot {
	return provenance.TrustRoot{Authorities: []provenance.Authority{{Chain: []*x509.Certificate{a.certificate}}}}
}

const (
	issuer   = "https://token.example.com"
	workflow = "https://example.com/org/repo/.github/workflows/release.yml@refs/heads/main"
)

// issue makes a certificate for a key, valid for ten minutes, after change.
func (a authority) issue(public any, change func(*x509.Certificate)) *x509.Certificate {
	a.t.Helper()
	uri, err := url.Parse(workflow)
	check(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: now.Add(-5 * time.Minute), NotAfter: now.Add(5 * time.Minute), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, URIs: []*url.URL{uri}, ExtraExtensions: issuerExtensions(a.t, issuer, issuer),
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, public, a.private)
	check(a.t, err)
	certificate, err := x509.ParseCertificate(der)
	check(a.t, err)
	return certificate
}

// issuerExtensions are Fulcio's, the older and the newer.
func issuerExtensions(t testing.TB, older, newer string) (extensions []pkix.Extension) {
	t.Helper()
	if older != "" {
		extensions = append(extensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 1}, Value: []byte(older)})
	}
	if newer != "" {
		value, err := asn1.MarshalWithParams(newer, "utf8")
		check(t, err)
		extensions = append(extensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: value})
	}
	return extensions
}
