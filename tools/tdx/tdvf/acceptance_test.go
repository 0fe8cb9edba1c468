//go:build acceptance

package tdvf

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/internal/debian"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
)

// distribution names the packages that hold images of testdata/firmware/firmware.json. Those of Ubuntu are not in Debian's pool.
var distribution = []struct {
	label     string
	suite     debian.Suite
	pkg, file string
	layout    Layout
	version   string
}{
	{"Debian bookworm ovmf 2022.11-6+deb12u2 OVMF.fd", debian.Bookworm, "ovmf", "usr/share/ovmf/OVMF.fd", "", ""},
	{"Debian trixie ovmf 2025.02-8+deb13u1 OVMF.fd", debian.Trixie, "ovmf", "usr/share/ovmf/OVMF.fd", LayoutB, "2025.02-8+deb13u1"},
	{"Debian forky ovmf-generic 2026.08+ds-2 OVMF.fd", debian.Forky, "ovmf-generic", "usr/share/ovmf/OVMF.fd", LayoutC, "2026.08+ds-2"},
	{"Debian forky ovmf-amdsev 2026.08+ds-2 OVMF.amdsev.fd", debian.Forky, "ovmf-amdsev", "usr/share/ovmf/OVMF.amdsev.fd", "", ""},
	{"Debian forky ovmf-inteltdx 2026.08+ds-2 OVMF.inteltdx.ms.fd", debian.Forky, "ovmf-inteltdx", "usr/share/ovmf/OVMF.inteltdx.ms.fd", LayoutD, "2026.08+ds-2"},
}

func TestDistributionFirmware(t *testing.T) {
	vectors := firmwareVectors(t)
	for _, d := range distribution {
		t.Run(d.label, func(t *testing.T) {
			raw := fwtest.Read(t, debian.Unpack(t, d.suite, d.pkg), d.file)
			var v *firmwareVector
			for i := range vectors {
				if vectors[i].Label == d.label {
					v = &vectors[i]
				}
			}
			if sum := sha256.Sum256(raw); v == nil || hex.EncodeToString(sum[:]) != v.SHA256 {
				t.Skipf("the package has another image now: sha256 %x", sum)
			}
			im := parse(t, raw)
			for i, s := range im.Sections {
				if got := (fwtest.Section{DataOffset: s.DataOffset, RawSize: s.RawSize, Address: s.Address, MemorySize: s.MemorySize, Type: uint32(s.Type), Attributes: s.Attributes}); got != v.Sections[i] {
					t.Errorf("section %d is %+v, want %+v", i, got, v.Sections[i])
				}
			}
			if got, err := im.MRTD(OnePass); err != nil || got != v.OnePass {
				t.Errorf("MRTD one-pass %s (%v), want %s", got, err, v.OnePass)
			}
			if got, err := im.MRTD(TwoPass); err != nil || got != v.TwoPass {
				t.Errorf("MRTD two-pass %s (%v), want %s", got, err, v.TwoPass)
			}
			if got, err := im.CFVDigest(); err != nil || got != v.CFV {
				t.Errorf("CFV %s (%v), want %s", got, err, v.CFV)
			}
			for size, want := range v.TDHOB {
				mib, err := strconv.ParseUint(strings.TrimSuffix(size, "M"), 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				checkHOB(t, im, mib, want)
			}
			p, err := im.Profile()
			if d.layout == "" {
				if !errors.Is(err, ErrProfile) {
					t.Errorf("profile: %v, want ErrProfile: the build measures nothing", err)
				}
				return
			}
			if err != nil || p.Layout != d.layout || p.Strings == nil || p.Strings.Version != d.version {
				t.Errorf("profile %+v (%v), want layout %s of version %s", p, err, d.layout, d.version)
			}
			if table, err := im.ProfileOf(v.OnePass); err != nil || !reflect.DeepEqual(table, p) {
				t.Errorf("the table has %+v (%v), the image %+v", table, err, p)
			}
			if _, ok := known[v.OnePass.String()]; !ok {
				t.Error("the image is not in the table")
			}
		})
	}
}
