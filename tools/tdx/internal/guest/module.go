//go:build linux

package main

import (
	"syscall"
	"unsafe"
)

// loadModule is init_module(2) without parameters.
func loadModule(image []byte) error {
	parameters := []byte{0}
	_, _, errno := syscall.Syscall(syscall.SYS_INIT_MODULE, uintptr(unsafe.Pointer(&image[0])), uintptr(len(image)), uintptr(unsafe.Pointer(&parameters[0]))) //nolint:gosec // the system call takes addresses
	if errno != 0 {
		return errno
	}
	return nil
}
