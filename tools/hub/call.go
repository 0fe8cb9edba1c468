package hub

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// call sends one request to an agent, at an address that came out of a registration and nowhere else, and returns the body
// of a 200 of at most limit bytes.
func (h *Hub) call(ctx context.Context, method, url string, body []byte, limit int64) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := h.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := readAll(response.Body, limit)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		var refused web.ErrorBody
		if strictjson.Unmarshal(data, &refused) == nil && refused.Error.Code != "" {
			return nil, fmt.Errorf("the agent answered %d, %.60q: %.300q", response.StatusCode, refused.Error.Code, refused.Error.Message)
		}
		return nil, fmt.Errorf("the agent answered %d", response.StatusCode)
	}
	return data, nil
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
