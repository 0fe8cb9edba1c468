package initramfs

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/boardroom-tee/boardroom/tools/disk/dm"
	"github.com/boardroom-tee/boardroom/tools/disk/verity"
	"github.com/boardroom-tee/boardroom/tools/guest/bootparam"
	"github.com/boardroom-tee/boardroom/tools/guest/modules"
)

const (
	// newRoot is where the root file system is mounted before it becomes the root.
	newRoot = "/newroot"
	// Init is what the root file system starts with.
	Init = "/sbin/init"
	// deviceWait is how long the root device may take to appear, deviceStep how often it is looked for.
	deviceWait = time.Minute
	deviceStep = 5 * time.Millisecond
)

// Run does all of it; it returns only with an error, as it becomes [Init] otherwise.
func Run(ctx context.Context) error {
	for _, m := range []struct{ source, target, kind string }{
		{"proc", "/proc", "proc"}, {"sysfs", "/sys", "sysfs"}, {"devtmpfs", "/dev", "devtmpfs"}, {"tmpfs", "/run", "tmpfs"},
	} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, m.target, m.kind, unix.MS_NOSUID, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	parameters, err := bootparam.Parse(string(cmdline))
	if err != nil {
		return err
	}
	if err := modules.Load(modules.Initramfs()...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deviceWait, fmt.Errorf("it did not appear within %s", deviceWait))
	defer cancel()
	device, err := waitDevice(ctx, os.DirFS("/sys/class/block"), parameters.RootDevice)
	if err != nil {
		return fmt.Errorf("root device %s: %w", parameters.RootDevice, err)
	}
	// The host has the disk in its hands for as long as the guest runs, so a changed block ends the guest whenever it is read.
	root, err := dm.OpenVerity("rootfs", device, int64(parameters.RootSize), verity.Digest(parameters.RootHash), dm.Panic)
	if err != nil {
		return fmt.Errorf("root device %s: %w", device, err)
	}
	return enter(root)
}

// waitDevice looks until the device is there. The kernel tells of devices by netlink too, but then both ways would be needed.
func waitDevice(ctx context.Context, class fs.FS, wanted string) (string, error) {
	ticker := time.NewTicker(deviceStep)
	defer ticker.Stop()
	for {
		device, err := findDevice(class, wanted)
		if device != "" || err != nil {
			return device, err
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// enter mounts the file system of a device, makes it the root and becomes its init, as switch_root(8) does.
func enter(device string) error {
	if err := os.Mkdir(newRoot, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(device, newRoot, "squashfs", unix.MS_RDONLY|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("mount the root file system: %w", err)
	}
	for _, moved := range []string{"/proc", "/sys", "/dev", "/run"} {
		if err := unix.Mount(moved, newRoot+moved, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s to the root file system: %w", moved, err)
		}
	}
	// What the initramfs holds would stay in memory: its files are deleted, and the last of them, this program, goes with its exec.
	for _, name := range []string{"/usr", "/init"} {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("make the root file system the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Exec(Init, []string{Init}, nil); err != nil {
		return fmt.Errorf("exec %s: %w", Init, err)
	}
	return nil
}
