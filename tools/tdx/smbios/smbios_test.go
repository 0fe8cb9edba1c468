package smbios

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// vectors reads an archive of testdata.
func vectors(t testing.TB, archive string) map[string][]byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", archive))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if found[path.Clean(h.Name)], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// processorOf reads the processor's identity out of a table: it depends on the host that made the vector.
func processorOf(t *testing.T, table []byte) Processor {
	t.Helper()
	for i := 0; i+headerSize < len(table); {
		end := i + int(table[i+1])
		for table[end] != 0 || table[end+1] != 0 {
			end++
		}
		if table[i] == typeProcessor {
			return Processor{binary.LittleEndian.Uint32(table[i+8:]), binary.LittleEndian.Uint32(table[i+12:])}
		}
		i = end + 2
	}
	t.Fatal("no processor in the table")
	return Processor{}
}

func version(t *testing.T, s string) machine.Version {
	t.Helper()
	v, err := machine.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestStockQEMU takes the shape from the vector's name: cpu2-mem4G-hpet.
func TestStockQEMU(t *testing.T) {
	n := 0
	for name, want := range vectors(t, "stock.tar.gz") {
		release, rest, _ := strings.Cut(path.Dir(name), "/")
		fields := strings.Split(rest, "-")
		cpus, err := strconv.Atoi(strings.TrimPrefix(fields[0], "cpu"))
		if err != nil {
			t.Fatal(err)
		}
		size := strings.TrimPrefix(fields[1], "mem")
		memory, err := strconv.ParseUint(size[:len(size)-1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		memory *= map[byte]uint64{'M': mib, 'G': gib}[size[len(size)-1]]
		got, err := Build(machine.Machine{CPUs: cpus, Memory: memory, QEMU: version(t, release)}, Options{Processor: processorOf(t, want)})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.QEMU, want) {
			t.Errorf("%s: generated %x\nwanted %x", name, got.QEMU, want)
		}
		n++
	}
	if n != 78 {
		t.Errorf("%d vectors, wanted 78", n)
	}
}

// TestFirmwareLogs compares with what guests found, and with the digest in the log of firmware that measures the table.
func TestFirmwareLogs(t *testing.T) {
	measured := map[string]string{
		"qemu10.2.1-ovmf2025.11-direct-2cpu-2G": "45b33ddf7934e6a353bcac1cb56ad5903f86f471e38d16f36b11aef3509473c155595e281a42130c7fd2fc6885ebe524",
		"qemu10.2.1-ovmf2025.11-kernel-uki":     "45b33ddf7934e6a353bcac1cb56ad5903f86f471e38d16f36b11aef3509473c155595e281a42130c7fd2fc6885ebe524",
		"qemu9.2.1-ovmf2025.11-direct-2cpu-2G":  "d14a362300f8d1f3ee59dd4d31d12b685b2fd1e3014ef8165f99f34bf9f34b37860dccd3efb6349322671a600ddd500a",
	}
	files := vectors(t, "tpm-oracle.tar.gz")
	n := 0
	for name, guest := range files {
		dir, file := path.Split(name)
		if file != "DMI" {
			continue
		}
		n++
		dir = path.Clean(dir)
		want := files[path.Join(dir, "smbios-tables.bin")]
		release, _, _ := strings.Cut(strings.TrimPrefix(dir, "qemu"), "-")
		release, _, _ = strings.Cut(release, "u")
		m := machine.Machine{CPUs: 2, Memory: 2 * gib, QEMU: version(t, release)}
		if strings.Contains(dir, "-4G-") {
			m.Memory = 4 * gib
		}
		got, err := Build(m, Options{Processor: processorOf(t, want)})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.QEMU, want) {
			t.Errorf("%s: generated %x\nwanted %x", dir, got.QEMU, want)
		}
		firmware := firmwareOf(guest)
		if found, err := Guest(got.QEMU, &firmware); err != nil || !bytes.Equal(found, guest) {
			t.Errorf("%s: guest's table: generated %x (%v)\nwanted %x", dir, found, err, guest)
		}
		if digest := measured[dir]; digest != "" {
			table, err := Measured(got.QEMU, &firmware)
			if err != nil {
				t.Fatal(err)
			}
			if sum := sha512.Sum384(table); hex.EncodeToString(sum[:]) != digest {
				t.Errorf("%s: digest: got %x, want %s", dir, sum, digest)
			}
			delete(measured, dir)
		}
	}
	if n != 12 || len(measured) != 0 {
		t.Errorf("%d vectors, wanted 12; digests not met: %v", n, measured)
	}
}

// firmwareOf reads the firmware's strings, which are in the last structure but one.
func firmwareOf(table []byte) Firmware {
	start := bytes.LastIndex(table, []byte{0, 0x1a, 0, 0})
	s := strings.Split(string(table[start+0x1a:]), "\x00")
	return Firmware{s[0], s[1], s[2]}
}

func TestBlanksWhatIdentifies(t *testing.T) {
	m := machine.Machine{CPUs: 2, Memory: 2 * gib, QEMU: machine.Version{Major: 10}}
	o := Options{System: System{Manufacturer: "maker", Serial: "123", SKU: "kept"}}
	tables := func() (qemu, measured []byte) {
		t.Helper()
		table, err := Build(m, o)
		if err != nil {
			t.Fatal(err)
		}
		if measured, err = Measured(table.QEMU, &Firmware{}); err != nil {
			t.Fatal(err)
		}
		return table.QEMU, measured
	}
	a, blanked := tables()
	o.System.Serial, o.System.UUID = "456", [16]byte{1, 2, 3}
	m.CPUs = 7
	b, other := tables()
	if bytes.Equal(a, b) {
		t.Error("serial number, UUID and processors do not show in QEMU's table")
	}
	if !bytes.Equal(blanked, other) {
		t.Errorf("serial number, UUID or processors show in the measured table:\n%x\n%x", blanked, other)
	}
	if !bytes.Contains(blanked, []byte("kept")) || bytes.Contains(blanked, []byte("123")) {
		t.Error("expected the SKU and no serial number in the measured table")
	}
	o.System.Serial = "1234"
	if _, longer := tables(); bytes.Equal(longer, blanked) {
		t.Error("expected the length of the serial number to show: it becomes that many spaces")
	}
}

func TestMeasuredRefuses(t *testing.T) {
	table, err := Build(machine.Machine{CPUs: 1, Memory: 2 * gib, QEMU: machine.Version{Major: 10}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, qemu := range map[string][]byte{
		"nothing": nil, "cut": table.QEMU[:len(table.QEMU)-7], "no end": table.QEMU[:len(table.QEMU)-6], "too long": make([]byte, maxTable+1),
	} {
		if _, err := Measured(qemu, &Firmware{}); !errors.Is(err, ErrTable) {
			t.Errorf("%s: %v, want ErrTable", name, err)
		}
	}
	if _, err := Measured(table.QEMU, nil); !errors.Is(err, ErrTable) {
		t.Errorf("no firmware strings: %v, want ErrTable", err)
	}
	own := append([]byte{typeFirmware, headerSize, 0, 0, 0, 0}, table.QEMU...)
	if got, err := Guest(own, nil); err != nil || !bytes.HasPrefix(got, own[:6]) {
		t.Errorf("a table with QEMU's own type 0: %x (%v)", got, err)
	}
}

// TestFiltered: structures that QEMU makes on request only.
func TestFiltered(t *testing.T) {
	end := []byte{typeEnd, headerSize, 0xFF, 0xFE, 0, 0}
	for name, test := range map[string]struct{ in, want []byte }{
		"OEM strings":    {[]byte{11, 5, 1, 0, 1, 'a', 'b', 0, 0}, []byte{11, 5, 1, 0, 0, 0, 0, 0, 0}},
		"OEM structure":  {[]byte{200, 6, 1, 0, 9, 9, 0, 0}, []byte{200, 6, 1, 0, 0, 0, 0, 0}},
		"board serial":   {[]byte{2, 8, 1, 0, 0, 0, 0, 2, 'm', 0, 's', 'n', 0, 0}, []byte{2, 8, 1, 0, 0, 0, 0, 0, 'm', 0, ' ', ' ', 0, 0}},
		"short board":    {[]byte{2, 6, 1, 0, 1, 0, 'm', 0, 0}, []byte{2, 6, 1, 0, 1, 0, 'm', 0, 0}},
		"index too high": {[]byte{2, 8, 1, 0, 0, 0, 0, 9, 'm', 0, 0}, []byte{2, 8, 1, 0, 0, 0, 0, 0, 'm', 0, 0}},
		"others stay":    {[]byte{32, 5, 1, 0, 7, 0, 0}, []byte{32, 5, 1, 0, 7, 0, 0}},
	} {
		own := []byte{typeFirmware, headerSize, 0, 0, 0, 0}
		got, err := Measured(bytes.Join([][]byte{own, test.in, end}, nil), nil)
		if want := bytes.Join([][]byte{own, test.want, end}, nil); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x (%v), want %x", name, got, err, want)
		}
	}
}

func FuzzMeasured(f *testing.F) {
	for _, table := range vectors(f, "stock.tar.gz") {
		f.Add(table)
		break
	}
	f.Fuzz(func(t *testing.T, qemu []byte) {
		if got, err := Measured(qemu, &Firmware{}); err == nil && len(got) > len(qemu)+200 {
			t.Errorf("%d bytes measured of %d", len(got), len(qemu))
		}
	})
}

func TestRefusals(t *testing.T) {
	var field *machine.FieldError
	_, err := Build(machine.Machine{}, Options{})
	if !errors.As(err, &field) || field.Field != "QEMU" {
		t.Errorf("empty machine: %v", err)
	}
	m := machine.Machine{CPUs: 1, Memory: 2 * gib, QEMU: machine.Version{Major: 10}}
	if _, err = Build(m, Options{System: System{SKU: "a\x00b"}}); !errors.As(err, &field) || field.Field != "SKU" {
		t.Errorf("NUL: %v", err)
	}
	m.QEMU, m.Memory = machine.Version{Major: 7, Minor: 2}, 32*tib
	if _, err = Build(m, Options{}); !errors.As(err, &field) || field.Field != "Memory" {
		t.Errorf("2048 memory devices: %v", err)
	}
}
