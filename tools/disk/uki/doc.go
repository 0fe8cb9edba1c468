// Package uki puts a kernel, its command line and its initramfs into one program for UEFI firmware, a unified kernel image: sections that
// are added to systemd's stub (UAPI Group Specification 5, "Unified Kernel Image"; Microsoft PE Format). The result is a pure function of
// the stub and the sections. It is not signed.
package uki
