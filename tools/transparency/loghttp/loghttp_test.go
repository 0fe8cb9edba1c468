package loghttp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/transparency"
	"github.com/boardroom-tee/boardroom/tools/transparency/logdir"
	"github.com/boardroom-tee/boardroom/tools/transparency/loghttp"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const vectors = "../testdata/tessera"

var policy = transparency.Policy{
	Origin: "example.com/log/testdata",
	Key:    "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx",
}

func reader(t *testing.T) *logdir.Reader {
	t.Helper()
	r, err := logdir.Open(vectors)
	check(t, err)
	t.Cleanup(r.Close)
	return r
}

func client(t *testing.T, address string) *loghttp.Client {
	t.Helper()
	c, err := loghttp.NewClient(address, http.DefaultTransport)
	check(t, err)
	return c
}

// A log that is served can be read, and is the same.
func TestServedLog(t *testing.T) {
	server := httptest.NewServer(loghttp.Handler(reader(t), slog.New(slog.DiscardHandler)))
	defer server.Close()
	for _, address := range []string{server.URL, server.URL + "/"} {
		var m transparency.Memory
		tree, _, err := transparency.Follow(t.Context(), &m, policy, client(t, address))
		check(t, err)
		check(t, tree.Check(t.Context()))
		if tree.Head().Size != 15 {
			t.Errorf("the tree has %d entries, want 15", tree.Head().Size)
		}
	}
	if _, err := client(t, server.URL).ReadTile(t.Context(), 0, 1, 256); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want that there is none", err)
	}
	if _, err := client(t, server.URL+"/elsewhere").Checkpoint(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want that there is none", err)
	}
}

// failing is a log on a disk that is broken.
type failing struct{ transparency.Reader }

func (failing) Checkpoint(context.Context) ([]byte, error) {
	return nil, errors.New("secret path /srv/log")
}

func TestHandler(t *testing.T) {
	var logged bytes.Buffer
	handler := loghttp.Handler(reader(t), slog.New(slog.DiscardHandler))
	broken := loghttp.Handler(failing{reader(t)}, slog.New(slog.NewTextHandler(&logged, nil)))
	const always, never = "max-age=31536000, immutable", "no-store"
	tests := []struct {
		method, path string
		handler      http.Handler
		status       int
		kind, cache  string
	}{
		{"GET", "/checkpoint", handler, 200, "text/plain; charset=utf-8", "max-age=5, must-revalidate"},
		{"HEAD", "/checkpoint", handler, 200, "text/plain; charset=utf-8", "max-age=5, must-revalidate"},
		{"GET", "/tile/0/000.p/15", handler, 200, "application/octet-stream", always},
		{"GET", "/tile/entries/000.p/3", handler, 200, "application/octet-stream", always},
		{"GET", "/tile/0/000", handler, 404, "text/plain; charset=utf-8", never},
		{"GET", "/", handler, 404, "text/plain; charset=utf-8", ""},
		{"GET", "/checkpoint.3", handler, 404, "text/plain; charset=utf-8", ""},
		{"GET", "/.state/treeState", handler, 404, "text/plain; charset=utf-8", ""},
		{"GET", "/../../memory.go", handler, 404, "text/plain; charset=utf-8", ""},
		{"GET", "/tile/0/%2e%2e/checkpoint", handler, 404, "text/plain; charset=utf-8", ""},
		{"POST", "/checkpoint", handler, 405, "text/plain; charset=utf-8", ""},
		{"PUT", "/tile/0/000.p/15", handler, 405, "text/plain; charset=utf-8", ""},
		{"GET", "/checkpoint", broken, 500, "text/plain; charset=utf-8", ""},
	}
	for _, tt := range tests {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			w := httptest.NewRecorder()
			tt.handler.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
			if w.Code != tt.status || w.Header().Get("Content-Type") != tt.kind || w.Header().Get("Cache-Control") != tt.cache {
				t.Errorf("got %d, %q, %q; want %d, %q, %q", w.Code, w.Header().Get("Content-Type"), w.Header().Get("Cache-Control"), tt.status, tt.kind, tt.cache)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("the answer tells %q", w.Body)
			}
			if tt.method == "HEAD" && w.Body.Len() > 0 {
				t.Errorf("HEAD has a body of %d bytes", w.Body.Len())
			}
		})
	}
	if !strings.Contains(logged.String(), "secret path") {
		t.Errorf("the operator is told %q", &logged)
	}
}

// What a server can answer to a client.
func TestClientRefuses(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("hello")) }))
	defer other.Close()
	var answer http.HandlerFunc
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer server.Close()
	zipped := func(content []byte) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, err := z.Write(content)
		check(t, errors.Join(err, z.Close()))
		return b.Bytes()
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   string // "" for an error
	}{
		{"plain", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "head") }, "head"},
		{"compressed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(zipped([]byte("head")))
		}, "head"},
		{"moved within the host", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/moved" {
				io.WriteString(w, "head")
				return
			}
			http.Redirect(w, r, "/moved", http.StatusFound)
		}, "head"},
		{"moved elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) }, ""},
		{"moved for ever", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) }, ""},
		{"forbidden", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, ""},
		{"too long", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, transparency.MaxCheckpoint+1)) }, ""},
		{"too long when unpacked", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(zipped(make([]byte, 100<<20)))
		}, ""},
		{"compressed and broken", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, "head")
		}, ""},
		{"compressed in another way", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			io.WriteString(w, "head")
		}, ""},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, "head")
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer = tt.answer
			data, err := client(t, server.URL).Checkpoint(t.Context())
			if (err == nil) != (tt.want != "") || string(data) != tt.want {
				t.Errorf("got %d bytes: %v; want %q", len(data), err, tt.want)
			}
			if errors.Is(err, fs.ErrNotExist) {
				t.Error("what is not right is taken for what is not there")
			}
		})
	}
	for _, address := range []string{"", "log", "ftp://example.com/log", "https://", "https://user:secret@example.com", "https://example.com/?a=b", "https://example.com/#a"} {
		if _, err := loghttp.NewClient(address, nil); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error is %v", address, err)
		}
	}
}

// Serving ends with the context, after what was asked is answered.
func TestServeStops(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	asked, proceed := make(chan struct{}), make(chan struct{})
	slow := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-proceed
		io.WriteString(w, "head")
	})
	ended := make(chan error, 1)
	go func() { ended <- loghttp.Serve(ctx, listener, slow) }()
	answered := make(chan string, 1)
	go func() {
		data, err := client(t, "http://"+listener.Addr().String()).Checkpoint(context.WithoutCancel(ctx))
		if err != nil {
			data = []byte(err.Error())
		}
		answered <- string(data)
	}()
	<-asked
	stop()
	close(proceed)
	if got := <-answered; got != "head" {
		t.Errorf("the answer under way is %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", listener.Addr().String()); err == nil {
		conn.Close()
		t.Error("it still listens")
	}
	listener.Close()
	if err := loghttp.Serve(t.Context(), listener, slow); err == nil {
		t.Error("a listener that is closed serves")
	}
}
