//go:build acceptance

package qtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// StartTPM runs a TPM emulator for one machine, with its state in dir, and returns the arguments that connect QEMU to it. The
// socket listens when StartTPM returns: it is this process that opened it. stop ends the emulator and waits for that; what it
// returns is the emulator's messages.
func StartTPM(ctx context.Context, dir, model string) (arguments []string, stop func() string, err error) {
	socket := filepath.Join(dir, "tpm")
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	l := listener.(*net.UnixListener)
	l.SetUnlinkOnClose(false)
	file, err := l.File()
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	ctx, cancel := context.WithCancel(ctx)
	command := exec.CommandContext(ctx, "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--ctrl", "type=unixio,fd=3", "--terminate")
	command.ExtraFiles = []*os.File{file}
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	EndWithParent(command)
	if err := command.Start(); err != nil {
		cancel()
		if errors.Is(err, exec.ErrNotFound) {
			err = fmt.Errorf("%w; install the Debian package swtpm", err)
		}
		return nil, nil, err
	}
	return []string{"-chardev", "socket,id=tpm,path=" + socket, "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", model + ",tpmdev=tpm0"},
		func() string {
			cancel()
			// It was killed, or ended with the machine.
			_ = command.Wait()
			return output.String()
		}, nil
}

// EndWithParent has the kernel kill a process when this one ends in whatever way, for instance by the time limit of go test.
func EndWithParent(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
