package machine

import (
	"fmt"
	"slices"
)

// Feature is a change in QEMU that shows in the tables.
type Feature string

const (
	// DescribeFunctions: functions other than 0 of a slot are described, and the host bridge has a labelling method (8.0).
	DescribeFunctions Feature = "describe-functions"
	// MADTRevision3: the MADT is of revision 3 instead of 1 (8.1.0).
	MADTRevision3 Feature = "madt-revision-3"
	// PackageNames: names are stored into packages at run time instead of being elements; host bridges lose _ADR (8.1.0, commit
	// 44d975ef340e and 5ce869f788b0).
	PackageNames Feature = "package-names"
	// PICFlag: the MADT says PCAT_COMPAT only when the PIC is on (9.1.0, commit 292dd287e78e).
	PICFlag Feature = "pic-flag"
	// PCILabel: the PCI labelling method returns an empty package for devices without label (10.0.0, commit 0b053391985a;
	// stable releases 7.2.16, 8.2.9, 9.1.3 and 9.2.1; Ubuntu's updates of 8.2.2).
	PCILabel Feature = "pci-label"
	// FixedRoutes: the interrupt routes of expander buses are a table instead of a method that makes one (9.2.0, commit
	// 99cb2c6c7b36).
	FixedRoutes Feature = "fixed-routes"
	// CPURemoval: CPU removal events are handled in a batch of their own (10.0.0, commit a0671ef57bca).
	CPURemoval Feature = "cpu-removal"
	// NoCPUInit: the CPU hotplug device has no _INI method (11.0.0).
	NoCPUInit Feature = "no-cpu-init"
	// SerialIRQ: the serial port's interrupt is described as level triggered, active low and shared (11.1.0).
	SerialIRQ Feature = "serial-irq"
)

// Features are all features, oldest first.
var Features = []Feature{DescribeFunctions, MADTRevision3, PackageNames, PICFlag, FixedRoutes, PCILabel, CPURemoval, NoCPUInit, SerialIRQ}

// ParseFeature reads the name of a feature.
func ParseFeature(s string) (Feature, error) {
	if f := Feature(s); slices.Contains(Features, f) {
		return f, nil
	}
	return "", fmt.Errorf("QEMU feature %q: expected one of %q", s, Features)
}

// In tells whether the release v has the feature as its authors published it.
func (f Feature) In(v Version) bool {
	switch f {
	case DescribeFunctions:
		return v.AtLeast(8, 0, 0)
	case MADTRevision3, PackageNames:
		return v.AtLeast(8, 1, 0)
	case PICFlag:
		return v.AtLeast(9, 1, 0)
	case FixedRoutes:
		return v.AtLeast(9, 2, 0)
	case PCILabel:
		switch [2]int{v.Major, v.Minor} {
		case [2]int{7, 2}:
			return v.Patch >= 16
		case [2]int{8, 2}:
			return v.Patch >= 9
		case [2]int{9, 1}:
			return v.Patch >= 3
		}
		return v.AtLeast(9, 2, 1)
	case CPURemoval:
		return v.AtLeast(10, 0, 0)
	case NoCPUInit:
		return v.AtLeast(11, 0, 0)
	case SerialIRQ:
		return v.AtLeast(11, 1, 0)
	}
	return false
}

// Has tells whether the machine's QEMU has the feature, by its release or by a backport.
func (m *Machine) Has(f Feature) bool { return f.In(m.QEMU) || slices.Contains(m.Backports, f) }
