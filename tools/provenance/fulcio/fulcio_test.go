package fulcio_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/fulcio"
)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	token    = "aaaa.bbbb.cccc"
	issuer   = "https://token.example.com"
	workflow = "https://example.com/org/repo/.github/workflows/release.yml@refs/heads/main"
)

var now = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// authority answers as Fulcio does.
type authority struct {
	t       *testing.T
	private *ecdsa.PrivateKey
	root    *x509.Certificate
	// member is the member of the answer that has the chain; change alters the certificate, and answer what is sent.
	member string
	change func(*x509.Certificate)
	answer func(http.ResponseWriter, *http.Request) bool
}

func newAuthority(t *testing.T) *authority {
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	check(t, err)
	root, err := x509.ParseCertificate(der)
	check(t, err)
	return &authority{t: t, private: private, root: root, member: "signedCertificateEmbeddedSct"}
}

func (a *authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.answer != nil && a.answer(w, r) {
		return
	}
	data, err := io.ReadAll(r.Body)
	check(a.t, err)
	var request struct {
		Credentials struct {
			OIDCIdentityToken string `json:"oidcIdentityToken"`
		} `json:"credentials"`
		CertificateSigningRequest []byte `json:"certificateSigningRequest"`
	}
	check(a.t, json.Unmarshal(data, &request))
	block, _ := pem.Decode(request.CertificateSigningRequest)
	if r.Method != http.MethodPost || r.URL.Path != "/api/v2/signingCert" || request.Credentials.OIDCIdentityToken != token || block == nil {
		a.t.Errorf("asked %s %s %s", r.Method, r.URL, data)
		return
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	check(a.t, err)
	check(a.t, csr.CheckSignature())
	uri, err := url.Parse(workflow)
	check(a.t, err)
	extension, err := asn1.MarshalWithParams(issuer, "utf8")
	check(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: now, NotAfter: now.Add(10 * time.Minute), KeyUsage: x509.KeyUsageDigitalSignature, PublicKey: csr.PublicKey,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, URIs: []*url.URL{uri},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: extension}},
	}
	if a.change != nil {
		a.change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.root, template.PublicKey, a.private)
	check(a.t, err)
	w.WriteHeader(http.StatusCreated)
	check(a.t, json.NewEncoder(w).Encode(map[string]any{a.member: map[string]any{"chain": map[string]any{"certificates": []string{
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})),
	}}}}))
}

func serve(t *testing.T, a *authority) *fulcio.Service {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	service, err := fulcio.New(server.URL+"/", nil)
	check(t, err)
	return service
}

// What is signed with a certificate is verified by a policy that names the identity, and by no other.
func TestSign(t *testing.T) {
	for _, member := range []string{"signedCertificateEmbeddedSct", "signedCertificateDetachedSct"} {
		a := newAuthority(t)
		a.member = member
		signer, err := serve(t, a).Certify(t.Context(), token+"\n")
		check(t, err)
		artifact := []byte("artifact")
		b, err := provenance.SignBlob(t.Context(), signer, artifact)
		check(t, err)
		data, err := b.Encode()
		check(t, err)
		p := provenance.Policy{
			Identities: []provenance.Identity{{Name: "ci", Certificates: []provenance.CertificateIdentity{{Issuer: issuer, Subject: workflow}}}}, Threshold: 1, At: now,
		}
		root := provenance.TrustRoot{Authorities: []provenance.Authority{{Chain: []*x509.Certificate{a.root}}}}
		if _, err := provenance.VerifyBlob([][]byte{data}, provenance.DigestOf(artifact), p, root); err != nil {
			t.Error(err)
		}
		s, err := provenance.NewStatement([]provenance.Subject{{Name: "a", Digest: provenance.DigestOf(artifact).Set()}}, "https://example.com/claim/v1", struct{}{})
		check(t, err)
		b, err = provenance.SignStatement(t.Context(), signer, s)
		check(t, err)
		data, err = b.Encode()
		check(t, err)
		p.PredicateTypes = []string{"https://example.com/claim/v1"}
		if _, err := provenance.VerifyStatement([][]byte{data}, provenance.DigestOf(artifact), p, root); err != nil {
			t.Error(err)
		}
		p.Identities[0].Certificates[0].Subject += "x"
		var refusal *provenance.Refusal
		if _, err := provenance.VerifyStatement([][]byte{data}, provenance.DigestOf(artifact), p, root); !errors.As(err, &refusal) || refusal.Code() != provenance.CodeSigner {
			t.Errorf("as somebody else: %v", err)
		}
		if got := fmt.Sprintf("%+v %#v", signer, signer); strings.Contains(got, "private") || strings.Count(got, "signer ") != 2 {
			t.Errorf("printed as %s", got)
		}
	}
}

func TestCertifyRefuses(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	says := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
			_, err := io.WriteString(w, body)
			return err == nil || true
		}
	}
	tests := []struct {
		name, want string
		answer     func(http.ResponseWriter, *http.Request) bool
		change     func(*x509.Certificate)
	}{
		{"denied, with the token", `got 400: it says "bad token … there"`, says(400, `{"code":3,"message":"bad token `+token+` there"}`), nil},
		{"fault that is no JSON", `got 502: it says ""`, says(502, `<html>`), nil},
		{"redirected", "got 307", says(307, ""), nil},
		{"no JSON", "expected JSON", says(200, token), nil},
		{"empty", "expected a chain of certificates, got none", says(200, `{}`), nil},
		{"empty chain", "expected a chain of certificates, got none", says(200, `{"signedCertificateEmbeddedSct":{"chain":{}}}`), nil},
		{"two chains", "expected a chain of certificates, got none", says(200, `{"signedCertificateEmbeddedSct":{"chain":{"certificates":["x"]}},"signedCertificateDetachedSct":{"chain":{"certificates":["x"]}}}`), nil},
		{"no PEM", "expected a certificate as PEM", says(200, `{"signedCertificateEmbeddedSct":{"chain":{"certificates":["x"]}}}`), nil},
		{"no certificate", "expected a certificate, got something else", says(200, `{"signedCertificateEmbeddedSct":{"chain":{"certificates":["-----BEGIN CERTIFICATE-----\neA==\n-----END CERTIFICATE-----\n"]}}}`), nil},
		{"endless", "expected an answer of at most 262144 bytes", says(200, strings.Repeat(" ", 1<<19)), nil},
		{"for another key", "got one for another key", nil, func(c *x509.Certificate) { c.PublicKey = &other.PublicKey }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := newAuthority(t)
			a.answer, a.change = tt.answer, tt.change
			signer, err := serve(t, a).Certify(t.Context(), token)
			if err == nil || !strings.Contains(err.Error(), tt.want) || signer != nil || strings.Contains(err.Error(), token) {
				t.Errorf("got %v, %v; want %q", signer, err, tt.want)
			}
		})
	}
	service := serve(t, newAuthority(t))
	for _, bad := range []string{"", " \n", strings.Repeat("x", 1<<17)} {
		if _, err := service.Certify(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "identity token: expected") {
			t.Errorf("a token of %d bytes: %v", len(bad), err)
		}
	}
	down := httptest.NewServer(nil)
	down.Close()
	service, err = fulcio.New(down.URL, nil)
	check(t, err)
	if _, err := service.Certify(t.Context(), token); err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, address := range []string{"", "fulcio.example", "http://fulcio.example", "http://127.0.0.1.example", "ftp://127.0.0.1", "https://", "https://a:b@fulcio.example", "https://fulcio.example/?x"} {
		if _, err := fulcio.New(address, nil); err == nil || !strings.HasPrefix(err.Error(), "certificate authority: expected") {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, address := range []string{"https://fulcio.example", "http://localhost:1", "http://[::1]:1", "http://127.0.0.1:1/base"} {
		if _, err := fulcio.New(address, nil); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
}
