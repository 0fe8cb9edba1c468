//go:build linux

// Command guest is the init of the virtual machine of an acceptance test: it writes the firmware's event log and the files that the
// firmware read to the serial port, and powers off. Each file is one line: "@", name, gzip in base64.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"os"
	"syscall"
)

var files = map[string]string{
	"log":                      "/sys/kernel/security/tpm0/binary_bios_measurements",
	"etc/table-loader":         "/sys/firmware/qemu_fw_cfg/by_name/etc/table-loader/raw",
	"etc/acpi/rsdp":            "/sys/firmware/qemu_fw_cfg/by_name/etc/acpi/rsdp/raw",
	"etc/acpi/tables":          "/sys/firmware/qemu_fw_cfg/by_name/etc/acpi/tables/raw",
	"etc/smbios/smbios-tables": "/sys/firmware/qemu_fw_cfg/by_name/etc/smbios/smbios-tables/raw",
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stdout, "@error", err)
	}
	// The serial port is drained before the power goes.
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
	module, err := os.ReadFile("/qemu_fw_cfg.ko")
	if err != nil {
		return err
	}
	if err := loadModule(module); err != nil {
		return fmt.Errorf("load qemu_fw_cfg: %w", err)
	}
	for name, path := range files {
		data, err := os.ReadFile(path)
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
		fmt.Fprintf(os.Stdout, "\n@%s %s\n", name, base64.StdEncoding.EncodeToString(packed.Bytes()))
	}
	fmt.Fprintln(os.Stdout, "\n@done")
	return nil
}
