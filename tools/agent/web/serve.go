package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Deadlines and bounds of every server. A handler that streams moves its own write deadline.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = time.Minute     // header and body; 4 MiB in a minute is 70 kB/s
	writeTimeout      = 2 * time.Minute // from the end of the header to the end of the answer; outlasts readTimeout
	idleTimeout       = 2 * time.Minute // between requests of one connection
	maxHeaderBytes    = 32 << 10        // gateways add headers; nobody needs more
)

// Server is a site and where it listens.
type Server struct {
	Name     string
	Listener net.Listener
	Handler  http.Handler
}

// Serve answers on all listeners until ctx ends or one of them fails. Then it accepts nothing new, lets requests in flight
// finish for at most drain, cancels the contexts of those that remain and closes. The error is that of a failed listener,
// nil when ctx ended.
func Serve(ctx context.Context, log *slog.Logger, drain time.Duration, servers ...Server) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	failed := make(chan error, len(servers))
	running := make([]*http.Server, len(servers))
	var serving sync.WaitGroup
	for i, s := range servers {
		server := newServer(base, log, s)
		running[i] = server
		serving.Go(func() {
			if err := server.Serve(s.Listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s on %s: %w", s.Name, s.Listener.Addr(), err)
			}
		})
		log.Info("listening", "site", s.Name, "address", s.Listener.Addr().String())
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	log.Info("draining", "deadline", drain.String())
	deadline, cancel := context.WithTimeout(base, drain)
	defer cancel()
	var stopping sync.WaitGroup
	for i, server := range running {
		stopping.Go(func() {
			if e := server.Shutdown(deadline); e != nil {
				log.Warn("requests in flight were cut", "site", servers[i].Name, "error", e.Error())
				cut()
				server.Close()
			}
		})
	}
	stopping.Wait()
	serving.Wait()
	return err
}

func newServer(base context.Context, log *slog.Logger, s Server) *http.Server {
	return &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          slog.NewLogLogger(log.With("site", s.Name).Handler(), slog.LevelWarn),
	}
}
