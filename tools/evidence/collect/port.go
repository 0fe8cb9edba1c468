package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/evidence/nonce"
)

// FromPort asks an agent's attestation port, GET base/attestation?nonce=…. The answer must have the nonce, report data that is
// the digest of the claims, and a time near ours.
func (c Collector) FromPort(ctx context.Context, base, challenge string) (Collected, error) {
	if challenge == "" {
		challenge = nonce.New()
	}
	if err := evidence.CheckNonce(challenge); err != nil {
		return Collected{}, err
	}
	body, err := c.get(ctx, base+"/attestation?nonce="+challenge)
	if err != nil {
		return Collected{}, &UnreachableError{base, err}
	}
	e, err := evidence.Parse(body)
	if err != nil {
		return Collected{}, &EvidenceError{base, err}
	}
	at := c.now()
	if err := errors.Join(e.CheckBinding(challenge), e.Claims.CheckTime(at)); err != nil {
		return Collected{}, &EvidenceError{base, err}
	}
	data, err := evidence.ReportData(e.Claims)
	if err != nil {
		return Collected{}, &EvidenceError{base, err}
	}
	return Collected{
		Source:     base,
		Evidence:   appraisal.FromDocument(e),
		ReportData: data,
		Freshness:  ByNonce,
		Nonce:      challenge,
		Claims:     &e.Claims,
		At:         at,
	}, nil
}

// get returns the body of a 200 of at most [evidence.MaxSize] bytes.
func (c Collector) get(ctx context.Context, url string) ([]byte, error) {
	if c.HTTP == nil {
		return nil, errors.New("no HTTP client to ask with")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, evidence.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("want status 200, got %d: %.300q", response.StatusCode, body)
	}
	return body, nil
}
