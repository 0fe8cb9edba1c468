// Command simapp is the application of the acceptance tests: it passes HTTP requests on port 8080 to dstack's guest agent, answers /health
// itself, and writes a line to each of its channels when it starts.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

func main() {
	fmt.Fprintln(os.Stdout, "\x1b[32msimapp\x1b[0m begins")
	fmt.Fprintln(os.Stderr, "simapp on the other channel")
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "dstack"})
	proxy.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", "/var/run/dstack.sock")
	}}
	http.Handle("/", proxy)
	http.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "well") })
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: time.Minute}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}
