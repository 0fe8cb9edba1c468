package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// maxList bounds the list of containers, in bytes.
const maxList = 4 << 20

// namePattern is what Docker takes for a container's name (daemon/names/names.go).
var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,200}$`)

// Container is a container as the engine lists it.
type Container struct {
	ID      string
	Names   []string
	Image   string
	ImageID string
	// Created is in seconds since 1970.
	Created int64
	State   string
	Status  string
}

// get asks the API. The body is for the caller to close.
func (e *Engine) get(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/v1.45"+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := e.api.Do(request)
	if err != nil {
		return nil, fmt.Errorf("container engine: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer response.Body.Close()
	var answer struct {
		Message string `json:"message"`
	}
	if json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&answer) != nil {
		answer.Message = response.Status
	}
	return nil, &StatusError{response.StatusCode, answer.Message}
}

// StatusError is an answer of the engine that is a refusal.
type StatusError struct {
	Status  int
	Message string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("container engine: status %d: %.300s", e.Status, e.Message)
}

func (e *Engine) ping(ctx context.Context) error {
	response, err := e.get(ctx, "/_ping", nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// Containers lists them, also those that have ended.
func (e *Engine) Containers(ctx context.Context) ([]Container, error) {
	response, err := e.get(ctx, "/containers/json", url.Values{"all": {"1"}})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var list []Container
	if err := json.NewDecoder(io.LimitReader(response.Body, maxList)).Decode(&list); err != nil {
		return nil, fmt.Errorf("container engine: list of containers: %w", err)
	}
	for _, c := range list {
		for i, name := range c.Names {
			c.Names[i] = strings.TrimPrefix(name, "/")
		}
	}
	return list, nil
}

// LogQuery says which part of a log is wanted.
type LogQuery struct {
	// Since and Until are seconds since 1970; zero is no bound.
	Since, Until int64
	// Tail is the number of last lines; negative is all.
	Tail       int
	Follow     bool
	Timestamps bool
}

// Logs reads the log of a container. With frames, the stream is in the form that [ReadFrame] reads; a container with a terminal has one
// channel, and its stream is that.
func (e *Engine) Logs(ctx context.Context, container string, q LogQuery) (stream io.ReadCloser, frames bool, err error) {
	if !namePattern.MatchString(container) {
		return nil, false, &StatusError{http.StatusBadRequest, fmt.Sprintf("%.80q is no name of a container", container)}
	}
	tail := "all"
	if q.Tail >= 0 {
		tail = strconv.Itoa(q.Tail)
	}
	response, err := e.get(ctx, "/containers/"+container+"/logs", url.Values{
		"stdout": {"1"}, "stderr": {"1"}, "since": {strconv.FormatInt(q.Since, 10)}, "until": {strconv.FormatInt(q.Until, 10)}, "tail": {tail},
		"follow": {strconv.FormatBool(q.Follow)}, "timestamps": {strconv.FormatBool(q.Timestamps)},
	})
	if err != nil {
		return nil, false, err
	}
	return response.Body, response.Header.Get("Content-Type") != "application/vnd.docker.raw-stream", nil
}
