package tdx

import (
	"bytes"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/smbios"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// TestRTMR0FromMachine reproduces RTMR0 of a real quote from nothing but the configuration that came with it.
func TestRTMR0FromMachine(t *testing.T) {
	m, err := machine.FromVMConfig(fwtest.Read(t, "testdata/dstack/vm_config.json"))
	if err != nil {
		t.Fatal(err)
	}
	in := Inputs{Firmware: testFirmware(t, fwtest.IntelTdx), Profile: releaseProfile(t, 202411), Direct: &DirectBoot{Kernel: testKernel("6.9.0")}}
	if err := in.SetMachine(m, smbios.Options{}); err != nil {
		t.Fatal(err)
	}
	if in.PageOrder != tdvf.TwoPass {
		t.Errorf("page order %s, want %s", in.PageOrder, tdvf.TwoPass)
	}
	const want = "f8438db36b96f85d8752ff7f24a89ec05c79ec9eda2ba732c897fb970ca429365b7471b1c054cb84f17b1c2b23ba6640"
	if got := predict(t, in).RTMR0.String(); got != want {
		t.Errorf("RTMR0 is %s, want %s", got, want)
	}
}

// TestSMBIOSAgrees compares what is measured of a generated table with what the generator says.
func TestSMBIOSAgrees(t *testing.T) {
	m := machine.Default()
	firmware := tdvf.Strings{Vendor: "EDK II", Version: "unknown", ReleaseDate: "02/02/2022"}
	table, err := smbios.Build(m, smbios.Options{Firmware: smbios.Firmware{Vendor: firmware.Vendor, Version: firmware.Version, Date: firmware.ReleaseDate}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := measuredSMBIOS(table.QEMU, &firmware)
	if err != nil || !bytes.Equal(got, table.Measured) {
		t.Errorf("%x (%v), want %x", got, err, table.Measured)
	}
}
