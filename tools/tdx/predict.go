package tdx

import (
	"errors"
	"fmt"
	"slices"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/smbios"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// Predict computes the measurements that the inputs lead to. Inputs that are malformed wrap [ErrInput], boots that are not
// modelled wrap [ErrUnsupported]; firmware is refused with the errors of package tdvf and kernels with those of package pe.
func Predict(in Inputs) (*Prediction, error) {
	if (in.Direct == nil) == (in.Disk == nil) {
		return nil, fmt.Errorf("%w: want either a direct boot or a boot from disk", ErrInput)
	}
	image, err := tdvf.Parse(in.Firmware)
	if err != nil {
		return nil, err
	}
	// What does not depend on the profile is hashed while the firmware is unpacked.
	onePass := start(func() (eventlog.Digest, error) { return image.MRTD(tdvf.OnePass) })
	mrtd := onePass
	if in.PageOrder != tdvf.OnePass {
		mrtd = start(func() (eventlog.Digest, error) { return image.MRTD(in.PageOrder) })
	}
	initrd := start(func() (eventlog.Digest, error) {
		if in.Direct == nil || !in.Direct.HasInitrd {
			return eventlog.Digest{}, nil
		}
		return eventlog.Sum(in.Direct.Initrd), nil
	})
	profile := start(func() (*tdvf.Profile, error) { return in.profile(image, onePass) })
	images := start(func() (*loadedImages, error) { return loadImages(&in, profile) })

	p := &predictor{in: &in, image: image}
	if p.profile, err = profile.wait(); err != nil {
		return nil, err
	}
	if in.layoutAssumed {
		p.notes = append(p.notes, fmt.Sprintf("the firmware leaves open which layout it has; its release says that it is %s", p.profile.Layout))
	}
	if p.images, err = images.wait(); err != nil {
		return nil, err
	}
	if p.images.refilled {
		p.notes = append(p.notes, "the firmware is taken to measure another header than the kernel's file has; dstack's releases have the header that it writes, and its release candidates before 0.6.0-rc6 have firmware that writes zeros, which is not modelled")
	}
	if p.initrd, err = initrd.wait(); err != nil {
		return nil, err
	}
	if err := p.rtmr0(); err != nil {
		return nil, err
	}
	p.rtmr1()
	if err := p.rtmr2(); err != nil {
		return nil, err
	}
	result := p.result()
	result.MRTD, err = mrtd.wait()
	return result, err
}

// profile applies the overrides of the inputs to what the image says.
func (in *Inputs) profile(image *tdvf.Image, onePass *task[eventlog.Digest]) (*tdvf.Profile, error) {
	p := in.Profile
	layout := in.Layout
	if p == nil {
		d, err := onePass.wait()
		if err != nil {
			return nil, err
		}
		p, err = image.ProfileOf(d)
		if errors.Is(err, tdvf.ErrLayout) && layout == "" {
			layout = in.LayoutInDoubt
			in.layoutAssumed = layout != ""
		}
		if err != nil && (layout == "" || p == nil) {
			return nil, err
		}
	}
	if layout != "" && layout != p.Layout {
		return p.WithLayout(layout)
	}
	return p, nil
}

// task is a result that is being computed.
type task[T any] struct {
	done  chan struct{}
	value T
	err   error
}

func start[T any](f func() (T, error)) *task[T] {
	t := &task[T]{done: make(chan struct{})}
	go func() {
		defer close(t.done)
		t.value, t.err = f()
	}()
	return t
}

func (t *task[T]) wait() (T, error) {
	<-t.done
	return t.value, t.err
}

// predictor collects the events of one prediction.
type predictor struct {
	in      *Inputs
	image   *tdvf.Image
	profile *tdvf.Profile
	images  *loadedImages
	initrd  eventlog.Digest
	events  []Event
	notes   []string
}

func (p *predictor) add(r eventlog.Register, t eventlog.EventType, name string, from Input, d eventlog.Digest) {
	p.events = append(p.events, Event{Register: r, Type: t, Name: name, Input: from, Digest: d})
}

func (p *predictor) separator(r eventlog.Register) {
	p.add(r, eventlog.EvSeparator, "separator", FromNothing, eventlog.Sum(make([]byte, 4)))
}

func (p *predictor) action(text string) {
	p.add(eventlog.RTMR1, eventlog.EvEFIAction, text, FromNothing, eventlog.Sum([]byte(text)))
}

func (p *predictor) result() *Prediction {
	bank := eventlog.NewBank(eventlog.KindCCEL)
	slices.SortStableFunc(p.events, func(a, b Event) int { return int(a.Register) - int(b.Register) })
	for i := range p.events {
		p.events[i].Value = bank.Extend(p.events[i].Register, p.events[i].Digest)
	}
	values := bank.Values()
	return &Prediction{
		RTMR0: values[eventlog.RTMR0], RTMR1: values[eventlog.RTMR1], RTMR2: values[eventlog.RTMR2],
		Events: p.events, Profile: p.profile, Machine: p.in.machine, Notes: p.notes,
	}
}

// rtmr0 lists what the host hands over: OvmfPkg/IntelTdx/TdxHelperLib (HOB list and CFV), PlatformInitLib (fw_cfg), SecurityPkg
// and TdTcg2Dxe (variables), AcpiPlatformDxe, SmbiosMeasurementDxe, and boot variables at ReadyToBoot.
func (p *predictor) rtmr0() error {
	ram := p.in.RAM
	if ram == nil {
		var err error
		if ram, err = tdvf.RAM(p.in.Memory); err != nil {
			return err
		}
	}
	hob, err := p.image.TDHOB(ram)
	if err != nil {
		return err
	}
	p.add(eventlog.RTMR0, eventlog.EvEFIHandoffTables2, "TD HOB list", FromMemory, eventlog.Sum(hob))
	cfv, err := p.image.CFVDigest()
	if err != nil {
		return err
	}
	p.add(eventlog.RTMR0, eventlog.EvEFIPlatformFirmwareBlob2, "configuration volume", FromFirmware, cfv)
	if p.profile.FwCfg {
		p.fwCfg()
	}
	if err := p.variables(); err != nil {
		return err
	}
	p.separator(eventlog.RTMR0)
	if err := p.acpi(); err != nil {
		return err
	}
	if err := p.authority(); err != nil {
		return err
	}
	if p.profile.SMBIOS {
		if err := p.smbios(); err != nil {
			return err
		}
	}
	if err := p.bootVariables(); err != nil {
		return err
	}
	if !p.profile.SeparatorRTMR1 {
		p.separator(eventlog.RTMR0)
	}
	return nil
}

// smbios adds the table that the firmware makes of QEMU's (MdeModulePkg/Universal/SmbiosMeasurementDxe).
func (p *predictor) smbios() error {
	if p.in.noProcessor {
		return fmt.Errorf("%w: firmware of layout %s measures SMBIOS tables, where QEMU writes what CPUID leaf 1 has in EAX and EDX", ErrProcessor, p.profile.Layout)
	}
	firmware := p.in.FirmwareStrings
	if firmware == nil {
		firmware = p.profile.Strings
	}
	var own *smbios.Firmware
	if firmware != nil {
		own = &smbios.Firmware{Vendor: firmware.Vendor, Version: firmware.Version, Date: firmware.ReleaseDate}
	}
	table, err := smbios.Measured(p.in.SMBIOS, own)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInput, err)
	}
	p.add(eventlog.RTMR0, eventlog.EvEFIHandoffTables, "SMBIOS tables", FromSMBIOS, eventlog.Sum(table))
	return nil
}

// fwCfg lists the items in the order of OvmfPkg/Library/PlatformInitLib/QemuFwCfgLib cache, mCacheFwCfgList.
func (p *predictor) fwCfg() {
	c := &p.in.FwCfg
	menu := c.BootMenu
	if len(menu) == 0 {
		menu = []byte{0, 0}
	}
	for _, item := range []struct {
		name string
		data []byte
		size int // 0 means any
	}{
		{"etc/extra-pci-roots", c.ExtraPCIRoots, 8},
		{"BootMenu", menu, 2},
		{"etc/boot-menu-wait", c.BootMenuWait, 2},
		{"etc/reserved-memory-end", c.ReservedMemoryEnd, 8},
		{"opt/ovmf/X-PciMmio64Mb", c.PCIMMIO64MB, 0},
		{"bootorder", c.BootOrder, 0},
	} {
		if len(item.data) == 0 || item.size != 0 && len(item.data) != item.size {
			continue
		}
		p.add(eventlog.RTMR0, eventlog.EvPlatformConfigFlags, "fw_cfg "+item.name, FromFwCfg, eventlog.Sum(item.data))
	}
}

// secureBootVariables are measured in this order; dbt only if there is one (SecurityPkg DxeTpm2MeasureBootLib, mVariableType).
var secureBootVariables = []struct {
	name     string
	vendor   tdvf.GUID
	optional bool
}{
	{"PK", tdvf.GlobalVariable, false},
	{"KEK", tdvf.GlobalVariable, false},
	{"db", tdvf.ImageSecurityDatabase, false},
	{"dbx", tdvf.ImageSecurityDatabase, false},
	{"dbt", tdvf.ImageSecurityDatabase, true},
}

// enforced reports whether secure boot is on: the build has it, and a platform key is enrolled.
func (p *predictor) enforced(variables []tdvf.Variable) bool {
	pk, ok := tdvf.Lookup(variables, tdvf.GlobalVariable, "PK")
	return p.profile.SecureBoot && ok && len(pk.Data) > 0
}

func (p *predictor) variables() error {
	variables, err := p.image.Variables()
	if err != nil {
		return err
	}
	var mode []byte
	switch {
	case p.enforced(variables):
		mode = []byte{1}
	case p.profile.SecureBoot:
		mode = []byte{0}
	}
	const name = "variable "
	p.add(eventlog.RTMR0, eventlog.EvEFIVariableDriverConfig, name+"SecureBoot", FromVariables, variableDigest(tdvf.GlobalVariable, "SecureBoot", mode))
	for _, v := range secureBootVariables {
		stored, ok := tdvf.Lookup(variables, v.vendor, v.name)
		if !ok && v.optional {
			continue
		}
		p.add(eventlog.RTMR0, eventlog.EvEFIVariableDriverConfig, name+v.name, FromVariables, variableDigest(v.vendor, v.name, stored.Data))
	}
	return nil
}

// acpi lists the table loader and the files it allocates (OvmfPkg/AcpiPlatformDxe/QemuFwCfgAcpi.c).
func (p *predictor) acpi() error {
	files, err := loaderFiles(p.in.ACPI.Loader)
	if err != nil {
		return err
	}
	p.add(eventlog.RTMR0, eventlog.EvPlatformConfigFlags, "ACPI etc/table-loader", FromACPI, eventlog.Sum(p.in.ACPI.Loader))
	for _, name := range files {
		data, ok := p.in.ACPI.Files[name]
		if !ok {
			return fmt.Errorf("%w: the ACPI loader allocates %q, which is not among the files", ErrInput, name)
		}
		p.add(eventlog.RTMR0, eventlog.EvPlatformConfigFlags, "ACPI "+name, FromACPI, eventlog.Sum(data))
	}
	return nil
}

// authority adds the event that image verification logs for the entry of db that vouches for the first image
// (SecurityPkg/Library/DxeImageVerificationLib, Measurement.c).
func (p *predictor) authority() error {
	variables, err := p.image.Variables()
	if err != nil || !p.enforced(variables) {
		return err
	}
	if len(p.in.DBEntry) == 0 {
		return fmt.Errorf("%w: keys are enrolled in this firmware, so it starts signed images only and measures the db entry that verifies them; "+
			"give that entry, or firmware without keys", ErrUnsupported)
	}
	p.notes = append(p.notes, "secure boot is enforced: the image must carry a signature by the given db entry")
	p.add(eventlog.RTMR0, eventlog.EvEFIVariableAuthority, "variable db, entry that verified the image", FromVariables,
		variableDigest(tdvf.ImageSecurityDatabase, "db", p.in.DBEntry))
	return nil
}
