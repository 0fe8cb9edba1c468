// Package modules loads the kernel modules of the guest: a list that is written down here and nothing else, each after those it depends
// on, before anything from outside is read. Once they are loaded the guest forbids the kernel to take any more
// (/proc/sys/kernel/modules_disabled, Documentation/admin-guide/sysctl/kernel.rst), so that no socket option and no file system type
// brings code in later. There is no modprobe in the guest.
//
// Dependencies are read from modules.dep in the form of depmod(8), modules.dep(5); package depmod below writes it.
package modules
