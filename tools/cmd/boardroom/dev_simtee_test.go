//go:build simtee

package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/dstack/guestagent"
)

// TestDevTEE asks a running simulated TEE, and interrupts it.
func TestDevTEE(t *testing.T) {
	for _, output := range []string{"json", "text"} {
		t.Run(output, func(t *testing.T) {
			// t.TempDir can exceed the 107 bytes of a socket address.
			dir, err := os.MkdirTemp("", "tee")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			socket, collateral := filepath.Join(dir, "dstack.sock"), filepath.Join(dir, "collateral")
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			stdout, w := io.Pipe()
			ended := make(chan int, 1)
			go func() {
				a := app()
				a.Writer, a.ErrWriter = w, os.Stderr
				code := cmdline.Run(ctx, a, []string{"dev", "tee", "--socket", socket, "--collateral-to", collateral, "--pcs", "127.0.0.1:0", "--output", output})
				w.Close()
				ended <- code
			}()
			var ready simulation
			if output == "json" {
				err = json.NewDecoder(stdout).Decode(&ready)
			} else {
				ready.PCS, err = readText(stdout)
			}
			if err != nil {
				t.Fatal(err)
			}
			go io.Copy(io.Discard, stdout)
			if output == "json" && (!ready.Simulated || !ready.Ready || ready.Socket != socket || ready.TrustRoot != filepath.Join(collateral, "root_ca.pem")) {
				t.Errorf("told %+v", ready)
			}
			answer, err := guestagent.New(socket).GetQuote(t.Context(), [64]byte{7})
			if err != nil || len(answer.Quote) < 1000 {
				t.Errorf("GetQuote: %v, %d bytes", err, len(answer.Quote))
			}
			response, err := http.Get(ready.PCS + "/tdx/certification/v4/qe/identity")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			served, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if written, err := os.ReadFile(filepath.Join(collateral, "qe_identity.json")); err != nil || string(written) != string(served) {
				t.Errorf("PCS serves %.80q, the directory has %.80q, %v", served, written, err)
			}
			interrupt()
			if code := <-ended; code != cmdline.ExitDone {
				t.Errorf("exit code %d, want 0", code)
			}
			if _, err := os.Lstat(socket); err == nil {
				t.Error("the socket was left")
			}
		})
	}
}

// readText reads what is told in text up to its last line, and returns the address of the PCS.
func readText(r io.Reader) (pcs string, err error) {
	var text strings.Builder
	buffer := make([]byte, 1<<12)
	for !strings.Contains(text.String(), "ready (SIMULATED)\n") {
		n, err := r.Read(buffer)
		text.Write(buffer[:n])
		if err != nil {
			return "", err
		}
	}
	_, after, _ := strings.Cut(text.String(), "\nPCS ")
	line, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(line), nil
}
