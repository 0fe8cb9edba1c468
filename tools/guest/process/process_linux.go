package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Program is what is started.
type Program struct {
	// Path is absolute; Args are those after the program's name.
	Path string
	Args []string
	// Env is the whole environment.
	Env []string
	Dir string
	// Output gets what the program writes, on both channels.
	Output *os.File
}

// Children waits for every child of this process. [Reap] makes it, once.
type Children struct {
	mu      sync.Mutex
	running map[int]*Process
}

// Process is a program that was started.
type Process struct {
	pid  int
	name string
	done chan struct{}
	err  error
}

// Reap waits for children until the context ends. Nothing else in the process may wait for any.
func Reap(ctx context.Context) *Children {
	c := &Children{running: make(map[int]*Process)}
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	go func() {
		defer signal.Stop(died)
		for {
			c.collect()
			select {
			case <-ctx.Done():
				return
			case <-died:
			}
		}
	}()
	return c
}

// collect waits for all children that are dead.
func (c *Children) collect() {
	// A program that is being started is not in the list yet, and its end would get lost.
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if p := c.running[pid]; p != nil {
			delete(c.running, pid)
			p.end(status)
		}
	}
}

func (p *Process) end(status syscall.WaitStatus) {
	switch {
	case status.Signaled():
		p.err = fmt.Errorf("%s: ended by signal %s", p.name, status.Signal())
	case status.ExitStatus() != 0:
		p.err = fmt.Errorf("%s: exit status %d", p.name, status.ExitStatus())
	}
	close(p.done)
}

// Start starts a program in a process group of its own.
func (c *Children) Start(program Program) (*Process, error) {
	input, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer input.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	started, err := os.StartProcess(program.Path, append([]string{program.Path}, program.Args...), &os.ProcAttr{
		Dir: program.Dir, Env: program.Env, Files: []*os.File{input, program.Output, program.Output}, Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return nil, err
	}
	p := &Process{pid: started.Pid, name: filepath.Base(program.Path), done: make(chan struct{})}
	c.running[p.pid] = p
	return p, started.Release()
}

// Run starts a program and waits until it ends; it is killed when the context ends before.
func (c *Children) Run(ctx context.Context, program Program) error {
	p, err := c.Start(program)
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
		return p.Err()
	case <-ctx.Done():
		p.Signal(syscall.SIGKILL)
		<-p.Done()
		return fmt.Errorf("%s: %w", p.name, context.Cause(ctx))
	}
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the program ended, and is nil for success. It is for after [Process.Done].
func (p *Process) Err() error { return p.err }

// Signal sends a signal to the program and all of its group, if it runs.
func (p *Process) Signal(s syscall.Signal) {
	select {
	case <-p.done:
	default:
		// The number can not belong to another process: it is free only after collect has waited for it.
		_ = syscall.Kill(-p.pid, s)
	}
}

// Stop asks the program to end, and kills it when it has not after the grace period.
func (p *Process) Stop(grace time.Duration) {
	p.Signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.Signal(syscall.SIGKILL)
		<-p.done
	}
}
