//go:build acceptance

package guest_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/boardroom-tee/boardroom/tools/disk/gpt"
	"github.com/boardroom-tee/boardroom/tools/guest/share"
)

// A lying host is "guest run", whose image was verified, with this test program in place of QEMU: it changes what QEMU is given, and becomes
// QEMU.
const (
	qemuName    = "qemu-system-x86_64"
	lieVariable = "BOARDROOM_TEST_LIE"
)

// lyingPath is a folder with this program by QEMU's name.
func lyingPath(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "host")
	if err := errors.Join(os.Mkdir(folder, 0o700), os.Symlink(self, filepath.Join(folder, qemuName))); err != nil {
		t.Fatal(err)
	}
	return folder
}

// lyingHost tells the lie and becomes QEMU. It returns only where that fails.
func lyingHost() error {
	_, rest, _ := strings.Cut(os.Getenv("PATH"), string(os.PathListSeparator))
	if err := os.Setenv("PATH", rest); err != nil {
		return err
	}
	real, err := exec.LookPath(qemuName)
	if err != nil {
		return err
	}
	args := slices.Clone(os.Args)
	// It is asked for its version first.
	if slices.Contains(args, "-append") {
		lie, known := lies[os.Getenv(lieVariable)]
		if !known {
			return fmt.Errorf("no lie %q", os.Getenv(lieVariable))
		}
		if err := lie(args); err != nil {
			return err
		}
	}
	// A process that another thread than its first turns into a program forgets with whom it was to end.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	return syscall.Exec(real, args, os.Environ())
}

// lies are what a host does to the arguments of QEMU and the files that they name.
var lies = map[string]func(args []string) error{
	"byte of the root file system": changeRoot(func(size int64) int64 { return 100 }),
	// Early in the file system is containerd, and it is large.
	"byte of a program":            changeRoot(func(size int64) int64 { return size / 20 }),
	"byte of the hash tree's head": changeRoot(func(size int64) int64 { return size + 80 }),
	"byte of the hash tree":        changeRoot(func(size int64) int64 { return size + 4096 + 7 }),
	"digit of the root hash":       changeCmdline(regexp.MustCompile(`dstack\.rootfs_hash=([0-9a-f])`)),
	"digit of the command line":    changeCmdline(regexp.MustCompile(` panic=([0-9])`)),
	"byte of the kernel":           changeFile("-kernel", func(int64) int64 { return kernelBlank }),
	"byte of the initrd's header":  changeFile("-initrd", func(int64) int64 { return gzipTime }),
	"byte of the app-compose":      changeShare(renameApplication),
	"link in the share":            changeShare(func(dir string) error { return linkIn(filepath.Join(dir, share.SysConfig)) }),
	"malformed JSON in the share":  changeShare(func(dir string) error { return replaceIn(filepath.Join(dir, share.SysConfig), `}`, ``) }),
	"oversized file in the share": changeShare(func(dir string) error {
		return os.WriteFile(filepath.Join(dir, share.UserConfig), make([]byte, 1<<20+1), 0o600)
	}),
	"another application, bound as such": bindNothing,
}

const (
	// kernelBlank is in the DOS header of the kernel, between its signature and the pointers at its end: nothing reads it.
	kernelBlank = 0x10
	// gzipTime is in the time of a gzip file (RFC 1952, 2.3): nothing reads it.
	gzipTime = 5
)

// value finds the value of a flag.
func value(args []string, flag string) (*string, error) {
	at := slices.Index(args, flag)
	if at < 0 || at == len(args)-1 {
		return nil, fmt.Errorf("QEMU is started without %s", flag)
	}
	return &args[at+1], nil
}

// shareOf is the folder that the guest is given.
func shareOf(args []string) (string, error) {
	v, err := value(args, "-virtfs")
	if err != nil {
		return "", err
	}
	_, rest, found := strings.Cut(*v, "path=")
	folder, _, end := strings.Cut(rest, ",")
	if !found || !end {
		return "", fmt.Errorf("-virtfs %s: no path", *v)
	}
	return folder, nil
}

func changeShare(change func(dir string) error) func([]string) error {
	return func(args []string) error {
		dir, err := shareOf(args)
		if err != nil {
			return err
		}
		return change(dir)
	}
}

func replaceIn(file, old, with string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	changed := bytes.Replace(data, []byte(old), []byte(with), 1)
	if bytes.Equal(changed, data) {
		return fmt.Errorf("%s has no %s", file, old)
	}
	return os.WriteFile(file, changed, 0o600)
}

// renameApplication changes one byte of the app-compose.json.
func renameApplication(dir string) error {
	return replaceIn(filepath.Join(dir, share.AppCompose), `"name":"finance-agent"`, `"name":"finance-agenT"`)
}

func linkIn(file string) error {
	return errors.Join(os.Rename(file, file+".old"), os.Symlink(filepath.Base(file)+".old", file))
}

// changeFile gives QEMU a copy of the flag's file with another byte at a place that follows from its size.
func changeFile(flag string, at func(size int64) int64) func([]string) error {
	return func(args []string) error {
		v, err := value(args, flag)
		if err != nil {
			return err
		}
		info, err := os.Stat(*v)
		if err != nil {
			return err
		}
		*v, err = changedCopy(args, *v, at(info.Size()))
		return err
	}
}

// changeRoot does it to the disk with the root file system; the place is in the partition and follows from the size of the file system.
func changeRoot(at func(size int64) int64) func([]string) error {
	return func(args []string) error {
		cmdline, err := value(args, "-append")
		if err != nil {
			return err
		}
		size := regexp.MustCompile(`dstack\.rootfs_size=([0-9]+)`).FindStringSubmatch(*cmdline)
		drive, err := value(args, "-drive")
		if size == nil || err != nil {
			return fmt.Errorf("%s: no size of the root file system, or %w", *cmdline, err)
		}
		n, err := strconv.ParseInt(size[1], 10, 64)
		if err != nil {
			return err
		}
		file, options, _ := strings.Cut(strings.TrimPrefix(*drive, "file="), ",")
		changed, err := changedCopy(args, file, gpt.Alignment+at(n))
		*drive = "file=" + changed + "," + options
		return err
	}
}

// changedCopy makes the copy beside the share, where it goes with it.
func changedCopy(args []string, file string, at int64) (string, error) {
	dir, err := shareOf(args)
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	data[at] ^= 1
	changed := filepath.Join(filepath.Dir(dir), "changed-"+filepath.Base(file))
	return changed, os.WriteFile(changed, data, 0o600)
}

// changeCmdline changes a digit.
func changeCmdline(digit *regexp.Regexp) func([]string) error {
	return func(args []string) error {
		cmdline, err := value(args, "-append")
		if err != nil {
			return err
		}
		at := digit.FindStringSubmatchIndex(*cmdline)
		if at == nil {
			return fmt.Errorf("%s: no %s", *cmdline, digit)
		}
		changed := []byte(*cmdline)
		changed[at[2]] = map[bool]byte{true: '2', false: '1'}[changed[at[2]] == '1']
		*cmdline = string(changed)
		return nil
	}
}

// bindNothing changes the application, and gives the machine no MRCONFIGID to hold it to: that a guest lets pass, and a verifier sees.
func bindNothing(args []string) error {
	for i, a := range args {
		if strings.HasPrefix(a, "name=opt/boardroom/mrconfigid,") {
			args[i] = "name=opt/boardroom/unused,string=0"
		}
	}
	return changeShare(renameApplication)(args)
}

// corrupted is what the kernel ends with when a block is not what the root hash says.
const corrupted = "Kernel panic - not syncing: dm-verity device corrupted"

// TestTamperedBootsAreRefused: these machines end before they have run anything of an application, and say why.
func TestTamperedBootsAreRefused(t *testing.T) {
	for _, tt := range []struct{ lie, want string }{
		{"byte of the root file system", corrupted},
		{"byte of a program", corrupted},
		{"byte of the hash tree's head", corrupted},
		{"byte of the hash tree", corrupted},
		{"digit of the root hash", corrupted},
		{"byte of the app-compose", "the boot is stopped: check mr_config_id: "},
		{"link in the share", "the boot is stopped: read the host's files: host share: " + share.SysConfig},
		{"malformed JSON in the share", "the boot is stopped: read the host's files: host share: " + share.SysConfig},
		{"oversized file in the share", "the boot is stopped: read the host's files: host share: " + share.UserConfig},
	} {
		t.Run(tt.lie, func(t *testing.T) {
			s := site(t)
			m := s.start(t, s.compose, tt.lie)
			code := m.wait()
			console := read(t, m.console)
			if code != 1 || !strings.Contains(console, tt.want) || strings.Contains(console, "start the application") {
				t.Errorf("exit code %d, want 1 and %q:\n%s\n%s", code, tt.want, console, read(t, m.progress))
			}
			t.Log(regexp.MustCompile("(?m)^.*(the boot is stopped|Kernel panic).*$").FindString(console))
		})
	}
}

// TestApplicationsAreRefused: what the guest can not do for an application yet stops it before there is a secret.
func TestApplicationsAreRefused(t *testing.T) {
	s := site(t)
	compose := filepath.Join(t.TempDir(), "app-compose.json")
	writeFile(t, compose, []byte(strings.NewReplacer(`"key_provider":"none"`, `"key_provider":"kms"`, `"kms_enabled":false`, `"kms_enabled":true`).Replace(read(t, s.compose))))
	m := s.start(t, compose, "")
	if code := m.wait(); code != 1 || !strings.Contains(read(t, m.console), "the boot is stopped: check the application: app-compose: key_provider: expected none, got kms") {
		t.Errorf("exit code %d, want 1 and a reason:\n%s\n%s", code, read(t, m.console), read(t, m.progress))
	}
}

// TestTamperedBootsAreMeasured: these machines run, because what was changed is of no consequence, and each is told from the one that was
// promised: by the one event that "measure diff" names, and by the values that make a verifier refuse it.
func TestTamperedBootsAreMeasured(t *testing.T) {
	for _, tt := range []struct{ lie, event, refused string }{
		{"byte of the kernel", "rtmr1, event 0: another kernel", "rtmr1"},
		{"byte of the initrd's header", "rtmr2, event 1: another initrd", "rtmr2"},
		{"digit of the command line", "rtmr2, event 0: another kernel command line", "rtmr2"},
		{"another application, bound as such", "rtmr3, event 1: another app-compose", "rtmr3, reference_values.mrconfigid, reference_values.compose_hash"},
	} {
		t.Run(tt.lie, func(t *testing.T) {
			s := site(t)
			m := s.start(t, s.compose, tt.lie)
			m.await(t)
			evidence := m.collect(t)
			code, out, stderr := s.try(t, s.verify(t, evidence, "--nonce", nonce, "--expect", s.expect(t, s.compose, m.vmConfig))...)
			if want := "refused: reference_values, reference_values." + tt.refused + " (SIMULATED)"; code != 1 || !strings.Contains(stderr, want) {
				t.Errorf("quote verify: exit code %d, want 1 and %q:\n%s%s", code, want, out, stderr)
			}
			promised := s.prediction(t)
			if strings.HasPrefix(tt.event, "rtmr3") { // of which a prediction has no events
				promised, _ = s.simulation(t, s.compose, m.vmConfig)
			}
			code, out, stderr = s.try(t, "measure", "diff", promised, evidence)
			if found := regexp.MustCompile(`(?m)^\S+, event .*$`).FindAllString(out, -1); code != 1 || len(found) != 1 || !strings.HasPrefix(found[0], tt.event) {
				t.Errorf("measure diff: exit code %d, want 1 and %q alone:\n%s%s", code, tt.event, out, stderr)
			}
		})
	}
}
