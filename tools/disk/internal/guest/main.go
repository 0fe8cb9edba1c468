//go:build linux

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/boardroom-tee/boardroom/tools/disk/disktest/listing"
	"github.com/boardroom-tee/boardroom/tools/disk/dm"
	"github.com/boardroom-tee/boardroom/tools/disk/verity"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stdout, "\n@error", err)
	}
	// Linux drains the serial port before the power goes.
	syscall.Sync()
	_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() error {
	// What the kernel made of the initramfs, before anything is put into it.
	if err := report("initramfs", listing.Of("/initramfs")); err != nil {
		return err
	}
	for _, m := range [][2]string{{"proc", "/proc"}, {"devtmpfs", "/dev"}, {"sysfs", "/sys"}} {
		if err := syscall.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m[0], err)
		}
	}
	modules, err := filepath.Glob("/modules/*")
	if err != nil {
		return err
	}
	for _, m := range modules {
		if err := load(m); err != nil {
			return fmt.Errorf("module %s: %w", m, err)
		}
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	for word := range strings.FieldsSeq(string(cmdline)) {
		argument, ok := strings.CutPrefix(word, "open=")
		if !ok {
			continue
		}
		name, text, err := open(argument)
		if err != nil {
			text = "refused: " + err.Error() + "\n"
		}
		if err := report(name, text); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stdout, "\n@done")
	return nil
}

// load loads a module that is not compressed.
func load(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	empty := []byte{0}
	_, _, errno := syscall.Syscall(syscall.SYS_INIT_MODULE, uintptr(unsafe.Pointer(&data[0])), uintptr(len(data)), uintptr(unsafe.Pointer(&empty[0]))) //nolint:gosec // the interface
	if errno != 0 {
		return errno
	}
	return nil
}

func open(argument string) (name, text string, err error) {
	parts := strings.Split(argument, ",")
	if len(parts) != 4 {
		return "error", "", fmt.Errorf("expected open=NAME,DEVICE,SIZE,ROOT, got %q", argument)
	}
	name = parts[0]
	size, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return name, "", err
	}
	root, err := verity.ParseDigest(parts[3])
	if err != nil {
		return name, "", err
	}
	device, err := dm.OpenVerity(name, parts[1], size, root, dm.Fail)
	if err != nil {
		return name, "", err
	}
	dir := "/mnt/" + name
	if err := os.Mkdir(dir, 0o755); err != nil {
		return name, "", err
	}
	if err := syscall.Mount(device, dir, "squashfs", syscall.MS_RDONLY, ""); err != nil {
		return name, "", fmt.Errorf("mount %s: %w", device, err)
	}
	return name, listing.Of(dir), nil
}

func report(name, text string) error {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write([]byte(text)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(os.Stdout, "\n@%s %s\n", name, base64.StdEncoding.EncodeToString(packed.Bytes()))
	return err
}
