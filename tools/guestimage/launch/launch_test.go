package launch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/guest/share"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

func TestParsePort(t *testing.T) {
	if p, err := ParsePort("18080:8080"); err != nil || p != (Port{18080, 8080}) {
		t.Errorf("got %+v (%v)", p, err)
	}
	for _, bad := range []string{"", "80", "0:80", "80:0", "65536:80", "80:80:80", "x:80", "+80:80", "080:80", "[::1]:80"} {
		if p, err := ParsePort(bad); err == nil {
			t.Errorf("%q: got %+v", bad, p)
		}
	}
}

// TestMAC has the vectors of the contracts' dstack page, section 2.1.
func TestMAC(t *testing.T) {
	for id, want := range map[string]string{"vm-123": "96:b1:d8:b9:08:e6", "vm-123:1": "c6:74:2c:65:14:b9"} {
		if got := macOf(id); got != want {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
}

func testGuest(dev bool) *Guest {
	return &Guest{
		Options: Options{CPUs: 2, Memory: 2 << 30, Ports: []Port{{18080, 8080}}, QuotePort: 4050, AppCompose: []byte(`{}`), Registry: "http://10.0.2.2:5000"},
		dir:     "/images/a,b", root: "rootfs.img.parted.verity", dev: dev, digest: dstack.ImageHash{1},
		image: image.Metadata{Firmware: "ovmf.fd", Kernel: "bzImage", Initrd: "initramfs.cpio.gz", Cmdline: "console=ttyS0", OVMFVariant: "pre202505"},
	}
}

// TestArguments holds the arguments of a trust domain to those of dstack-vmm (contracts' dstack page, section 2.1).
func TestArguments(t *testing.T) {
	q := &qemu{guest: testGuest(false), files: files{"/run/x"}, kvm: true, vsock: true, cid: 1234, configID: append([]byte{1}, make([]byte, 47)...)}
	got, err := q.arguments()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"-accel", "kvm", "-cpu", "host", "-nographic", "-nodefaults", "-no-reboot", "-chardev", "stdio,id=com0,signal=off", "-serial", "chardev:com0",
		"-qmp", "unix:/run/x/qmp.sock,server=on,wait=off",
		"-bios", "/images/a,b/ovmf.fd", "-kernel", "/images/a,b/bzImage", "-initrd", "/images/a,b/initramfs.cpio.gz",
		"-drive", "file=/images/a,,b/rootfs.img.parted.verity,if=none,id=hd0,format=raw,readonly=on", "-device", "virtio-blk-pci,drive=hd0",
		"-drive", "file=/run/x/hda.img,if=none,id=hd1,format=raw", "-device", "virtio-blk-pci,drive=hd1",
		"-netdev", "user,id=net0,net=10.0.2.0/24,dhcpstart=10.0.2.10,restrict=no,hostfwd=tcp:127.0.0.1:18080-:8080",
		"-device", "virtio-net-pci,netdev=net0,mac=" + macOf(vmID), "-smbios", "type=1,manufacturer=dstack,product=dstack",
		"-device", "vhost-vsock-pci,guest-cid=1234",
		"-virtfs", "local,path=/run/x/shared,mount_tag=host-shared,readonly=on,security_model=mapped,id=virtfs0",
		"-machine", "q35,kernel-irqchip=split,confidential-guest-support=tdx,hpet=off",
		"-object", `{"qom-type":"tdx-guest","id":"tdx","mrconfigid":"AQ` + strings.Repeat("A", 62) + `","quote-generation-socket":{"type":"vsock","cid":"2","port":"4050"}}`,
		"-smp", "2", "-m", "2048M", "-append", "console=ttyS0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestEmulation: what QEMU is told where there is no KVM, and that the guest is told too.
func TestEmulation(t *testing.T) {
	for _, tt := range []struct {
		kvm     bool
		version machine.Version
		accel   []string
		told    bool
	}{
		{true, machine.Version{Major: 10}, []string{"-accel", "kvm", "-cpu", "host"}, false},
		{false, machine.Version{Major: 7, Minor: 2, Patch: 22}, []string{"-accel", "tcg,thread=single", "-cpu", "qemu64,+rdrand"}, true},
		{false, machine.Version{Major: 9, Minor: 2, Patch: 4}, []string{"-accel", "tcg,thread=single", "-cpu", "qemu64,+rdrand"}, true},
		{false, machine.Version{Major: 10}, []string{"-accel", "tcg,thread=multi", "-cpu", "qemu64,+rdrand"}, true},
	} {
		q := &qemu{guest: testGuest(true), files: files{"/run/x"}, version: tt.version, kvm: tt.kvm, seed: strings.Repeat("0", 64), configID: make([]byte, 48)}
		args, err := q.arguments()
		if err != nil {
			t.Fatal(err)
		}
		if got := args[:len(tt.accel)]; !slices.Equal(got, tt.accel) {
			t.Errorf("QEMU %s, KVM %t: got %q, want %q", tt.version, tt.kvm, got, tt.accel)
		}
		if told := slices.Contains(args, "name=opt/boardroom/emulated,string=1"); told != tt.told {
			t.Errorf("QEMU %s, KVM %t: told the guest %t, want %t", tt.version, tt.kvm, told, tt.told)
		}
	}
}

func TestPrediction(t *testing.T) {
	guest := testGuest(true)
	for dir, word := range map[string]string{"/images/a,b": "/images/a,b", "my images": "'my images'", "it's": `'it'\''s'`, "$(x)": "'$(x)'"} {
		guest.dir = dir
		want := "boardroom measure " + word + " --cpus 2 --memory 2048M --qemu 10.0.13 --tpm tpm-tis --tdx upstream --bar64-base 0xC000000000"
		if got := (&qemu{guest: guest, version: machine.Version{Major: 10, Patch: 13}}).prediction(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestDevelopmentSlots: a development machine has its devices in the slots of the other.
func TestDevelopmentSlots(t *testing.T) {
	slots := func(dev, vsock bool) (kinds []string) {
		q := &qemu{guest: testGuest(dev), files: files{"/run/x"}, vsock: vsock, seed: strings.Repeat("0", 64), configID: make([]byte, 48)}
		args, err := q.arguments()
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range args {
			if a == "-device" && strings.Contains(args[i+1], "-pci") {
				kind, _, _ := strings.Cut(args[i+1], ",")
				kinds = append(kinds, kind)
			}
			if a == "-virtfs" {
				kinds = append(kinds, "9p")
			}
		}
		return kinds
	}
	want := []string{"virtio-blk-pci", "virtio-blk-pci", "virtio-net-pci", "vhost-vsock-pci", "9p"}
	if got := slots(true, true); !slices.Equal(got, want) || !slices.Equal(slots(false, true), want) {
		t.Errorf("got %v, want %v", got, want)
	}
	want[3] = "virtio-rng-pci"
	if got := slots(true, false); !slices.Equal(got, want) {
		t.Errorf("without vsock: got %v, want %v", got, want)
	}
}

// TestShare has the guest's own reader and the predictor's read what is written.
func TestShare(t *testing.T) {
	g := testGuest(true)
	vm, err := g.vmConfig(machine.Version{Major: 9, Minor: 2, Patch: 1})
	if err != nil {
		t.Fatal(err)
	}
	m, err := machine.FromVMConfig(vm)
	if err != nil {
		t.Fatal(err)
	}
	if m.CPUs != 2 || m.Memory != 2<<30 || m.QEMU != (machine.Version{Major: 9, Minor: 2, Patch: 1}) || m.TPM == "" {
		t.Errorf("got %+v from %s", m, vm)
	}
	dir := filepath.Join(t.TempDir(), "shared")
	if err := g.writeShare(dir, vm); err != nil {
		t.Fatal(err)
	}
	read, err := share.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	system, err := share.ParseSystem(read[share.SysConfig])
	if err != nil {
		t.Fatal(err)
	}
	if system.VMConfig != string(vm) || system.Registry != g.Registry || string(read[share.AppCompose]) != "{}" || len(read) != 2 {
		t.Errorf("got %+v and %v", system, read)
	}
}

func TestNewRefuses(t *testing.T) {
	good := Options{AppCompose: []byte(`{"manifest_version":2,"name":"a","runner":"docker-compose","docker_compose_file":"services: {}"}`), CPUs: 1, Memory: minMemory, Disk: 1 << 30}
	for _, tt := range []struct {
		change func(*Options)
		option string
	}{
		{func(o *Options) { o.CPUs = 0 }, "cpus"}, {func(o *Options) { o.CPUs = 256 }, "cpus"},
		{func(o *Options) { o.Memory = 1 << 20 }, "memory"}, {func(o *Options) { o.Memory++ }, "memory"},
		{func(o *Options) { o.Disk = 0 }, "disk"},
		{func(o *Options) { o.Ports = []Port{{1, 2}, {1, 3}} }, "port"},
		{func(o *Options) { o.AppCompose = []byte("x") }, "app-compose"},
		{func(o *Options) {
			o.AppCompose = []byte(`{"manifest_version":2,"name":"a","runner":"docker-compose","docker_compose_file":"services: {}","kms_enabled":true,"key_provider":"kms","key_provider_id":"00"}`)
		}, "app-compose"},
	} {
		o := good
		tt.change(&o)
		_, err := New(t.TempDir(), o)
		var option *OptionError
		if !errors.As(err, &option) || option.Option != tt.option {
			t.Errorf("got %v, want an OptionError about %s", err, tt.option)
		}
	}
	if _, err := New(t.TempDir(), good); err == nil || !strings.Contains(err.Error(), "sha256sum.txt: expected a file, got none") {
		t.Errorf("a folder without an image: got %v", err)
	}
}

func TestSeed(t *testing.T) {
	given := strings.Repeat("0f", 32)
	if got, err := seedOf(given); err != nil || got != given {
		t.Errorf("got %s (%v)", got, err)
	}
	first, err := seedOf("")
	if err != nil || len(first) != 64 {
		t.Fatalf("got %q (%v)", first, err)
	}
	if second, err := seedOf(""); err != nil || second == first {
		t.Errorf("two new seeds are %s (%v)", second, err)
	}
	for _, bad := range []string{"00", strings.Repeat("0F", 32), strings.Repeat("x", 64)} {
		if _, err := seedOf(bad); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// monitor is a monitor that answers as it is told, and keeps what was asked.
func monitor(t *testing.T, answers ...string) (socket string, asked chan string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "qmp")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	asked = make(chan string, len(answers)+1)
	go func() {
		defer close(asked)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintln(conn, `{"QMP": {"version": {}, "capabilities": []}}`)
		lines := bufio.NewScanner(conn)
		for _, a := range answers {
			if !lines.Scan() {
				return
			}
			var request struct {
				Execute string `json:"execute"`
			}
			if json.Unmarshal(lines.Bytes(), &request) == nil {
				asked <- request.Execute
			}
			fmt.Fprint(conn, a)
		}
	}()
	return socket, asked
}

func TestMonitor(t *testing.T) {
	const event, done = `{"timestamp": {}, "event": "RESUME"}` + "\n", `{"return": {}}` + "\n"
	socket, asked := monitor(t, done, event+event+done)
	if err := command(socket, "system_powerdown"); err != nil {
		t.Error(err)
	}
	if first, second := <-asked, <-asked; first != "qmp_capabilities" || second != "system_powerdown" {
		t.Errorf("asked for %s and %s", first, second)
	}
	for name, answer := range map[string]string{"an error": `{"error": {"class": "x", "desc": "no such thing"}}` + "\n", "junk": "x\n", "an end": ""} {
		socket, _ := monitor(t, done, answer)
		if err := command(socket, "quit"); err == nil {
			t.Errorf("%s was taken for an answer", name)
		}
	}
	if err := command(filepath.Join(t.TempDir(), "none"), "quit"); err == nil {
		t.Error("nobody answered")
	}
}

func TestPrintable(t *testing.T) {
	var b bytes.Buffer
	text := []byte("a\tb\r\n\x1b[2Jc\x07\x9b\xff")
	if n, err := (&printable{&b}).Write(text); n != len(text) || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if got, want := b.String(), "a\tb \n.[2Jc..."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEnding: the first reason on the console is the one, whatever follows and however the lines arrive.
func TestEnding(t *testing.T) {
	for name, tt := range map[string]struct {
		console string
		want    EndedError
		text    string
	}{
		"refused": {
			"[    1.0] a line\r\nboardroom-guest: the boot is stopped: check the application: key_provider\x1b[2J: expected none\r\n[    2.0] reboot: Power down\r\n",
			EndedError{"check the application: key_provider.[2J: expected none", true}, "the guest refuses: check",
		},
		"refused, without end of line": {"boardroom-guest: the boot is stopped: x", EndedError{"x", true}, "the guest refuses: x"},
		"ended":                        {"boardroom-guest: the guest is stopped: dockerd has ended\r\n", EndedError{"dockerd has ended", false}, "ended by itself: dockerd"},
		"changed block": {
			"[   9.1] Kernel panic - not syncing: dm-verity device corrupted\r\nboardroom-guest: the guest is stopped: y\r\n",
			EndedError{"dm-verity device corrupted", true}, "the guest refuses: dm-verity",
		},
		"panic":   {"Kernel panic - not syncing: Attempted to kill init!\n", EndedError{"Attempted to kill init!", false}, "ended by itself: Attempted"},
		"nothing": {"boardroom-guest: ready\r\n", EndedError{}, "the guest has ended by itself"},
		"cut":     {strings.Repeat("x", maxLine) + saysRefused + "y\n", EndedError{}, "the guest has ended by itself"},
	} {
		t.Run(name, func(t *testing.T) {
			var e ending
			for i := range len(tt.console) {
				if n, err := e.Write([]byte(tt.console[i : i+1])); n != 1 || err != nil {
					t.Fatal(n, err)
				}
			}
			var got *EndedError
			if err := e.error(); !errors.As(err, &got) || *got != tt.want || !strings.HasPrefix(err.Error(), tt.text) && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %+v (%v), want %+v", got, err, tt.want)
			}
		})
	}
}
