package process_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/guest/process"
)

// asProgram makes the test binary be one of the programs below, so that the tests start real processes and need no others.
const asProgram = "BOARDROOM_TEST_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(asProgram) {
	case "":
		os.Exit(m.Run())
	case "say":
		fmt.Println(os.Args[1:])
		fmt.Fprintln(os.Stderr, "on the other channel")
	case "fail":
		os.Exit(3)
	case "die":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		wait()
	case "deaf":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		wait()
	case "patient":
		fmt.Println("ready")
		wait()
	}
}

// wait waits for a signal that ends the program. With select, Go would find that nothing is left that could ever happen, and end it itself.
func wait() {
	for {
		_ = syscall.Pause()
	}
}

// reaper is for all tests: it is one for a process.
var reaper = sync.OnceValue(func() *process.Children { return process.Reap(context.Background()) })

// program is this binary in one of its parts; what it writes is in the file.
func program(t *testing.T, part string) (process.Program, *os.File) {
	t.Helper()
	output, err := os.Create(filepath.Join(t.TempDir(), "output"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { output.Close() })
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return process.Program{Path: path, Args: []string{"a", "b"}, Env: []string{asProgram + "=" + part}, Output: output}, output
}

func TestRun(t *testing.T) {
	children := reaper()
	for part, want := range map[string]string{"say": "", "fail": "exit status 3", "die": "killed"} {
		p, output := program(t, part)
		err := children.Run(t.Context(), p)
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) {
			t.Errorf("%s: error %v, want %q", part, err, want)
		}
		if part == "say" {
			said, err := os.ReadFile(output.Name())
			if err != nil || !bytes.Contains(said, []byte("[a b]")) || !bytes.Contains(said, []byte("other channel")) {
				t.Errorf("it wrote %q, %v", said, err)
			}
		}
	}
	if err := children.Run(t.Context(), process.Program{Path: "/nonexistent", Output: os.Stderr}); err == nil {
		t.Error("a program that does not exist was run")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	children := reaper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, _ := program(t, "patient")
	if err := children.Run(ctx, p); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestStop(t *testing.T) {
	children := reaper()
	for part, want := range map[string]string{"patient": "terminated", "deaf": "killed"} {
		p, output := program(t, part)
		// The program says when it has its signals set; before that it would not be deaf.
		reading, writing, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		output.Close()
		p.Output = writing
		started, err := children.Start(p)
		if err != nil {
			t.Fatal(err)
		}
		writing.Close()
		if _, err := reading.Read(make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		grace := time.Duration(0)
		if part == "patient" {
			grace = time.Hour
		}
		started.Stop(grace)
		if err := started.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: ended with %v, want %s", part, err, want)
		}
		started.Signal(syscall.SIGKILL) // to nobody
		reading.Close()
	}
}
