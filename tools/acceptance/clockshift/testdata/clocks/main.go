//go:build linux && amd64

// Command clocks prints the time by each way to ask for it, as lines of a name and nanoseconds: in the first thread, in
// others, in a child process, and in the program that another thread than the first then executes.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

func init() { runtime.LockOSThread() } // main stays in the first thread

func main() {
	if len(os.Args) > 1 {
		show(os.Args[1])
		return
	}
	show("first")

	var threads sync.WaitGroup
	for range 8 {
		threads.Go(func() {
			runtime.LockOSThread() // never unlocked, so no two goroutines share a thread, and it ends with its goroutine
			show("thread")
		})
	}
	threads.Wait()

	child := exec.Command(os.Args[0], "child")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	check(child.Run())

	failed := make(chan error)
	go func() { failed <- syscall.Exec(os.Args[0], []string{os.Args[0], "exec"}, os.Environ()) }()
	check(<-failed)
}

// show asks through the vDSO, as the Go runtime does, and the kernel directly.
func show(who string) {
	fmt.Printf("%s/Now %d\n", who, time.Now().UnixNano())
	for id, name := range map[uintptr]string{0: "REALTIME", 1: "MONOTONIC", 5: "REALTIME_COARSE"} { // linux/time.h
		var now syscall.Timespec
		call(syscall.SYS_CLOCK_GETTIME, id, uintptr(unsafe.Pointer(&now)))
		fmt.Printf("%s/%s %d\n", who, name, now.Nano())
	}

	var now syscall.Timeval
	check(syscall.Gettimeofday(&now))
	fmt.Printf("%s/Gettimeofday %d\n", who, now.Nano())
	call(syscall.SYS_GETTIMEOFDAY, uintptr(unsafe.Pointer(&now)), 0)
	fmt.Printf("%s/gettimeofday %d\n", who, now.Nano())

	var seconds int64
	fmt.Printf("%s/time %d\n", who, call(syscall.SYS_TIME, 0, 0)*uintptr(time.Second))
	call(syscall.SYS_TIME, uintptr(unsafe.Pointer(&seconds)), 0)
	fmt.Printf("%s/time-pointer %d\n", who, seconds*int64(time.Second))
}

//go:uintptrescapes
func call(number, arg0, arg1 uintptr) uintptr {
	result, _, errno := syscall.RawSyscall(number, arg0, arg1, 0)
	if errno != 0 {
		check(errno)
	}
	return result
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "clocks:", err)
		os.Exit(1)
	}
}
