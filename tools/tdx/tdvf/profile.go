package tdvf

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
)

// Layout names the event lists that firmware logs, by the generations of edk2 that have them.
type Layout string

// The layouts. The releases are those of upstream edk2; distributions carry patches across them.
const (
	// LayoutA: 202302 to 202408. The separator of the boot phase goes to RTMR0.
	LayoutA Layout = "A"
	// LayoutB: 202411 and 202502. It goes to RTMR1 (edk2 efaf8931bb).
	LayoutB Layout = "B"
	// LayoutC: 202505 and later. fw_cfg items and SMBIOS are measured too, and there are other boot options.
	LayoutC Layout = "C"
	// LayoutD: IntelTdxX64 202605 and later. As C, but UiApp is in a volume that a TD does not see.
	LayoutD Layout = "D"
	// LayoutE: 202208 and 202211. ACPI tables are not measured, and boot variables go to RTMR1. Not supported.
	LayoutE Layout = "E"
)

// BootOption is an application inside the firmware that it registers as a Boot#### variable.
type BootOption struct {
	Description string
	Attributes  uint32
	File        GUID
}

// LOAD_OPTION_* (UEFI 2.10 section 3.1.3).
const (
	optionActive   = 0x001
	optionHidden   = 0x008
	optionCategory = 0x100 // application
)

// Strings are the firmware's own names, as OVMF puts them into SMBIOS type 0.
type Strings struct {
	Vendor, Version, ReleaseDate string
}

// Profile says how a firmware measures.
type Profile struct {
	Layout Layout
	// SecureBoot: the build has secure boot, whether keys are enrolled or not.
	SecureBoot bool
	// FwCfg and SMBIOS: fw_cfg items and SMBIOS tables are measured (edk2 81c2c92074, cd76265f1a).
	FwCfg, SMBIOS bool
	// SeparatorRTMR1: see [LayoutB].
	SeparatorRTMR1 bool
	// BootOptions are the options that exist when a kernel is booted directly, in the order of BootOrder. For a boot from disk
	// there are also those of the devices, and Shell unless it is nil.
	BootOptions []BootOption
	Shell       *BootOption
	// CmdlinePrefix: "initrd=initrd" stands in front of the command line and not behind it (edk2 a2ac0fea49).
	CmdlinePrefix bool
	// NamedKernel: the unpatched fw_cfg files etc/boot/* are preferred where QEMU offers them (edk2 20df7c42bd).
	NamedKernel bool
	// Strings are nil when they could not be found in the image.
	Strings *Strings
}

// Files of edk2 by their FILE_GUID, and the volumes they are in.
var (
	dxeVolume = mustGUID("7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1")
	peiVolume = mustGUID("6938079b-b503-4e3d-9d24-b28337a25806")
	secVolume = mustGUID("763bed0d-de9f-48f5-81f1-3e90e1b1a015")

	tdMeasurementFile  = mustGUID("f062221e-c607-44c2-b0b4-c3886331d351") // OvmfPkg/Tcg/TdTcg2Dxe
	acpiFile           = mustGUID("17985e6f-e778-4d94-aefa-c5dd2b77e186") // OvmfPkg/AcpiPlatformDxe
	bdsFile            = mustGUID("6d33944a-ec75-4855-a54d-809c75241f6c") // MdeModulePkg/Universal/BdsDxe
	variableFile       = mustGUID("cbd2e4d5-7068-4ff5-b462-9822b4ad8d60") // MdeModulePkg VariableRuntimeDxe
	platformPeiFile    = mustGUID("222c386d-5abc-4fb4-b124-fbb82488acf4") // OvmfPkg/PlatformPei
	intelTdxSecFile    = mustGUID("69d96630-eb64-4b33-8491-13a5cf023dcf") // OvmfPkg/IntelTdx/Sec
	smbiosMeasureFile  = mustGUID("d27fed59-abb4-4fed-bead-2a878c7e4a7e") // MdeModulePkg SmbiosMeasurementDxe
	smbiosPlatformFile = mustGUID("4110465d-5ff3-4f4b-b580-24ed0d06747a") // OvmfPkg/SmbiosPlatformDxe
	kernelLoaderFile   = mustGUID("806040ca-dad9-4978-a3b4-2d2ab0c8a48f") // OvmfPkg/QemuKernelLoaderFsDxe
	uiAppFile          = mustGUID("462caa21-7614-4503-836e-8ab6f4662331") // MdeModulePkg/Application/UiApp
	menuAppFile        = mustGUID("eec25bdc-67f2-4d95-b1d5-f81b2039d11d") // MdeModulePkg BootManagerMenuApp
	shellFile          = mustGUID("7c04a583-9e3e-4f1c-ad65-e05268d0b4d1") // ShellPkg/Application/Shell
)

// DXEVolume is the name of the firmware volume that boot options of the firmware point into.
func DXEVolume() GUID { return dxeVolume }

// Marks in drivers that tell generations of edk2 apart.
var (
	markACPI          = []byte("ACPI DATA")
	markFwCfg         = []byte("QEMU FW CFG")
	markNamedBlobs    = []byte("etc/boot/")
	markPrefix        = []byte("initrd=initrd \x00")
	markSuffix        = []byte(" initrd=initrd\x00")
	markFirmwareSetup = utf16Bytes("EFI Firmware Setup")
	markSecureBoot    = utf16Bytes("SecureBootEnable")
	// markSeparator is text that edk2 2fdc39d09d brought to the boot manager five weeks after efaf8931bb moved the separator;
	// release builds keep no trace of the move itself.
	markSeparator = utf16Bytes("eMMC User Data")
)

// Profile finds out how the firmware measures by looking at the drivers it contains. Errors wrap [ErrProfile] when the image
// does not tell, or tells that it is of a generation that is not supported. When it is only the layout that is in doubt then the
// profile is returned together with the error, for [Profile.WithLayout].
func (im *Image) Profile() (*Profile, error) {
	v, err := im.readVolumes()
	if err != nil {
		return nil, err
	}
	has := func(file GUID) bool {
		_, ok := v.files[fileKey{dxeVolume, file}]
		return ok
	}
	bds, ok := v.files[fileKey{dxeVolume, bdsFile}]
	switch {
	case !ok:
		return nil, fmt.Errorf("%w: no boot manager found; if the firmware is not an OVMF build, its measurements are not known", ErrProfile)
	case !has(tdMeasurementFile):
		return nil, fmt.Errorf("%w: this build measures nothing into RTMRs (no TdTcg2Dxe; OvmfPkgX64 before 202408 needs -D CC_MEASUREMENT_ENABLE)", ErrProfile)
	case !bytes.Contains(v.files[fileKey{dxeVolume, acpiFile}], markACPI):
		return nil, fmt.Errorf("%w: layout %s: firmware before edk2-stable202302 does not measure the ACPI tables that the host provides "+
			"and is not supported; use newer firmware", ErrProfile, LayoutE)
	}
	p := &Profile{
		SecureBoot:     bytes.Contains(v.files[fileKey{dxeVolume, variableFile}], markSecureBoot),
		FwCfg:          bytes.Contains(v.files[fileKey{peiVolume, platformPeiFile}], markFwCfg) || bytes.Contains(v.files[fileKey{secVolume, intelTdxSecFile}], markFwCfg),
		SMBIOS:         has(smbiosMeasureFile),
		SeparatorRTMR1: bytes.Contains(bds, markSeparator),
		CmdlinePrefix:  bytes.Contains(bds, markPrefix),
		NamedKernel:    bytes.Contains(v.files[fileKey{dxeVolume, kernelLoaderFile}], markNamedBlobs),
		Strings:        findStrings(v.files[fileKey{dxeVolume, smbiosPlatformFile}]),
	}
	if !p.CmdlinePrefix && !bytes.Contains(bds, markSuffix) {
		return nil, fmt.Errorf("%w: the boot manager has neither known form of initrd=initrd", ErrProfile)
	}
	p.BootOptions = bootOptions(has, bytes.Contains(bds, menuAppFile[:]), bytes.Contains(bds, markFirmwareSetup))
	if has(shellFile) {
		p.Shell = &BootOption{"EFI Internal Shell", optionActive, shellFile}
		if p.FwCfg {
			// The Shell became an application of the boot menu (edk2 896907b53b) in 202505, too.
			p.Shell.Attributes |= optionCategory
		}
	}
	return p, p.setLayout(has(uiAppFile))
}

// bootOptions returns the options that the firmware registers before it looks for a kernel: the boot manager menu, and from
// 202505 on the setup (edk2 9d9e3a2ba8, d433b4c8e4). Applications in volumes that a TD does not see are not registered.
func bootOptions(has func(GUID) bool, menuApp, setup bool) []BootOption {
	var options []BootOption
	switch {
	case menuApp && has(menuAppFile):
		options = append(options, BootOption{"BootManagerMenuApp", optionActive | optionHidden | optionCategory, menuAppFile})
	case !menuApp && has(uiAppFile):
		options = append(options, BootOption{"UiApp", optionActive | optionHidden | optionCategory, uiAppFile})
	}
	if setup && has(uiAppFile) {
		options = append(options, BootOption{"EFI Firmware Setup", optionActive | optionCategory, uiAppFile})
	}
	return options
}

// setLayout names the combination that was found.
func (p *Profile) setLayout(uiApp bool) error {
	switch {
	case p.FwCfg != p.SMBIOS:
		return fmt.Errorf("%w: fw_cfg measured %t, SMBIOS measured %t; this is between releases", ErrProfile, p.FwCfg, p.SMBIOS)
	case p.FwCfg && !uiApp:
		p.Layout = LayoutD
	case p.FwCfg:
		p.Layout = LayoutC
	case p.SeparatorRTMR1:
		p.Layout = LayoutB
	case p.Strings != nil && release(p.Strings.Version) != 0 && release(p.Strings.Version) <= 202408:
		p.Layout = LayoutA
	default:
		return fmt.Errorf("%w: %w: edk2 202302 to 202408 (layout A) and snapshots of September 2024 (layout B), of which dstack's images before "+
			"0.5.10 have one, can not be told apart", ErrProfile, ErrLayout)
	}
	return nil
}

var releasePattern = regexp.MustCompile(`(20[12][0-9])[.-]?(0[1-9]|1[0-2])`)

// release reads a release like 2024.02 or edk2-stable202402 from a version string, as a number like 202402; 0 if there is none.
func release(version string) int {
	m := releasePattern.FindStringSubmatch(version)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(m[1] + m[2])
	if err != nil {
		return 0
	}
	return n
}

// WithLayout returns the profile of the firmware if it were of another layout: what the layouts say about separators, fw_cfg,
// SMBIOS and boot options replaces what was found.
func (p Profile) WithLayout(l Layout) (*Profile, error) {
	always := func(GUID) bool { return true }
	switch l {
	case LayoutA, LayoutB:
		p.SeparatorRTMR1, p.FwCfg, p.SMBIOS = l == LayoutB, false, false
		p.BootOptions = bootOptions(always, false, false)
	case LayoutC:
		p.SeparatorRTMR1, p.FwCfg, p.SMBIOS = true, true, true
		p.BootOptions = bootOptions(always, true, true)
	case LayoutD:
		p.SeparatorRTMR1, p.FwCfg, p.SMBIOS = true, true, true
		if p.Layout != LayoutD {
			p.BootOptions = nil
		}
	default:
		return nil, fmt.Errorf("%w: layout %q, want A, B, C or D", ErrProfile, l)
	}
	p.Layout = l
	return &p, nil
}

// ReleaseProfile returns the profile of an unmodified upstream release, a number like 202502, from 202302 on, for images that
// can not be unpacked. Layout D is chosen with [Profile.WithLayout].
func ReleaseProfile(release int, secureBoot bool) (*Profile, error) {
	const first, separator, named, menu, prefix = 202302, 202411, 202502, 202505, 202508
	if release < first {
		return nil, fmt.Errorf("%w: edk2 release %d, want %d or later (layout %s is not supported)", ErrProfile, release, first, LayoutE)
	}
	layout := LayoutA
	switch {
	case release >= menu:
		layout = LayoutC
	case release >= separator:
		layout = LayoutB
	}
	shell := &BootOption{"EFI Internal Shell", optionActive, shellFile}
	if release >= menu {
		shell.Attributes |= optionCategory
	}
	return Profile{SecureBoot: secureBoot, NamedKernel: release >= named, CmdlinePrefix: release >= prefix, Shell: shell}.WithLayout(layout)
}
