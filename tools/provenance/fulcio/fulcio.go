package fulcio

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/service"
)

const (
	path = "/api/v2/signingCert"
	// maxAnswer bounds an answer: a chain of certificates as PEM in JSON.
	maxAnswer = 256 << 10
	// maxToken bounds a token; issuers' have 1 to 2 KiB.
	maxToken = 64 << 10
	// maxComplaint is how much of an error message is passed on, in bytes.
	maxComplaint = 512
)

// Service is a certificate authority.
type Service struct{ service *service.Service }

// New names an authority by its address, https:// or on this machine http://. A transport of nil is the default one.
func New(address string, transport http.RoundTripper) (*Service, error) {
	s, err := service.New("certificate authority", address, path, true, transport)
	if err != nil {
		return nil, err
	}
	return &Service{s}, nil
}

// Signer signs with a key that one certificate is for. It is for one signature, or for the few of one release.
type Signer struct {
	private     *ecdsa.PrivateKey
	public      provenance.Key
	certificate *x509.Certificate
}

// Key is the public key.
func (s *Signer) Key() provenance.Key { return s.public }

// Certificate is what bundles have in the place of a key.
func (s *Signer) Certificate() *x509.Certificate { return s.certificate }

// Sign signs the SHA-256 of message, as [provenance.Signer] asks.
func (s *Signer) Sign(_ context.Context, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	return ecdsa.SignASN1(rand.Reader, s.private, digest[:])
}

// Format keeps the private key out of whatever is printed.
func (s *Signer) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "signer "+s.public.Fingerprint().String())
}

type request struct {
	Credentials credentials `json:"credentials"`
	// CertificateSigningRequest is PEM, as base64 since it is bytes.
	CertificateSigningRequest []byte `json:"certificateSigningRequest"`
}

type credentials struct {
	OIDCIdentityToken string `json:"oidcIdentityToken"`
}

// answer has one of two members; they differ in where the authority's promise to log the certificate is.
type answer struct {
	Embedded *chained `json:"signedCertificateEmbeddedSct"`
	Detached *chained `json:"signedCertificateDetachedSct"`
	// Message is what an error says (google.rpc.Status).
	Message string `json:"message"`
}

type chained struct {
	Chain struct {
		Certificates []string `json:"certificates"`
	} `json:"chain"`
}

// Certify makes a key and lets the authority vouch for it, for whomever the token is. The token is in no error.
func (s *Service) Certify(ctx context.Context, token string) (*Signer, error) {
	token = strings.TrimSpace(token)
	if token == "" || len(token) > maxToken {
		return nil, fmt.Errorf("identity token: expected 1 to %d bytes, got %d", maxToken, len(token))
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	public, err := provenance.NewKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(request{credentials{token}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})})
	if err != nil {
		return nil, err
	}
	got, err := s.post(ctx, body, token)
	if err != nil {
		return nil, fmt.Errorf("certificate authority %s: %w", s.service, err)
	}
	certificate, err := got.certificate(public)
	if err != nil {
		return nil, fmt.Errorf("certificate authority %s: %w", s.service, err)
	}
	return &Signer{private, public, certificate}, nil
}

func (s *Service) post(ctx context.Context, body []byte, token string) (*answer, error) {
	response, err := s.service.Post(ctx, body, "application/json", "application/json", maxAnswer)
	if err != nil {
		return nil, err
	}
	// Members that are not known are none of a client's business: the answer is not signed, and the certificate in it is.
	var got answer
	err = json.Unmarshal(response.Data, &got)
	if !response.OK() {
		said := strings.ReplaceAll(got.Message, token, "…")
		return nil, fmt.Errorf("expected status 200 or 201, got %d: it says %q", response.Status, said[:min(len(said), maxComplaint)])
	}
	if err != nil {
		return nil, errors.New("expected JSON, got something else")
	}
	return &got, nil
}

// certificate returns the first one of the chain, which is that of the key.
func (a *answer) certificate(key provenance.Key) (*x509.Certificate, error) {
	var texts []string
	switch {
	case a.Embedded != nil && a.Detached == nil:
		texts = a.Embedded.Chain.Certificates
	case a.Detached != nil && a.Embedded == nil:
		texts = a.Detached.Chain.Certificates
	}
	if len(texts) == 0 {
		return nil, errors.New("expected a chain of certificates, got none")
	}
	block, _ := pem.Decode([]byte(texts[0]))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("expected a certificate as PEM, got something else")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("expected a certificate, got something else: %w", err)
	}
	certified, err := provenance.NewKey(certificate.PublicKey)
	if err != nil || certified.Fingerprint() != key.Fingerprint() {
		return nil, errors.New("expected a certificate for the key of the request, got one for another key")
	}
	return certificate, nil
}
