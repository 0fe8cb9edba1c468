package loghttp

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/transparency"
)

const (
	headerTimeout = 10 * time.Second
	// drain is how long answers that are under way may take when a server stops.
	drain = 5 * time.Second
)

// Handler serves a log's resources and nothing else. A checkpoint may be cached for a few seconds and everything else for ever; what is
// not there is not cached, because it may come.
func Handler(r transparency.Reader, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method != http.MethodGet && request.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "expected GET or HEAD", http.StatusMethodNotAllowed)
			return
		}
		resource, known := transparency.ParsePath(strings.TrimPrefix(request.URL.Path, "/"))
		if !known {
			http.Error(w, "not a resource of a log", http.StatusNotFound)
			return
		}
		data, err := read(request.Context(), r, resource)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			w.Header().Set("Cache-Control", "no-store")
			http.Error(w, "the log does not have this", http.StatusNotFound)
			return
		case err != nil:
			log.ErrorContext(request.Context(), "log: a resource could not be read", "path", resource.Path(), "error", err)
			http.Error(w, "could not be read", http.StatusInternalServerError)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if resource.Kind == transparency.CheckpointResource {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("Cache-Control", "max-age=5, must-revalidate")
		} else {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Cache-Control", "max-age=31536000, immutable")
		}
		http.ServeContent(w, request, "", time.Time{}, bytes.NewReader(data))
	})
}

func read(ctx context.Context, r transparency.Reader, resource transparency.Resource) ([]byte, error) {
	switch resource.Kind {
	case transparency.TileResource:
		return r.ReadTile(ctx, resource.Level, resource.Index, resource.Width)
	case transparency.EntryBundleResource:
		return r.ReadEntryBundle(ctx, resource.Index, resource.Width)
	default:
		return r.Checkpoint(ctx)
	}
}

// Serve serves until the context ends, and lets answers that are under way end.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := server.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	return err
}
