package tdx

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/image/imagetest"
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

// TestDiskFromMachine reproduces the boot variables of a published run from the shape of its machine, and refuses machines whose firmware
// would find more to boot from.
func TestDiskFromMachine(t *testing.T) {
	m := machine.Machine{CPUs: 2, Memory: 2 << 30, QEMU: qemuVersion(10, 0, 13), RootDisk: true, GuestPhysBits: 46}
	in := Inputs{
		Firmware: testFirmware(t, fwtest.X64), Profile: releaseProfile(t, 202502), PageOrder: tdvf.OnePass,
		Disk: &DiskBoot{Table: fwtest.Read(t, "testdata/tpm-oracle/gpt-first-17408-bytes.bin.gz"), Loader: imagetest.NewUKI(testKernel("6.1.0")), Stub: StubAll},
	}
	if err := in.SetMachine(m, smbios.Options{}); err != nil {
		t.Fatal(err)
	}
	variables := func(events []Event) (digests []eventlog.Digest) {
		for _, e := range events {
			if e.Type == eventlog.EvEFIVariableBoot || e.Type == eventlog.EvEFIGPTEvent {
				digests = append(digests, e.Digest)
			}
		}
		return digests
	}
	var run oracleRun
	for _, r := range oracleRuns {
		if strings.Contains(r.name, "gptdisk") {
			run = r
		}
	}
	log := LogSequence("log", run.log(t)).events
	got, want := variables(predict(t, in).Events), variables(append(log[eventlog.RTMR0], log[eventlog.RTMR1]...))
	if len(got) != 5 || !slices.Equal(got, want) {
		t.Errorf("boot variables and partition table %s, want %s", got, want)
	}
	for field, change := range map[string]func(*machine.Machine){
		"RootDisk": func(m *machine.Machine) { m.RootDisk = false }, "DataDisk": func(m *machine.Machine) { m.DataDisk = true },
		"NICs": func(m *machine.Machine) { m.NICs = 1 }, "VerityVolumes": func(m *machine.Machine) { m.VerityVolumes = 1 },
		"HostShare": func(m *machine.Machine) { m.HostShare = machine.ShareVHD }, "DirectBoot": func(m *machine.Machine) { m.DirectBoot = true },
		"Extra":     func(m *machine.Machine) { m.Extra = []machine.Device{{Kind: machine.Endpoint}} },
		"BootOrder": func(m *machine.Machine) { m.BootOrder = []string{"/pci@i0cf8/scsi@1/disk@0,0"} },
	} {
		other := m
		change(&other)
		var impossible *machine.FieldError
		if err := in.SetMachine(other, smbios.Options{}); !errors.As(err, &impossible) || impossible.Field != field {
			t.Errorf("%s: %v, want a refusal of the field", field, err)
		}
	}
}

// TestProcessor: firmware that measures SMBIOS tables needs to know the processor, other firmware does not.
func TestProcessor(t *testing.T) {
	for release, o := range map[int]map[smbios.Processor]error{
		202502: {{}: nil, {Signature: 0xC06F2, Features: 0x1F8BFBFF}: nil},
		202511: {{}: ErrProcessor, {Signature: 0xC06F2, Features: 0x1F8BFBFF}: nil},
	} {
		for processor, want := range o {
			in := exampleInputs(t, release)
			if err := in.SetMachine(machine.Default(), smbios.Options{Processor: processor}); err != nil {
				t.Fatal(err)
			}
			if _, err := Predict(in); !errors.Is(err, want) {
				t.Errorf("edk2 %d, processor %+v: %v, want %v", release, processor, err, want)
			}
		}
	}
}

// TestLayoutInDoubt: what the image leaves open is taken from the inputs, what it says is not.
func TestLayoutInDoubt(t *testing.T) {
	dir := t.TempDir()
	if err := imagetest.Write(dir, fwtest.Read(t, "testdata/firmware/OVMF_VARS_4M.fd.gz")); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		firmware      string
		doubt, layout tdvf.Layout
		want          tdvf.Layout
	}{
		{imagetest.FirmwareInDoubt, "", "", ""},
		{imagetest.FirmwareInDoubt, tdvf.LayoutB, "", tdvf.LayoutB},
		{imagetest.FirmwareInDoubt, tdvf.LayoutB, tdvf.LayoutA, tdvf.LayoutA},
		{imagetest.FirmwareC, tdvf.LayoutB, "", tdvf.LayoutC},
	} {
		in := exampleInputs(t, 202502)
		in.Firmware, in.Profile, in.Layout, in.LayoutInDoubt = fwtest.Read(t, dir, test.firmware), nil, test.layout, test.doubt
		p, err := Predict(in)
		if test.want == "" {
			if !errors.Is(err, tdvf.ErrLayout) {
				t.Errorf("%s: %v, want ErrLayout", test.firmware, err)
			}
			continue
		}
		if err != nil || p.Profile.Layout != test.want {
			t.Fatalf("%s with %q and %q: %v, want layout %s", test.firmware, test.layout, test.doubt, err, test.want)
		}
		assumed := test.layout == "" && test.want == test.doubt
		if got := strings.Contains(strings.Join(p.Notes, "\n"), "leaves open which layout"); got != assumed {
			t.Errorf("%s with %q and %q: notes %q, want one about the layout: %t", test.firmware, test.layout, test.doubt, p.Notes, assumed)
		}
	}
}
