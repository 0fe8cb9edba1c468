package tdx

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/image/imagetest"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/pe"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// exampleInputs is a direct boot of a machine with 2 vCPUs and 2 GiB.
func exampleInputs(t testing.TB, release int) Inputs {
	t.Helper()
	dir := "testdata/tpm-oracle/qemu10.2.1-ovmf2025.11-direct-2cpu-2G"
	return Inputs{
		Firmware: testFirmware(t, fwtest.X64), Profile: releaseProfile(t, release), PageOrder: tdvf.OnePass, QEMU: qemuVersion(10, 2, 1),
		Memory: 2 << 30, ACPI: blobs(t, "testdata/dstack"), SMBIOS: fwtest.Read(t, dir, "etc_smbios_smbios-tables"),
		FirmwareStrings: &tdvf.Strings{Vendor: "EDK II", Version: "unknown", ReleaseDate: "02/02/2022"},
		FwCfg:           FwCfg{BootOrder: []byte("/rom@genroms/linuxboot_dma.bin\x00")},
		Direct:          &DirectBoot{Kernel: testKernel("6.12.0"), Initrd: []byte("initrd"), HasInitrd: true, Cmdline: "console=ttyS0"},
	}
}

func names(p *Prediction, r eventlog.Register) string {
	var n []string
	for _, e := range p.Events {
		if e.Register == r {
			n = append(n, e.Name)
		}
	}
	return strings.Join(n, "|")
}

func TestLayouts(t *testing.T) {
	const (
		first     = "TD HOB list|configuration volume|"
		variables = "variable SecureBoot|variable PK|variable KEK|variable db|variable dbx|separator|"
		acpi      = "ACPI etc/table-loader|ACPI etc/acpi/rsdp|ACPI etc/acpi/tables|"
		old       = first + variables + acpi + "BootOrder|Boot0000 UiApp"
		modern    = first + "fw_cfg BootMenu|fw_cfg bootorder|" + variables + acpi + "SMBIOS tables"
		exit      = actionExit + "|" + actionExitResult
	)
	tests := []struct {
		layout tdvf.Layout
		rtmr0  string
		rtmr1  string
	}{
		{tdvf.LayoutA, old + "|separator", "kernel|" + actionCalling + "|" + exit},
		{tdvf.LayoutB, old, "kernel|" + actionCalling + "|separator|" + exit},
		{tdvf.LayoutC, modern + "|BootOrder|Boot0000 BootManagerMenuApp|Boot0001 EFI Firmware Setup", "kernel|" + actionCalling + "|separator|" + exit},
		{tdvf.LayoutD, modern, "kernel|" + actionCalling + "|separator|" + exit},
	}
	for _, test := range tests {
		in := exampleInputs(t, 202505)
		in.Layout = test.layout
		p := predict(t, in)
		if got := names(p, eventlog.RTMR0); got != test.rtmr0 {
			t.Errorf("layout %s, RTMR0: %s\nwant %s", test.layout, got, test.rtmr0)
		}
		if got := names(p, eventlog.RTMR1); got != test.rtmr1 {
			t.Errorf("layout %s, RTMR1: %s\nwant %s", test.layout, got, test.rtmr1)
		}
		for i, e := range p.Events {
			last := i+1 == len(p.Events) || p.Events[i+1].Register != e.Register
			if want := map[eventlog.Register]eventlog.Digest{eventlog.RTMR0: p.RTMR0, eventlog.RTMR1: p.RTMR1, eventlog.RTMR2: p.RTMR2}[e.Register]; last && e.Value != want {
				t.Errorf("layout %s: last value of %s is %s, want %s", test.layout, e.Register, e.Value, want)
			}
		}
	}
}

// TestConstants checks digests that do not depend on inputs against contracts/tdx-measurement.md section 10.
func TestConstants(t *testing.T) {
	in := exampleInputs(t, 202505)
	want := map[string]string{
		"fw_cfg BootMenu":             "1dd6f7b457ad880d840d41c961283bab688e94e4b59359ea45686581e90feccea3c624b1226113f824f315eb60ae0a7c",
		"fw_cfg bootorder":            "53d3dbc00691328371e74c1b1c77bdf1bf4ff79dd1b55222b694fe8341cd8b0adb3a9ab9286552c681272883b9b0fc1d",
		"BootOrder":                   "52b9a02de946b947364b57d8210c63113b9058996e2a3ba7cead54af11ae0873b085d1e52bc01e4febe57ca05ca1332b",
		"Boot0000 BootManagerMenuApp": "5068e6a9ded2a1c3a8ebb5d26004410ea8670742d8f444c5c3d161b76c66fa23a7b1d2fb3f9840570b675384b5818f2d",
		"Boot0001 EFI Firmware Setup": "dd424f2eeb35f3e8a2c2f50f6cc87ff90b7577e92ce63e13a22869d07d104fd5ea9800e6e4f12c5058fc4eaa78374f20",
		actionCalling:                 "77a0dab2312b4e1e57a84d865a21e5b2ee8d677a21012ada819d0a98988078d3d740f6346bfe0abaa938ca20439a8d71",
		actionExit:                    "214b0bef1379756011344877743fdc2a5382bac6e70362d624ccf3f654407c1b4badf7d8f9295dd3dabdef65b27677e0",
		actionExitResult:              "0a2e01c85deae718a530ad8c6d20a84009babe6c8989269e950d8cf440c6e997695e64d455c4174a652cd080f6230b74",
	}
	for _, e := range predict(t, in).Events {
		if w, ok := want[e.Name]; ok && e.Digest.String() != w {
			t.Errorf("%s is %s, want %s", e.Name, e.Digest, w)
		}
		delete(want, e.Name)
	}
	if len(want) != 0 {
		t.Errorf("not predicted: %v", want)
	}
	for mode, w := range map[string]string{
		"":     "9dc3a1f80bcec915391dcda5ffbb15e7419f77eab462bbf72b42166fb70d50325e37b36f93537a863769bcf9bedae6fb",
		"\x00": "cfa4e2c606f572627bf06d5669cc2ab1128358d27b45bc63ee9ea56ec109cfafb7194006f847a6a74b5eaed6b73332ec",
		"\x01": "2cded0c6f453d4c6f59c5e14ec61abc6b018314540a2367cba326a52aa2b315ccc08ce68a816ce09c6ef2ac7e514ae1f",
	} {
		if got := variableDigest(tdvf.GlobalVariable, "SecureBoot", []byte(mode)); got.String() != w {
			t.Errorf("SecureBoot %x is %s, want %s", mode, got, w)
		}
	}
}

func TestCommandLine(t *testing.T) {
	var v struct {
		Cmdlines [][2]string `json:"cmdline_sha384"`
	}
	if err := json.Unmarshal(fwtest.Read(t, "testdata/oasis/tdx_qemu_test.json"), &v); err != nil || len(v.Cmdlines) != 3 {
		t.Fatalf("%d command lines (%v)", len(v.Cmdlines), err)
	}
	for _, c := range v.Cmdlines {
		if got := eventlog.Sum(utf16z(c[0])).String(); got != c[1] {
			t.Errorf("%q is %s, want %s", c[0], got, c[1])
		}
	}
	for _, test := range []struct {
		boot   DirectBoot
		prefix bool
		want   string
		ok     bool
	}{
		{DirectBoot{Cmdline: "a", HasInitrd: true}, false, "a initrd=initrd", true},
		{DirectBoot{Cmdline: "a", HasInitrd: true}, true, "initrd=initrd a", true},
		{DirectBoot{HasInitrd: true}, true, "initrd=initrd ", true},
		{DirectBoot{Cmdline: "a"}, true, "a", true},
		{DirectBoot{}, false, "", false},
	} {
		if got, ok := test.boot.commandLine(test.prefix); got != test.want || ok != test.ok {
			t.Errorf("%+v, prefix %t: %q, %t, want %q, %t", test.boot, test.prefix, got, ok, test.want, test.ok)
		}
	}
}

// TestKernelPatchMatrix follows contracts/tdx-measurement.md section 4.3.
func TestKernelPatchMatrix(t *testing.T) {
	tests := []struct {
		qemu           string
		named, patched bool
		nonLinux       bool
	}{
		{"7.2.22", true, true, false},
		{"8.2.2", true, true, true},
		{"9.2.1", true, true, false},
		{"10.0.13", false, true, false},
		{"10.0.13", true, false, false},
		{"10.1.0", false, true, false},
		{"10.2.0", false, false, false},
		{"11.1.2", true, false, false},
	}
	for _, test := range tests {
		v, err := machine.ParseVersion(test.qemu)
		if err != nil {
			t.Fatal(err)
		}
		if got := patchesKernel(v, test.named); got != test.patched {
			t.Errorf("QEMU %s, named %t: patched %t, want %t", v, test.named, got, test.patched)
		}
		if got := patchesNonLinux(v); got != test.nonLinux {
			t.Errorf("QEMU %s: patches other files %t, want %t", v, got, test.nonLinux)
		}
	}
}

// TestNormalizedKernel: the digest of a kernel whose header the firmware fills in follows from neither the memory nor the QEMU, and is that of
// the file where the header is filled in already. It is what QEMU 9.2 makes firmware measure in a machine of 2.75 GiB.
func TestNormalizedKernel(t *testing.T) {
	in := exampleInputs(t, 202502)
	kernel := func(normalized bool, memory uint64, qemu machine.Version) eventlog.Digest {
		t.Helper()
		in.Direct.Normalized, in.Memory, in.QEMU = normalized, memory, qemu
		for _, e := range predict(t, in).Events {
			if e.Register == eventlog.RTMR1 {
				return e.Digest
			}
		}
		t.Fatal("no event in RTMR1")
		return eventlog.Digest{}
	}
	old := qemuVersion(9, 2, 1)
	want := kernel(false, 2816<<20, old)
	if kernel(false, 1<<30, old) == want || kernel(false, 2816<<20, qemuVersion(10, 2, 1)) == want {
		t.Fatal("the test needs a kernel whose digest changes")
	}
	shapes := func() {
		t.Helper()
		for _, memory := range []uint64{1 << 30, 2 << 30, 2560 << 20, 8 << 30} {
			for _, qemu := range []machine.Version{qemuVersion(8, 2, 2), old, qemuVersion(10, 0, 13), qemuVersion(10, 2, 1), qemuVersion(11, 1, 2)} {
				if got := kernel(true, memory, qemu); got != want {
					t.Errorf("%d bytes of memory, QEMU %s: %s, want %s", memory, qemu, got, want)
				}
			}
		}
	}
	shapes()
	refilled := func() bool {
		return slices.ContainsFunc(predict(t, in).Notes, func(note string) bool { return strings.Contains(note, "another header than the kernel's file") })
	}
	if !refilled() {
		t.Error("nothing is said of a header that is not the firmware's")
	}
	// As the image ships it: 0x7FFD7000 is where an initrd of 6 bytes ends up.
	filled := bytes.Clone(in.Direct.Kernel)
	filled[0x210], filled[0x211] = 0xB0, 0x81
	copy(filled[0x218:], []byte{0x00, 0x70, 0xFD, 0x7F, 6})
	copy(filled[0x224:], []byte{0x00, 0xFE, 0, 0, 0x00, 0x00, 0x02})
	in.Direct.Kernel = filled
	shapes()
	if refilled() {
		t.Error("something is said of a header that is the firmware's")
	}
	if got := kernel(false, 1<<30, qemuVersion(10, 2, 1)); got != want {
		t.Errorf("the file itself: %s, want %s", got, want)
	}

	// QEMU up to 10.1 writes the video mode, too, and the firmware leaves it.
	in.Direct.Cmdline = "vga=0x317"
	if kernel(true, 2<<30, old) == want || kernel(true, 2<<30, qemuVersion(10, 2, 1)) != want {
		t.Error("the video mode is to be measured with QEMU 9.2 and not with 10.2")
	}
	in.Direct.Kernel = []byte("MZ")
	if _, err := Predict(in); !errors.Is(err, pe.ErrFormat) {
		t.Errorf("no kernel: %v, want ErrFormat", err)
	}
}

func TestStubEvents(t *testing.T) {
	for version, want := range map[string]StubEvents{"6.8.12-gentoo": StubNothing, "6.9.0": StubAll, "6.10": StubAll, "7.0-rc1": StubAll, "5.19.1": StubNothing} {
		if got, err := decideStub(StubAuto, testKernel(version)); err != nil || got != want {
			t.Errorf("%s: %s (%v), want %s", version, got, err, want)
		}
	}
	if _, err := decideStub(StubAuto, testKernel("unknown")); !errors.Is(err, ErrInput) {
		t.Errorf("no version: %v, want ErrInput", err)
	}
	in := exampleInputs(t, 202502)
	in.Direct.Kernel = testKernel("6.8.0")
	if p := predict(t, in); !p.RTMR2.IsZero() || len(p.Notes) == 0 {
		t.Errorf("RTMR2 of Linux 6.8 is %s with notes %q, want zero and a note", p.RTMR2, p.Notes)
	}
}

// TestUKIFiles: what systemd-stub puts behind the initrd, in which versions. TestFirmwareAsOracle has it of real ones.
func TestUKIFiles(t *testing.T) {
	const (
		zero    = "00000000"
		folder  = "070701" + "00000001" + "0000416d" + zero + zero + "00000001" + zero + zero + zero + zero + zero + zero + "00000007" + zero + ".extra\x00\x00\x00\x00"
		end     = "070701" + zero + zero + zero + zero + "00000001" + zero + zero + zero + zero + zero + zero + "0000000B" + zero + "TRAILER!!!\x00\x00\x00\x00"
		header  = "070701" + "00000002" + "00008124" + zero + zero + "00000001" + zero
		release = folder + header + "00000004" + zero + zero + zero + zero + "00000012" + zero + ".extra/os-release\x00" + "A=1\n" + end
		key     = folder + header + "00000003" + zero + zero + zero + zero + "0000001f" + zero + ".extra/tpm2-pcr-public-key.pem\x00\x00\x00\x00" + "key\x00" + end
		both    = folder + header + "00000002" + zero + zero + zero + zero + "0000001f" + zero + ".extra/tpm2-pcr-signature.json\x00\x00\x00\x00" + "{}\x00\x00" + end + key
	)
	for _, tt := range []struct {
		stub     string
		sections map[string]string
		want     string
	}{
		{"252.39-1", map[string]string{".initrd": "initrd", ".osrel": "A=1\n"}, "initrd"},
		{"256.1", map[string]string{".initrd": "initrd", ".osrel": "A=1\n", ".pcrpkey": "key", ".pcrsig": "{}"}, "initrd\x00\x00" + both},
		{"257.13-1~deb13u1", map[string]string{".initrd": "initrd", ".osrel": "A=1\n"}, "initrd\x00\x00" + release},
		{"257", map[string]string{".initrd": "init", ".osrel": "A=1\n", ".pcrpkey": "key"}, "init" + key + release},
		{"257", map[string]string{".osrel": "A=1\n"}, release},
		{"257", map[string]string{".osrel": ""}, ""},
		{"257", nil, ""},
	} {
		sections := map[string][]byte{".sdmagic": []byte("#### LoaderInfo: systemd-stub " + tt.stub + " ####"), ".linux": testKernel("6.12.0")}
		for name, text := range tt.sections {
			sections[name] = []byte(text)
		}
		in := exampleInputs(t, 202502)
		in.Direct = &DirectBoot{Kernel: packUKI(sections)}
		var got []eventlog.Digest
		for _, e := range predict(t, in).Events {
			if e.Type == eventlog.EvEventTag && e.Name == "initrd" {
				got = append(got, e.Digest)
			}
		}
		var want []eventlog.Digest
		if tt.want != "" {
			want = []eventlog.Digest{eventlog.Sum([]byte(tt.want))}
		}
		if !slices.Equal(got, want) {
			t.Errorf("stub %s, %q: initrd %s, want %s", tt.stub, tt.sections, got, want)
		}
	}
	for _, stub := range []string{"251", "258"} {
		in := exampleInputs(t, 202502)
		in.Direct = &DirectBoot{Kernel: packUKI(map[string][]byte{".sdmagic": []byte("#### LoaderInfo: systemd-stub " + stub + " ####"), ".linux": testKernel("6.12.0")})}
		if _, err := Predict(in); !errors.Is(err, ErrUnsupported) {
			t.Errorf("stub %s: %v, want ErrUnsupported", stub, err)
		}
	}
}

func TestPredictRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Inputs)
		want   error
	}{
		{"no boot", func(in *Inputs) { in.Direct = nil }, ErrInput},
		{"both boots", func(in *Inputs) { in.Disk = &DiskBoot{} }, ErrInput},
		{"no firmware", func(in *Inputs) { in.Firmware = nil }, tdvf.ErrImage},
		{"unknown firmware", func(in *Inputs) { in.Profile = nil }, tdvf.ErrProfile},
		{"layout E", func(in *Inputs) { in.Layout = tdvf.LayoutE }, tdvf.ErrProfile},
		{"no memory", func(in *Inputs) { in.Memory = 0 }, tdvf.ErrMemory},
		{"little memory", func(in *Inputs) { in.Memory = 8 << 20 }, tdvf.ErrMemory},
		{"no kernel", func(in *Inputs) { in.Direct.Kernel = nil }, pe.ErrFormat},
		{"no ACPI loader", func(in *Inputs) { in.ACPI.Loader = nil }, ErrInput},
		{"ACPI file missing", func(in *Inputs) { in.ACPI.Files = nil }, ErrInput},
		{"no SMBIOS", func(in *Inputs) { in.SMBIOS = nil }, ErrInput},
		{"SMBIOS cut", func(in *Inputs) { in.SMBIOS = in.SMBIOS[:len(in.SMBIOS)-7] }, ErrInput},
		{"no firmware strings", func(in *Inputs) { in.FirmwareStrings = nil }, ErrInput},
		{"disk without UKI", func(in *Inputs) { in.Disk, in.Direct = &DiskBoot{Loader: in.Direct.Kernel}, nil }, ErrUnsupported},
		{"initrd with UKI", func(in *Inputs) { in.Direct.Kernel = imagetest.NewUKI(testKernel("6.9")) }, ErrUnsupported},
		{"keys without db entry", func(in *Inputs) {
			in.Firmware = fwtest.Image(fwtest.Read(t, "testdata/firmware/OVMF_VARS_4M.ms.fd.gz"), nil, fwtest.X64)
			in.Profile.SecureBoot = true
		}, ErrUnsupported},
	}
	for _, test := range tests {
		in := exampleInputs(t, 202505)
		test.change(&in)
		if _, err := Predict(in); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	in := exampleInputs(t, 202505)
	in.PageOrder = ""
	if _, err := Predict(in); err == nil {
		t.Error("a prediction without page order")
	}
}

func TestDiff(t *testing.T) {
	base := predict(t, exampleInputs(t, 202505)).Sequence("base")
	tests := []struct {
		name   string
		change func(*Inputs)
		want   map[eventlog.Register]Input
	}{
		{"same", func(*Inputs) {}, nil},
		{"initrd", func(in *Inputs) { in.Direct.Initrd = []byte("other") }, map[eventlog.Register]Input{eventlog.RTMR2: FromInitrd}},
		{"command line", func(in *Inputs) { in.Direct.Cmdline = "other" }, map[eventlog.Register]Input{eventlog.RTMR2: FromCmdline}},
		{"memory", func(in *Inputs) { in.Memory = 4 << 30 }, map[eventlog.Register]Input{eventlog.RTMR0: FromMemory}},
		{"boot order", func(in *Inputs) { in.FwCfg.BootOrder = nil }, map[eventlog.Register]Input{eventlog.RTMR0: FromFwCfg}},
		{"ACPI", func(in *Inputs) { in.ACPI = blobs(t, "testdata/virtee/q35-with-hpet") }, map[eventlog.Register]Input{eventlog.RTMR0: FromACPI}},
		{"kernel", func(in *Inputs) { in.Direct.Kernel = testKernel("6.13") }, map[eventlog.Register]Input{eventlog.RTMR1: FromKernel}},
	}
	for _, test := range tests {
		in := exampleInputs(t, 202505)
		test.change(&in)
		differences := Diff(base, predict(t, in).Sequence("changed"))
		got := map[eventlog.Register]Input{}
		for _, d := range differences {
			got[d.Register] = d.A.Input
			if d.Cause == "" || !strings.Contains(d.String(), d.Register.String()) {
				t.Errorf("%s: %q does not explain", test.name, d)
			}
		}
		if len(got) != len(test.want) {
			t.Errorf("%s: %v, want %v", test.name, differences, test.want)
		}
		for r, input := range test.want {
			if got[r] != input {
				t.Errorf("%s: %s differs in %q, want %q", test.name, r, got[r], input)
			}
		}
	}
}

func FuzzPredict(f *testing.F) {
	in := exampleInputs(f, 202511)
	f.Add(in.ACPI.Loader[:512], fwtest.Read(f, "testdata/tpm-oracle/gpt-first-17408-bytes.bin.gz"))
	f.Fuzz(func(_ *testing.T, loader, disk []byte) {
		_, _ = loaderFiles(loader)
		_, _ = partitionDigest(disk)
	})
}
