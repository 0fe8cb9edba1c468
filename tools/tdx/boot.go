package tdx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/esp"
	"github.com/boardroom-tee/boardroom/tools/tdx/pe"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// The texts of EV_EFI_ACTION (edk2 MdePkg/Include/IndustryStandard/UefiTcgPlatform.h).
const (
	actionCalling    = "Calling EFI Application from Boot Option"
	actionExit       = "Exit Boot Services Invocation"
	actionExitResult = "Exit Boot Services Returned with Success"
)

// loadedImages are the images that are started, hashed.
type loadedImages struct {
	first eventlog.Digest // what the firmware starts: kernel or UKI
	uki   *uki
	stub  StubEvents // of the Linux kernel, decided
	disk  eventlog.Digest
	// refilled: the firmware fills in the kernel's header, and with something else than what is in the file.
	refilled bool
}

// loadImages hashes the images. Only patched kernels need the profile.
func loadImages(in *Inputs, profile *task[*tdvf.Profile]) (*loadedImages, error) {
	var file []byte
	var stub StubEvents
	if in.Disk != nil {
		file, stub = in.Disk.Loader, in.Disk.Stub
	} else {
		file, stub = in.Direct.Kernel, in.Direct.Stub
	}
	image, err := pe.Parse(file)
	if err != nil {
		return nil, err
	}
	l := &loadedImages{}
	if l.uki, err = readUKI(image); err != nil {
		return nil, err
	}
	linux := file
	if l.uki != nil {
		linux = l.uki.linux
	}
	if l.stub, err = decideStub(stub, linux); err != nil {
		return nil, err
	}
	inner := start(func() (struct{}, error) { return struct{}{}, l.uki.hash() })
	patches, err := in.patches(profile)
	if err != nil {
		return nil, err
	}
	l.first = image.Authenticode(patches...)
	l.refilled = in.Direct != nil && in.Direct.Normalized && l.first != image.Authenticode()
	if in.Disk != nil {
		if l.uki == nil {
			return nil, fmt.Errorf("%w: a boot from disk needs a UKI as its loader; what shim and GRUB measure depends on their configuration", ErrUnsupported)
		}
		if l.disk, err = partitionDigest(in.Disk.Table); err != nil {
			return nil, err
		}
	}
	_, err = inner.wait()
	return l, err
}

// patches returns what QEMU and the firmware change in a -kernel file.
func (in *Inputs) patches(profile *task[*tdvf.Profile]) ([]pe.Patch, error) {
	if in.Direct == nil {
		return nil, nil
	}
	patched := patchesKernel(in.QEMU, false)
	if patched != patchesKernel(in.QEMU, true) {
		p, err := profile.wait()
		if err != nil {
			return nil, err
		}
		patched = patchesKernel(in.QEMU, p.NamedKernel)
	}
	l := pe.Loader{
		Cmdline: in.Direct.Cmdline, InitrdSize: uint64(len(in.Direct.Initrd)), HasInitrd: in.Direct.HasInitrd,
		Memory: in.Memory, PatchesNonLinux: patchesNonLinux(in.QEMU),
	}
	switch {
	case in.Direct.Normalized:
		if !patched {
			l.Cmdline = "" // only QEMU reads vga= in it
		}
		return pe.NormalizedPatches(in.Direct.Kernel, l)
	case patched:
		return pe.LinuxPatches(in.Direct.Kernel, l)
	default:
		return nil, nil
	}
}

// decideStub finds out what the EFI stub of a kernel measures. The CC measurement protocol is used since Linux 6.9.
func decideStub(stub StubEvents, kernel []byte) (StubEvents, error) {
	switch stub {
	case StubNothing, StubLoadOptions, StubAll:
		return stub, nil
	case StubAuto:
	default:
		return "", fmt.Errorf("%w: kernel events %q", ErrInput, stub)
	}
	major, minor, ok := kernelVersion(kernel)
	switch {
	case !ok:
		return "", fmt.Errorf("%w: the kernel's header has no version; say what its EFI stub measures", ErrInput)
	case major > 6 || major == 6 && minor >= 9:
		return StubAll, nil
	default:
		return StubNothing, nil
	}
}

// kernelVersion reads the version text of a bzImage: the u16 at 0x20E plus 0x200 is where it begins
// (Documentation/arch/x86/boot.rst).
func kernelVersion(kernel []byte) (major, minor int, ok bool) {
	if !pe.IsLinux(kernel) {
		return 0, 0, false
	}
	at := int(binary.LittleEndian.Uint16(kernel[0x20E:])) + 0x200
	if at == 0x200 || at >= len(kernel) {
		return 0, 0, false
	}
	text, _, _ := bytes.Cut(kernel[at:min(at+64, len(kernel))], []byte{0})
	parts := strings.FieldsFunc(string(text), func(r rune) bool { return r < '0' || r > '9' })
	if len(parts) < 2 || !strings.HasPrefix(string(text), parts[0]+"."+parts[1]) {
		return 0, 0, false
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return 0, 0, false
	}
	minor, err = strconv.Atoi(parts[1])
	return major, minor, err == nil
}

// bootVariables lists BootOrder and the options in it; the digest is that of the data of the variable.
func (p *predictor) bootVariables() error {
	var options [][]byte
	var names []string
	for _, o := range p.profile.BootOptions {
		if p.in.NoFirmwareSetup && o.Description == "EFI Firmware Setup" {
			continue
		}
		options, names = append(options, firmwareOption(o)), append(names, o.Description)
	}
	var order []uint16
	if d := p.in.Disk; d != nil {
		for _, device := range d.Devices {
			options, names = append(options, deviceOption(device)), append(names, device.Description)
		}
		if s := p.profile.Shell; s != nil {
			options, names = append(options, firmwareOption(*s)), append(names, s.Description)
		}
		order = d.BootOrder
	}
	if order == nil {
		for n := range options {
			order = append(order, uint16(n))
		}
	}
	if len(order) == 0 {
		return nil
	}
	var data []byte
	for _, n := range order {
		if int(n) >= len(options) {
			return fmt.Errorf("%w: boot order names option %04X, there are %d", ErrInput, n, len(options))
		}
		data = binary.LittleEndian.AppendUint16(data, n)
	}
	p.add(eventlog.RTMR0, eventlog.EvEFIVariableBoot, "BootOrder", FromBoot, eventlog.Sum(data))
	for _, n := range order {
		p.add(eventlog.RTMR0, eventlog.EvEFIVariableBoot, fmt.Sprintf("Boot%04X %s", n, names[n]), FromBoot, eventlog.Sum(options[n]))
	}
	return nil
}

// rtmr1 lists images and actions. A kernel given to QEMU is loaded before the boot phase ends, a loader on a disk after.
func (p *predictor) rtmr1() {
	const application = eventlog.EvEFIBootServicesApplication
	name := "kernel"
	if p.images.uki != nil {
		name = "unified kernel image"
	}
	if p.in.Direct != nil {
		p.add(eventlog.RTMR1, application, name, FromKernel, p.images.first)
	}
	p.action(actionCalling)
	if p.profile.SeparatorRTMR1 {
		p.separator(eventlog.RTMR1)
	}
	if p.in.Disk != nil {
		p.add(eventlog.RTMR1, eventlog.EvEFIGPTEvent, "partition table", FromDisk, p.images.disk)
		p.add(eventlog.RTMR1, application, name, FromKernel, p.images.first)
	}
	if p.images.uki != nil {
		p.add(eventlog.RTMR1, application, "kernel inside the unified kernel image", FromKernel, p.images.uki.inner)
	}
	p.action(actionExit)
	p.action(actionExitResult)
}

// rtmr2 lists what systemd-stub and the EFI stub of Linux measure.
func (p *predictor) rtmr2() error {
	if p.images.uki != nil {
		return p.ukiEvents()
	}
	d := p.in.Direct
	switch p.images.stub {
	case StubNothing:
		p.notes = append(p.notes, "the kernel is older than Linux 6.9 and measures nothing into RTMR2, unless its vendor changed that")
		return nil
	case StubAll:
		p.notes = append(p.notes, "RTMR2 needs a kernel whose EFI stub knows the CC measurement protocol: Linux 6.9 or later")
	}
	if text, ok := d.commandLine(p.profile.CmdlinePrefix); ok {
		p.loadOptions(text, FromCmdline)
	}
	if d.HasInitrd && p.images.stub == StubAll {
		p.add(eventlog.RTMR2, eventlog.EvEventTag, "initrd", FromInitrd, p.initrd)
	}
	return nil
}

func (p *predictor) loadOptions(text string, from Input) {
	p.add(eventlog.RTMR2, eventlog.EvEventTag, "kernel command line", from, eventlog.Sum(utf16z(text)))
}

// commandLine returns the load options as the firmware composes them (OvmfPkg/Library/GenericQemuLoadImageLib); there are none
// with neither -append nor -initrd.
func (d *DirectBoot) commandLine(prefix bool) (string, bool) {
	switch {
	case d.HasInitrd && prefix:
		return "initrd=initrd " + d.Cmdline, true
	case d.HasInitrd:
		return d.Cmdline + " initrd=initrd", true
	default:
		return d.Cmdline, d.Cmdline != ""
	}
}

// partitionDigest is that of EV_EFI_GPT_EVENT: the primary header, u64 number of used entries, the used entries (PFP 1.06 section
// 10.2.4; edk2 TdTcg2Dxe, TcgMeasureGptTable).
func partitionDigest(disk []byte) (eventlog.Digest, error) {
	table, err := esp.ParseTable(disk)
	if err != nil {
		return eventlog.Digest{}, err
	}
	count := binary.LittleEndian.AppendUint64(nil, uint64(len(table.Entries)))
	return eventlog.Sum(append([][]byte{table.Header, count}, table.Entries...)...), nil
}
