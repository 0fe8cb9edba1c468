package launch

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// Programs that a run starts, found in PATH.
const (
	qemuProgram  = "qemu-system-x86_64"
	swtpmProgram = "swtpm"
)

// What tells whether this machine makes trust domains, has KVM, and gives guests vsock addresses.
const (
	tdxParameter = "/sys/module/kvm_intel/parameters/tdx"
	kvmDevice    = "/dev/kvm"
	cpuInfo      = "/proc/cpuinfo"
	vsockDevice  = "/dev/vhost-vsock"
)

const (
	// stopGrace is how long a guest may take to power off when it is asked to: longer than it gives its own engine, which gives containers
	// ten seconds. closeGrace is how long QEMU may take to end then.
	stopGrace  = 45 * time.Second
	closeGrace = 5 * time.Second
	// startWait is how long swtpm may take to listen.
	startWait = 10 * time.Second
	startStep = 10 * time.Millisecond
)

// ErrNoTDX says that a production image was to run where no trust domains are.
var ErrNoTDX = errors.New("this machine makes no trust domains (" + tdxParameter + " is not Y), and a production image runs in nothing else; build one with --dev")

// Run runs the guest until it powers off or the context ends, which is no error; a guest that ends by itself gives an [*EndedError]. The guest's console goes to console, without control characters; what is said
// about the run goes to progress. Nothing is left of it afterwards. vm, if it is not nil, is given the vm_config of the machine.
func (g *Guest) Run(ctx context.Context, console, progress io.Writer, vm func([]byte) error) (err error) {
	if !g.dev && !isTDX() {
		return ErrNoTDX
	}
	version, err := qemuVersion(ctx)
	if err != nil {
		return err
	}
	document, err := g.vmConfig(version)
	if err != nil {
		return err
	}
	if vm != nil {
		if err := vm(document); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "guest-run-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := &run{guest: g, files: files{dir}, version: version, progress: progress}
	if err := r.prepare(document); err != nil {
		return err
	}
	if g.dev {
		stop, err := r.startTPM(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	return r.qemu(ctx, console)
}

func isTDX() bool {
	value, err := os.ReadFile(tdxParameter)
	return err == nil && (strings.TrimSpace(string(value)) == "Y" || strings.TrimSpace(string(value)) == "1")
}

// hasKVM tells whether KVM runs any guest here. Where the processor has no virtualisation of its own, a device of that name is that of a
// hypervisor for Linux guests alone, in which no firmware starts.
func hasKVM() bool {
	data, err := os.ReadFile(cpuInfo)
	if err != nil {
		return false
	}
	words := strings.Fields(string(data))
	return (slices.Contains(words, "vmx") || slices.Contains(words, "svm")) && usable(kvmDevice)
}

// usable tells whether this user can open a device.
func usable(device string) bool {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	return f.Close() == nil
}

var versionPattern = regexp.MustCompile(`^QEMU emulator version ([0-9]+\.[0-9]+\.[0-9]+)`)

func qemuVersion(ctx context.Context) (machine.Version, error) {
	out, err := exec.CommandContext(ctx, qemuProgram, "--version").Output()
	if err != nil {
		return machine.Version{}, fmt.Errorf("%s --version: %w", qemuProgram, err)
	}
	m := versionPattern.FindSubmatch(out)
	if m == nil {
		return machine.Version{}, fmt.Errorf("%s --version: expected a release, got %.80q", qemuProgram, out)
	}
	return machine.ParseVersion(string(m[1]))
}

type run struct {
	guest    *Guest
	files    files
	version  machine.Version
	progress io.Writer
}

func (r *run) say(format string, args ...any) { fmt.Fprintf(r.progress, format+"\n", args...) }

// prepare writes the share and the disk.
func (r *run) prepare(vm []byte) error {
	if err := r.guest.writeShare(r.files.share(), vm); err != nil {
		return err
	}
	disk, err := os.OpenFile(r.files.disk(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(disk.Truncate(int64(r.guest.Disk)), disk.Close())
}

// own has a program live no longer than this one, and lets an interrupt at the terminal reach this one only.
func own(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// startTPM starts swtpm, and returns what ends it.
func (r *run) startTPM(ctx context.Context) (stop func() error, err error) {
	if err := os.Mkdir(r.files.state(), 0o700); err != nil {
		return nil, err
	}
	var said strings.Builder
	cmd := exec.Command(swtpmProgram, "socket", "--tpm2", "--tpmstate", "dir="+r.files.state(), "--ctrl", "type=unixio,path="+r.files.tpm(), "--terminate") //nolint:noctx // stop ends it
	cmd.Stdout, cmd.Stderr = &said, &said
	own(cmd)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("the simulated TEE needs a TPM: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed
	}()
	stop = func() error {
		err := cmd.Process.Kill()
		<-ended
		if errors.Is(err, os.ErrProcessDone) {
			return nil
		}
		return err
	}
	wait, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	for {
		if _, err := os.Stat(r.files.tpm()); !errors.Is(err, fs.ErrNotExist) {
			return stop, err
		}
		select {
		case <-wait.Done():
			return nil, errors.Join(fmt.Errorf("%s: it does not listen: %w", swtpmProgram, wait.Err()), stop())
		case <-ended:
			return nil, fmt.Errorf("%s has ended: %s", swtpmProgram, strings.TrimSpace(said.String()))
		case <-time.After(startStep):
		}
	}
}

// seedOf takes the seed that was given, or a new one.
func seedOf(given string) (string, error) {
	if given != "" {
		if raw, err := hex.DecodeString(given); err != nil || len(raw) != 32 || hex.EncodeToString(raw) != given {
			return "", &OptionError{"seed", errors.New("expected 64 lower-case hex digits")}
		}
		return given, nil
	}
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(seed[:]), nil
}

// vsock addresses from 3 on are guests'; dstack-vmm gives those from 1000 on.
const firstCID = 1000

// qemu runs QEMU to its end.
func (r *run) qemu(ctx context.Context, console io.Writer) error {
	id := dstack.ConfigIDV1(r.guest.compose.Hash())
	q := &qemu{guest: r.guest, files: r.files, version: r.version, kvm: hasKVM(), vsock: usable(vsockDevice), configID: id[:]}
	if !r.guest.dev && !q.vsock {
		return fmt.Errorf("%s: expected a device that this user can open: quotes come over vsock", vsockDevice)
	}
	var number [4]byte
	if _, err := rand.Read(number[:]); err != nil {
		return err
	}
	q.cid = firstCID + binary.LittleEndian.Uint32(number[:])%(1<<31)
	var err error
	if q.seed, err = seedOf(r.guest.Seed); err != nil {
		return err
	}
	args, err := q.arguments()
	if err != nil {
		return err
	}
	if r.guest.dev {
		r.say("SIMULATED: the quotes of this guest prove nothing; KVM %t, vsock %t", q.kvm, q.vsock)
		if !q.kvm {
			r.say("what it will measure is predicted by: %s", q.prediction())
		}
	}
	cmd := exec.Command(qemuProgram, args...) //nolint:noctx // it is asked to end before it is killed
	own(cmd)
	var said bounded
	var last ending
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&last, &printable{to: console}), &said
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			return said.with(err)
		}
		return last.error()
	case <-ctx.Done():
		return said.with(r.stop(cmd, ended))
	}
}

// stop asks the guest to power off, then QEMU to end, then nobody.
func (r *run) stop(cmd *exec.Cmd, ended chan error) error {
	for _, request := range []struct {
		command string
		grace   time.Duration
	}{{"system_powerdown", stopGrace}, {"quit", closeGrace}} {
		if err := command(r.files.monitor(), request.command); err != nil {
			r.say("%s: %v", request.command, err)
			continue
		}
		r.say("asked QEMU for %s", request.command)
		select {
		case err := <-ended:
			return err
		case <-time.After(request.grace):
		}
	}
	r.say("QEMU is killed")
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := <-ended; err != nil {
		r.say("QEMU: %v", err)
	}
	return nil
}

// EndedError says that nobody asked the guest to end.
type EndedError struct {
	// Reason is what the guest said last about it; empty where it said nothing.
	Reason string
	// Refused says that it found something else than it has to be: it stopped its boot, or a block of its root file system is another one.
	Refused bool
}

func (e *EndedError) Error() string {
	switch {
	case e.Refused:
		return "the guest refuses: " + e.Reason
	case e.Reason != "":
		return "the guest has ended by itself: " + e.Reason
	default:
		return "the guest has ended by itself"
	}
}

// Lines of the console by which a guest says why it ends: our own (package guest), and the kernel's (kernel/panic.c), which is where dm-verity
// ends.
const (
	saysRefused = "boardroom-guest: the boot is stopped: "
	saysEnded   = "boardroom-guest: the guest is stopped: "
	saysPanic   = "Kernel panic - not syncing: "
	saysVerity  = saysPanic + "dm-verity "
)

// ending reads the console for why the guest ends.
type ending struct {
	line []byte
	EndedError
}

// maxLine bounds a line of the console that is looked at; what is longer is cut.
const maxLine = 4096

// Write never fails.
func (e *ending) Write(data []byte) (int, error) {
	for _, c := range data {
		if c == '\n' {
			e.read(string(e.line))
			e.line = e.line[:0]
		} else if len(e.line) < maxLine {
			e.line = append(e.line, c)
		}
	}
	return len(data), nil
}

// read keeps the first reason: what follows is its consequence.
func (e *ending) read(line string) {
	for _, says := range []string{saysRefused, saysEnded, saysPanic} {
		if _, reason, found := strings.Cut(line, says); found && e.Reason == "" {
			var clean strings.Builder
			_, _ = (&printable{to: &clean}).Write([]byte(strings.TrimSpace(reason)))
			e.Reason, e.Refused = clean.String(), says == saysRefused || strings.Contains(line, saysVerity)
		}
	}
}

// error is for after the last write.
func (e *ending) error() error {
	e.read(string(e.line))
	return &e.EndedError
}

// printable writes lines of text on, and a dot for each control character: what a guest prints is for this user's terminal.
type printable struct{ to io.Writer }

// Write never changes how much there is.
func (p *printable) Write(data []byte) (int, error) {
	clean := make([]byte, len(data))
	for i, c := range data {
		switch {
		case c == '\n', c == '\t', c >= ' ' && c <= '~':
			clean[i] = c
		case c == '\r':
			clean[i] = ' '
		default:
			clean[i] = '.'
		}
	}
	return p.to.Write(clean)
}

// bounded keeps the beginning of what QEMU complains about.
type bounded struct {
	mu   sync.Mutex
	text []byte
}

const maxSaid = 16 << 10

// Write keeps what there is room for.
func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p[:min(len(p), maxSaid-len(b.text))]...)
	return len(p), nil
}

func (b *bounded) with(err error) error {
	if err == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Errorf("%s: %w\n%s", filepath.Base(qemuProgram), err, strings.TrimSpace(string(b.text)))
}
