package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// simEngine is an engine whose API is answered by a handler.
func simEngine(t *testing.T, handler http.HandlerFunc) *Engine {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &Engine{api: &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", server.Listener.Addr().String())
	}}}}
}

func TestContainers(t *testing.T) {
	e := simEngine(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "/v1.45/containers/json?all=1" {
			t.Errorf("asked for %s", r.URL)
		}
		io.WriteString(w, `[{"Id":"ab","Names":["/dstack-app-1","/other"],"Image":"app@sha256:00","State":"running","Status":"Up 3 seconds","Ports":[]}]`)
	})
	got, err := e.Containers(t.Context())
	want := []Container{{ID: "ab", Names: []string{"dstack-app-1", "other"}, Image: "app@sha256:00", State: "running", Status: "Up 3 seconds"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	e = simEngine(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{`) })
	if got, err := e.Containers(t.Context()); err == nil {
		t.Errorf("got %v", got)
	}
}

func TestLogs(t *testing.T) {
	var asked *url.URL
	kind := "application/vnd.docker.multiplexed-stream"
	e := simEngine(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL
		w.Header().Set("Content-Type", kind)
		io.WriteString(w, "log")
	})
	for _, frames := range []bool{true, false} {
		stream, got, err := e.Logs(t.Context(), "dstack-app-1", LogQuery{Since: 5, Until: 7, Tail: 3, Follow: true, Timestamps: true})
		if err != nil || got != frames {
			t.Fatalf("frames %t, %v", got, err)
		}
		text, err := io.ReadAll(stream)
		stream.Close()
		if string(text) != "log" || err != nil {
			t.Errorf("log %q, %v", text, err)
		}
		want := "/v1.45/containers/dstack-app-1/logs?follow=true&since=5&stderr=1&stdout=1&tail=3&timestamps=true&until=7"
		if asked.String() != want {
			t.Errorf("asked for %s, want %s", asked, want)
		}
		kind = "application/vnd.docker.raw-stream"
	}
	if _, _, err := e.Logs(t.Context(), "a", LogQuery{Tail: -1}); err != nil || asked.Query().Get("tail") != "all" {
		t.Errorf("asked for %s, %v", asked, err)
	}
	asked = nil
	for _, name := range []string{"", "../images", "a/b", "a?b", "-a", strings.Repeat("a", 300)} {
		var refused *StatusError
		if _, _, err := e.Logs(t.Context(), name, LogQuery{}); !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || asked != nil {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	e = simEngine(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"message":"No such container: a"}`)
	})
	var refused *StatusError
	if _, _, err := e.Logs(t.Context(), "a", LogQuery{}); !errors.As(err, &refused) || *refused != (StatusError{404, "No such container: a"}) {
		t.Errorf("error %v", err)
	}
}

func TestReadFrame(t *testing.T) {
	stream := strings.NewReader("\x01\x00\x00\x00\x00\x00\x00\x02hi\x02\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x03err")
	for _, want := range []string{"stdout hi", "stderr ", "stderr err"} {
		channel, message, err := ReadFrame(stream)
		if got := channel + " " + string(message); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if _, _, err := ReadFrame(stream); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	for frame, want := range map[string]string{
		"\x01": "unexpected EOF", "\x01\x00\x00\x00\x00\x00\x00\x02h": "unexpected EOF", "\x03\x00\x00\x00\x00\x00\x00\x00": "channel",
		"\x01\x00\x00\x00\xff\xff\xff\xff": "at most",
	} {
		if _, _, err := ReadFrame(strings.NewReader(frame)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", frame, err, want)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x02hi"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := bytes.NewReader(stream)
		for {
			before := r.Len()
			_, message, err := ReadFrame(r)
			if err != nil {
				return
			}
			if before-r.Len() != frameHeader+len(message) {
				t.Fatalf("took %d bytes for a message of %d", before-r.Len(), len(message))
			}
		}
	})
}

func TestDockerdArgs(t *testing.T) {
	if args := dockerdArgs(""); slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, "registry") || strings.Contains(a, "tcp:") }) {
		t.Errorf("arguments %v", args)
	}
	if args := dockerdArgs("https://mirror.example"); args[len(args)-1] != "--registry-mirror=https://mirror.example" {
		t.Errorf("arguments %v", args)
	}
}
