package launch

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// Port is a port of this machine that leads to one of the guest. Who can connect to this machine's loopback interface can connect to it.
type Port struct {
	Host, Guest uint16
}

// ParsePort reads HOST:GUEST.
func ParsePort(s string) (p Port, err error) {
	host, guest, err := net.SplitHostPort(s)
	if err == nil {
		p.Host, err = parsePort(host)
	}
	if err == nil {
		p.Guest, err = parsePort(guest)
	}
	if err != nil {
		return Port{}, fmt.Errorf("expected HOST:GUEST, two ports from 1 to 65535, got %.80q", s)
	}
	return p, nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err == nil && (n == 0 || strconv.FormatUint(n, 10) != s) {
		err = strconv.ErrSyntax
	}
	return uint16(n), err
}

// files are the paths in the folder of a run.
type files struct{ dir string }

func (f files) share() string   { return filepath.Join(f.dir, "shared") }
func (f files) disk() string    { return filepath.Join(f.dir, "hda.img") }
func (f files) monitor() string { return filepath.Join(f.dir, "qmp.sock") }
func (f files) tpm() string     { return filepath.Join(f.dir, "tpm.sock") }
func (f files) state() string   { return filepath.Join(f.dir, "tpm") }

// qemu is what the arguments follow from.
type qemu struct {
	guest   *Guest
	files   files
	version machine.Version
	// kvm says that this machine has KVM, vsock that it can give a guest a vsock address.
	kvm, vsock bool
	cid        uint32
	configID   []byte
	seed       string
}

// emulated is the processor where there is no KVM: QEMU's own with a source of random numbers. What "max" has besides makes programs slower,
// because they believe that wide registers and string copies are fast: a guest needed 49 s to its application with it, and 36 s without.
const emulated = "qemu64,+rdrand"

// threaded is the first release that emulates each vCPU in a thread of its own. QEMU 7.2 so now and then crashes, or runs code that the kernel
// has patched meanwhile: 3 of 15 boots. With 10.0 none of as many did; what is between was not tried.
var threaded = machine.Version{Major: 10}

// emulatedBAR64 is where this firmware puts 64-bit BARs with the 40 address bits of the emulated processor: 2^40 - 2^38.
const emulatedBAR64 = "0xC000000000"

// prediction is the call of boardroom that predicts the registers of an emulated development machine. What only hardware tells, such as the
// address bits of a processor, is not known of others.
func (q *qemu) prediction() string {
	return fmt.Sprintf("boardroom measure %s --cpus %d --memory %dM --qemu %s --tpm tpm-tis --tdx upstream --bar64-base %s",
		shellWord(q.guest.dir), q.guest.CPUs, q.guest.Memory>>20, q.version, emulatedBAR64)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./=:@%+,-]+$`)

// shellWord quotes what a shell would take apart.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// vmID stands in place of the id that dstack-vmm gives a machine.
const vmID = "boardroom-guest-run"

// macOf is the address of the first network card, as dstack-vmm derives it.
func macOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	sum[0] = sum[0]&0xfe | 2
	return net.HardwareAddr(sum[:6]).String()
}

// arguments are those of QEMU, in the order of dstack-vmm. What is different in a development machine is said at its place; none of it
// moves a device to another slot, so that ACPI tables are those of the shape.
func (q *qemu) arguments() ([]string, error) {
	g := q.guest
	in := func(name string) string { return option(filepath.Join(g.dir, name)) }
	args := []string{"-accel"}
	if q.kvm {
		args = append(args, "kvm", "-cpu", "host")
	} else {
		threads := "single"
		if q.version.AtLeast(threaded.Major, threaded.Minor, threaded.Patch) {
			threads = "multi"
		}
		args = append(args, "tcg,thread="+threads, "-cpu", emulated)
	}
	args = append(args,
		"-nographic", "-nodefaults", "-no-reboot", "-chardev", "stdio,id=com0,signal=off", "-serial", "chardev:com0",
		"-qmp", "unix:"+option(q.files.monitor())+",server=on,wait=off",
		"-bios", filepath.Join(g.dir, g.image.Firmware), "-kernel", filepath.Join(g.dir, g.image.Kernel), "-initrd", filepath.Join(g.dir, g.image.Initrd),
		"-drive", "file="+in(g.root)+",if=none,id=hd0,format=raw,readonly=on", "-device", "virtio-blk-pci,drive=hd0",
		"-drive", "file="+option(q.files.disk())+",if=none,id=hd1,format=raw", "-device", "virtio-blk-pci,drive=hd1",
	)
	network := []byte("user,id=net0,net=10.0.2.0/24,dhcpstart=10.0.2.10,restrict=no")
	for _, p := range g.Ports {
		network = fmt.Appendf(network, ",hostfwd=tcp:127.0.0.1:%d-:%d", p.Host, p.Guest)
	}
	card := "virtio-net-pci,netdev=net0,mac=" + macOf(vmID)
	if g.dev {
		// A TPM measures option ROMs, and a trust domain does not.
		card += ",romfile="
	}
	args = append(args, "-netdev", string(network), "-device", card, "-smbios", "type=1,manufacturer=dstack,product=dstack")
	if g.dev {
		args = append(args,
			"-chardev", "socket,id=tpm,path="+option(q.files.tpm()), "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0",
			"-fw_cfg", "name="+seedItem+",string="+q.seed, "-fw_cfg", "name="+configItem+",string="+hex.EncodeToString(q.configID))
		if !q.kvm {
			args = append(args, "-fw_cfg", "name="+emulatedItem+",string=1")
		}
	}
	if q.vsock {
		args = append(args, "-device", fmt.Sprintf("vhost-vsock-pci,guest-cid=%d", q.cid))
	} else {
		// It takes the slot, and looks the same in ACPI tables.
		args = append(args, "-device", "virtio-rng-pci")
	}
	args = append(args, "-virtfs", "local,path="+option(q.files.share())+",mount_tag=host-shared,readonly=on,security_model=mapped,id=virtfs0")
	machine, err := q.machine()
	if err != nil {
		return nil, err
	}
	args = append(args, machine...)
	return append(args, "-smp", strconv.Itoa(g.CPUs), "-m", fmt.Sprintf("%dM", g.Memory>>20), "-append", g.image.Cmdline), nil
}

// Items that the simulated TEE reads (package registers of the guest).
const (
	seedItem     = "opt/boardroom/simtee-seed"
	configItem   = "opt/boardroom/mrconfigid"
	emulatedItem = "opt/boardroom/emulated"
)

func (q *qemu) machine() ([]string, error) {
	if q.guest.dev {
		// A trust domain has neither SMM nor a PIC; elsewhere they have to be switched off.
		return []string{"-machine", "q35,kernel-irqchip=split,hpet=off,smm=off,pic=off"}, nil
	}
	object := tdxGuest{Type: "tdx-guest", ID: "tdx", ConfigID: base64.StdEncoding.EncodeToString(q.configID)}
	object.Quotes.Type, object.Quotes.CID, object.Quotes.Port = "vsock", "2", strconv.Itoa(int(q.guest.QuotePort))
	text, err := json.Marshal(object)
	if err != nil {
		return nil, err
	}
	return []string{"-machine", "q35,kernel-irqchip=split,confidential-guest-support=tdx,hpet=off", "-object", string(text)}, nil
}

// tdxGuest is QEMU's object of that name (qapi/qom.json TdxGuestProperties).
type tdxGuest struct {
	Type     string `json:"qom-type"`
	ID       string `json:"id"`
	ConfigID string `json:"mrconfigid"`
	Quotes   struct {
		Type string `json:"type"`
		CID  string `json:"cid"`
		Port string `json:"port"`
	} `json:"quote-generation-socket"`
}

// option doubles commas, which end a value in QEMU's options.
func option(value string) string {
	out := make([]byte, 0, len(value))
	for i := range len(value) {
		if value[i] == ',' {
			out = append(out, ',')
		}
		out = append(out, value[i])
	}
	return string(out)
}
