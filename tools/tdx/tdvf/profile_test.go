package tdvf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
)

// build describes a firmware by what its drivers show.
type build struct {
	bds       []byte // text in the boot manager
	version   string
	files     []GUID // files without content that matter by being there
	acpi      bool
	fwCfg     bool
	unmeasure bool
}

func (b build) image(t testing.TB) []byte {
	t.Helper()
	file := func(g GUID, content []byte) fwtest.File { return fwtest.File{GUID: g[:], Content: content} }
	smbios := append(bytes.Clone(smbiosTemplate), make([]byte, 8)...)
	for _, s := range []string{"11/08/2025", b.version, "A vendor"} {
		smbios = append(append(smbios, utf16Bytes(s)...), 0, 0)
		smbios = append(smbios, make([]byte, align(len(smbios), stringAlign)-len(smbios))...)
	}
	dxe := []fwtest.File{file(bdsFile, b.bds), file(variableFile, nil), file(smbiosPlatformFile, smbios)}
	if !b.unmeasure {
		dxe = append(dxe, file(tdMeasurementFile, nil))
	}
	if b.acpi {
		dxe = append(dxe, file(acpiFile, markACPI))
	}
	for _, g := range b.files {
		dxe = append(dxe, file(g, nil))
	}
	var pei []fwtest.File
	if b.fwCfg {
		pei = append(pei, file(platformPeiFile, markFwCfg))
	}
	code := fwtest.Compressed(fwtest.Volume(peiVolume[:], pei...), fwtest.Volume(dxeVolume[:], dxe...))
	return fwtest.Image(fwtest.Read(t, emptyStore), code, fwtest.X64)
}

func TestProfile(t *testing.T) {
	old := append(bytes.Clone(markSuffix), uiAppFile[:]...)
	modern := bytes.Join([][]byte{markPrefix, markSeparator, markFirmwareSetup, menuAppFile[:]}, nil)
	middle := append(bytes.Clone(old), markSeparator...)
	tests := []struct {
		name    string
		build   build
		layout  Layout
		options int
	}{
		{"A", build{bds: old, version: "2024.02-2", acpi: true, files: []GUID{uiAppFile}}, LayoutA, 1},
		{"B", build{bds: middle, version: "2025.02-8", acpi: true, files: []GUID{uiAppFile, shellFile}}, LayoutB, 1},
		{"C", build{bds: modern, version: "2025.11", acpi: true, fwCfg: true, files: []GUID{uiAppFile, menuAppFile, smbiosMeasureFile}}, LayoutC, 2},
		{"D of 202605", build{bds: modern, version: "2026.05", acpi: true, fwCfg: true, files: []GUID{smbiosMeasureFile}}, LayoutD, 0},
		{"D after 202605", build{bds: modern, version: "2026.08", acpi: true, fwCfg: true, files: []GUID{smbiosMeasureFile, menuAppFile}}, LayoutD, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := parse(t, test.build.image(t)).Profile()
			if err != nil {
				t.Fatal(err)
			}
			if p.Layout != test.layout || len(p.BootOptions) != test.options {
				t.Errorf("layout %s with %d options, want %s with %d", p.Layout, len(p.BootOptions), test.layout, test.options)
			}
			if p.Strings == nil || p.Strings.Version != test.build.version {
				t.Errorf("strings %+v, want version %s", p.Strings, test.build.version)
			}
			if want := test.layout == LayoutC || test.layout == LayoutD; p.CmdlinePrefix != want {
				t.Errorf("command line prefix %t, want %t", p.CmdlinePrefix, want)
			}
		})
	}
}

func TestProfileRefused(t *testing.T) {
	old := append(bytes.Clone(markSuffix), uiAppFile[:]...)
	for name, b := range map[string]build{
		"E":               {bds: old, version: "2022.11"},
		"no measurements": {bds: old, version: "2024.02", acpi: true, unmeasure: true},
		"snapshot":        {bds: old, version: "unknown", acpi: true, files: []GUID{uiAppFile}},
		"between":         {bds: old, version: "2025.05", acpi: true, fwCfg: true, files: []GUID{uiAppFile}},
	} {
		if _, err := parse(t, b.image(t)).Profile(); !errors.Is(err, ErrProfile) {
			t.Errorf("%s: %v, want ErrProfile", name, err)
		}
	}
}

func TestLZMA(t *testing.T) {
	data := bytes.Repeat([]byte("firmware volume, "), 400)
	// Made by liblzma (xz 5.4, FORMAT_ALONE), whose streams have matches; its header has no size.
	packed := fwtest.Read(t, "testdata/matches.lzma")
	for name, src := range map[string][]byte{"literals": fwtest.LZMA(data), "matches": packed} {
		got, err := decodeLZMA(src, 1<<20)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %d bytes (%v), want %d", name, len(got), err, len(data))
		}
	}
	if _, err := decodeLZMA(packed, uint64(len(data)-1)); !errors.Is(err, errLZMA) {
		t.Errorf("limit: %v, want errLZMA", err)
	}
	// The range coder reads ahead, so the last bytes may be missing.
	for n := range packed[:len(packed)-16] {
		if _, err := decodeLZMA(packed[:n], 1<<20); !errors.Is(err, errLZMA) {
			t.Fatalf("%d bytes: %v, want errLZMA", n, err)
		}
	}
}

// TestUnpackingIsBounded: what a compressed section claims to hold must not matter.
func TestUnpackingIsBounded(t *testing.T) {
	packed := fwtest.LZMA(make([]byte, 100))
	for _, size := range []uint64{maxUnpacked, maxUnpacked + 1, 1 << 40, 1<<64 - 1} {
		binary.LittleEndian.PutUint64(packed[5:], size)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := decodeLZMA(packed, maxUnpacked); !errors.Is(err, errLZMA) {
			t.Errorf("%d bytes: %v, want errLZMA", size, err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Errorf("%d bytes claimed: %d bytes allocated", size, used)
		}
	}
}

// TestMutatedFirmwareIsBounded: firmware in which anything was changed is measured or refused, for no more than 64 MiB of memory. The bytes
// that are changed are those that are parsed: volume headers, the compressed section, metadata, and the table in front of the reset vector.
func TestMutatedFirmwareIsBounded(t *testing.T) {
	const limit = 64 << 20
	old := append(bytes.Clone(markSuffix), uiAppFile[:]...)
	good := build{bds: append(old, markSeparator...), version: "2025.02", acpi: true, files: []GUID{uiAppFile, shellFile}}.image(t)
	code := len(fwtest.Read(t, emptyStore))
	places := [][2]int{{0, 256}, {code, code + 256}, {code, len(good) - 0x1000}, {len(good) - 0x400, len(good) - 0x200}, {len(good) - 128, len(good)}}
	r := rand.New(rand.NewPCG(3, 64))
	refused, measured := 0, 0
	for n := range 600 {
		image := bytes.Clone(good)
		place := places[n%len(places)]
		for range 1 + r.IntN(3) {
			at := place[0] + r.IntN(place[1]-place[0])
			switch r.IntN(3) {
			case 0:
				image[at] ^= 1 << r.IntN(8)
			case 1:
				image[at] = 0xFF
			default:
				binary.LittleEndian.PutUint32(image[min(at, len(image)-4):], r.Uint32())
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := measureAll(image)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > limit {
			t.Errorf("mutation %d: %d bytes allocated (%v)", n, used, err)
		}
		if err != nil {
			refused++
		} else {
			measured++
		}
	}
	// Both must happen, or the mutations miss what they are for.
	if refused < 50 || measured < 50 {
		t.Errorf("%d mutations refused and %d measured, want at least 50 of each", refused, measured)
	}
}

// measureAll does all that this package can do with an image.
func measureAll(image []byte) error {
	im, err := Parse(image)
	if err != nil {
		return err
	}
	ram, err := RAM(2 << 30)
	if err != nil {
		return err
	}
	for _, f := range []func() error{
		func() error { _, err := im.MRTD(OnePass); return err }, func() error { _, err := im.CFVDigest(); return err },
		func() error { _, err := im.Variables(); return err }, func() error { _, err := im.Profile(); return err },
		func() error { _, err := im.TDHOB(ram); return err },
	} {
		err = errors.Join(err, f())
	}
	return err
}
