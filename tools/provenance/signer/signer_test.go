package signer_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/keyfile"
	"github.com/boardroom-tee/boardroom/tools/provenance/kms"
	"github.com/boardroom-tee/boardroom/tools/provenance/provenancetest"
	"github.com/boardroom-tee/boardroom/tools/provenance/signer"
)

var now = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const token = "aaaa.bbbb.cccc"

// services are all that a signer may ask, and what trusts them.
type services struct {
	fulcio, timestamp, rekor string
	root                     provenance.TrustRoot
}

func serve(t *testing.T) services {
	t.Helper()
	start := func(h http.Handler) string {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		return server.URL
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	ca := provenancetest.Certify(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, &private.PublicKey, private)
	certify := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			Credentials struct {
				Token string `json:"oidcIdentityToken"`
			} `json:"credentials"`
			Request []byte `json:"certificateSigningRequest"`
		}
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || request.Credentials.Token != token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		block, _ := pem.Decode(request.Request)
		csr, err := x509.ParseCertificateRequest(block.Bytes)
		check(t, err)
		issuer, err := asn1.MarshalWithParams("https://token.example.com", "utf8")
		check(t, err)
		c := provenancetest.Certify(t, &x509.Certificate{
			SerialNumber: big.NewInt(2), NotBefore: now, NotAfter: now.Add(10 * time.Minute), KeyUsage: x509.KeyUsageDigitalSignature, EmailAddresses: []string{"release@example.com"},
			ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
			ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 8}, Value: issuer}},
		}, ca, csr.PublicKey, private)
		check(t, json.NewEncoder(w).Encode(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": []string{
			string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})),
		}}}}))
	})
	stamps, log := provenancetest.NewTimestampAuthority(t, now.Add(time.Minute), nil), provenancetest.NewLog(t, "log.example.com")
	return services{start(certify), start(stamps), start(log), provenance.TrustRoot{
		Authorities:          []provenance.Authority{{Chain: []*x509.Certificate{ca}}},
		TimestampAuthorities: []provenance.Authority{{Chain: []*x509.Certificate{stamps.Leaf, stamps.Root}}},
		Logs:                 []provenance.Log{{URL: "https://" + log.Origin, Key: log.Public}},
	}}
}

func sealed(t *testing.T) (string, provenance.Key) {
	t.Helper()
	key, err := keyfile.Generate()
	check(t, err)
	text, err := key.Seal([]byte("secret"))
	check(t, err)
	return written(t, text), key.Key()
}

func written(t *testing.T, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(path, text, 0o600))
	return path
}

func password(string) ([]byte, error) { return []byte("secret"), nil }

// Whatever signs, what comes out needs nothing more, a year later.
func TestSign(t *testing.T) {
	s := serve(t)
	file, key := sealed(t)
	lookup := func(name string) (string, bool) { return token, name == signer.TokenVariable }
	data := []byte("an artifact\n")
	p := provenance.Policy{
		Identities: []provenance.Identity{{Name: "release", Keys: []provenance.ValidKey{{Key: key}}, Certificates: []provenance.CertificateIdentity{{Issuer: "https://token.example.com", Subject: "release@example.com"}}}},
		Threshold:  1, At: now.AddDate(1, 0, 0), PredicateTypes: []string{"https://example.com/claim/v1"}, Timestamps: 1, LogEntries: 1,
	}
	statement, err := provenance.NewStatement([]provenance.Subject{{Name: "a", Digest: provenance.DigestOf(data).Set()}}, p.PredicateTypes[0], struct{}{})
	check(t, err)
	for name, r := range map[string]signer.Reference{
		"key file":               {Key: file, Password: password},
		"token in a file":        {Fulcio: s.fulcio, IdentityTokenFile: written(t, []byte(token+"\n"))},
		"token in a variable":    {Fulcio: s.fulcio, LookupEnv: lookup},
		"token in a file before": {Fulcio: s.fulcio, IdentityTokenFile: written(t, []byte(token)), LookupEnv: func(string) (string, bool) { return "x", true }},
	} {
		r.Timestamp, r.Rekor = s.timestamp, s.rekor
		opened, err := signer.Open(t.Context(), r)
		check(t, err)
		if isKey := r.Key != ""; isKey != (opened.Certificate() == nil) || (isKey && opened.Key().Fingerprint() != key.Fingerprint()) {
			t.Errorf("%s: key %s, certificate %v", name, opened.Key().Fingerprint(), opened.Certificate())
		}
		b, err := opened.SignBlob(t.Context(), data)
		check(t, err)
		text, err := b.Encode()
		check(t, err)
		if _, err := provenance.VerifyBlob([][]byte{text}, provenance.DigestOf(data), p, s.root); err != nil {
			t.Errorf("%s: blob: %v", name, err)
		}
		b, err = opened.SignStatement(t.Context(), statement)
		check(t, err)
		text, err = b.Encode()
		check(t, err)
		if _, err := provenance.VerifyStatement([][]byte{text}, provenance.DigestOf(data), p, s.root); err != nil {
			t.Errorf("%s: statement: %v", name, err)
		}
		if message := []byte("x"); name == "key file" {
			signature, err := opened.Sign(t.Context(), message)
			if err != nil || !key.Verify(message, signature) {
				t.Errorf("signed %x: %v", signature, err)
			}
		}
	}
	// What nobody asked for is not there.
	opened, err := signer.Open(t.Context(), signer.Reference{Key: file, Password: password})
	check(t, err)
	if b, err := opened.SignBlob(t.Context(), data); err != nil || len(b.Timestamps)+len(b.LogEntries) > 0 || b.Hint != key.Hint() {
		t.Errorf("signed %+v: %v", b, err)
	}
}

var errAsked = errors.New("nobody is at the terminal")

func TestOpenRefuses(t *testing.T) {
	s := serve(t)
	file, _ := sealed(t)
	tokens := written(t, []byte(token))
	var mistake *signer.ReferenceError
	var locked *signer.KeyError
	var missing *kms.NoProgramError
	var path *fs.PathError
	t.Setenv("PATH", "/nowhere")
	for name, tt := range map[string]struct {
		reference signer.Reference
		as        any
		want      string
	}{
		"nothing":                {signer.Reference{}, &mistake, "expected either a key or a certificate authority, got both or none"},
		"both":                   {signer.Reference{Key: file, Fulcio: s.fulcio}, &mistake, "expected either a key or a certificate authority, got both or none"},
		"a token with a key":     {signer.Reference{Key: file, IdentityTokenFile: tokens}, &mistake, "expected an identity token only with a certificate authority"},
		"no password":            {signer.Reference{Key: file}, &mistake, "expected a password for " + file},
		"another password":       {signer.Reference{Key: file, Password: func(string) ([]byte, error) { return []byte("x"), nil }}, &locked, file + ": private key: expected the password"},
		"not a private key":      {signer.Reference{Key: tokens, Password: password}, &locked, "expected an encrypted private key, got something else"},
		"no file":                {signer.Reference{Key: file + "x", Password: password}, &path, "no such file"},
		"no program":             {signer.Reference{Key: "gcpkms://k"}, &missing, "expected the program sigstore-kms-gcpkms"},
		"no token":               {signer.Reference{Fulcio: s.fulcio}, &mistake, "expected an identity token in a file or in SIGSTORE_ID_TOKEN, got none"},
		"no token in a variable": {signer.Reference{Fulcio: s.fulcio, LookupEnv: func(string) (string, bool) { return "", false }}, &mistake, "expected an identity token in a file or in SIGSTORE_ID_TOKEN, got none"},
		"no token's file":        {signer.Reference{Fulcio: s.fulcio, IdentityTokenFile: tokens + "x"}, &path, "identity token: open"},
		"a long token":           {signer.Reference{Fulcio: s.fulcio, IdentityTokenFile: written(t, bytes.Repeat([]byte("x"), 1<<17))}, nil, "identity token: expected 1 to 65536 bytes"},
		"a token in the clear":   {signer.Reference{Fulcio: "http://fulcio.example.com", IdentityTokenFile: tokens}, &mistake, "expected https://, because a token is sent there"},
		"another token":          {signer.Reference{Fulcio: s.fulcio, IdentityTokenFile: written(t, []byte("x"))}, nil, "got 401"},
		"no timestamp authority": {signer.Reference{Key: file, Password: password, Timestamp: "x"}, &mistake, "timestamp authority: expected an address"},
		"no log":                 {signer.Reference{Key: file, Password: password, Rekor: "x"}, &mistake, "transparency log: expected an address"},
	} {
		_, err := signer.Open(t.Context(), tt.reference)
		if err == nil || !strings.Contains(err.Error(), tt.want) || (tt.as != nil && !errors.As(err, tt.as)) || strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %s", name, err, tt.want)
		}
	}
	if _, err := signer.Open(t.Context(), signer.Reference{Key: file, Password: func(string) ([]byte, error) { return nil, errAsked }}); err != errAsked { //nolint:errorlint // as it is
		t.Errorf("got %v, want what the password's function returned", err)
	}
}

// A bundle is finished or it is none.
func TestSignRefuses(t *testing.T) {
	s := serve(t)
	file, _ := sealed(t)
	down := httptest.NewServer(nil)
	down.Close()
	for want, r := range map[string]signer.Reference{"timestamp authority " + down.URL: {Timestamp: down.URL, Rekor: s.rekor}, "transparency log " + down.URL: {Timestamp: s.timestamp, Rekor: down.URL}} {
		r.Key, r.Password = file, password
		opened, err := signer.Open(t.Context(), r)
		check(t, err)
		b, err := opened.SignBlob(t.Context(), []byte("x"))
		if err == nil || !strings.HasPrefix(err.Error(), want) || b.Blob != nil {
			t.Errorf("got %+v, %v; want %s", b, err, want)
		}
	}
}
