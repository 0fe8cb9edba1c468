//go:build linux && amd64

package main

import (
	"fmt"
	"syscall"
	"unsafe"
)

// linux/prctl.h, linux/seccomp.h, linux/audit.h, asm/unistd.h, linux/time.h
const (
	prSetNoNewPrivs       = 38
	seccompModeFilter     = 2
	seccompRetKillProcess = 0x80000000
	seccompRetTrace       = 0x7ff00000
	seccompRetAllow       = 0x7fff0000
	auditArchX86_64       = 0xc000003e // EM_X86_64 | __AUDIT_ARCH_64BIT | __AUDIT_ARCH_LE
	x32SyscallBit         = 0x40000000
	clockRealtime         = 0
	clockRealtimeCoarse   = 5
)

// struct seccomp_data, linux/seccomp.h; the half of args[0] that holds a clockid_t, which is an int.
const (
	dataNr   = 0
	dataArch = 4
	dataArg0 = 16
)

// installFilter makes this thread, and all that it starts or becomes, stop for the tracer at each call that reads the wall
// clock. The Go runtime reads the monotonic clock very often when there is no vDSO, so the filter looks at which clock it
// is. Calls of the other ABIs, of which a 64-bit process may make some, have other numbers; they end the process rather
// than read the true time. See seccomp(2).
func installFilter() error {
	const (
		load = syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS
		jeq  = syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K
		jge  = syscall.BPF_JMP | syscall.BPF_JGE | syscall.BPF_K
		ret  = syscall.BPF_RET | syscall.BPF_K
	)
	filter := [...]syscall.SockFilter{
		0:  {Code: load, K: dataArch},
		1:  {Code: jeq, K: auditArchX86_64, Jf: 12 - 2},
		2:  {Code: load, K: dataNr},
		3:  {Code: jge, K: x32SyscallBit, Jt: 12 - 4},
		4:  {Code: jeq, K: syscall.SYS_GETTIMEOFDAY, Jt: 11 - 5},
		5:  {Code: jeq, K: syscall.SYS_TIME, Jt: 11 - 6},
		6:  {Code: jeq, K: syscall.SYS_CLOCK_GETTIME, Jf: 10 - 7},
		7:  {Code: load, K: dataArg0},
		8:  {Code: jeq, K: clockRealtime, Jt: 11 - 9},
		9:  {Code: jeq, K: clockRealtimeCoarse, Jt: 11 - 10},
		10: {Code: ret, K: seccompRetAllow},
		11: {Code: ret, K: seccompRetTrace},
		12: {Code: ret, K: seccompRetKillProcess},
	}
	program := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Without CAP_SYS_ADMIN, no new privileges are the condition for a filter.
	if _, _, errno := syscall.Syscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("prctl PR_SET_NO_NEW_PRIVS: %w", errno)
	}
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, syscall.PR_SET_SECCOMP, seccompModeFilter,
		uintptr(unsafe.Pointer(&program))); errno != 0 {
		return fmt.Errorf("prctl PR_SET_SECCOMP: %w", errno)
	}
	return nil
}
