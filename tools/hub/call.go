package hub

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"

	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/evidence/nonce"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// completions is where an agent's model is asked, below the address of its API.
const completions = "/v1/chat/completions"

// question asks an agent under a fresh challenge and returns the answer only if the key that registered signed it.
func (h *Hub) question(ctx context.Context, m member, body []byte) ([]byte, error) {
	challenge := nonce.New()
	header := http.Header{registration.ChallengeHeader: {challenge}}
	answer, err := h.call(ctx, http.MethodPost, m.Endpoints.API+completions, header, body, maxReply)
	if err != nil {
		return nil, err
	}
	// The path that the agent sees may be shorter than the one asked for, where a proxy in front of it takes a prefix away.
	x := registration.Exchange{Challenge: challenge, Path: completions, Question: body, Status: http.StatusOK, Answer: answer.body}
	if err := x.Check(m.Claims.PublicKey, answer.header.Get(registration.SignatureHeader)); err != nil {
		return nil, err
	}
	return answer.body, nil
}

// answer is an agent's.
type answer struct {
	header http.Header
	body   []byte
}

// call sends one request to an agent, at an address that came out of a registration and nowhere else, and returns the
// answer if it is a 200 of at most limit bytes.
func (h *Hub) call(ctx context.Context, method, url string, header http.Header, body []byte, limit int64) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	maps.Copy(request.Header, header)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := h.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	data, err := readAll(response.Body, limit)
	if err != nil {
		return answer{}, err
	}
	if response.StatusCode != http.StatusOK {
		var refused web.ErrorBody
		if strictjson.Unmarshal(data, &refused) == nil && refused.Error.Code != "" {
			return answer{}, fmt.Errorf("the agent answered %d, %.60q: %.300q", response.StatusCode, refused.Error.Code, refused.Error.Message)
		}
		return answer{}, fmt.Errorf("the agent answered %d", response.StatusCode)
	}
	return answer{response.Header, data}, nil
}

// readAll reads a body of at most limit bytes.
func readAll(body io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read the agent's answer: %w", err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("the agent's answer exceeds %d bytes", limit)
	}
	return data, nil
}
