package guestagent

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// DefaultSocket is where dstack mounts the guest agent in a container.
const DefaultSocket = "/var/run/dstack.sock"

// maxBody is dstack's own limit of a message, 10 MiB, in bytes.
const maxBody = 10 << 20

// ErrNoSocket means that no guest agent can be reached: the socket is absent, is something else, or nobody listens on it.
// Container engines make an empty directory in place of a missing bind mount, and that is "something else" too. It is the
// expected state outside a confidential VM.
var ErrNoSocket = errors.New("no dstack guest agent")

// AgentError is the guest agent's own refusal.
type AgentError struct {
	Method  string // RPC, such as "GetQuote"
	Status  int    // HTTP status
	Message string // dstack's text
}

func (e *AgentError) Error() string {
	return fmt.Sprintf("dstack guest agent: %s: status %d: %q", e.Method, e.Status, e.Message)
}

// Client is a client of the guest agent on a unix socket. It is safe for concurrent use and sets no deadlines of its
// own: give each call a context that has one.
type Client struct {
	socket string
	client *http.Client
}

// New returns a client for the guest agent that listens on socket. It does not connect.
func New(socket string) *Client {
	g := &Client{socket: socket}
	g.client = &http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return g.dial(ctx) },
			// Calls are rare, and a kept connection would outlive a guest agent that restarts.
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return g
}

func (g *Client) dial(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", g.socket)
	for _, absent := range []error{syscall.ENOENT, syscall.ENOTDIR, syscall.ENOTSOCK, syscall.ECONNREFUSED} {
		if errors.Is(err, absent) {
			return nil, fmt.Errorf("%w: %w", ErrNoSocket, err)
		}
	}
	return conn, err
}

// Reachable connects to the guest agent and hangs up. A nil error says that somebody listens, not that a quote can be
// made. The error wraps [ErrNoSocket] when nobody does.
func (g *Client) Reachable(ctx context.Context) error {
	conn, err := g.dial(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Quote is the answer to GetQuote. EventLog and VMConfig are kept byte for byte as the guest agent sent them.
type Quote struct {
	Quote    []byte // raw TDX quote, not verified
	EventLog string // JSON array of events
	VMConfig string // JSON object; empty before dstack 0.5.4
}

// GetQuote asks for a quote over exactly these 64 bytes. The error wraps [ErrNoSocket], is an [*AgentError], or tells what
// was wrong with the transport or the answer.
func (g *Client) GetQuote(ctx context.Context, reportData [64]byte) (Quote, error) {
	request, err := json.Marshal(map[string]string{"report_data": hex.EncodeToString(reportData[:])})
	if err != nil {
		return Quote{}, err
	}
	body, err := g.call(ctx, "GetQuote", request)
	if err != nil {
		return Quote{}, err
	}
	quote, err := parseQuote(body, reportData)
	if err != nil {
		return Quote{}, fmt.Errorf("dstack guest agent: GetQuote: %w", err)
	}
	return quote, nil
}

// call posts one JSON message and returns the JSON answer.
func (g *Client) call(ctx context.Context, method string, message []byte) ([]byte, error) {
	// The host name is not looked up: every connection goes to the socket.
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://dstack/"+method, bytes.NewReader(message))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := g.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("dstack guest agent at %s: %w", g.socket, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("dstack guest agent: %s: read the answer: %w", method, err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("dstack guest agent: %s: the answer exceeds %d bytes", method, maxBody)
	}
	if response.StatusCode != http.StatusOK {
		return nil, &AgentError{Method: method, Status: response.StatusCode, Message: errorText(body)}
	}
	return body, nil
}

// errorText returns dstack's {"error":"…"}, or what came instead, cut to a length fit for a log.
func errorText(body []byte) string {
	const limit = 512
	var answer struct {
		Error string `json:"error"`
	}
	text := string(body)
	if json.Unmarshal(body, &answer) == nil && answer.Error != "" {
		text = answer.Error
	}
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return text
}

// parseQuote reads a GetQuote answer. Members it does not know are allowed, because dstack adds some in each release
// (vm_config in 0.5.4, attestation in 0.6.0) and the guest agent is inside the same VM as its reader; repeated members and
// other spellings of known ones are not.
func parseQuote(body []byte, asked [64]byte) (Quote, error) {
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(body, &members); err != nil {
		return Quote{}, err
	}
	text := make(map[string]string, 4)
	for _, name := range []string{"quote", "event_log", "report_data", "vm_config"} {
		value, present := members[name]
		if !present {
			continue
		}
		var s string
		if err := json.Unmarshal(value, &s); err != nil {
			return Quote{}, fmt.Errorf("%s: want a string: %w", name, err)
		}
		text[name] = s
	}
	if text["quote"] == "" {
		return Quote{}, errors.New("quote: the answer has none; is this VM a TDX guest?")
	}
	quote, err := decodeHex(text["quote"])
	if err != nil {
		return Quote{}, fmt.Errorf("quote: %w", err)
	}
	if got := text["report_data"]; got != "" && got != hex.EncodeToString(asked[:]) {
		return Quote{}, fmt.Errorf("report_data: asked for %x, got %.200q", asked, got)
	}
	return Quote{Quote: quote, EventLog: text["event_log"], VMConfig: text["vm_config"]}, nil
}

// decodeHex takes the lower-case form without a prefix, the only one dstack writes.
func decodeHex(s string) ([]byte, error) {
	data, err := hex.DecodeString(s)
	if err != nil {
		return nil, err
	}
	if hex.EncodeToString(data) != s {
		return nil, errors.New("want lower-case hex")
	}
	return data, nil
}
