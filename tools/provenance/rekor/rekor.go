package rekor

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/service"
)

const (
	path = "/api/v2/log/entries"
	// maxAnswer bounds an answer: an entry, its proof, a checkpoint with the signatures of witnesses.
	maxAnswer = 1 << 20
	// maxComplaint is how much of an error message is passed on, in bytes.
	maxComplaint = 512
	// keyDetails is ECDSA on P-256 with SHA-256 (protos/sigstore_common.proto, PublicKeyDetails).
	keyDetails = "PKIX_ECDSA_P256_SHA_256"
)

// Log is one at an address.
type Log struct{ service *service.Service }

// New names a log by its address. A transport of nil is the default one.
func New(address string, transport http.RoundTripper) (*Log, error) {
	s, err := service.New("transparency log", address, path, false, transport)
	if err != nil {
		return nil, err
	}
	return &Log{s}, nil
}

type request struct {
	HashedRekord hashedRekord `json:"hashedRekordRequestV002"`
}

type hashedRekord struct {
	Digest    []byte    `json:"digest"`
	Signature signature `json:"signature"`
}

type signature struct {
	Content  []byte   `json:"content"`
	Verifier verifier `json:"verifier"`
}

type verifier struct {
	Certificate *raw   `json:"x509Certificate,omitempty"`
	PublicKey   *raw   `json:"publicKey,omitempty"`
	KeyDetails  string `json:"keyDetails"`
}

type raw struct {
	RawBytes []byte `json:"rawBytes"`
}

// Record adds a bundle's signature to the log, and the log's entry to the bundle. The key is the signer's.
func (l *Log) Record(ctx context.Context, b *provenance.Bundle, key provenance.Key) error {
	if err := l.record(ctx, b, key); err != nil {
		return fmt.Errorf("transparency log %s: %w", l.service, err)
	}
	return nil
}

func (l *Log) record(ctx context.Context, b *provenance.Bundle, key provenance.Key) error {
	digest := b.Signed()
	by := verifier{KeyDetails: keyDetails}
	if b.Certificate != nil {
		by.Certificate = &raw{b.Certificate.Raw}
	} else {
		by.PublicKey = &raw{der(key)}
	}
	body, err := json.Marshal(request{hashedRekord{digest[:], signature{b.Signature(), by}}})
	if err != nil {
		return err
	}
	answer, err := l.service.Post(ctx, body, "application/json", "application/json", maxAnswer)
	if err != nil {
		return err
	}
	if !answer.OK() {
		var said struct {
			Message string `json:"message"` // google.rpc.Status
		}
		// Whoever says nothing that can be read says nothing.
		_ = json.Unmarshal(answer.Data, &said)
		return fmt.Errorf("expected status 200 or 201, got %d: it says %q", answer.Status, said.Message[:min(len(said.Message), maxComplaint)])
	}
	return b.AddLogEntry(answer.Data, key)
}

// der is a key's SubjectPublicKeyInfo.
func der(key provenance.Key) []byte {
	block, _ := pem.Decode(key.PEM())
	return block.Bytes
}
