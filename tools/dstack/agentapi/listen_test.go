package agentapi_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
	"github.com/boardroom-tee/boardroom/tools/dstack/guestagent"
)

// TestServe asks with the client that this repository has, on a real socket, until the context ends.
func TestServe(t *testing.T) {
	dir, err := os.MkdirTemp("", "agentapi") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "dstack.sock")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	listener, err := agentapi.Listen(ctx, socket)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("mode %v, %v, want what dstack's socket has, 0777", info.Mode(), err)
	}
	ended := make(chan error, 1)
	g := &simGuest{release: dstack.Release{Minor: 5, Patch: 11}}
	go func() { ended <- agentapi.Serve(ctx, listener, agentapi.Dstack(g, "sim")) }()
	quote, err := guestagent.New(socket).GetQuote(t.Context(), [64]byte{5})
	if err != nil || string(quote.Quote) != "\xab\xcd" || g.asked != [64]byte{5} {
		t.Errorf("%+v, %v", quote, err)
	}
	if _, err := agentapi.Listen(ctx, socket); err == nil || !strings.Contains(err.Error(), "somebody listens") {
		t.Errorf("a second listener: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if err := guestagent.New(socket).Reachable(t.Context()); err == nil {
		t.Error("it is still served")
	}
}

func TestListenLeavesFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := agentapi.Listen(t.Context(), file); err == nil {
		t.Error("a file was replaced by a socket")
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "mine" {
		t.Errorf("the file has %q, %v", data, err)
	}
}
