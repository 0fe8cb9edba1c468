package timestamp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net/http"

	"github.com/boardroom-tee/boardroom/tools/provenance"
	"github.com/boardroom-tee/boardroom/tools/provenance/service"
)

const (
	// maxAnswer bounds an answer, in bytes, as package provenance does.
	maxAnswer = 64 << 10
	// nonceBits is what makes an answer one to this question.
	nonceBits = 64
)

// The media types of RFC 3161 section 3.4.
const (
	queryType = "application/timestamp-query"
	replyType = "application/timestamp-reply"
)

var oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1} // RFC 5754 section 2

// request is TimeStampReq of RFC 3161 section 2.4.1.
type request struct {
	Version int
	Imprint struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
	Nonce       *big.Int
	Certificate bool
}

// Authority is one at an address.
type Authority struct{ service *service.Service }

// New names an authority by its address with its path, such as https://timestamp.example/api/v1/timestamp. A transport of nil is the default
// one.
func New(address string, transport http.RoundTripper) (*Authority, error) {
	s, err := service.New("timestamp authority", address, "", false, transport)
	if err != nil {
		return nil, err
	}
	return &Authority{s}, nil
}

// Stamp returns the authority's response over message, as bundles have it.
func (a *Authority) Stamp(ctx context.Context, message []byte) ([]byte, error) {
	response, err := a.stamp(ctx, message)
	if err != nil {
		return nil, fmt.Errorf("timestamp authority %s: %w", a.service, err)
	}
	return response, nil
}

func (a *Authority) stamp(ctx context.Context, message []byte) ([]byte, error) {
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), nonceBits))
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(message)
	// With the certificate, the timestamp is whole, also for whoever has only the authority's root.
	q := request{Version: 1, Nonce: nonce, Certificate: true}
	q.Imprint.Algorithm, q.Imprint.Digest = pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}, digest[:]
	body, err := asn1.Marshal(q)
	if err != nil {
		return nil, err
	}
	answer, err := a.service.Post(ctx, body, queryType, replyType, maxAnswer)
	if err != nil {
		return nil, err
	}
	if !answer.OK() {
		return nil, fmt.Errorf("expected status 200 or 201, got %d", answer.Status)
	}
	stamped, err := provenance.ParseTimestamp(answer.Data)
	if err != nil {
		return nil, err
	}
	if !stamped.Covers(message) {
		return nil, errors.New("expected a timestamp of what was sent, got one of something else")
	}
	if stamped.Nonce() == nil || stamped.Nonce().Cmp(nonce) != 0 {
		return nil, errors.New("expected the nonce that was sent, got another one or none")
	}
	return answer.Data, nil
}
