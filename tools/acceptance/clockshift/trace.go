//go:build linux && amd64

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"syscall"
	"time"
	"unsafe"
)

// linux/ptrace.h; what package syscall has not.
const (
	ptraceSeize         = 0x4206
	ptraceListen        = 0x4208
	ptraceEventSeccomp  = 7
	ptraceEventStop     = 128
	ptraceOTraceSeccomp = 1 << ptraceEventSeccomp
	ptraceOExitKill     = 1 << 20
)

const (
	atNull        = 0    // AT_NULL, linux/auxvec.h
	atIgnore      = 1    // AT_IGNORE, linux/auxvec.h
	atSysinfoEhdr = 33   // AT_SYSINFO_EHDR, asm/auxvec.h
	userCS        = 0x33 // __USER_CS, arch/x86/include/asm/segment.h: the code segment of 64-bit programs
	wordSize      = 8

	sysProcessVMWritev = 311 // __NR_process_vm_writev, asm/unistd_64.h
)

// seize attaches to a process and to all that it will start. Unlike PTRACE_TRACEME, PTRACE_SEIZE tells the stops of new
// threads, of job control and of signals apart (ptrace(2), "PTRACE_EVENT stops" and "Group-stop"), so nothing needs to be
// remembered about any thread. With PTRACE_O_EXITKILL no tracee survives this process.
func seize(pid int) error {
	const options = ptraceOExitKill | ptraceOTraceSeccomp | syscall.PTRACE_O_TRACEEXEC |
		syscall.PTRACE_O_TRACEFORK | syscall.PTRACE_O_TRACEVFORK | syscall.PTRACE_O_TRACECLONE
	return ptrace(ptraceSeize, pid, options)
}

// trace runs all tracees until the process root has ended, and returns its wait status.
func trace(root int, by time.Duration) (syscall.WaitStatus, error) {
	for {
		var status syscall.WaitStatus
		pid, err := wait(-1, syscall.WALL, &status)
		switch {
		case err != nil:
			return 0, fmt.Errorf("wait4: %w", err)
		case status.Stopped():
			// A tracee can be killed at any time, and then there is nothing left to do with it (ptrace(2), "Death under
			// ptrace"); wait will tell.
			if err := resume(pid, status, by); err != nil && !errors.Is(err, syscall.ESRCH) {
				return 0, fmt.Errorf("process %d: %w", pid, err)
			}
		case pid == root:
			return status, nil
		}
	}
}

// resume does what the stop of a tracee asks for and lets it run on.
func resume(pid int, status syscall.WaitStatus, by time.Duration) error {
	request, sig := syscall.PTRACE_CONT, 0
	switch status >> 16 { // PTRACE_EVENT_*, if it is one
	case 0: // A signal is about to be delivered.
		sig = int(status.StopSignal())
	case syscall.PTRACE_EVENT_EXEC:
		if err := hideVDSO(pid); err != nil {
			return fmt.Errorf("hide vDSO: %w", err)
		}
	case ptraceEventSeccomp:
		if err := tellTime(pid, by); err != nil {
			return fmt.Errorf("tell time: %w", err)
		}
	case ptraceEventStop:
		// SIGTRAP is for a new thread, or for the end of a group-stop. The others are a group-stop, in which the thread has
		// to stay, without being lost to events.
		if status.StopSignal() != syscall.SIGTRAP {
			request = ptraceListen
		}
	}
	return ptrace(request, pid, uintptr(sig))
}

// hideVDSO makes a program that is about to start find no vDSO in its auxiliary vector (getauxval(3)), which is on the stack
// behind argc, argv and envp, the latter two ended by a null pointer (System V ABI for AMD64, "Initial Stack and Register
// State").
func hideVDSO(pid int) error {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	if regs.Cs != userCS {
		return errors.New("not a 64-bit program")
	}
	addr := regs.Rsp
	argc, err := peek(pid, addr)
	if err != nil {
		return err
	}
	addr += wordSize * (1 + argc + 1)
	for env := uint64(1); env != 0; addr += wordSize {
		if env, err = peek(pid, addr); err != nil {
			return err
		}
	}
	for ; ; addr += 2 * wordSize {
		switch tag, err := peek(pid, addr); {
		case err != nil:
			return err
		case tag == atSysinfoEhdr:
			return poke(pid, addr, atIgnore)
		case tag == atNull:
			return nil
		}
	}
}

// tellTime answers a system call in the kernel's place; the number -1 makes the kernel skip it (seccomp(2),
// SECCOMP_RET_TRACE). That takes one stop, where changing the kernel's answer takes two.
func tellTime(pid int, by time.Duration) error {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(pid, &regs); err != nil {
		return err
	}
	var err error
	regs.Rax = 0
	switch regs.Orig_rax {
	case syscall.SYS_CLOCK_GETTIME:
		now := readClock(regs.Rdi).Add(by)
		err = poke(pid, regs.Rsi, uint64(now.Unix()), uint64(now.Nanosecond()))
	case syscall.SYS_GETTIMEOFDAY:
		now := readClock(clockRealtime).Add(by)
		if regs.Rdi != 0 {
			err = poke(pid, regs.Rdi, uint64(now.Unix()), uint64(now.Nanosecond()/1000))
		}
		if regs.Rsi != 0 && err == nil {
			err = poke(pid, regs.Rsi, 0) // the time zone, obsolete; UTC, as the C library says too
		}
	case syscall.SYS_TIME:
		regs.Rax = uint64(readClock(clockRealtime).Add(by).Unix())
		if regs.Rdi != 0 {
			err = poke(pid, regs.Rdi, regs.Rax)
		}
	}
	if errors.Is(err, syscall.EFAULT) { // the address is bad, as the kernel would say
		errno := uint64(syscall.EFAULT)
		regs.Rax = -errno
	} else if err != nil {
		return err
	}
	regs.Orig_rax = math.MaxUint64
	return syscall.PtraceSetRegs(pid, &regs)
}

// readClock is not time.Now, as the coarse clock lags behind: it is what the kernel stamps files with.
func readClock(id uint64) time.Time {
	var now syscall.Timespec
	// The filter passes only clocks that exist, so this cannot fail.
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&now)), 0)
	return time.Unix(now.Unix())
}

func peek(pid int, addr uint64) (uint64, error) {
	var word [wordSize]byte
	_, err := syscall.PtracePeekData(pid, uintptr(addr), word[:])
	return binary.LittleEndian.Uint64(word[:]), err
}

// poke writes words to an address that need not be aligned. Other than PTRACE_POKEDATA, process_vm_writev(2) writes all in
// one call and only where the tracee may.
func poke(pid int, addr uint64, words ...uint64) error {
	size := uint64(wordSize * len(words))
	local := syscall.Iovec{Base: (*byte)(unsafe.Pointer(&words[0])), Len: size}
	remote := struct{ base, len uint64 }{addr, size} // an Iovec, but not of this process
	if _, _, errno := syscall.Syscall6(sysProcessVMWritev, uintptr(pid), uintptr(unsafe.Pointer(&local)), 1,
		uintptr(unsafe.Pointer(&remote)), 1, 0); errno != 0 {
		return errno
	}
	return nil
}

func ptrace(request, pid int, data uintptr) error {
	if _, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, uintptr(request), uintptr(pid), 0, data, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// wait is wait4(2) until it is not interrupted.
func wait(pid, options int, status *syscall.WaitStatus) (int, error) {
	for {
		stopped, err := syscall.Wait4(pid, status, options, nil)
		if !errors.Is(err, syscall.EINTR) {
			return stopped, err
		}
	}
}
