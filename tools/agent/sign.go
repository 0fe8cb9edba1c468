package agent

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/boardroom-tee/boardroom/tools/agent/registration"
	"github.com/boardroom-tee/boardroom/tools/agent/web"
	"github.com/boardroom-tee/boardroom/tools/evidence"
)

// maxSigned bounds an answer that is signed, in bytes: it is held back until it is whole.
const maxSigned = 1 << 20

// Signed adds to routes that who asks with a challenge gets an answer signed by the attested key, see
// [registration.Exchange]. Without the header nothing changes.
func Signed(i Identity, routes ...web.Route) []web.Route {
	signed := make([]web.Route, len(routes))
	for n, route := range routes {
		signed[n] = web.Route{Method: route.Method, Path: route.Path, Handle: func(w http.ResponseWriter, r *http.Request) {
			challenges := r.Header.Values(registration.ChallengeHeader)
			if len(challenges) == 0 {
				route.Handle(w, r)
				return
			}
			if len(challenges) > 1 || evidence.CheckNonce(challenges[0]) != nil {
				web.Fail(w, http.StatusBadRequest, "bad_challenge",
					registration.ChallengeHeader+": want one nonce, 16 to 64 random bytes in lower-case hex")
				return
			}
			answerSigned(w, r, i, route.Handle, challenges[0])
		}}
	}
	return signed
}

// answerSigned lets the handler answer into memory, signs what came of it with the question that the handler read, and sends
// both. A handler that aborts answers nothing.
func answerSigned(w http.ResponseWriter, r *http.Request, i Identity, handle http.HandlerFunc, challenge string) {
	held := &heldAnswer{ResponseWriter: w, status: http.StatusOK}
	var question bytes.Buffer
	r.Body = teeBody{io.TeeReader(r.Body, &question), r.Body}
	handle(held, r)
	if held.overflow {
		w.Header().Del("Content-Type")
		web.Fail(w, http.StatusBadGateway, "answer_too_large", fmt.Sprintf("the answer exceeds %d bytes, more than is signed", maxSigned))
		return
	}
	x := registration.Exchange{
		Challenge: challenge, Path: r.URL.Path, Question: question.Bytes(), Status: held.status, Answer: held.body.Bytes(),
	}
	signature, err := x.Sign(i.Public, i.Sign)
	if err != nil {
		panic(fmt.Errorf("sign a checked exchange: %w", err))
	}
	w.Header().Set(registration.SignatureHeader, signature)
	w.WriteHeader(held.status)
	w.Write(held.body.Bytes())
}

// teeBody is a request body whose reader is another.
type teeBody struct {
	io.Reader
	io.Closer
}

// heldAnswer keeps status and body back. Headers and deadlines go to the connection.
type heldAnswer struct {
	http.ResponseWriter
	status   int
	body     bytes.Buffer
	overflow bool
}

func (h *heldAnswer) WriteHeader(status int) { h.status = status }

func (h *heldAnswer) Write(p []byte) (int, error) {
	if h.body.Len()+len(p) > maxSigned {
		h.overflow = true
		return 0, fmt.Errorf("the answer exceeds %d bytes, more than is signed", maxSigned)
	}
	return h.body.Write(p)
}

// FlushError does nothing: [http.ResponseController] would otherwise unwrap and flush the connection.
func (h *heldAnswer) FlushError() error { return nil }

// Unwrap is for [http.ResponseController], which sets deadlines.
func (h *heldAnswer) Unwrap() http.ResponseWriter { return h.ResponseWriter }
