package web

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipeListener hands out in-memory connections, so that a server runs under synctest's clock.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (l *pipeListener) dial(t *testing.T) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	l.conns <- server
	t.Cleanup(func() { client.Close() })
	return client
}

var silent = slog.New(slog.DiscardHandler)

const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

func TestDrainFinishesRequestsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipeListener()
		entered, release := make(chan struct{}), make(chan struct{})
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(entered)
			<-release
			if r.Context().Err() != nil {
				t.Error("the request was canceled while draining")
			}
			io.WriteString(w, "done")
		})
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- Serve(ctx, silent, 10*time.Second, Server{"api", listener, handler}) }()
		conn := listener.dial(t)
		go io.WriteString(conn, get)
		<-entered
		stop()
		time.Sleep(5 * time.Second) // synctest's clock: the drain has begun and is not over
		select {
		case err := <-served:
			t.Fatalf("Serve returned %v with a request in flight", err)
		case <-listener.done:
		}
		close(release)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != "done" {
			t.Errorf("answer %q, %v", body, err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestDrainCutsWhatOutlivesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipeListener()
		entered, left := make(chan struct{}), make(chan struct{})
		handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
			close(left)
		})
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- Serve(ctx, silent, 10*time.Second, Server{"api", listener, handler}) }()
		go io.WriteString(listener.dial(t), get)
		<-entered
		stop()
		began := time.Now()
		<-left
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("the request was canceled after %v, want the drain deadline", took)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

func TestServeReportsAFailedListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, bad := newPipeListener(), newPipeListener()
		bad.Close()
		err := Serve(t.Context(), silent, time.Second,
			Server{"api", good, http.NotFoundHandler()}, Server{"attestation", bad, http.NotFoundHandler()})
		if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "attestation") {
			t.Errorf("error %v, want net.ErrClosed of the attestation listener", err)
		}
	})
}

// TestSlowHandlerOutlivesReadDeadline guards what answers of minutes rest on: once the body is read, net/http lifts the
// read deadline, which would otherwise end the request as if the client had left.
func TestSlowHandlerOutlivesReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipeListener()
		site, _, _ := testSite(Route{"POST", "/", func(w http.ResponseWriter, r *http.Request) {
			if _, ok := ReadBody(w, r, 8); !ok {
				return
			}
			http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour))
			select {
			case <-r.Context().Done():
				t.Errorf("canceled: %v", context.Cause(r.Context()))
			case <-time.After(10 * readTimeout):
			}
			io.WriteString(w, "late")
		}})
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- Serve(ctx, silent, time.Second, Server{"api", listener, site}) }()
		conn := listener.dial(t)
		go io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != "late" {
			t.Errorf("answer %q, %v", body, err)
		}
		stop()
		<-served
	})
}

func TestSlowBodyIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := newPipeListener()
		site, _, _ := testSite(Route{"POST", "/", func(w http.ResponseWriter, r *http.Request) {
			if _, ok := ReadBody(w, r, 8); ok {
				t.Error("half a body was accepted")
			}
		}})
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- Serve(ctx, silent, time.Second, Server{"api", listener, site}) }()
		conn := listener.dial(t)
		go io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusRequestTimeout {
			t.Errorf("status %d, want 408", response.StatusCode)
		}
		stop()
		<-served
	})
}
