package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/evidence"
	"github.com/boardroom-tee/boardroom/tools/strictjson"
)

// Bounds of asking. A model on CPUs writes a few tokens a second, so an answer takes minutes.
const (
	questionsAtOnce = 16
	callsAtOnce     = 16
	maxQuestion     = 1 << 20 // bytes of one request
	maxMessages     = 256
	maxReply        = 1 << 20 // bytes of one agent's answer
	callTimeout     = 2 * time.Minute
	askTimeout      = 5 * time.Minute // all agents together
	deliverTimeout  = 30 * time.Second
)

// Status of one agent's answer.
const (
	StatusOK      = "ok"
	StatusError   = "error"
	StatusTimeout = "timeout"
)

// Answers is the JSON of POST /v1/ask: one answer for each agent that was meant, whatever came of it.
type Answers struct {
	To      string   `json:"to"`
	Answers []Answer `json:"answers"` // by agent id
}

// Answer is what one agent said, or why it did not.
type Answer struct {
	AgentID   string `json:"agent_id"`
	Type      string `json:"type"`
	Verified  bool   `json:"verified"`  // a verifier accepted the agent's evidence, and the key in it signed this answer
	Simulated bool   `json:"simulated"` // the verifier's trust root is not Intel's: this is no hardware
	Status    string `json:"status"`    // one of the constants above
	Answer    string `json:"answer,omitempty"`
	Error     string `json:"error,omitempty"`
	ElapsedMS int64  `json:"elapsed_ms"`
}

// question is a parsed request: to whom, and OpenAI messages.
type question struct {
	to       string
	messages json.RawMessage
}

// parseQuestion reads a request strictly: "to", and exactly one of "question" and "messages". Messages are passed on as they
// came; each must be an object with a role and content.
func parseQuestion(body []byte) (question, error) {
	var wire struct {
		To       string          `json:"to"`
		Question string          `json:"question"`
		Messages json.RawMessage `json:"messages"`
	}
	if err := strictjson.Unmarshal(body, &wire); err != nil {
		return question{}, err
	}
	if evidence.CheckAgentType(wire.To) != nil {
		return question{}, fmt.Errorf("to: want an agent type such as finance, or %q, got %.80q", agent.AllTypes, wire.To)
	}
	if (wire.Question == "") == (wire.Messages == nil) {
		return question{}, errors.New("want exactly one of question and messages")
	}
	if wire.Question != "" {
		messages, err := json.Marshal([]map[string]string{{"role": "user", "content": wire.Question}})
		return question{wire.To, messages}, err
	}
	var messages []map[string]json.RawMessage
	if err := strictjson.Unmarshal(wire.Messages, &messages); err != nil {
		return question{}, fmt.Errorf("messages: %w", err)
	}
	if len(messages) == 0 || len(messages) > maxMessages {
		return question{}, fmt.Errorf("messages: want 1 to %d, got %d", maxMessages, len(messages))
	}
	for i, m := range messages {
		var role string
		if json.Unmarshal(m["role"], &role) != nil || role == "" {
			return question{}, fmt.Errorf("messages[%d].role: want a string such as user", i)
		}
		if m["content"] == nil {
			return question{}, fmt.Errorf("messages[%d].content: is missing", i)
		}
	}
	return question{wire.To, wire.Messages}, nil
}

func (h *Hub) ask(w http.ResponseWriter, r *http.Request) {
	if !h.asking.Enter() {
		w.Header().Set("Retry-After", "5")
		web.Fail(w, http.StatusServiceUnavailable, "busy", "the hub is passing on as many questions as it takes")
		return
	}
	defer h.asking.Leave()
	body, ok := web.ReadBody(w, r, maxQuestion)
	if !ok {
		return
	}
	q, err := parseQuestion(body)
	if err != nil {
		web.Fail(w, http.StatusBadRequest, "malformed", err.Error())
		return
	}
	agents, status, err := h.addressees(q.to)
	if err != nil {
		code := "no_agents"
		if status == http.StatusNotFound {
			code = "no_such_agent"
		}
		web.Fail(w, status, code, err.Error())
		return
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(askTimeout + deliverTimeout))
	result := Answers{To: q.to, Answers: h.collect(r.Context(), agents, q.messages)}
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody is left to answer
	}
	status = http.StatusBadGateway
	for _, a := range result.Answers {
		if a.Status == StatusOK {
			status = http.StatusOK
		}
	}
	web.JSON(w, status, result)
}

// addressees returns the agents that a question goes to, or a status and the reason why it goes to none.
func (h *Hub) addressees(to string) ([]member, int, error) {
	live := h.liveAgents()
	if len(live) == 0 {
		return nil, http.StatusServiceUnavailable, errors.New("no agent is registered with this hub and passes its checks")
	}
	if to == agent.AllTypes {
		return live, 0, nil
	}
	one, found := h.registry.pick(h.now(), to)
	if !found {
		return nil, http.StatusNotFound, fmt.Errorf("no agent of the type %q is registered and passes its checks", to)
	}
	return []member{one}, 0, nil
}

// collect asks all agents at once, as far as slots go, and returns one answer for each, in order.
func (h *Hub) collect(ctx context.Context, agents []member, messages json.RawMessage) []Answer {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answers := make([]Answer, len(agents))
	var asking sync.WaitGroup
	for i, m := range agents {
		asking.Go(func() {
			answers[i] = h.askOne(ctx, m, messages)
			h.answers.Add(answers[i].Status)
		})
	}
	asking.Wait()
	return answers
}

// askOne asks one agent. It always returns an answer, if only the reason why there is none.
func (h *Hub) askOne(ctx context.Context, m member, messages json.RawMessage) Answer {
	began := h.now()
	a := Answer{AgentID: m.Claims.AgentID, Type: m.Claims.AgentType, Verified: m.found.Verified, Simulated: m.found.Simulated, Status: StatusOK}
	text, err := h.complete(ctx, m, messages)
	a.ElapsedMS = h.now().Sub(began).Milliseconds()
	switch {
	case err == nil:
		a.Answer = text
	case errors.Is(err, context.DeadlineExceeded):
		a.Status, a.Error = StatusTimeout, fmt.Sprintf("no answer within %v", time.Duration(a.ElapsedMS)*time.Millisecond)
	default:
		a.Status, a.Error = StatusError, err.Error()
	}
	if err != nil {
		h.log.Warn("agent did not answer", "agent_id", a.AgentID, "status", a.Status, "error", err.Error())
	}
	return a
}

// complete asks the agent's model for one completion.
func (h *Hub) complete(ctx context.Context, m member, messages json.RawMessage) (string, error) {
	if err := h.calling.Wait(ctx); err != nil {
		return "", fmt.Errorf("wait for a turn: %w", err)
	}
	defer h.calling.Leave()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := json.Marshal(struct {
		Model    string          `json:"model"`
		Messages json.RawMessage `json:"messages"`
		Stream   bool            `json:"stream"`
	}{m.Model, messages, false})
	if err != nil {
		return "", err
	}
	body, err := h.question(ctx, m, request)
	if err != nil {
		return "", err
	}
	return parseCompletion(body)
}

// parseCompletion returns choices[0].message.content of a chat completion. Model servers add members of their own, so
// unknown ones are allowed; repeated ones and other spellings are not.
func parseCompletion(body []byte) (string, error) {
	var completion map[string]json.RawMessage
	if err := strictjson.Unmarshal(body, &completion); err != nil {
		return "", fmt.Errorf("the agent's answer: %w", err)
	}
	var choices []map[string]json.RawMessage
	if err := json.Unmarshal(completion["choices"], &choices); err != nil || len(choices) == 0 {
		return "", errors.New("the agent's answer: choices: want a list with at least one")
	}
	var message map[string]json.RawMessage
	if err := json.Unmarshal(choices[0]["message"], &message); err != nil {
		return "", errors.New("the agent's answer: choices[0].message: want an object")
	}
	var content *string
	if err := json.Unmarshal(message["content"], &content); err != nil || content == nil {
		return "", errors.New("the agent's answer: choices[0].message.content: want a string")
	}
	return *content, nil
}
