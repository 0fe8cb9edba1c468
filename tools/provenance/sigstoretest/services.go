//go:build acceptance

package sigstoretest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/provenance"
)

// RekorOrigin is what the log calls itself.
const RekorOrigin = "rekor.test"

// Services are those that sign without a key that anybody keeps, on this machine and for one test.
type Services struct {
	// Issuer vouches for people by their address, and Pipeline for jobs by what they run.
	Issuer, Pipeline *Issuer
	// Fulcio, Timestamp and Rekor are addresses; that of the timestamp authority has its path.
	Fulcio, Timestamp, Rekor string
	// Root trusts them.
	Root provenance.TrustRoot
	// CertificateLogKey is the public key of the certificate log as PEM.
	CertificateLogKey []byte
}

// Start runs everything.
func Start(t *testing.T) *Services {
	t.Helper()
	began := time.Now().Add(-time.Minute).UTC().Truncate(time.Second)
	s := &Services{Issuer: newIssuer(t), Pipeline: newIssuer(t)}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		check(t, os.WriteFile(path, data, 0o600))
		return path
	}

	certificates := newCertificateLog(t)
	der, err := x509.MarshalPKIXPublicKey(&certificates.private.PublicKey)
	check(t, err)
	s.CertificateLogKey = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	s.Root.CertificateLogs = []provenance.Log{{URL: certificates.url, Key: &certificates.private.PublicKey, Validity: provenance.Validity{NotBefore: began}}}

	config, err := json.Marshal(map[string]any{
		"OIDCIssuers": map[string]any{
			s.Issuer.URL:   map[string]any{"IssuerURL": s.Issuer.URL, "ClientID": "sigstore", "Type": "email"},
			s.Pipeline.URL: map[string]any{"IssuerURL": s.Pipeline.URL, "ClientID": "sigstore", "Type": "ci-provider", "CIProvider": "test"},
		},
		"CIIssuerMetadata": map[string]any{"test": map[string]any{"SubjectAlternativeNameTemplate": "https://ci.example.com/{{ .workflow_ref }}"}},
	})
	check(t, err)
	fulcio := port(t)
	start(t, fulcioProgram.compile(t), fulcio, "serve", "--ca=ephemeralca", "--config-path="+write("fulcio.yaml", config),
		"--host=127.0.0.1", "--port="+strconv.Itoa(fulcio), "--grpc-host=127.0.0.1", "--grpc-port="+strconv.Itoa(port(t)), "--metrics-port="+strconv.Itoa(port(t)),
		"--legacy-unix-domain-socket=@boardroom-fulcio-"+strconv.Itoa(fulcio),
		"--ct-log-url="+certificates.url, "--ct-log-public-key-path="+write("ctlog.pub", s.CertificateLogKey))
	s.Fulcio = "http://" + address(fulcio)
	var bundle struct {
		Chains []struct {
			Certificates []string `json:"certificates"`
		} `json:"chains"`
	}
	check(t, json.Unmarshal(get(t, s.Fulcio+"/api/v2/trustBundle"), &bundle))
	for _, chain := range bundle.Chains {
		var text []byte
		for _, c := range chain.Certificates {
			text = append(text, c...)
		}
		s.Root.Authorities = append(s.Root.Authorities, authority(t, s.Fulcio, text, began))
	}

	stamps := port(t)
	start(t, timestampProgram.compile(t), stamps, "serve", "--timestamp-signer=memory", "--disable-ntp-monitoring", "--host=127.0.0.1", "--port="+strconv.Itoa(stamps))
	s.Timestamp = "http://" + address(stamps) + "/api/v1/timestamp"
	s.Root.TimestampAuthorities = []provenance.Authority{authority(t, s.Timestamp, get(t, s.Timestamp+"/certchain"), began)}

	public, private, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	der, err = x509.MarshalPKCS8PrivateKey(private)
	check(t, err)
	rekor := port(t)
	start(t, rekorProgram.compile(t), rekor, "serve", "--hostname="+RekorOrigin, "--storage-dir="+filepath.Join(dir, "log"), "--checkpoint-interval=200ms", "--batch-max-age=50ms",
		"--signer-filepath="+write("rekor.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"--http-port="+strconv.Itoa(rekor), "--grpc-port="+strconv.Itoa(port(t)), "--http-metrics-port="+strconv.Itoa(port(t)))
	s.Rekor = "http://" + address(rekor)
	s.Root.Logs = []provenance.Log{{URL: "https://" + RekorOrigin, Key: public, Validity: provenance.Validity{NotBefore: began}}}
	return s
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	check(t, err)
	response, err := http.DefaultClient.Do(r)
	check(t, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	check(t, err)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s\n%s", url, response.Status, data)
	}
	return data
}

// authority is one with a chain of certificates as PEM.
func authority(t *testing.T, uri string, text []byte, began time.Time) provenance.Authority {
	t.Helper()
	a := provenance.Authority{URI: uri, Validity: provenance.Validity{NotBefore: began}}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		check(t, err)
		a.Chain = append(a.Chain, c)
	}
	return a
}
