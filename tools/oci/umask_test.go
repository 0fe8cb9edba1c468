package oci_test

import "syscall"

// setUmask is of the whole process; tests that call it do not run in parallel with others.
func setUmask(mask int) int { return syscall.Umask(mask) }
