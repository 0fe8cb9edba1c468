//go:build acceptance

package qtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// QEMU is a QEMU that can be run.
type QEMU struct {
	Version machine.Version
	command []string
	// modules is where its loadable parts are, empty for where it was built to look.
	modules string
}

// Find gives the QEMUs on this machine: the one on the path, and those unpacked in the folders of BOARDROOM_QEMU_TREES (separated by
// colons), each with the libraries of its own distribution.
func Find(t *testing.T) []QEMU {
	t.Helper()
	var candidates []QEMU
	if path, err := exec.LookPath("qemu-system-x86_64"); err == nil {
		candidates = append(candidates, QEMU{command: []string{path}})
	}
	for _, tree := range filepath.SplitList(os.Getenv("BOARDROOM_QEMU_TREES")) {
		libraries := filepath.Join(tree, "usr/lib/x86_64-linux-gnu")
		candidates = append(candidates, QEMU{modules: filepath.Join(libraries, "qemu"), command: []string{
			filepath.Join(tree, "lib64/ld-linux-x86-64.so.2"), "--library-path", libraries,
			filepath.Join(tree, "usr/bin/qemu-system-x86_64"), "-L", filepath.Join(tree, "usr/share/qemu"), "-L", filepath.Join(tree, "usr/share/seabios"),
		}})
	}
	if len(candidates) == 0 {
		t.Fatal("this test needs qemu-system-x86_64, on the path or in a folder of BOARDROOM_QEMU_TREES; install the Debian package qemu-system-x86")
	}
	number := regexp.MustCompile(`version (\d+\.\d+\.\d+)`)
	for i := range candidates {
		q := &candidates[i]
		out, err := q.run(t.Context(), "--version").Output()
		match := number.FindSubmatch(out)
		if err != nil || match == nil {
			t.Fatalf("%s --version: %v: %s", strings.Join(q.command, " "), err, out)
		}
		if q.Version, err = machine.ParseVersion(string(match[1])); err != nil {
			t.Fatal(err)
		}
	}
	return candidates
}

// run is the command with more arguments.
func (q *QEMU) run(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, q.command[0], append(q.command[1:len(q.command):len(q.command)], args...)...)
	if q.modules != "" {
		c.Env = append(os.Environ(), "QEMU_MODULE_DIR="+q.modules)
	}
	return c
}

// Files runs a machine without starting its processors, does what OVMF would have done by the time that it reads tables, and
// reads fw_cfg files. A file that is not there or is empty is nil.
func (q *QEMU) Files(ctx context.Context, m machine.Machine, names ...string) (files map[string][]byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "qtest")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	args := arguments(m)
	if m.TPM != machine.TPMNone {
		tpm, stop, err := StartTPM(ctx, dir, string(m.TPM))
		if err != nil {
			return nil, err
		}
		defer stop()
		args = append(args, tpm...)
	}
	socket := filepath.Join(dir, "qtest")
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	args = append(args, "-accel", "tcg,thread=single", "-S", "-qtest", "unix:"+socket, "-qtest-log", "/dev/null", "-display", "none", "-monitor", "none")
	command := q.run(ctx, args...)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	EndWithParent(command)
	if err := command.Start(); err != nil {
		return nil, err
	}
	exited := make(chan struct{})
	go func() {
		// It is killed, so that how it ended says nothing.
		_ = command.Wait()
		listener.Close()
		close(exited)
	}()
	defer func() {
		cancel()
		<-exited
	}()
	conn, err := listener.Accept()
	if err != nil {
		return nil, fmt.Errorf("%s\n%s", strings.Join(args, " "), &output)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c := &client{conn: conn, in: bufio.NewReader(conn)}
	c.asFirmware(m)
	found := c.fwcfg(names)
	if c.err != nil {
		return nil, fmt.Errorf("%w\n%s\n%s", c.err, strings.Join(args, " "), &output)
	}
	return found, nil
}

// arguments is the command line of a machine. Endpoints are random number generators: what they are does not show.
func arguments(m machine.Machine) []string {
	onOff := map[bool]string{true: "on", false: "off"}
	mach := fmt.Sprintf("q35,kernel-irqchip=split,hpet=%s,smm=%s,pic=%s", onOff[m.HPET], onOff[m.SMM], onOff[m.PIC])
	smp := strconv.Itoa(m.CPUs)
	if m.MaxCPUs != 0 {
		smp += fmt.Sprintf(",maxcpus=%d", m.MaxCPUs)
	}
	// An AMD processor would have RAM moved above 1 TiB (hw/i386/pc.c, pc_set_amd_above_4g_mem_start).
	cpu := "qemu64,vendor=GenuineIntel,phys-bits=52"
	if m.PossibleCPUs() > 255 {
		cpu += ",+x2apic"
	}
	args := []string{"-cpu", cpu, "-smp", smp, "-m", fmt.Sprintf("%dk", m.Memory>>10), "-nodefaults", "-no-user-config"}
	if m.Serial {
		args = append(args, "-serial", "null")
	}
	if len(m.NUMA) == 0 {
		mach += ",memory-backend=ram"
		args = append(args, "-object", fmt.Sprintf("memory-backend-ram,id=ram,size=%d,reserve=off", m.Memory))
	}
	args = append(args, "-machine", mach)
	cpus := 0
	for i, n := range m.NUMA {
		node := fmt.Sprintf("node,nodeid=%d", i)
		if n.CPUs > 0 {
			node += fmt.Sprintf(",cpus=%d-%d", cpus, cpus+n.CPUs-1)
		}
		cpus += n.CPUs
		if n.Memory > 0 {
			node += fmt.Sprintf(",memdev=ram%d", i)
			args = append(args, "-object", fmt.Sprintf("memory-backend-ram,id=ram%d,size=%d,reserve=off", i, n.Memory))
		}
		args = append(args, "-numa", node)
	}
	if m.HotplugOff {
		args = append(args, "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")
	}
	if m.PCIHole64Size != 0 {
		args = append(args, "-global", fmt.Sprintf("q35-pcihost.pci-hole64-size=%#x", m.PCIHole64Size))
	}
	devices, err := m.Devices()
	if err != nil {
		panic(err)
	}
	ports := 0
	port := func(bus, at string, d machine.Device) {
		id := fmt.Sprintf("port%d", ports)
		args = append(args, "-device", fmt.Sprintf("pcie-root-port,id=%s,bus=%s,chassis=%d%s", id, bus, ports, at))
		for _, c := range d.Children {
			args = append(args, "-device", fmt.Sprintf("virtio-rng-pci,bus=%s,addr=0.%d,multifunction=on", id, c.Function))
		}
		ports++
	}
	for i, d := range devices {
		at := ""
		if k := i - (len(devices) - len(m.Extra)); d.Kind == machine.Expander || (k >= 0 && m.Extra[k].Slot != 0) {
			at = fmt.Sprintf(",addr=%x.%d,multifunction=on", d.Slot, d.Function)
		}
		switch d.Kind {
		case machine.Endpoint:
			args = append(args, "-device", "virtio-rng-pci,bus=pcie.0"+at)
		case machine.RootPort:
			port("pcie.0", at, d)
		case machine.Expander:
			id := fmt.Sprintf("expander%d", d.Bus)
			node := ""
			if d.NUMANode >= 0 {
				node = fmt.Sprintf(",numa_node=%d", d.NUMANode)
			}
			args = append(args, "-device", fmt.Sprintf("pxb-pcie,id=%s,bus=pcie.0,bus_nr=%d%s%s", id, d.Bus, node, at))
			for _, c := range d.Children {
				if c.Kind == machine.RootPort {
					port(id, "", c)
				} else {
					args = append(args, "-device", "virtio-rng-pci,bus="+id)
				}
			}
		}
	}
	return args
}

// client is a client of QEMU's test protocol. After an error it does nothing.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	err  error
}

// do sends a command and returns what comes after OK.
func (c *client) do(format string, args ...any) string {
	if c.err != nil {
		return ""
	}
	command := fmt.Sprintf(format, args...)
	if _, c.err = fmt.Fprintf(c.conn, "%s\n", command); c.err != nil {
		return ""
	}
	for {
		line, err := c.in.ReadString('\n')
		switch {
		case err != nil:
			c.err = fmt.Errorf("%s: %w", command, err)
			return ""
		case strings.HasPrefix(line, "IRQ "):
		case strings.HasPrefix(line, "OK"):
			return strings.TrimSpace(line[2:])
		default:
			c.err = fmt.Errorf("%s: %s", command, line)
			return ""
		}
	}
}

// assign gives an expander's resources to the root ports in its first slots, one of each kind to each port.
func (c *client) assign(bus int, r *machine.BusResources) {
	for slot := range max(1, len(r.IO), len(r.Mem32), len(r.Mem64)) {
		if slot == 0 {
			c.configWrite(bus, slot, 0x18, uint32(r.LastBus)<<16|uint32(r.LastBus)<<8|uint32(bus))
		}
		if slot < len(r.IO) {
			x := r.IO[slot]
			c.configWrite(bus, slot, 0x1c, uint32(x.First>>8)&0xf0|uint32(x.Last)&0xf000)
		}
		if slot < len(r.Mem32) {
			x := r.Mem32[slot]
			c.configWrite(bus, slot, 0x20, uint32(x.First>>16)&0xfff0|uint32(x.Last)&0xfff00000)
		}
		if slot < len(r.Mem64) {
			x := r.Mem64[slot]
			c.configWrite(bus, slot, 0x24, uint32(x.First>>16)&0xfff0|uint32(x.Last)&0xfff00000)
			c.configWrite(bus, slot, 0x28, uint32(x.First>>32))
			c.configWrite(bus, slot, 0x2c, uint32(x.Last>>32))
		}
	}
}

// Where OVMF puts the ECAM window and the power management block, and the slot of the LPC bridge.
const (
	ecamBase = 0xe0000000
	pmBase   = 0x600
	slotLPC  = 0x1f
)

// configAddress is the address of a register of function 0 in a slot.
func configAddress(bus, slot, at int) uint32 {
	return 1<<31 | uint32(bus)<<16 | uint32(slot)<<11 | uint32(at&^3)
}

func (c *client) configRead(slot, at int) uint32 {
	c.do("outl 0xcf8 %#x", configAddress(0, slot, at))
	v, err := strconv.ParseUint(c.do("inl 0xcfc"), 0, 32)
	if c.err == nil {
		c.err = err
	}
	return uint32(v)
}

func (c *client) configWrite(bus, slot, at int, v uint32) {
	c.do("outl 0xcf8 %#x", configAddress(bus, slot, at))
	c.do("outl 0xcfc %#x", v)
}

// asFirmware sets up the ECAM window, the power management block, the resources of expander buses, and the lowest 64-bit BAR or
// window.
func (c *client) asFirmware(m machine.Machine) {
	c.configWrite(0, 0, 0x64, 0)
	c.configWrite(0, 0, 0x60, ecamBase|1)
	c.configWrite(0, slotLPC, 0x40, pmBase|1)
	c.do("outl 0xcf8 %#x", configAddress(0, slotLPC, 0x44))
	c.do("outb 0xcfc 0x80")
	devices, err := m.Devices()
	if err != nil {
		panic(err)
	}
	for _, d := range devices {
		if d.Kind == machine.Expander && d.Resources != nil {
			c.assign(int(d.Bus), d.Resources)
		}
	}
	base := m.BAR64()
	if base == 0 {
		return
	}
	var bridge int
	for slot := 1; slot < slotLPC; slot++ {
		if c.configRead(slot, 0) == 0xffffffff {
			continue
		}
		if c.configRead(slot, 0x0c)>>16&0x7f == 1 {
			bridge = slot
			continue
		}
		for bar := 0x10; bar < 0x24; bar += 4 {
			if c.configRead(slot, bar)&7 == 4 {
				c.configWrite(0, slot, bar+4, uint32(base>>32))
				c.configWrite(0, slot, bar, uint32(base))
				c.configWrite(0, slot, 4, 2)
				return
			}
		}
	}
	window := uint32(base>>16)&0xfff0 | 1
	c.configWrite(0, bridge, 0x24, window<<16|window)
	c.configWrite(0, bridge, 0x28, uint32(base>>32))
	c.configWrite(0, bridge, 0x2c, uint32(base>>32))
	c.configWrite(0, bridge, 4, 2)
}

// fwcfg reads files through the DMA interface.
func (c *client) fwcfg(names []string) map[string][]byte {
	count := c.item(0x19, 4)
	if c.err != nil {
		return nil
	}
	n := int(binary.BigEndian.Uint32(count))
	directory := c.item(0x19, 4+64*n)
	files := map[string][]byte{}
	for i := range n {
		if c.err != nil {
			return nil
		}
		e := directory[4+64*i:]
		name, _, _ := bytes.Cut(e[8:64], []byte{0})
		for _, wanted := range names {
			if length := int(binary.BigEndian.Uint32(e)); wanted == string(name) && length > 0 {
				files[wanted] = c.item(binary.BigEndian.Uint16(e[4:]), length)
			}
		}
	}
	return files
}

// item reads the start of an item by DMA: a control block at 0x1000, data at 1 MiB.
func (c *client) item(selector uint16, length int) []byte {
	block := binary.BigEndian.AppendUint32(nil, uint32(selector)<<16|8|2)
	block = binary.BigEndian.AppendUint32(block, uint32(length))
	block = binary.BigEndian.AppendUint64(block, 1<<20)
	c.do("write 0x1000 %#x 0x%x", len(block), block)
	c.do("outl 0x514 0")
	c.do("outl 0x518 %#x", uint32(0x00100000)) // 0x1000 with its bytes swapped
	answer := c.do("read %#x %#x", 1<<20, length)
	if c.err != nil {
		return nil
	}
	data, err := hex.DecodeString(strings.TrimPrefix(answer, "0x"))
	if err != nil || len(data) != length {
		c.err = fmt.Errorf("fw_cfg item %#x: expected %d bytes in hexadecimal, got %q", selector, length, answer)
	}
	return data
}
