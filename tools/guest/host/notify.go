package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Events that dstack-vmm knows (dstack/vmm/src/host_api_routes.rs).
const (
	BootProgress     = "boot.progress"
	BootError        = "boot.error"
	ShutdownProgress = "shutdown.progress"
	// InstanceInfo has the guest's identity, which the host writes to .instance_info.
	InstanceInfo = "instance.info"
)

const (
	// maxPayload is dstack's limit of what it is told, in bytes.
	maxPayload = 4 << 10
	// maxWaiting is how many events may wait for the host, and answerWait how long the host may take for one.
	maxWaiting = 64
	answerWait = 2 * time.Second
)

// Reporter tells the host. Its zero value, and nil, tell nobody.
type Reporter struct {
	events chan event
	done   chan struct{}
}

type event struct {
	Event   string `json:"event"`
	Payload string `json:"payload"`
}

// ParseURL reads the address of the Host API, as .sys-config.json has it: vsock://2:PORT/api. It returns the port; no address is 0.
func ParseURL(text string) (port uint32, err error) {
	if text == "" {
		return 0, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "vsock" || u.Hostname() != strconv.Itoa(hostCID) || u.Path != "/api" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return 0, fmt.Errorf("expected vsock://%d:PORT/api, got %.200q", hostCID, text)
	}
	n, err := strconv.ParseUint(u.Port(), 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("expected vsock://%d:PORT/api, got %.200q", hostCID, text)
	}
	return uint32(n), nil
}

// Report returns a reporter to a port of the host.
func Report(port uint32) *Reporter {
	return report(func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, port) })
}

func report(dial func(context.Context, string, string) (net.Conn, error)) *Reporter {
	r := &Reporter{make(chan event, maxWaiting), make(chan struct{})}
	client := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: answerWait}
	go func() {
		defer close(r.done)
		for e := range r.events {
			// The host that does not listen does not learn it.
			_ = send(client, e)
		}
	}()
	return r
}

// Tell tells the host of an event some time soon. What the host has no room for is dropped.
func (r *Reporter) Tell(name, payload string) {
	if r == nil || r.events == nil {
		return
	}
	select {
	case r.events <- event{name, payload[:min(len(payload), maxPayload)]}:
	default:
	}
}

// Close waits until the host has been told, or the grace period is over. Nothing may be told afterwards.
func (r *Reporter) Close(grace time.Duration) {
	if r == nil || r.events == nil {
		return
	}
	close(r.events)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-r.done:
	case <-timer.C:
	}
}

// send calls Notify in the JSON form of prpc.
func send(client *http.Client, e event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://host/api/Notify?json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.CopyN(io.Discard, response.Body, maxPayload)
	return err
}
