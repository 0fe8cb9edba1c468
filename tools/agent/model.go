package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent/metrics"
	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
)

// ModelLimits bounds what passes through to the model and how long it may take.
type ModelLimits struct {
	Requests      int           // at once
	RequestBytes  int64         // body of one request
	ResponseBytes int64         // body of one answer
	Total         time.Duration // of one answer, its beginning included
	Idle          time.Duration // between two pieces of one answer, once it has begun
	Stall         time.Duration // for the client to take one piece
}

// DefaultModelLimits fits a model of 7 billion parameters on CPUs: a few tokens a second, and minutes of reading a long
// prompt before the first one. 32 requests of 4 MiB are 128 MiB, well inside the smallest limit of the deployment guide.
var DefaultModelLimits = ModelLimits{
	Requests:      32,
	RequestBytes:  4 << 20,
	ResponseBytes: 64 << 20,
	Total:         10 * time.Minute,
	Idle:          2 * time.Minute,
	Stall:         30 * time.Second,
}

// States of the model endpoint.
const (
	ModelUnset       = "unset"
	ModelReachable   = "reachable"
	ModelUnreachable = "unreachable"
)

// ModelEndpoint says whether a model server is there to be asked.
type ModelEndpoint struct {
	State  string `json:"state"` // one of the constants above
	Reason string `json:"reason,omitempty"`
}

// Model passes OpenAI-compatible requests to the model server.
type Model struct {
	endpoint registration.Endpoint
	limits   ModelLimits
	client   *http.Client
	slots    web.Slots
	log      *slog.Logger
	failures *metrics.Counter

	mu      sync.Mutex // of the cached state
	checked time.Time
	state   ModelEndpoint
}

// NewModel returns a pass-through to endpoint, which may be zero: then every request is refused with the reason.
func NewModel(endpoint registration.Endpoint, limits ModelLimits, log *slog.Logger, set *metrics.Set) *Model {
	return &Model{
		endpoint: endpoint,
		limits:   limits,
		client:   web.NewClient(nil),
		slots:    web.NewSlots(limits.Requests),
		log:      log,
		failures: set.Counter("boardroom_model_errors_total", "Requests that the model server did not answer well.", "reason"),
	}
}

// Routes returns the routes that reach the model.
func (m *Model) Routes() []web.Route {
	return []web.Route{
		{Method: http.MethodGet, Path: "/v1/models", Handle: m.bounded(func(w http.ResponseWriter, r *http.Request) {
			m.pass(w, r, http.MethodGet, nil)
		})},
		{Method: http.MethodPost, Path: "/v1/chat/completions", Handle: m.bounded(func(w http.ResponseWriter, r *http.Request) {
			if body, ok := web.ReadBody(w, r, m.limits.RequestBytes); ok {
				m.pass(w, r, http.MethodPost, body)
			}
		})},
	}
}

// bounded lets only so many requests in at once. It stands before the body is read, and so bounds that memory, too.
func (m *Model) bounded(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !m.slots.Enter() {
			w.Header().Set("Retry-After", "1")
			m.fail(w, http.StatusServiceUnavailable, "busy", "the agent already has as many requests as it takes")
			return
		}
		defer m.slots.Leave()
		handle(w, r)
	}
}

// fail answers and counts.
func (m *Model) fail(w http.ResponseWriter, status int, code, message string) {
	m.failures.Add(code)
	web.Fail(w, status, code, message)
}

// Causes of a pass-through that this side ends.
var (
	errTotal  = errors.New("the answer took too long")
	errIdle   = errors.New("the model server stopped in the middle of an answer")
	errSize   = errors.New("the answer is too large")
	errClient = errors.New("the client takes no more")
)

// pass sends the request on and streams the answer back. Only the content type and what is accepted go to the model server,
// and only the status, the content type and the body come back: no credentials, cookies, addresses or hop-by-hop headers.
func (m *Model) pass(w http.ResponseWriter, r *http.Request, method string, body []byte) {
	if m.endpoint.IsZero() {
		m.fail(w, http.StatusServiceUnavailable, "model_unset", "MODEL_ENDPOINT is not set: this agent has no model server to ask")
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer time.AfterFunc(m.limits.Total, func() { cancel(errTotal) }).Stop()
	connection := http.NewResponseController(w)
	connection.SetWriteDeadline(time.Now().Add(m.limits.Total + m.limits.Stall))

	request, err := http.NewRequestWithContext(ctx, method, m.endpoint.At(r.URL.Path), bytes.NewReader(body))
	if err != nil {
		panic(fmt.Errorf("a request to a checked endpoint: %w", err))
	}
	request.Header.Set("User-Agent", "boardroom-agent/"+Version)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if accept := r.Header.Get("Accept"); accept != "" && len(accept) <= 256 {
		request.Header.Set("Accept", accept)
	}
	response, err := m.client.Do(request)
	if err != nil {
		m.unanswered(w, r, ctx, err)
		return
	}
	defer response.Body.Close()
	if status, code, why := m.unusable(response); status != 0 {
		m.log.Warn("model server", "code", code, "error", why)
		m.fail(w, status, code, why)
		return
	}
	if kind := response.Header.Get("Content-Type"); kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	w.WriteHeader(response.StatusCode)
	if err := m.stream(w, connection, response.Body, cancel); err != nil {
		code := reason(r, context.Cause(ctx), err)
		m.failures.Add(code)
		m.log.Warn("model answer was cut", "code", code, "error", err.Error())
		// The status is out; only a broken connection tells the client that this is not the end.
		panic(http.ErrAbortHandler)
	}
}

// unanswered answers for a model server that did not.
func (m *Model) unanswered(w http.ResponseWriter, r *http.Request, ctx context.Context, err error) {
	code := reason(r, context.Cause(ctx), err)
	m.log.Warn("model server", "code", code, "error", err.Error())
	switch code {
	case "client_left":
		m.failures.Add(code)
		panic(http.ErrAbortHandler)
	case "model_unreachable":
		w.Header().Set("Retry-After", "5")
		m.fail(w, http.StatusServiceUnavailable, code, "nobody answers at MODEL_ENDPOINT; the model server may still be starting")
	case "model_timeout":
		m.fail(w, http.StatusGatewayTimeout, code, fmt.Sprintf("the model server did not answer within %v", m.limits.Total))
	default:
		m.fail(w, http.StatusBadGateway, code, "the connection to the model server broke before it answered")
	}
}

// reason names why a pass-through ended early, from the error it met and the cause that its context had by then.
func reason(r *http.Request, cause, err error) string {
	switch {
	case r.Context().Err() != nil, errors.Is(err, errClient):
		return "client_left"
	case errors.Is(cause, errTotal), errors.Is(cause, errIdle):
		return "model_timeout"
	case errors.Is(err, errSize):
		return "model_too_large"
	case web.Unconnected(err):
		return "model_unreachable"
	default:
		return "model_broken"
	}
}

// unusable returns an error status for an answer that must not go to the client as it is, else zero.
func (m *Model) unusable(response *http.Response) (status int, code, why string) {
	switch {
	case response.StatusCode == http.StatusServiceUnavailable:
		return http.StatusServiceUnavailable, "model_not_ready", "the model server is not ready: it answered 503"
	case response.StatusCode >= 500:
		return http.StatusBadGateway, "model_error", fmt.Sprintf("the model server answered %d", response.StatusCode)
	case response.StatusCode < 200, response.StatusCode >= 300 && response.StatusCode < 400:
		return http.StatusBadGateway, "model_redirect", fmt.Sprintf("the model server answered %d; redirects are not followed", response.StatusCode)
	case response.Header.Get("Content-Encoding") != "":
		return http.StatusBadGateway, "model_encoding", "the model server sent an encoded answer that nobody asked for"
	case response.ContentLength > m.limits.ResponseBytes:
		return http.StatusBadGateway, "model_too_large", fmt.Sprintf("the model server's answer exceeds %d bytes", m.limits.ResponseBytes)
	}
	return 0, "", ""
}

// stream copies the answer piece by piece, each flushed as it comes, which is what server-sent events need. It gives up on
// a model server that falls silent, a client that does not read, and an answer without end.
func (m *Model) stream(w http.ResponseWriter, connection *http.ResponseController, body io.Reader, cancel context.CancelCauseFunc) error {
	idle := time.AfterFunc(m.limits.Idle, func() { cancel(errIdle) })
	defer idle.Stop()
	piece := make([]byte, 32<<10)
	var sent int64
	for {
		n, err := body.Read(piece)
		if sent += int64(n); sent > m.limits.ResponseBytes {
			return errSize
		}
		connection.SetWriteDeadline(time.Now().Add(m.limits.Stall))
		if n > 0 {
			if _, err := w.Write(piece[:n]); err != nil {
				return fmt.Errorf("%w: %w", errClient, err)
			}
			if err := connection.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return fmt.Errorf("%w: %w", errClient, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from the model server: %w", err)
		}
		idle.Reset(m.limits.Idle)
	}
}

// stateAge is how long a look at the model server counts, so that health checks are no load on it.
const stateAge = 2 * time.Second

// State says whether somebody listens at the model endpoint. It connects and hangs up; a model that listens and does not
// answer shows in the answers.
func (m *Model) State(ctx context.Context) ModelEndpoint {
	if m.endpoint.IsZero() {
		return ModelEndpoint{State: ModelUnset, Reason: "MODEL_ENDPOINT is not set"}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state.State != "" && time.Since(m.checked) < stateAge {
		return m.state
	}
	// Not the caller's context: its end says nothing about the model server, and the answer is kept for others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", m.endpoint.HostPort())
	if err != nil {
		m.state = ModelEndpoint{State: ModelUnreachable, Reason: err.Error()}
	} else {
		conn.Close()
		m.state = ModelEndpoint{State: ModelReachable}
	}
	m.checked = time.Now()
	return m.state
}
