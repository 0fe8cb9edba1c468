package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
)

// maxMessage bounds an error message in bytes, so that what a stranger sent cannot come back at length.
const maxMessage = 1024

// JSON answers with status and v as JSON.
func JSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		// Only a defect in this program gets here; the caller's panic handling turns it into a 500 and a log line.
		panic(fmt.Errorf("encode a response: %w", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// ErrorBody is the JSON of every refusal.
type ErrorBody struct {
	Error ErrorDetail `json:"error"`
}

// ErrorDetail says what went wrong: Message for people, Type as in the OpenAI API, Code stable for programs.
type ErrorDetail struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Code    string `json:"code"`
}

// Fail answers with an error.
func Fail(w http.ResponseWriter, status int, code, message string) {
	kind := "invalid_request_error"
	if status >= 500 {
		kind = "server_error"
	}
	if len(message) > maxMessage {
		message = message[:maxMessage] + "…"
	}
	JSON(w, status, ErrorBody{ErrorDetail{Message: message, Type: kind, Code: code}})
}

// ReadBody reads a JSON request body of at most limit bytes. When that fails it answers, with 415, 413, 408 or 400, and
// returns false.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, bool) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		Fail(w, http.StatusUnsupportedMediaType, "unsupported_media_type", "the Content-Type must be application/json")
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return body, true
	case errors.As(err, &tooLarge):
		Fail(w, http.StatusRequestEntityTooLarge, "request_too_large", fmt.Sprintf("the request body exceeds %d bytes", limit))
	case errors.Is(err, os.ErrDeadlineExceeded):
		Fail(w, http.StatusRequestTimeout, "request_timeout", "the request body did not arrive in time")
	default:
		Fail(w, http.StatusBadRequest, "bad_body", "the request body could not be read")
	}
	return nil, false
}
