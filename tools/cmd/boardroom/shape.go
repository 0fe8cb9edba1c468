package main

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/boardroom-tee/boardroom/tools/cmdline"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// maxVMConfig bounds the document that --vm-config names.
const maxVMConfig = 1 << 20

// documentFlags say what dstack's vm_config says, too: with the document they would be a second opinion.
func documentFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "cpus", Usage: "`N` vCPUs at start"},
		&cli.StringFlag{Name: "memory", Usage: "memory of `SIZE`: bytes, or a number with K, M, G or T (units of 1024, as in 2G or 2GiB)"},
		&cli.StringFlag{Name: "qemu", Usage: "the `VERSION` of QEMU (default: 9.2.1)"},
		&cli.BoolFlag{Name: "pic", Usage: "the machine has the legacy interrupt controller (default: for QEMU 8.x)"},
		&cli.StringFlag{Name: "pci-hole64-size", Usage: "the `SIZE` of the 64-bit PCI window (default: 32G, QEMU's)"},
		&cli.BoolFlag{Name: "hugepages", Usage: "one NUMA node with all there is, as dstack measures machines with huge pages"},
		&cli.IntFlag{Name: "gpus", Usage: "`N` GPUs, each behind a root port"},
		&cli.IntFlag{Name: "nvswitches", Usage: "`N` NVSwitch bridges, each behind a root port"},
		&cli.BoolFlag{Name: "hotplug-off", Usage: "no PCI hotplug with bridges"},
		&cli.StringFlag{Name: "share", Usage: "how files come from the host, `MODE` 9p, vvfat, vhd or none (default: 9p)"},
		&cli.IntFlag{Name: "nics", Usage: "`N` network devices (default: 1)"},
		&cli.IntFlag{Name: "verity-volumes", Usage: "`N` further read-only disks"},
		&cli.StringFlag{Name: "tpm", Usage: "the TPM, `MODEL` tpm-tis, tpm-crb or none (default: none)"},
	}
}

// hostFlags say what the document leaves open.
func hostFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "max-cpus", Usage: "`N` vCPUs that there can be (default: those at start)"},
		&cli.StringFlag{Name: "tdx", Usage: "whose TDX support QEMU has, upstream or downstream, a `VARIANT` (default: downstream before 9.2)"},
		&cli.StringFlag{Name: "page-order", Usage: "how the host adds the firmware's pages, an `ORDER` one-pass or two-pass (default: two-pass for QEMU 8.x)"},
		&cli.StringSliceFlag{Name: "qemu-feature", Usage: "a change of later releases that this QEMU has, a `NAME` like pci-label; may be repeated"},
		&cli.StringSliceFlag{Name: "numa", Usage: "a NUMA `NODE`: CPUS:MEMORY, or CPUS:MEMORY:GPUS for one with a PCI expander bus; may be repeated"},
		&cli.StringSliceFlag{Name: "expander", Usage: "what firmware assigned to a node's expander bus, `RESOURCES` NODE:LASTBUS[,io=FIRST-LAST][,mem32=FIRST-LAST][,mem64=FIRST-LAST]; may be repeated"},
		&cli.StringSliceFlag{Name: "device", Usage: "a further PCI `DEVICE`: endpoint, root-port or root-port+endpoint, with @SLOT or @SLOT.FUNCTION if not the first free; may be repeated"},
		&cli.BoolFlag{Name: "no-root-disk", Usage: "without the disk of the root file system"},
		&cli.BoolFlag{Name: "no-data-disk", Usage: "without the disk for data"},
		&cli.BoolFlag{Name: "no-vsock", Usage: "without the vsock device"},
		&cli.BoolFlag{Name: "no-serial", Usage: "without the serial port"},
		&cli.IntFlag{Name: "phys-bits", Usage: "guest physical addresses of `N` bits, which decide where firmware puts 64-bit BARs (default: 46)"},
		&cli.StringFlag{Name: "bar64-base", Usage: "the lowest `ADDRESS` that firmware gives to a 64-bit BAR (default: by --phys-bits)"},
		&cli.StringFlag{Name: "bar64-end", Usage: "the `ADDRESS` after the highest 64-bit BAR (default: within the window)"},
		&cli.BoolFlag{Name: "no-bar64", Usage: "firmware assigned no 64-bit BAR"},
		&cli.BoolFlag{Name: "smm", Usage: "the machine has system management mode"},
		&cli.BoolFlag{Name: "smi-cpu-hotplug", Usage: "firmware handles CPU hotplug in system management mode"},
		&cli.BoolFlag{Name: "hpet", Usage: "the machine has the high precision event timer"},
		&cli.StringSliceFlag{Name: "boot-order", Usage: "the firmware `PATH` of a device with a bootindex; may be repeated"},
		&cli.StringFlag{Name: "machine-type", Usage: "the `NAME` of the versioned machine type (default: that of QEMU's release)"},
	}
}

func shapeFlags() []cli.Flag {
	vmConfig := &cli.StringFlag{Name: "vm-config", Usage: "take the shape from dstack's vm_config, a JSON `FILE`"}
	return append(append([]cli.Flag{vmConfig}, documentFlags()...), hostFlags()...)
}

// flagError says which flag is malformed.
func flagError(name string, err error) error { return cmdline.Usage(fmt.Errorf("--%s: %w", name, err)) }

// shaped is the machine that the flags describe, validated, and what --vm-config says beside it.
type shaped struct {
	machine.Machine
	// ovmfVariant is what the document says about the firmware.
	ovmfVariant string
}

func shape(c *cli.Context) (shaped, error) {
	base := shapeOfFlags
	if c.IsSet("vm-config") {
		base = shapeOfDocument
	}
	s, err := base(c)
	if err != nil {
		return s, err
	}
	if err := hostShape(c, &s.Machine); err != nil {
		return s, err
	}
	return s, cmdline.Usage(s.Validate())
}

func shapeOfDocument(c *cli.Context) (shaped, error) {
	for _, f := range documentFlags() {
		if name := f.Names()[0]; c.IsSet(name) {
			return shaped{}, cmdline.Usage(fmt.Errorf("--%s: expected nothing beside --vm-config, which says it", name))
		}
	}
	path := c.String("vm-config")
	data, err := image.ReadFile(path, maxVMConfig)
	if err != nil {
		return shaped{}, readFault(err)
	}
	document, err := machine.ParseVMConfig(data)
	if err != nil {
		return shaped{}, cmdline.Usage(fmt.Errorf("%s: %w", path, err))
	}
	m, err := document.Machine()
	if err != nil {
		return shaped{}, cmdline.Usage(fmt.Errorf("%s: %w", path, err))
	}
	return shaped{m, document.OVMFVariant}, nil
}

func shapeOfFlags(c *cli.Context) (shaped, error) {
	s := shaped{Machine: machine.Default()}
	m := &s.Machine
	for _, required := range []string{"cpus", "memory"} {
		if !c.IsSet(required) {
			return s, flagError(required, errors.New("expected a value, or --vm-config, got none"))
		}
	}
	if c.IsSet("qemu") {
		v, err := machine.ParseVersion(c.String("qemu"))
		if err != nil {
			return s, flagError("qemu", err)
		}
		m.QEMU = v
	}
	// The same rules as for a vm_config: a shape means the same in both forms.
	m.PIC = m.QEMU.Major == 8
	m.TDX = machine.TDXUpstream
	if !m.QEMU.AtLeast(9, 2, 0) {
		m.TDX = machine.TDXDownstream
	}
	m.CPUs = c.Int("cpus")
	var err error
	if m.Memory, err = parseSize(c.String("memory")); err != nil {
		return s, flagError("memory", err)
	}
	if c.IsSet("pci-hole64-size") {
		if m.PCIHole64Size, err = parseSize(c.String("pci-hole64-size")); err != nil {
			return s, flagError("pci-hole64-size", err)
		}
	}
	if c.IsSet("pic") {
		m.PIC = c.Bool("pic")
	}
	if c.IsSet("nics") {
		m.NICs = c.Int("nics")
	}
	if c.IsSet("share") {
		m.HostShare = machine.HostShare(c.String("share"))
	}
	if tpm := c.String("tpm"); tpm != "none" {
		m.TPM = machine.TPM(tpm)
	}
	m.GPUs, m.NVSwitches, m.VerityVolumes, m.HotplugOff = c.Int("gpus"), c.Int("nvswitches"), c.Int("verity-volumes"), c.Bool("hotplug-off")
	if c.Bool("hugepages") {
		if c.IsSet("numa") {
			return s, flagError("numa", errors.New("expected nothing beside --hugepages, which makes one node"))
		}
		m.NUMA = []machine.NUMANode{{CPUs: m.CPUs, Memory: m.Memory, Expander: m.GPUs > 0, GPUs: m.GPUs}}
	}
	return s, nil
}

// hostShape applies the flags that can stand beside a vm_config.
func hostShape(c *cli.Context, m *machine.Machine) error {
	m.MaxCPUs, m.MachineType, m.BootOrder = c.Int("max-cpus"), c.String("machine-type"), c.StringSlice("boot-order")
	m.SMM, m.SMICPUHotplug, m.HPET, m.NoBAR64 = c.Bool("smm"), c.Bool("smi-cpu-hotplug"), c.Bool("hpet"), c.Bool("no-bar64")
	m.RootDisk, m.DataDisk, m.VSock, m.Serial = !c.Bool("no-root-disk"), !c.Bool("no-data-disk"), !c.Bool("no-vsock"), !c.Bool("no-serial")
	if c.IsSet("tdx") {
		m.TDX = machine.TDX(c.String("tdx"))
	}
	if c.IsSet("page-order") {
		m.PageAdd = machine.PageAdd(c.String("page-order"))
	}
	if c.IsSet("phys-bits") {
		m.GuestPhysBits = c.Int("phys-bits")
	}
	for name, to := range map[string]*uint64{"bar64-base": &m.BAR64Base, "bar64-end": &m.BAR64End} {
		if c.IsSet(name) {
			address, err := strconv.ParseUint(c.String(name), 0, 64)
			if err != nil {
				return flagError(name, fmt.Errorf("expected an address like 0x380000000000, got %q", c.String(name)))
			}
			*to = address
		}
	}
	for _, name := range c.StringSlice("qemu-feature") {
		f, err := machine.ParseFeature(name)
		if err != nil {
			return flagError("qemu-feature", err)
		}
		m.Backports = append(m.Backports, f)
	}
	if c.IsSet("numa") && len(m.NUMA) > 0 {
		return flagError("numa", errors.New("expected nothing beside a vm_config with huge pages, which makes one node"))
	}
	for _, text := range c.StringSlice("numa") {
		node, err := parseNode(text)
		if err != nil {
			return flagError("numa", err)
		}
		m.NUMA = append(m.NUMA, node)
	}
	for _, text := range c.StringSlice("expander") {
		if err := setResources(m, text); err != nil {
			return flagError("expander", err)
		}
	}
	for _, text := range c.StringSlice("device") {
		d, err := parseDevice(text)
		if err != nil {
			return flagError("device", err)
		}
		m.Extra = append(m.Extra, d)
	}
	return nil
}

// parseSize reads bytes, or a number with a unit of 1024. Units of 1000 are not offered: nobody measures memory in them.
func parseSize(s string) (uint64, error) {
	digits := strings.TrimRight(s, "KMGTiBkmgt")
	shift, ok := map[string]int{"": 0, "k": 10, "kib": 10, "m": 20, "mib": 20, "g": 30, "gib": 30, "t": 40, "tib": 40}[strings.ToLower(s[len(digits):])]
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || !ok {
		return 0, fmt.Errorf("expected a size like 2G, 2048M, 4GiB or bytes, got %q", s)
	}
	if bits.Len64(n)+shift > 64 {
		return 0, fmt.Errorf("expected a size below 16 EiB, got %q", s)
	}
	return n << shift, nil
}

// parseNode reads CPUS:MEMORY[:GPUS].
func parseNode(s string) (machine.NUMANode, error) {
	malformed := fmt.Errorf("expected CPUS:MEMORY or CPUS:MEMORY:GPUS, got %q", s)
	parts := strings.Split(s, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return machine.NUMANode{}, malformed
	}
	cpus, err := strconv.Atoi(parts[0])
	if err != nil {
		return machine.NUMANode{}, malformed
	}
	n := machine.NUMANode{CPUs: cpus, Expander: len(parts) == 3}
	if n.Memory, err = parseSize(parts[1]); err != nil {
		return n, err
	}
	if n.Expander {
		if n.GPUs, err = strconv.Atoi(parts[2]); err != nil {
			return n, malformed
		}
	}
	return n, nil
}

// setResources reads NODE:LASTBUS[,io=FIRST-LAST]... into the node.
func setResources(m *machine.Machine, s string) error {
	malformed := fmt.Errorf("expected NODE:LASTBUS[,io=FIRST-LAST][,mem32=FIRST-LAST][,mem64=FIRST-LAST], got %q", s)
	fields := strings.Split(s, ",")
	node, bus, ok := strings.Cut(fields[0], ":")
	n, err := strconv.Atoi(node)
	if !ok || err != nil {
		return malformed
	}
	if n < 0 || n >= len(m.NUMA) {
		return fmt.Errorf("expected one of %d NUMA nodes, counted from 0, got %d", len(m.NUMA), n)
	}
	last, err := strconv.ParseUint(bus, 0, 8)
	if err != nil {
		return malformed
	}
	r := &machine.BusResources{LastBus: uint8(last)}
	for _, field := range fields[1:] {
		kind, span, _ := strings.Cut(field, "=")
		first, end, _ := strings.Cut(span, "-")
		to, known := map[string]*[]machine.Range{"io": &r.IO, "mem32": &r.Mem32, "mem64": &r.Mem64}[kind]
		a, errFirst := strconv.ParseUint(first, 0, 64)
		b, errLast := strconv.ParseUint(end, 0, 64)
		if !known || errFirst != nil || errLast != nil {
			return malformed
		}
		*to = append(*to, machine.Range{First: a, Last: b})
	}
	m.NUMA[n].Resources = r
	return nil
}

// parseDevice reads KIND[@SLOT[.FUNCTION]].
func parseDevice(s string) (machine.Device, error) {
	malformed := fmt.Errorf("expected endpoint, root-port or root-port+endpoint, with @SLOT or @SLOT.FUNCTION or nothing, got %q", s)
	kind, place, placed := strings.Cut(s, "@")
	var d machine.Device
	switch kind {
	case "endpoint":
		d.Kind = machine.Endpoint
	case "root-port":
		d.Kind = machine.RootPort
	case "root-port+endpoint":
		d = machine.Device{Kind: machine.RootPort, Children: []machine.Device{{Kind: machine.Endpoint}}}
	default:
		return d, malformed
	}
	if !placed {
		return d, nil
	}
	slot, function, hasFunction := strings.Cut(place, ".")
	n, err := strconv.ParseUint(slot, 0, 8)
	if err != nil || n == 0 {
		return d, malformed
	}
	d.Slot = int(n)
	if hasFunction {
		if n, err = strconv.ParseUint(function, 0, 8); err != nil {
			return d, malformed
		}
		d.Function = int(n)
	}
	return d, nil
}
