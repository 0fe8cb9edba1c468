//go:build linux && amd64

// Command clockshift runs a command with a shifted wall clock, to test that results do not depend on the time of day:
//
//	clockshift -by 9000h -- go build ./...
//
// Static Go programs take the time from the vDSO (vdso(7)), so preloaded libraries do not reach them. Clockshift therefore
// hides the vDSO from each program that the command starts, which then asks the kernel, and answers in the kernel's place
// what comes to it: clock_gettime(2) of CLOCK_REALTIME and CLOCK_REALTIME_COARSE, gettimeofday(2) and time(2). A seccomp
// filter picks just these calls, so all others run at full speed; see filter.go and trace.go.
//
// Not shifted: monotonic clocks, CLOCK_TAI, times of files, absolute timeouts on the real-time clock, the time stamp
// counter, and what programs find that search their memory map for the vDSO. 32-bit programs are refused, set-user-ID
// bits have no effect, and the command cannot use ptrace(2) itself.
//
// The exit code is that of the command, or 128 and the number of the signal that ended it; as with env(1), 125 says that
// clockshift failed, 126 that the command cannot be run and 127 that there is none. Processes that the command leaves
// behind are killed. SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1 and SIGUSR2 are passed on; from a terminal's keyboard they
// come to the command twice, as the terminal signals the whole process group.
//
// Caution: a program that compares the time with that of files, as the go command does to trim its cache, finds them old.
// Give it folders of its own.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
)

const (
	exitFailed    = 125
	exitCannotRun = 126
	exitNoCommand = 127
	exitBySignal  = 128

	launcherName = "clockshift: launch" // argv[0] of the launcher
)

// The launcher needs the thread that ptrace(2) and execve(2) take for the process, and only init is sure to get it. The
// tracer needs one thread, as the kernel takes ptrace requests from no other.
func init() { runtime.LockOSThread() }

func main() {
	if os.Args[0] == launcherName {
		err := launch(os.Args[1:])
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			fail(exitNoCommand, err)
		}
		fail(exitCannotRun, err)
	}

	flags := flag.NewFlagSet("clockshift", flag.ContinueOnError)
	by := flags.Duration("by", 0, "add `DURATION` to the wall clock, such as 9000h or -30m")
	flags.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: clockshift -by DURATION -- COMMAND [ARGS...]")
		flags.PrintDefaults()
	}
	switch err := flags.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil: // flags has printed it
		os.Exit(exitFailed)
	case flags.NFlag() == 0 || flags.NArg() == 0: // without -by, a forgotten shift would pass for a test
		flags.Usage()
		os.Exit(exitFailed)
	}
	pid, err := start(flags.Args())
	if err != nil {
		fail(exitFailed, err)
	}
	// Each stop would also come as a signal, which wait has no use for. Tracees can still be waited for when they have ended.
	signal.Ignore(syscall.SIGCHLD)
	forward(pid)
	status, err := trace(pid, *by)
	switch {
	case err != nil:
		fail(exitFailed, err)
	case status.Signaled():
		os.Exit(exitBySignal + int(status.Signal()))
	}
	os.Exit(status.ExitStatus())
}

func fail(code int, err error) {
	fmt.Fprintln(os.Stderr, "clockshift:", err)
	os.Exit(code)
}

// start returns a launcher for the command, attached and about to run on. Go has no hook between fork and exec, where a
// filter is otherwise set, so a second run of this program is the launcher.
func start(command []string) (pid int, err error) {
	pid, err = syscall.ForkExec("/proc/self/exe", append([]string{launcherName}, command...), &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}, // else it could stay stopped for ever
	})
	if err != nil {
		return 0, fmt.Errorf("start launcher: %w", err)
	}
	var status syscall.WaitStatus
	if _, err := wait(pid, syscall.WUNTRACED, &status); err != nil {
		return 0, fmt.Errorf("wait for launcher: %w", err)
	}
	if !status.Stopped() {
		return 0, fmt.Errorf("launcher did not stop: wait status %#x", uint32(status))
	}
	if err := seize(pid); err != nil {
		return 0, fmt.Errorf("attach to launcher: %w", err)
	}
	return pid, syscall.Kill(pid, syscall.SIGCONT)
}

// launch turns the launcher into the command.
func launch(command []string) error {
	if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop for tracer: %w", err)
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	if err := installFilter(); err != nil {
		return err
	}
	return &fs.PathError{Op: "exec", Path: path, Err: syscall.Exec(path, command, os.Environ())}
}

// forward passes signals on to the command from now on, which is before trace lets it start, until this process ends.
func forward(pid int) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range signals {
			// The only error is that the command has ended, and then this process is about to end.
			_ = syscall.Kill(pid, s.(syscall.Signal))
		}
	}()
}
