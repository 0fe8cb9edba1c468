//go:build linux

package guest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/boardroom-tee/boardroom/tools/dstack/agentapi"
	"github.com/boardroom-tee/boardroom/tools/guest/button"
	"github.com/boardroom-tee/boardroom/tools/guest/engine"
	"github.com/boardroom-tee/boardroom/tools/guest/host"
	"github.com/boardroom-tee/boardroom/tools/guest/modules"
	"github.com/boardroom-tee/boardroom/tools/guest/netconf"
	"github.com/boardroom-tee/boardroom/tools/guest/process"
	"github.com/boardroom-tee/boardroom/tools/guest/registers"
	"github.com/boardroom-tee/boardroom/tools/guest/securetime"
	"github.com/boardroom-tee/boardroom/tools/guest/share"
)

const (
	// applicationFolder is the compose project's, and has dstack's name for it, which becomes the project's.
	applicationFolder = "/dstack"
	composeFile       = "docker-compose.yaml"
	// sharedFolder is where applications find what the host gave, in dstack.
	sharedFolder = applicationFolder + "/.host-shared"
	// mountedShare is where the host's file system is while it is read.
	mountedShare = "/run/host-share"
	shareTag     = "host-shared"
	// resolvFile is what /etc/resolv.conf of the image links to.
	resolvFile = "/run/resolv.conf"
)

// machine is the real system.
type machine struct {
	children *process.Children
	console  *os.File
	warn     func(error)
}

// mounts are the file systems of the guest, besides those that the initramfs mounted: /proc, /sys, /dev and /run. What an application writes
// is in memory. Sizes are bounds, not reservations.
var mounts = []struct {
	source, target, kind string
	flags                uintptr
	data                 string
}{
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"},
	{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, "mode=1777"},
	{"tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	{"tmpfs", "/var", "tmpfs", 0, "mode=0755,size=75%"},
	{"tmpfs", applicationFolder, "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755,size=75%"},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"securityfs", "/sys/kernel/security", "securityfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
}

// Mount mounts, and makes the folders that programs expect below /var.
func (m *machine) Mount() error {
	for _, f := range mounts {
		if strings.HasPrefix(f.target, "/dev/") {
			if err := os.MkdirAll(f.target, 0o755); err != nil {
				return err
			}
		}
		if err := unix.Mount(f.source, f.target, f.kind, f.flags, f.data); err != nil {
			return fmt.Errorf("mount %s: %w", f.target, err)
		}
	}
	for _, dir := range []string{"/var/lib", "/var/log", "/var/tmp", "/run/dstack", "/run/lock"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("/run", "/var/run"); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte("dstack")); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	// A crash leaves no copy of a program's memory.
	if err := os.WriteFile("/proc/sys/kernel/core_pattern", []byte("|/nonexistent\n"), 0); err != nil {
		return err
	}
	limit := unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	return os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+cpu +cpuset +io +memory +pids"), 0)
}

// LoadModules loads what the guest needs, and closes the kernel for any more.
func (m *machine) LoadModules() error {
	if err := loadTEE(m.warn); err != nil {
		return err
	}
	if err := modules.Load(modules.Root()...); err != nil {
		return err
	}
	if err := modules.Close(); err != nil {
		return err
	}
	// No other kernel takes this one's place: its measurements would be this one's.
	return os.WriteFile("/proc/sys/kernel/kexec_load_disabled", []byte("1"), 0)
}

// WatchButton has the guest end in order when the power button is pressed.
func (m *machine) WatchButton(press func()) error { return button.Watch(press, m.warn) }

// Reporter tells the host.
func (m *machine) Reporter(port uint32) reporter { return host.Report(port) }

// OpenTEE opens the flavour's TEE.
func (m *machine) OpenTEE() (registers.TEE, error) { return openTEE() }

// ReadShare mounts the host's share, reads it and unmounts it.
func (m *machine) ReadShare() (files share.Files, err error) {
	if err := os.MkdirAll(mountedShare, 0o700); err != nil {
		return nil, err
	}
	const flags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	disk, err := share.FindDisk(os.DirFS("/sys/class/block"), "/dev")
	if err != nil {
		return nil, err
	}
	if disk != "" {
		err = unix.Mount(disk, mountedShare, "vfat", flags, "")
	} else {
		err = unix.Mount(shareTag, mountedShare, "9p", flags, "trans=virtio,version=9p2000.L,msize=131072")
	}
	if err != nil {
		return nil, fmt.Errorf("mount the host's share (%s): %w", shareName(disk), err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(mountedShare, 0)) }()
	return share.Read(mountedShare)
}

func shareName(disk string) string {
	if disk != "" {
		return disk
	}
	return "9p, tag " + shareTag
}

// Network brings up all cards.
func (m *machine) Network(ctx context.Context) error {
	_, err := netconf.Up(ctx, resolvFile, m.warn)
	return err
}

// authoritiesFile has the certificates of the image.
const authoritiesFile = "/etc/ssl/certs/ca-certificates.crt"

// SetClock gives the servers a minute, and asks them each hour later.
func (m *machine) SetClock(ctx context.Context) (time.Duration, error) {
	authorities, err := os.ReadFile(authoritiesFile)
	if err != nil {
		return 0, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return 0, fmt.Errorf("expected certificates in %s, got none", authoritiesFile)
	}
	keeper := &securetime.Keeper{
		Clock: securetime.System{}, Servers: securetime.Servers(), Roots: roots, Rounds: 6, Patience: 10 * time.Second, Interval: time.Hour,
	}
	wrong, err := keeper.Set(ctx)
	if err == nil {
		go keeper.Keep(ctx, m.warn)
	}
	return wrong, err
}

// Unpack writes what an application in dstack finds in its folder.
func (m *machine) Unpack(files share.Files, compose string) error {
	if err := os.MkdirAll(sharedFolder, 0o700); err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(sharedFolder, name), data, 0o600); err != nil {
			return err
		}
	}
	if data, given := files[share.UserConfig]; given {
		if err := os.WriteFile(filepath.Join(applicationFolder, ".user-config"), data, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(applicationFolder, composeFile), []byte(compose), 0o600)
}

// Serve listens at every place before it returns.
func (m *machine) Serve(ctx context.Context, handlers map[string]http.Handler) error {
	for place, handler := range handlers {
		var listener net.Listener
		var err error
		switch {
		case place == hostPlace:
			listener, err = host.Listen(host.Port)
		case strings.HasPrefix(place, "/"):
			listener, err = agentapi.Listen(ctx, place)
		default:
			listener, err = new(net.ListenConfig).Listen(ctx, "tcp", place)
		}
		if err != nil {
			return err
		}
		go func() {
			if err := agentapi.Serve(ctx, listener, handler); err != nil {
				m.warn(fmt.Errorf("serve %s: %w", place, err))
			}
		}()
	}
	return nil
}

// StartEngine starts containerd and dockerd.
func (m *machine) StartEngine(ctx context.Context, mirror string) (containers, error) {
	e, err := engine.Start(ctx, m.children, m.console, mirror)
	if err != nil {
		return nil, err
	}
	return &running{e}, nil
}

// drain is how long the last lines have to leave the machine.
const drain = 200 * time.Millisecond

// powerOff ends the machine.
func powerOff() error {
	unix.Sync()
	// The serial port sends on while the machine is stopped; what is in its buffer then would get lost.
	time.Sleep(drain)
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
