package web

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/agent/metrics"
)

// Route is one method of one exact path. A GET route also answers HEAD.
type Route struct {
	Method string
	Path   string
	Handle http.HandlerFunc
}

// Traffic is the metrics of requests, shared by the sites of a process.
type Traffic struct {
	requests *metrics.Counter
	inFlight *metrics.Gauge
	latency  *metrics.Histogram
}

// NewTraffic declares the metrics of requests in set. The buckets reach from a health probe to a slow model.
func NewTraffic(set *metrics.Set) *Traffic {
	return &Traffic{
		requests: set.Counter("boardroom_http_requests_total", "HTTP requests answered.", "site", "route", "code"),
		inFlight: set.Gauge("boardroom_http_requests_in_flight", "HTTP requests being answered.", "site"),
		latency: set.Histogram("boardroom_http_request_duration_seconds", "Time to the end of the answer.",
			[]float64{0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600}, "site", "route"),
	}
}

// Site is a table of routes as an [http.Handler].
type Site struct {
	name    string
	log     *slog.Logger
	traffic *Traffic
	routes  map[string]map[string]http.HandlerFunc // by path and method
}

// NewSite makes a site. The name stands in its log lines and metrics. It panics when two routes are the same.
func NewSite(name string, log *slog.Logger, traffic *Traffic, routes ...Route) *Site {
	s := &Site{name: name, log: log, traffic: traffic, routes: map[string]map[string]http.HandlerFunc{}}
	for _, r := range routes {
		if s.routes[r.Path][r.Method] != nil {
			panic("two routes for " + r.Method + " " + r.Path)
		}
		if s.routes[r.Path] == nil {
			s.routes[r.Path] = map[string]http.HandlerFunc{}
		}
		s.routes[r.Path][r.Method] = r.Handle
	}
	return s
}

// route returns the handler of a request and the name under which it is counted: the path of a known route, else "other".
func (s *Site) route(r *http.Request) (http.HandlerFunc, string) {
	methods, known := s.routes[r.URL.Path]
	if !known {
		return func(w http.ResponseWriter, _ *http.Request) {
			Fail(w, http.StatusNotFound, "not_found", "there is no such path here")
		}, "other"
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if handle := methods[method]; handle != nil {
		return handle, r.URL.Path
	}
	allowed := slices.Sorted(maps.Keys(methods))
	if methods[http.MethodGet] != nil {
		allowed = append(allowed, http.MethodHead)
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		Fail(w, http.StatusMethodNotAllowed, "method_not_allowed", "this path takes only "+strings.Join(allowed, ", "))
	}, r.URL.Path
}

// ServeHTTP implements [http.Handler].
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handle, route := s.route(r)
	began := time.Now()
	answer := &recorder{ResponseWriter: w}
	s.traffic.inFlight.Add(1, s.name)
	defer func() {
		outcome, abort := "", false
		if cause := recover(); cause != nil {
			outcome, abort = s.panicked(answer, route, cause)
		}
		took := time.Since(began)
		s.traffic.inFlight.Add(-1, s.name)
		s.traffic.latency.Observe(took.Seconds(), s.name, route)
		s.traffic.requests.Add(s.name, route, answer.code())
		s.log.Info("request",
			"site", s.name, "method", methodLabel(r.Method), "route", route, "status", answer.status,
			"bytes", answer.bytes, "duration_ms", took.Milliseconds(), "remote", r.RemoteAddr, "outcome", outcome)
		if abort {
			panic(http.ErrAbortHandler)
		}
	}()
	header := answer.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	handle(answer, r)
}

// panicked answers with a 500 if it still can. Otherwise the connection has to be aborted, so that a cut answer does not
// look like a whole one.
func (s *Site) panicked(answer *recorder, route string, cause any) (outcome string, abort bool) {
	if cause == http.ErrAbortHandler { //nolint:errorlint // a panic value, not an error that was returned
		return "aborted", true
	}
	s.log.Error("panic in a handler", "site", s.name, "route", route, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	if answer.status != 0 {
		return "panic", true
	}
	Fail(answer, http.StatusInternalServerError, "internal_error", "the request failed inside the agent; its log says why")
	return "panic", false
}

// methodLabel keeps invented methods out of the log.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return method
	}
	return "other"
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap lets [http.ResponseController] reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(data []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(data)
	r.bytes += int64(n)
	return n, err
}

// code is the status as a label; "none" when the client left before an answer.
func (r *recorder) code() string {
	if r.status == 0 {
		return "none"
	}
	return strconv.Itoa(r.status)
}
