package tdx

import "github.com/boardroom-tee/boardroom/tools/tdx/machine"

// patchesKernel reports whether the firmware reads a kernel into which this QEMU wrote boot parameters. From 10.0 on there is
// also an unpatched copy in fw_cfg, which newer firmware prefers; from 10.2 on confidential guests get no other
// (QEMU commit a7542a38f3).
func patchesKernel(v machine.Version, namedKernel bool) bool {
	return !v.AtLeast(10, 2, 0) && (!v.AtLeast(10, 0, 0) || !namedKernel)
}

// patchesNonLinux reports whether QEMU writes to -kernel files that have no Linux header, too. 9.2 stopped that ("x86/loader: only
// patch linux kernels"), and the stable releases of January 2025 have the change: 7.2.16 by its change log, 8.2.9 and 9.1.3 as they
// were made of the same fixes.
func patchesNonLinux(v machine.Version) bool {
	switch [2]int{v.Major, v.Minor} {
	case [2]int{7, 2}:
		return v.Patch < 16
	case [2]int{8, 2}:
		return v.Patch < 9
	case [2]int{9, 1}:
		return v.Patch < 3
	default:
		return !v.AtLeast(9, 2, 0)
	}
}
