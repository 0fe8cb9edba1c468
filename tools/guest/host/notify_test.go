package host

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]uint32{"": 0, "vsock://2:10000/api": 10000, "vsock://2:4294967295/api": 1<<32 - 1} {
		if got, err := ParseURL(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, bad := range []string{
		"http://2:10000/api", "vsock://3:10000/api", "vsock://2/api", "vsock://2:0/api", "vsock://2:x/api", "vsock://2:4294967296/api", "vsock://2:1/",
		"vsock://2:1/api?x", "vsock://u@2:1/api", "vsock://2:1/api#f", "10000", "vsock://[2:1/api",
	} {
		if got, err := ParseURL(bad); err == nil {
			t.Errorf("%q: got %d", bad, got)
		}
	}
}

// simHost is a host that listens, and answers with a status.
func simHost(t *testing.T, status int) (told func() []string, dial func(context.Context, string, string) (net.Conn, error)) {
	t.Helper()
	var mu sync.Mutex
	var all []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, r.Method+" "+r.URL.String()+" "+r.Header.Get("Content-Type")+" "+string(body))
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(all)
		}, func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", server.Listener.Addr().String())
		}
}

func TestReport(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusBadRequest} {
		told, dial := simHost(t, status)
		r := report(dial)
		r.Tell(BootProgress, `says "hello"`)
		r.Tell(BootError, strings.Repeat("x", maxPayload+1))
		r.Close(time.Minute)
		want := []string{
			`POST /api/Notify?json application/json {"event":"boot.progress","payload":"says \"hello\""}`,
			`POST /api/Notify?json application/json {"event":"boot.error","payload":"` + strings.Repeat("x", maxPayload) + `"}`,
		}
		if got := told(); !slices.Equal(got, want) {
			t.Errorf("status %d: the host was told %.300q, want %.300q", status, got, want)
		}
	}
}

// TestHostThatIsNotThere: nothing waits for it, and what does not fit is dropped.
func TestHostThatIsNotThere(t *testing.T) {
	hold := make(chan struct{})
	r := report(func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-hold
		return nil, errors.New("simulated")
	})
	for range 3 * maxWaiting {
		r.Tell(BootProgress, "x")
	}
	if got := len(r.events); got > maxWaiting {
		t.Errorf("%d events wait", got)
	}
	r.Close(0)
	close(hold)
	<-r.done

	var nobody *Reporter
	nobody.Tell(BootProgress, "x")
	nobody.Close(time.Minute)
	new(Reporter).Tell(BootProgress, "x")
	new(Reporter).Close(time.Minute)
}
