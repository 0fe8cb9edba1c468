package host

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pair is two connected sockets of another family, which a conn can not tell from its own.
func pair(t *testing.T) (a, b *conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	a = &conn{os.NewFile(uintptr(fds[0]), "a"), address{2, 1}, address{3, 2}}
	b = &conn{os.NewFile(uintptr(fds[1]), "b"), address{3, 2}, address{2, 1}}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// TestConn speaks HTTP over a connection, with the deadlines that a client sets.
func TestConn(t *testing.T) {
	client, served := pair(t)
	if err := client.connected(t.Context()); err != nil {
		t.Errorf("a connection that stands: %v", err)
	}
	go func() {
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RemoteAddr) }), ReadHeaderTimeout: time.Minute}
		_ = server.Serve(&once{conn: served, ended: t.Context().Done()}) // it ends with the test
	}()
	h := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil }}, Timeout: time.Minute}
	response, err := h.Get("http://host/")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "vsock:2:1" {
		t.Errorf("got %q, %v", body, err)
	}
}

// once is a listener that has one connection.
type once struct {
	conn  net.Conn
	ended <-chan struct{}
}

func (o *once) Accept() (net.Conn, error) {
	if c := o.conn; c != nil {
		o.conn = nil
		return c, nil
	}
	<-o.ended
	return nil, net.ErrClosed
}
func (o *once) Close() error   { return nil }
func (o *once) Addr() net.Addr { return address{} }

func TestDeadline(t *testing.T) {
	a, _ := pair(t)
	if err := a.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read past the deadline: %v", err)
	}
}

// TestConnected: a socket that is not connected waits, until the context ends.
func TestConnected(t *testing.T) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &conn{os.NewFile(uintptr(fd), "c"), address{}, address{2, 1}}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.connected(ctx); err == nil {
		t.Error("no error")
	}
}

func TestAddress(t *testing.T) {
	if a := (address{2, 10000}); a.Network() != "vsock" || !strings.Contains(a.String(), "2:10000") {
		t.Errorf("%s %s", a.Network(), a)
	}
}
