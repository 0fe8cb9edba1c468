// Command greeter-agent is an agent in miniature: it answers /health on the port that image.json gives it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/mod/semver"
)

const version = "v0.1.0"

func main() {
	if !semver.IsValid(version) {
		log.Fatalf("version %s: expected a semantic version", version)
	}
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println(version)
		return
	}
	if err := serve(os.Getenv("AGENT_API_PORT")); err != nil {
		log.Fatal(err)
	}
}

// serve answers until the container is told to stop.
func serve(port string) error {
	http.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"status":"ok","version":%q}`+"\n", version)
	})
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	server := &http.Server{Addr: ":" + port, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		// No request takes longer than its header.
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
