package tdx

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/image/imagetest"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

func digest(t testing.TB, s string) eventlog.Digest {
	t.Helper()
	d, err := eventlog.ParseDigest(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func testKernel(version string) []byte { return imagetest.NewKernel(version) }

// qemuVersion is a version of QEMU.
func qemuVersion(major, minor, patch int) machine.Version {
	return machine.Version{Major: major, Minor: minor, Patch: patch}
}

func releaseProfile(t testing.TB, release int) *tdvf.Profile {
	t.Helper()
	p, err := tdvf.ReleaseProfile(release, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func testFirmware(t testing.TB, memory []fwtest.Section) []byte {
	t.Helper()
	return fwtest.Image(fwtest.Read(t, "testdata/firmware/OVMF_VARS_4M.fd.gz"), nil, memory)
}

func predict(t testing.TB, in Inputs) *Prediction {
	t.Helper()
	p, err := Predict(in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// blobs reads ACPI files as the folders of the vectors have them.
func blobs(t testing.TB, dir string) ACPI {
	t.Helper()
	return ACPI{
		Loader: fwtest.Read(t, dir, "table-loader.bin.gz"),
		Files: map[string][]byte{
			"etc/acpi/rsdp":   fwtest.Read(t, dir, "rsdp.bin"),
			"etc/acpi/tables": fwtest.Read(t, dir, "tables.bin.gz"),
		},
	}
}

// TestRTMR0OfQuotes reproduces RTMR0 of a real quote (dstack) and of two fixtures of another tool, from blobs.
func TestRTMR0OfQuotes(t *testing.T) {
	tests := []struct {
		dir     string
		memory  uint64
		layout  []fwtest.Section
		release int
	}{
		{"testdata/dstack", 2 << 30, fwtest.IntelTdx, 202411},
		{"testdata/virtee/canonical-defaults", 2 << 30, fwtest.X64, 202502},
		{"testdata/virtee/q35-with-hpet", 4 << 30, fwtest.X64, 202502},
	}
	for _, test := range tests {
		t.Run(filepath.Base(test.dir), func(t *testing.T) {
			var want struct {
				RTMR0  eventlog.Digest   `json:"rtmr0"`
				Events []eventlog.Digest `json:"rtmr0_events"`
			}
			if err := json.Unmarshal(fwtest.Read(t, test.dir, "info.json"), &want); err != nil {
				t.Fatal(err)
			}
			p := predict(t, Inputs{
				Firmware: testFirmware(t, test.layout), Profile: releaseProfile(t, test.release), PageOrder: tdvf.OnePass,
				QEMU: qemuVersion(8, 2, 2), Memory: test.memory, ACPI: blobs(t, test.dir), Direct: &DirectBoot{Kernel: testKernel("6.9.0")},
			})
			for i, e := range p.Events[:len(want.Events)] {
				if e.Register != eventlog.RTMR0 || e.Digest != want.Events[i] {
					t.Errorf("event %d (%s of %s) is %s, want %s", i, e.Name, e.Register, e.Digest, want.Events[i])
				}
			}
			if p.RTMR0 != want.RTMR0 {
				t.Errorf("RTMR0 is %s, want %s", p.RTMR0, want.RTMR0)
			}
		})
	}
}

// TestRTMR12OfQuote reproduces RTMR1 and RTMR2 of the same quote with the digests of the image, whose files are not at hand.
func TestRTMR12OfQuote(t *testing.T) {
	p := predict(t, Inputs{
		Firmware: testFirmware(t, fwtest.IntelTdx), Profile: releaseProfile(t, 202411), PageOrder: tdvf.OnePass, QEMU: qemuVersion(8, 2, 2),
		Memory: 2 << 30, ACPI: blobs(t, "testdata/dstack"), Direct: &DirectBoot{Kernel: testKernel("6.9.0"), Initrd: []byte{1}, HasInitrd: true, Cmdline: "a"},
	})
	known := map[Input]string{
		FromKernel:  "ac7e632dcf5cd2a1fe5c1f41f4d9b8219570e64ed3c61038fdbf25404e6f542ffd57f276bc5076307efaf882e6d64177",
		FromCmdline: "786280842b7364287a3a70d96f7e309252857beb45fb1f91314a2ea863db0adc04c8431ecbf29a966405604631a5aab8",
		FromInitrd:  "4fe4f7710134a61d7def357add6ac50bdbfeee5032a4c100375e207216ffe42a3bd5822b24e679f91501fff795b81521",
	}
	bank := eventlog.NewBank(eventlog.KindCCEL)
	for _, e := range p.Events {
		if d, ok := known[e.Input]; ok {
			e.Digest = digest(t, d)
		}
		bank.Extend(e.Register, e.Digest)
	}
	for r, want := range map[eventlog.Register]string{
		eventlog.RTMR0: "f8438db36b96f85d8752ff7f24a89ec05c79ec9eda2ba732c897fb970ca429365b7471b1c054cb84f17b1c2b23ba6640",
		eventlog.RTMR1: "2023546e7f3b9d1228e274f70c44d481162540f8452544520a796a52f06879709b81a824a26792a7822327504b0d2aee",
		eventlog.RTMR2: "4c1b739ed451a637b0f82642e48a5ea83925d23633c72e7385c8e9aca4175e133ed1625b7d92eb39edf509c27ff392dc",
	} {
		if got := bank.Values()[r].String(); got != want {
			t.Errorf("%s is %s, want %s", r, got, want)
		}
	}
}

// TestCCELOfLayoutA compares the prediction with a real TD's log of firmware with the old separator.
func TestCCELOfLayoutA(t *testing.T) {
	data, err := os.ReadFile("../eventlog/testdata/ccel/go-eventlog-CCEL_unpadded.data.bin")
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.ParseCCEL(data)
	if err != nil {
		t.Fatal(err)
	}
	profile := releaseProfile(t, 202402)
	profile.SecureBoot = true
	p := predict(t, Inputs{
		Firmware: testFirmware(t, fwtest.IntelTdx), Profile: profile, PageOrder: tdvf.OnePass, QEMU: qemuVersion(8, 2, 2),
		Memory: 8 << 30, ACPI: blobs(t, "testdata/dstack"), Direct: &DirectBoot{Kernel: testKernel("6.9.0"), Cmdline: "x", Stub: StubLoadOptions},
	})
	seen := map[Input]bool{}
	got, want := p.Sequence("prediction").events, LogSequence("log", log).events
	for _, r := range []eventlog.Register{eventlog.RTMR0, eventlog.RTMR1, eventlog.RTMR2} {
		if len(got[r]) != len(want[r]) {
			t.Errorf("%s has %d events, want %d", r, len(got[r]), len(want[r]))
			continue
		}
		for i, e := range got[r] {
			w := want[r][i]
			seen[e.Input] = true
			switch e.Input {
			case FromACPI, FromKernel, FromCmdline:
				// The log's machine, kernel and command line are not published.
				if e.Type != w.Type {
					t.Errorf("%s event %d is %s, want %s", r, i, e.Type, w.Type)
				}
			default:
				if e.Type != w.Type || e.Digest != w.Digest {
					t.Errorf("%s event %d: %s %s, want %s %s (%s)", r, i, e.Name, e.Digest, w.Type, w.Digest, w.Name)
				}
			}
		}
	}
}

// oracleRun is one boot of distribution firmware in QEMU with a TPM.
type oracleRun struct {
	name    string
	qemu    machine.Version
	release int
	strings tdvf.Strings
}

var oracleRuns = []oracleRun{
	{"qemu10.0.13-ovmf2024.02-direct-2cpu-2G", qemuVersion(10, 0, 13), 202402, tdvf.Strings{}},
	{"qemu10.0.13-ovmf2025.02-direct-2cpu-2G", qemuVersion(10, 0, 13), 202502, tdvf.Strings{}},
	{"qemu10.0.13-ovmf2025.02-direct-2cpu-4G-5dev", qemuVersion(10, 0, 13), 202502, tdvf.Strings{}},
	{"qemu10.0.13-ovmf2025.02-gptdisk-uki", qemuVersion(10, 0, 13), 202502, tdvf.Strings{}},
	{"qemu10.2.1-ovmf2025.11-direct-2cpu-2G", qemuVersion(10, 2, 1), 202511, tdvf.Strings{Vendor: "Ubuntu distribution of EDK II", Version: "2025.11-3ubuntu7.3", ReleaseDate: "09/23/2026"}},
	{"qemu10.2.1-ovmf2025.11-kernel-uki", qemuVersion(10, 2, 1), 202511, tdvf.Strings{Vendor: "Ubuntu distribution of EDK II", Version: "2025.11-3ubuntu7.3", ReleaseDate: "09/23/2026"}},
	{"qemu8.2.2u1.18-ovmf2024.02-direct-2cpu-2G", qemuVersion(8, 2, 2), 202402, tdvf.Strings{}},
	{"qemu8.2.2u1.18-ovmf2024.02-kernel-uki", qemuVersion(8, 2, 2), 202402, tdvf.Strings{}},
	{"qemu9.2.1-ovmf2025.02-direct-2cpu-2G", qemuVersion(9, 2, 1), 202502, tdvf.Strings{}},
	{"qemu9.2.1-ovmf2025.02-kernel-uki", qemuVersion(9, 2, 1), 202502, tdvf.Strings{}},
	{"qemu9.2.1-ovmf2025.11-direct-2cpu-2G", qemuVersion(9, 2, 1), 202511, tdvf.Strings{Vendor: "Ubuntu distribution of EDK II", Version: "2025.11-3ubuntu7.3", ReleaseDate: "09/23/2026"}},
}

func (r oracleRun) log(t testing.TB) *eventlog.Log {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../eventlog/testdata/tpm-oracle", r.name, "binary_bios_measurements"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.ParseTPM(data)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// inputs are those of the run; kernel is a UKI for the runs that have one.
func (r oracleRun) inputs(t testing.TB, kernel, initrd []byte) Inputs {
	t.Helper()
	dir := filepath.Join("testdata/tpm-oracle", r.name)
	in := Inputs{
		Firmware: testFirmware(t, fwtest.X64), Profile: releaseProfile(t, r.release), PageOrder: tdvf.OnePass,
		QEMU: r.qemu, Memory: 2 << 30, FirmwareStrings: &r.strings,
		ACPI: ACPI{
			Loader: fwtest.Read(t, dir, "etc_table-loader.gz"),
			Files: map[string][]byte{
				"etc/acpi/rsdp":   fwtest.Read(t, dir, "etc_acpi_rsdp"),
				"etc/acpi/tables": fwtest.Read(t, dir, "etc_acpi_tables.gz"),
				"etc/tpm/log":     make([]byte, 64<<10),
			},
		},
		SMBIOS: fwtest.Read(t, dir, "etc_smbios_smbios-tables"),
	}
	if strings.Contains(r.name, "4G") {
		in.Memory = 4 << 30
	}
	cmdline := string(fwtest.Read(t, "testdata/tpm-oracle/cmdline.txt"))
	switch {
	case strings.Contains(r.name, "gptdisk"):
		in.Disk = &DiskBoot{
			Table: fwtest.Read(t, "testdata/tpm-oracle/gpt-first-17408-bytes.bin.gz"), Loader: kernel,
			Devices: []DeviceOption{VirtioBlk(1, 0)}, Stub: StubAll,
		}
	case strings.Contains(r.name, "kernel-uki"):
		in.Direct = &DirectBoot{Kernel: kernel, Cmdline: cmdline, Stub: StubAll}
	default:
		in.Direct = &DirectBoot{Kernel: kernel, Initrd: initrd, HasInitrd: true, Cmdline: cmdline, Stub: StubAll}
	}
	return in
}

// TestTPMLogs compares RTMR0 and the command line with logs of the same firmware in machines with a TPM. Kernel, UKI and initrd are
// for the acceptance test.
func TestTPMLogs(t *testing.T) {
	for _, run := range oracleRuns {
		t.Run(run.name, func(t *testing.T) {
			uki := strings.Contains(run.name, "uki")
			kernel := testKernel("6.1.0")
			if uki {
				kernel = imagetest.NewUKI(kernel)
			}
			in := run.inputs(t, kernel, nil)
			p := predict(t, in)
			log := LogSequence("log", run.log(t))
			for _, d := range Diff(p.Sequence("prediction"), log) {
				if d.Register == eventlog.RTMR0 {
					t.Error(d)
				}
			}
			if uki {
				return
			}
			last := log.events[eventlog.RTMR2]
			for _, e := range p.Events {
				if e.Input == FromCmdline && e.Digest != last[0].Digest {
					t.Errorf("command line is %s, want %s", e.Digest, last[0].Digest)
				}
			}
		})
	}
}
