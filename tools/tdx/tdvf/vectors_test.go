package tdvf

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
)

const emptyStore = "../testdata/firmware/OVMF_VARS_4M.fd.gz"

type firmwareVector struct {
	Label    string                     `json:"label"`
	Size     int                        `json:"size"`
	SHA256   string                     `json:"sha256"`
	Sections []fwtest.Section           `json:"sections"`
	OnePass  eventlog.Digest            `json:"mrtd_one_pass"`
	TwoPass  eventlog.Digest            `json:"mrtd_two_pass"`
	CFV      eventlog.Digest            `json:"cfv_sha384"`
	TDHOB    map[string]eventlog.Digest `json:"td_hob_sha384"`
}

func firmwareVectors(t testing.TB) []firmwareVector {
	var v []firmwareVector
	if err := json.Unmarshal(fwtest.Read(t, "../testdata/firmware/firmware.json"), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func parse(t testing.TB, image []byte) *Image {
	t.Helper()
	im, err := Parse(image)
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func checkHOB(t *testing.T, im *Image, mib uint64, want eventlog.Digest) {
	t.Helper()
	ram, err := RAM(mib << 20)
	if err != nil {
		t.Fatal(err)
	}
	hob, err := im.TDHOB(ram)
	if err != nil {
		t.Fatal(err)
	}
	if got := eventlog.Sum(hob); got != want {
		t.Errorf("%d MiB: %s, want %s", mib, got, want)
	}
}

// TestTDHOBOfFirmware uses the memory sections of distribution images; the images themselves are for the acceptance test.
func TestTDHOBOfFirmware(t *testing.T) {
	for _, v := range firmwareVectors(t) {
		t.Run(v.Label, func(t *testing.T) {
			memory := slices.DeleteFunc(slices.Clone(v.Sections), func(s fwtest.Section) bool { return s.Type <= 1 })
			im := parse(t, fwtest.Image(fwtest.Read(t, emptyStore), nil, memory))
			for size, want := range v.TDHOB {
				mib, err := strconv.ParseUint(strings.TrimSuffix(size, "M"), 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				checkHOB(t, im, mib, want)
			}
		})
	}
}

// TestTDHOBOfRealTDs compares with digests that real TDs logged.
func TestTDHOBOfRealTDs(t *testing.T) {
	var v struct {
		HOB map[string]eventlog.Digest `json:"td_hob_sha384_by_mem_mib"`
	}
	if err := json.Unmarshal(fwtest.Read(t, "../testdata/oasis/tdx_qemu_test.json"), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.HOB) != 15 {
		t.Fatalf("%d sizes, want 15", len(v.HOB))
	}
	im := parse(t, fwtest.Image(fwtest.Read(t, emptyStore), nil, fwtest.IntelTdx))
	for size, want := range v.HOB {
		mib, err := strconv.ParseUint(size, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		checkHOB(t, im, mib, want)
	}
}

func TestCFV(t *testing.T) {
	const want = "344bc51c980ba621aaa00da3ed7436f7d6e549197dfe699515dfa2c6583d95e6412af21c097d473155875ffd561d6790"
	im := parse(t, fwtest.Image(fwtest.Read(t, emptyStore), nil, fwtest.IntelTdx))
	got, err := im.CFVDigest()
	if err != nil || got.String() != want {
		t.Errorf("CFV of an empty store is %s (%v), want %s", got, err, want)
	}
	variables, err := im.Variables()
	if err != nil || len(variables) != 0 {
		t.Errorf("an empty store has %d variables (%v)", len(variables), err)
	}
}

func TestVariablesWithKeys(t *testing.T) {
	im := parse(t, fwtest.Image(fwtest.Read(t, "../testdata/firmware/OVMF_VARS_4M.ms.fd.gz"), nil, fwtest.IntelTdx))
	variables, err := im.Variables()
	if err != nil {
		t.Fatal(err)
	}
	// Lengths as in the log of the run qemu10.0.13-ovmf2025.02-secureboot-ms-legacyloader.
	for _, want := range []struct {
		vendor GUID
		name   string
		size   int
	}{{GlobalVariable, "PK", 1005}, {GlobalVariable, "KEK", 2565}, {ImageSecurityDatabase, "db", 3143}, {ImageSecurityDatabase, "dbx", 76}} {
		v, ok := Lookup(variables, want.vendor, want.name)
		if !ok || len(v.Data) != want.size {
			t.Errorf("%s: found %t, %d bytes, want %d", want.name, ok, len(v.Data), want.size)
		}
	}
}

func TestSplitImage(t *testing.T) {
	whole := fwtest.Image(fwtest.Read(t, emptyStore), nil, fwtest.IntelTdx)
	vars := fwtest.Read(t, emptyStore)
	for name, half := range map[string][]byte{"code": whole[len(vars):], "variables": vars} {
		if _, err := Parse(half); !errors.Is(err, ErrSplitImage) {
			t.Errorf("%s: %v, want ErrSplitImage", name, err)
		}
	}
}
