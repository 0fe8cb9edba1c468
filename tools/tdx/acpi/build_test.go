package acpi

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// shapes are machines of many kinds, for tests that need no oracle.
func shapes() []machine.Machine {
	var all []machine.Machine
	for i := range 220 {
		m := machine.Default()
		m.QEMU = []machine.Version{{Major: 7, Minor: 2, Patch: 22}, {Major: 8, Minor: 2, Patch: 2}, {Major: 9, Minor: 2, Patch: 1}, {Major: 10, Minor: 2, Patch: 1}, {Major: 11, Minor: 1, Patch: 2}}[i%5]
		m.CPUs = 1 + i%64
		m.Memory = uint64(2+i) << 30
		m.GPUs, m.NICs = i%9, i%3
		m.HPET, m.HotplugOff = i%7 == 0, i%11 == 0
		if i%4 == 0 {
			m.NUMA = []machine.NUMANode{{CPUs: m.CPUs, Memory: m.Memory, Expander: m.GPUs > 0, GPUs: m.GPUs}}
		}
		if i%10 == 0 {
			m.TPM = machine.TPMTIS
		}
		if i%5 == 1 {
			m.TDX = machine.TDXDownstream
		}
		all = append(all, m)
	}
	return all
}

func TestEveryShapeIsConsistent(t *testing.T) {
	for _, m := range shapes() {
		got, err := Build(m)
		if err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		if len(got.Tables)%tablesUnit != 0 || len(got.Loader)%loaderUnit != 0 || len(got.RSDP) != rsdpSize {
			t.Fatalf("sizes %d, %d, %d", len(got.Tables), len(got.Loader), len(got.RSDP))
		}
		end := 0
		for _, x := range got.List {
			if x.Offset != end || string(got.Tables[x.Offset:x.Offset+4]) != x.Signature {
				t.Fatalf("table %s at %#x, expected %#x", x.Signature, x.Offset, end)
			}
			end = x.Offset + x.Length
		}
		if !bytes.Equal(got.Tables[end:], make([]byte, len(got.Tables)-end)) {
			t.Fatal("bytes after the last table")
		}
		again, err := Build(m)
		if err != nil || difference(got, again.Tables, again.Loader, again.RSDP) != "" {
			t.Fatalf("built twice: %v %s", err, difference(got, again.Tables, again.Loader, again.RSDP))
		}
	}
}

func TestDescribe(t *testing.T) {
	m := machine.Default()
	m.TPM = machine.TPMTIS
	tables, err := Build(m)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range tables.Describe() {
		names = append(names, strings.TrimSpace(p.File+" "+p.Table))
	}
	want := "etc/table-loader, etc/acpi/rsdp, etc/tpm/log, etc/acpi/tables, etc/acpi/tables FACS, etc/acpi/tables DSDT, etc/acpi/tables FACP, " +
		"etc/acpi/tables APIC, etc/acpi/tables TPM2, etc/acpi/tables MCFG, etc/acpi/tables WAET, etc/acpi/tables RSDT"
	if got := strings.Join(names, ", "); got != want {
		t.Errorf("got %s", got)
	}
	log := tables.Describe()[2]
	if hex.EncodeToString(log.Digest[:4]) != "69fca469" || log.String() != "etc/tpm/log: 65536 bytes at 0x0, SHA-384 "+hex.EncodeToString(log.Digest[:]) {
		t.Errorf("TPM log: %s", log)
	}
}

func TestFWCfg(t *testing.T) {
	m := machine.Default()
	items, err := FWCfg(m)
	if err != nil {
		t.Fatal(err)
	}
	if len(items) != 2 || items[0].Name != "BootMenu" || items[1].Name != "bootorder" {
		t.Fatalf("items %v", items)
	}
	for i, want := range []string{
		"1dd6f7b457ad880d840d41c961283bab688e94e4b59359ea45686581e90feccea3c624b1226113f824f315eb60ae0a7c",
		"53d3dbc00691328371e74c1b1c77bdf1bf4ff79dd1b55222b694fe8341cd8b0adb3a9ab9286552c681272883b9b0fc1d",
	} {
		if sum := sha512.Sum384(items[i].Data); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s: got %x, want %s", items[i].Name, sum, want)
		}
	}
	m.DirectBoot, m.BootOrder = false, []string{"/pci@i0cf8/scsi@1/disk@0,0", "/pci@i0cf8/ethernet@2"}
	m.NUMA = []machine.NUMANode{{CPUs: 1, Memory: m.Memory, Expander: true}}
	if items, err = FWCfg(m); err != nil {
		t.Fatal(err)
	}
	if items[0].Name != "etc/extra-pci-roots" || !bytes.Equal(items[0].Data, []byte{1, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("roots %v", items[0])
	}
	if string(items[2].Data) != "/pci@i0cf8/scsi@1/disk@0,0\n/pci@i0cf8/ethernet@2\x00" {
		t.Errorf("boot order %q", items[2].Data)
	}
	m.DirectBoot, m.BootOrder = false, nil
	if items, err = FWCfg(m); err != nil || len(items) != 2 {
		t.Errorf("without boot order: %v, %v", items, err)
	}
}

func TestRefusals(t *testing.T) {
	m := machine.Default()
	m.CPUs = 0
	var field *machine.FieldError
	if _, err := Build(m); !errors.As(err, &field) || field.Field != "CPUs" {
		t.Errorf("Build: %v", err)
	}
	if _, err := FWCfg(m); !errors.As(err, &field) || field.Field != "CPUs" {
		t.Errorf("FWCfg: %v", err)
	}
}

func TestEncoding(t *testing.T) {
	for _, x := range []struct {
		name      string
		got, want term
	}{
		{"zero", integer(0), "\x00"},
		{"one", integer(1), "\x01"},
		{"byte", integer(0xff), "\x0a\xff"},
		{"word", integer(0x100), "\x0b\x00\x01"},
		{"dword", integer(0x10000), "\x0c\x00\x00\x01\x00"},
		{"qword", integer(1 << 32), "\x0e\x00\x00\x00\x00\x01\x00\x00\x00"},
		{"short name", name("_S5"), "_S5_"},
		{"root", name(`\`), "\\\x00"},
		{"two segments", name(`^S30.PCNT`), "^\x2eS30_PCNT"},
		{"three segments", name(`\_SB.CPUS.CSCN`), "\\\x2f\x03_SB_CPUSCSCN"},
		{"hardware ID", eisaID("PNP0A08"), "\x0c\x41\xd0\x0a\x08"},
		{"length 1 byte", term(appendLength(nil, 62, true)), "\x3f"},
		{"length 2 bytes", term(appendLength(nil, 63, true)), "\x41\x04"},
		{"length 2 bytes, longest", term(appendLength(nil, 4093, true)), "\x4f\xff"},
		{"length 3 bytes", term(appendLength(nil, 4094, true)), "\x81\x00\x01"},
		{"length 4 bytes", term(appendLength(nil, 1<<20, true)), "\xc4\x00\x00\x01"},
		{"field length", term(appendLength(nil, 62, false)), "\x3e"},
	} {
		if x.got != x.want {
			t.Errorf("%s: got % x, want % x", x.name, x.got, x.want)
		}
	}
}

// TestAllocation keeps the cost of a machine bounded: a few times its files.
func TestAllocation(t *testing.T) {
	m := machine.Default()
	m.QEMU, m.CPUs, m.MaxCPUs = machine.Version{Major: 10}, 1, 4096
	if _, err := Build(m); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Build(m); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
		t.Errorf("the largest machine allocated %d bytes", n)
	}
}

// BenchmarkShapes makes the tables of 220 machines and their digests.
func BenchmarkShapes(b *testing.B) {
	all := shapes()
	b.ReportAllocs()
	for b.Loop() {
		for _, m := range all {
			t, err := Build(m)
			if err != nil {
				b.Fatal(err)
			}
			for _, file := range [][]byte{t.Loader, t.RSDP, t.Tables} {
				sha512.Sum384(file)
			}
		}
	}
}

// BenchmarkBuild leaves the digests out.
func BenchmarkBuild(b *testing.B) {
	all := shapes()
	b.ReportAllocs()
	for b.Loop() {
		for _, m := range all {
			if _, err := Build(m); err != nil {
				b.Fatal(err)
			}
		}
	}
}
