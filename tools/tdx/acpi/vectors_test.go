package acpi

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
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

// vectors reads an archive of testdata: files by directory and name.
func vectors(t *testing.T, archive string) map[string]map[string][]byte {
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
	found := map[string]map[string][]byte{}
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		dir, file := path.Split(path.Clean(h.Name))
		dir = path.Clean(dir)
		if found[dir] == nil {
			found[dir] = map[string][]byte{}
		}
		found[dir][file] = data
	}
}

// fromArguments is the machine that a QEMU command line of the vectors makes.
func fromArguments(t *testing.T, version, line string) machine.Machine {
	t.Helper()
	m := machine.Machine{HostShare: machine.ShareNone, Serial: true}
	var err error
	if m.QEMU, err = machine.ParseVersion(version); err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(line)
	for i, value := range words[1:] {
		switch words[i] {
		case "-machine":
			m.HPET = !strings.Contains(value, "hpet=off")
			m.SMM = !strings.Contains(value, "smm=off")
			m.PIC = !strings.Contains(value, "pic=off")
		case "-smp":
			m.CPUs, err = strconv.Atoi(value)
		case "-m":
			m.Memory, err = size(value)
		case "-serial":
			m.Serial = value != "none"
		case "-virtfs":
			m.HostShare = machine.Share9P
		case "-global":
			m.PCIHole64Size, err = strconv.ParseUint(strings.TrimPrefix(value, "q35-pcihost.pci-hole64-size="), 0, 64)
		case "-device":
			switch {
			case strings.HasPrefix(value, "pcie-root-port"):
				m.Extra = append(m.Extra, machine.Device{Kind: machine.RootPort})
			case strings.HasPrefix(value, "virtio-net-pci"):
				m.NICs++
			case strings.Contains(value, "drive=hd0"):
				m.RootDisk = true
			case strings.Contains(value, "drive=hd1"):
				m.DataDisk = true
			case strings.Contains(value, "drive=hd2"):
				m.HostShare = machine.ShareVHD
			case value == "virtio-rng-pci":
				m.VSock = true
			default:
				t.Fatalf("device %q", value)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func size(s string) (uint64, error) {
	unit := map[byte]uint64{'M': 1 << 20, 'G': 1 << 30}[s[len(s)-1]]
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 64)
	return n * unit, err
}

// info is what a vector says about itself.
type info struct {
	QEMU string  `json:"qemu"`
	Args string  `json:"args"`
	Base *string `json:"hole64_bar_base"`
}

func TestStockQEMU(t *testing.T) {
	for _, version := range []string{"7.2.22", "8.2.2", "10.0.13", "10.1.0", "11.1.2"} {
		for name, files := range vectors(t, "qemu-"+version+".tar.gz") {
			t.Run(version+"/"+name, func(t *testing.T) {
				var about info
				if err := json.Unmarshal(files["info.json"], &about); err != nil {
					t.Fatal(err)
				}
				m := fromArguments(t, version, about.Args)
				setBase(t, &m, about.Base)
				compare(t, m, files)
			})
		}
	}
}

func setBase(t *testing.T, m *machine.Machine, base *string) {
	t.Helper()
	if base == nil {
		m.NoBAR64 = true
		return
	}
	var err error
	if m.BAR64Base, err = strconv.ParseUint(*base, 0, 64); err != nil {
		t.Fatal(err)
	}
}

// endpoints are further devices on the root bus.
func endpoints(n int) []machine.Device {
	var d []machine.Device
	for range n {
		d = append(d, machine.Device{Kind: machine.Endpoint})
	}
	return d
}

func TestFirmwareLogs(t *testing.T) {
	for name, files := range vectors(t, "tpm-oracle.tar.gz") {
		t.Run(name, func(t *testing.T) {
			release, rest, _ := strings.Cut(strings.TrimPrefix(name, "qemu"), "-")
			release, update, _ := strings.Cut(release, "u")
			version, err := machine.ParseVersion(release)
			if err != nil {
				t.Fatal(err)
			}
			m := machine.Machine{CPUs: 2, Memory: 2 << 30, QEMU: version, TPM: machine.TPMTIS, Serial: true, NoBAR64: true}
			if update != "" {
				m.Backports = []machine.Feature{machine.PCILabel}
			}
			switch {
			case strings.HasSuffix(rest, "4G-5dev"):
				m.Memory, m.Extra = 4<<30, endpoints(5)
				m.NoBAR64, m.BAR64Base = false, 0x800000000
			case strings.HasSuffix(rest, "gptdisk-uki"):
				m.Extra = endpoints(1)
				m.NoBAR64, m.BAR64Base = false, 0x800000000
			case strings.Contains(rest, "secureboot"):
				m.SMM, m.SMICPUHotplug = true, true
			}
			compare(t, m, files)
		})
	}
}

func TestTrustDomainFixtures(t *testing.T) {
	found := vectors(t, "fixtures.tar.gz")
	t.Run("dstack-lite", func(t *testing.T) {
		m, err := machine.FromVMConfig([]byte(`{"cpu_count":2,"memory_size":2147483648,"qemu_version":"8.2.2","host_share_mode":"9p","spec_version":1}`))
		if err != nil {
			t.Fatal(err)
		}
		compare(t, m, found["lite-acpi"])
	})
	t.Run("virtee-canonical-defaults", func(t *testing.T) {
		compare(t, machine.Machine{CPUs: 4, Memory: 2 << 30, QEMU: machine.Version{Major: 9, Minor: 2, Patch: 1}, Serial: true, NoBAR64: true},
			found["canonical-defaults"])
	})
	t.Run("virtee-q35-with-hpet", func(t *testing.T) {
		compare(t, machine.Machine{CPUs: 8, Memory: 4 << 30, QEMU: machine.Version{Major: 10, Minor: 2, Patch: 1}, HPET: true, Extra: endpoints(3),
			PCIHole64Size: 4 << 40, BAR64Base: 0x380000000000}, found["q35-with-hpet"])
	})
}

func TestRealTrustDomains(t *testing.T) {
	data, err := os.ReadFile("testdata/oasis.json")
	if err != nil {
		t.Fatal(err)
	}
	var shapes []struct {
		Mem                  uint64
		CPUs                 int
		Tables, RSDP, Loader string
	}
	if err := json.Unmarshal(data, &shapes); err != nil {
		t.Fatal(err)
	}
	if len(shapes) != 20 {
		t.Fatalf("%d shapes", len(shapes))
	}
	for _, s := range shapes {
		m := machine.Machine{CPUs: s.CPUs, Memory: s.Mem << 20, QEMU: machine.Version{Major: 8, Minor: 2, Patch: 2}, TDX: machine.TDXDownstream,
			Serial: true, Extra: endpoints(4), GuestPhysBits: 46}
		got, err := Build(m)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []struct {
			name string
			data []byte
			want string
		}{{"tables", got.Tables, s.Tables}, {"rsdp", got.RSDP, s.RSDP}, {"loader", got.Loader, s.Loader}} {
			if sum := sha512.Sum384(d.data); hex.EncodeToString(sum[:]) != d.want {
				t.Errorf("%d vCPUs, %d MiB: %s: got %x, want %s", s.CPUs, s.Mem, d.name, sum, d.want)
			}
		}
	}
}

// compare builds the machine's tables and compares them with the files of a vector.
func compare(t *testing.T, m machine.Machine, want map[string][]byte) {
	t.Helper()
	got, err := Build(m)
	if err != nil {
		t.Fatal(err)
	}
	if why := difference(got, want["tables.bin"], want["table-loader.bin"], want["rsdp.bin"]); why != "" {
		t.Error(why)
	}
	if got.TPMLog != nil && !bytes.Equal(got.TPMLog, make([]byte, 65536)) {
		t.Error("TPM log is not 64 KiB of zeros")
	}
}
