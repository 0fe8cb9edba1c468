//go:build linux

// Command guest is the init of the virtual machine of an acceptance test: it writes the firmware's event log and SMBIOS tables to the
// serial port, and powers off. Each file is one line: "@", name, gzip in base64. The line "@done" is the last.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"os"
	"syscall"
)

var files = []struct{ name, path string }{
	{"log", "/sys/kernel/security/tpm0/binary_bios_measurements"},
	{"smbios", "/sys/firmware/dmi/tables/DMI"},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stdout, "\n@error", err)
	}
	// Linux drains the serial port before the power goes.
	syscall.Sync()
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() error {
	for _, m := range [][2]string{{"sysfs", "/sys"}, {"securityfs", "/sys/kernel/security"}} {
		if err := os.MkdirAll(m[1], 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m[0], err)
		}
	}
	for _, f := range files {
		data, err := os.ReadFile(f.path)
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err := w.Write(data); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		fmt.Fprintf(os.Stdout, "\n@%s %s\n", f.name, base64.StdEncoding.EncodeToString(packed.Bytes()))
	}
	fmt.Fprintln(os.Stdout, "\n@done")
	return nil
}
