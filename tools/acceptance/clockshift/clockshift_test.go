//go:build acceptance && linux && amd64

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var shifts = []time.Duration{9000 * time.Hour, -100000*time.Hour - 1234567*time.Nanosecond, 0}

// clockshift and clocks are the programs under test, built once.
var clockshift, clocks string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "clockshift-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		clockshift, clocks = filepath.Join(dir, "clockshift"), filepath.Join(dir, "clocks")
		for output, source := range map[string]string{clockshift: ".", clocks: "./testdata/clocks"} {
			build := exec.Command("go", "build", "-o", output, source)
			build.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := build.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "%v: %v\n%s", build, err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// shifted prepares a run that ends in time: with clockshift, its tracees are killed. If they are not, those that hold the
// output open are not waited for.
func shifted(t *testing.T, by time.Duration, command ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, clockshift, append([]string{"-by", by.String(), "--"}, command...)...)
	c.WaitDelay = 10 * time.Second
	return c
}

// output is what a run prints, which is to end with the exit code.
func output(t *testing.T, code int, c *exec.Cmd) string {
	t.Helper()
	out, err := c.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := c.ProcessState.ExitCode(); got != code {
		t.Fatalf("%v: exit code %d, want %d\n%s", c, got, code, out)
	}
	return string(out)
}

// lag is for clocks that show less than the exact time: time(2), in seconds, and the coarse clock, in ticks.
const lag = time.Second + 100*time.Millisecond

// span is from before to after a run, on the clocks that it reads.
type span struct{ wall, monotonic [2]int64 }

func during(by time.Duration, run func()) span {
	const clockMonotonic = 1 // linux/time.h
	var s span
	for i := range 2 {
		s.wall[i] = readClock(clockRealtime).Add(by).UnixNano()
		s.monotonic[i] = readClock(clockMonotonic).UnixNano()
		if i == 0 {
			run()
		}
	}
	return s
}

// check takes lines of a name and nanoseconds; it returns how often it saw each name.
func (s span) check(t *testing.T, lines string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for line := range strings.Lines(lines) {
		var name string
		var got int64
		if _, err := fmt.Sscanf(line, "%s %d\n", &name, &got); err != nil {
			t.Fatalf("%v in %q", err, lines)
		}
		seen[name]++
		want := s.wall
		if strings.HasSuffix(name, "/MONOTONIC") {
			want = s.monotonic
		}
		if got < want[0]-int64(lag) || got > want[1] {
			t.Errorf("%s: %v, want %v to %v", name, time.Unix(0, got), time.Unix(0, want[0]), time.Unix(0, want[1]))
		}
	}
	return seen
}

func TestDate(t *testing.T) {
	for _, by := range shifts {
		var out string
		during(by, func() { out = output(t, 0, shifted(t, by, "/bin/date", "+date %s%N")) }).check(t, out)
	}
}

func TestStaticGo(t *testing.T) {
	for _, by := range shifts {
		var out string
		seen := during(by, func() { out = output(t, 0, shifted(t, by, clocks)) }).check(t, out)
		for who, count := range map[string]int{"first": 1, "thread": 8, "child": 1, "exec": 1} {
			for _, how := range []string{
				"Now", "REALTIME", "MONOTONIC", "REALTIME_COARSE", "Gettimeofday", "gettimeofday", "time", "time-pointer",
			} {
				if got := seen[who+"/"+how]; got != count {
					t.Errorf("%s/%s: %d times, want %d", who, how, got, count)
				}
			}
		}
	}
}

func TestPipeline(t *testing.T) {
	script := `for i in 1 2 3 4 5; do (date "+date %s%N"; ` + clocks + ` $i) & done | cat | sort; wait`
	for _, by := range shifts {
		var out string
		seen := during(by, func() { out = output(t, 0, shifted(t, by, "sh", "-c", script)) }).check(t, out)
		if seen["date"] != 5 || seen["1/Now"] != 1 || seen["5/Now"] != 1 {
			t.Errorf("output of a process is missing: %v", seen)
		}
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		code    int
		command []string
	}{
		{0, []string{"true"}},
		{7, []string{"sh", "-c", "exit 7"}},
		{128 + int(syscall.SIGKILL), []string{"sh", "-c", "kill -KILL $$"}},
		{128 + int(syscall.SIGSEGV), []string{"sh", "-c", "kill -SEGV $$"}},
		{exitNoCommand, []string{"/nonexistent"}},
		{exitNoCommand, []string{"no-such-command"}},
		{exitCannotRun, []string{"/etc/passwd"}},
	} {
		output(t, c.code, shifted(t, time.Hour, c.command...))
	}
	output(t, exitFailed, exec.Command(clockshift, "true")) // no -by
}

func TestSignalForwarded(t *testing.T) {
	c := shifted(t, time.Hour, "sh", "-c", `trap "exit 7" TERM; echo ready; while :; do sleep 0.01; done`)
	startReady(t, c)
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait() // its error is the exit code
	if got := c.ProcessState.ExitCode(); got != 7 {
		t.Errorf("exit code %d, want 7", got)
	}
}

// A stopped process stays so until it is continued.
func TestGroupStop(t *testing.T) {
	out := output(t, 0, shifted(t, time.Hour, "sh", "-c",
		`(sleep 0.5; echo continue; kill -CONT $$) & kill -STOP $$; echo continued; wait`))
	if want := "continue\ncontinued\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
}

// Whoever holds the output open is still running.
func TestNothingLeftBehind(t *testing.T) {
	const script = "sleep 300 & sleep 300 & echo ready"
	output(t, 0, shifted(t, time.Hour, "sh", "-c", script))

	c := shifted(t, time.Hour, "sh", "-c", script+"; wait")
	rest := startReady(t, c)
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(rest); err != nil {
		t.Error(err)
	}
	_ = c.Wait() // its error is the signal
}

// startReady starts a command and returns its output after the line "ready".
func startReady(t *testing.T, c *exec.Cmd) io.Reader {
	t.Helper()
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := stdout.(*os.File).SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	rest := bufio.NewReader(stdout)
	if line, err := rest.ReadString('\n'); line != "ready\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	return rest
}

func TestGoVersion(t *testing.T) {
	want, err := exec.Command("go", "version").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := output(t, 0, shifted(t, shifts[0], "go", "version")); got != string(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Each build compiles all of its packages, as it has a cache of its own.
func TestGoBuild(t *testing.T) {
	build := func(name string, prefix ...string) []byte {
		dir := t.TempDir()
		program := filepath.Join(dir, "program")
		command := slices.Concat(prefix, []string{"go", "build", "-trimpath", "-buildvcs=false", "-o", program, "./testdata/clocks"})
		c := exec.CommandContext(t.Context(), command[0], command[1:]...)
		c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOCACHE="+dir, "XDG_CONFIG_HOME="+dir)
		start := time.Now()
		output(t, 0, c)
		t.Logf("%s: %v", name, time.Since(start).Round(100*time.Millisecond))
		data, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	want := build("without clockshift")
	for _, by := range shifts[:2] {
		if !bytes.Equal(build(by.String(), clockshift, "-by", by.String(), "--"), want) {
			t.Errorf("the build differs with the time shifted by %v", by)
		}
	}
}
