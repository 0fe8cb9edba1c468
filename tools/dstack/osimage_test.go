package dstack_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/dstack"
)

var zeros = strings.Repeat("0", 64)

func TestChecksums(t *testing.T) {
	sums := []dstack.FileSum{{Name: "measurement.tdx.cbor", Sum: dstack.Hash{5}}, {Name: "metadata.json", Sum: dstack.Hash{4}},
		{Name: "bzImage", Sum: dstack.Hash{2}}, {Name: "ovmf.fd", Sum: dstack.Hash{1}}, {Name: "initramfs.cpio.gz", Sum: dstack.Hash{3}}}
	file, err := dstack.WriteChecksums(sums)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for i, name := range []string{"ovmf.fd", "bzImage", "initramfs.cpio.gz", "metadata.json", "measurement.tdx.cbor"} {
		want.WriteString("0" + string(rune('1'+i)) + zeros[2:] + "  " + name + "\n")
	}
	if string(file) != want.String() {
		t.Errorf("wrote\n%s, want\n%s", file, want.String())
	}
	read, err := dstack.ParseChecksums(file)
	if err != nil || len(read) != 5 || read[4] != sums[0] {
		t.Errorf("read %v, %v", read, err)
	}
	digest := dstack.WriteDigestFile(dstack.ImageHashOf(file))
	if hash, err := dstack.ParseDigestFile(digest); err != nil || hash != dstack.ImageHashOf(file) || len(digest) != 65 {
		t.Errorf("digest file %q: %s, %v", digest, hash, err)
	}
	for name, changed := range map[string][]dstack.FileSum{
		"rootfs.img.verity": append([]dstack.FileSum{{Name: "rootfs.img.verity"}}, sums...),
		"stands twice":      append([]dstack.FileSum{sums[0]}, sums...),
		"bzImage":           append(append([]dstack.FileSum{}, sums[:2]...), sums[3:]...),
	} {
		if _, err := dstack.WriteChecksums(changed); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error is %v, want one with %q", err, name)
		}
	}
}

func TestParseChecksumsRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"":                                  "end with a line feed",
		zeros + "  bzImage":                 "end with a line feed",
		zeros + " bzImage\n":                "line 1: expected 64 lower-case hex digits, two spaces",
		zeros + " *bzImage\n":               "line 1",
		zeros + "  bzImage\r\n":             "line 1",
		zeros + "  ../bzImage\n":            "line 1",
		zeros[1:] + "A  bzImage\n":          "line 1",
		zeros + "  a\n\n":                   "line 2",
		zeros + "  a\n" + zeros + "  a\n":   "line 2: a stands twice",
		strings.Repeat(zeros+"  a\n", 2000): "at most",
	} {
		if _, err := dstack.ParseChecksums([]byte(in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: error is %v, want one with %q", in, err, want)
		}
	}
	for _, in := range []string{"", zeros, zeros + "\r\n", strings.ToUpper(zeros[:63]+"a") + "\n", zeros + "\n\n"} {
		if _, err := dstack.ParseDigestFile([]byte(in)); err == nil {
			t.Errorf("digest file %q was accepted", in)
		}
	}
}

// The rules of sha256sum_entry_hash, which a vm_config is read by.
func TestVerifyTDXMeasurementRefusesChecksums(t *testing.T) {
	line := zeros + "  measurement.tdx.cbor\n"
	for in, want := range map[string]string{
		"":                                 "there is no line for measurement.tdx.cbor",
		"x\n":                              "line 1: the file name is missing",
		line + line:                        "line 2: measurement.tdx.cbor stands twice",
		"00 measurement.tdx.cbor\n":        "line 1: hash: expected 64",
		"x y z\n\n \t" + line:              "measurement.tdx.cbor: expected 0000", // found, and not the hash of nothing
		"\xff\n":                           "UTF-8",
		strings.Repeat(" ", 65<<10) + line: "at most",
	} {
		_, err := dstack.VerifyTDXMeasurement(dstack.ImageHashOf([]byte(in)), []byte(in), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: error is %v, want one with %q", in, err, want)
		}
	}
}

// sample is a measurement with a witness of a given length in bytes of CBOR's three head forms.
func sample(t testing.TB, version int, cmdline string, normalized bool, ranges int) []byte {
	t.Helper()
	m := dstack.TDXMeasurement{Version: version, Cmdline: cmdline, Normalized: normalized,
		CommandLine: dstack.Register{1}, Kernel: dstack.Register{2}, Initrd: dstack.Register{3},
		MRTDSinglePass: dstack.Register{4}, MRTDTwoPass: dstack.Register{5}, HOB: dstack.HOBWitness{HOB: 1 << 30}}
	for i := range ranges {
		m.HOB.Ranges = append(m.HOB.Ranges, dstack.PageRange{Start: 1<<30 + uint64(i)<<29, Count: 1 << 28})
	}
	return must(m.Bytes())
}

func TestTDXMeasurementThereAndBack(t *testing.T) {
	for _, tt := range []struct {
		version, cmdline int // the command line's length
		normalized       bool
		ranges           int
	}{
		{4, 1, false, 1}, {4, 23, true, 2}, {4, 24, false, 20}, {4, 255, true, 64}, {4, 256, false, 1}, {4, 2048, true, 1},
		{3, 0, false, 1}, {3, 0, true, 64},
	} {
		file := sample(t, tt.version, strings.Repeat("x", tt.cmdline), tt.normalized, tt.ranges)
		m, err := dstack.ParseTDXMeasurement(file)
		if err != nil {
			t.Fatal(err)
		}
		if again := must(m.Bytes()); !bytes.Equal(again, file) {
			t.Errorf("%+v: written again it differs", tt)
		}
		if m.Normalized != tt.normalized || len(m.Cmdline) != tt.cmdline {
			t.Errorf("%+v: read as %+v", tt, m)
		}
		for n := range file {
			if _, err := dstack.ParseTDXMeasurement(file[:n]); err == nil {
				t.Fatalf("%+v: the first %d bytes were accepted", tt, n)
			}
		}
		if _, err := dstack.ParseTDXMeasurement(append(file, 0)); err == nil {
			t.Errorf("%+v: a byte too many was accepted", tt)
		}
	}
}

func TestTDXMeasurementIsNotWritten(t *testing.T) {
	good := must(dstack.ParseTDXMeasurement(sample(t, 4, "a", false, 1)))
	for name, change := range map[string]func(m *dstack.TDXMeasurement){
		"version: expected 3 or 4, got 5":                   func(m *dstack.TDXMeasurement) { m.Version = 5 },
		"cmdline: expected 1 to 2048 bytes, got 0":          func(m *dstack.TDXMeasurement) { m.Cmdline = "" },
		"cmdline: expected 1 to 2048 bytes, got 2049":       func(m *dstack.TDXMeasurement) { m.Cmdline = strings.Repeat("x", 2049) },
		"cmdline: expected printable ASCII, got \"a\\nb\"":  func(m *dstack.TDXMeasurement) { m.Cmdline = "a\nb" },
		"TD HOB witness: expected 1 to 64 ranges, got none": func(m *dstack.TDXMeasurement) { m.HOB.Ranges = nil },
	} {
		m := *good
		change(&m)
		if _, err := m.Bytes(); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(name, ", got none")) {
			t.Errorf("got %v, want an error with %q", err, name)
		}
	}
}

func TestParseTDXMeasurementRefuses(t *testing.T) {
	for name, change := range map[string][2]string{
		"version 5":        {"version\x04", "version\x05"},
		"version 3":        {"version\x04", "version\x03"},
		"version in two":   {"version\x04", "version\x18\x04"},
		"OVMF variant":     {"pre202505", "stb202505"},
		"indefinite map":   {"\xa3gversion", "\xbfgversion"},
		"other name":       {"kernel_authenticode", "Kernel_authenticode"},
		"members":          {"image\xa4", "image\xa3"},
		"too many members": {"image\xa4", "image\xa5"},
		"not normalized":   {"normalized\xf5", "normalized\xf4"},
		"long text":        {"cmdline\x67", "cmdline\x78\x07"},
		"text as bytes":    {"cmdline\x67", "cmdline\x47"},
		"text too long":    {"cmdline\x67", "cmdline\x79\x08\x01"},
		"control in text":  {"console", "con\x00ole"},
		"short digest":     {"initrd_sha384\x58\x30", "initrd_sha384\x58\x2f"},
		"digest as text":   {"initrd_sha384\x58\x30", "initrd_sha384\x78\x30"},
		"digest as array":  {"initrd_sha384\x58\x30", "initrd_sha384\x98\x30"},
		"long witness":     {"td_hob\x4d", "td_hob\x58\x0d"},
		"witness of 4 GiB": {"td_hob\x4d", "td_hob\x5a\xff\xff\xff\xff"},
		"witness as text":  {"td_hob\x4d", "td_hob\x6c"},
		"order":            {"ftd_hob", "ehob\x00"},
	} {
		file := sample(t, 4, "console", true, 1)
		if !bytes.Contains(file, []byte(change[0])) {
			t.Fatalf("%s: the sample has no %q: %q", name, change[0], file)
		}
		changed := bytes.Replace(file, []byte(change[0]), []byte(change[1]), 1)
		if _, err := dstack.ParseTDXMeasurement(changed); err == nil {
			t.Errorf("%s: was accepted", name)
		}
	}
}

func TestHOBWitnessRefuses(t *testing.T) {
	for name, data := range map[string][]byte{
		"empty":            {},
		"no ranges":        {1, 0, 0},
		"HOB elsewhere":    {1, 5, 1, 0, 1},
		"empty range":      {1, 0, 1, 0, 0},
		"overlap":          {1, 0, 2, 0, 4, 3, 1},
		"unsorted":         {1, 0, 2, 4, 1, 0, 1},
		"base not first":   {0, 1, 1, 1, 1},
		"long number":      {0x81, 0x00, 0, 1, 0, 1},
		"trailing":         {1, 0, 1, 0, 1, 0},
		"too many ranges":  {1, 0, 0x80, 0x80, 0x80, 0x80, 0x01},
		"number of 2^64":   {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02},
		"page beyond":      {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1, 0, 1},
		"count beyond":     {1, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"start overflows":  {1, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1},
		"ends in a number": {1, 0, 1, 0, 0x80},
	} {
		if w, err := dstack.ParseHOBWitness(data); err == nil {
			t.Errorf("%s: read %+v", name, w)
		}
	}
	if _, err := dstack.NewHOBWitness(dstack.PageRange{Start: 1, Count: 2}, dstack.PageRange{Start: 2, Count: 2}); err == nil {
		t.Error("overlapping sections were accepted")
	}
}

// The values were computed with python: hashlib's SHA-512, and a Keccak-256 of 30 lines.
func TestKeyBindings(t *testing.T) {
	a := dstack.KeyBinding([]byte("spki"))
	if want := "54c188d31f7fd721e24b2b525178afe7cf8442ad87afcd7261353b12cc77fdc36778d6b362ae53c5f1fc0e718e52c512c152195508eafe98f0c4efd246984581"; hex.EncodeToString(a[:]) != want {
		t.Errorf("binding is %x, want %s", a, want)
	}
	kms := dstack.KMSKeyBinding([]byte{1, 2}, [33]byte{3})
	if want := "f0ad9d352bef139df50de431751730cb13e5db7ef0dc575265bfbc5375009b22" + zeros; hex.EncodeToString(kms[:]) != want {
		t.Errorf("KMS binding is %x, want %s", kms, want)
	}
	if _, err := dstack.DeviceID(make([]byte, 15)); err == nil {
		t.Error("a PPID of 15 bytes was accepted")
	}
	if _, err := dstack.LaunchTokenHash("short"); err == nil {
		t.Error("a short launch token was accepted")
	}
}
