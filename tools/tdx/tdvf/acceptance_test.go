//go:build acceptance

package tdvf

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/debian"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
)

// distribution names the packages that hold images of testdata/firmware/firmware.json. Those of Ubuntu are not in Debian's pool.
var distribution = []struct {
	label     string
	suite     debian.Suite
	pkg, file string
	layout    Layout
}{
	{"Debian bookworm ovmf 2022.11-6+deb12u2 OVMF.fd", debian.Bookworm, "ovmf", "usr/share/ovmf/OVMF.fd", ""},
	{"Debian trixie ovmf 2025.02-8+deb13u1 OVMF.fd", debian.Trixie, "ovmf", "usr/share/ovmf/OVMF.fd", LayoutB},
	{"Debian forky ovmf-generic 2026.08+ds-2 OVMF.fd", debian.Forky, "ovmf-generic", "usr/share/ovmf/OVMF.fd", LayoutC},
	{"Debian forky ovmf-amdsev 2026.08+ds-2 OVMF.amdsev.fd", debian.Forky, "ovmf-amdsev", "usr/share/ovmf/OVMF.amdsev.fd", ""},
	{"Debian forky ovmf-inteltdx 2026.08+ds-2 OVMF.inteltdx.ms.fd", debian.Forky, "ovmf-inteltdx", "usr/share/ovmf/OVMF.inteltdx.ms.fd", LayoutD},
}

// TestDistributionFirmware reads the images of today's packages. Those that the vectors are of are compared with them; a later one is
// compared with what can be known of it: the version of its package, the layout of its generation, and its MRTD computed another way.
func TestDistributionFirmware(t *testing.T) {
	vectors := firmwareVectors(t)
	for _, d := range distribution {
		t.Run(d.label, func(t *testing.T) {
			pkg := debian.Unpack(t, d.suite, d.pkg)
			raw := fwtest.Read(t, pkg.Root, d.file)
			im := parse(t, raw)
			for order, want := range map[PageOrder]eventlog.Digest{OnePass: measureBySpecification(raw, im, false), TwoPass: measureBySpecification(raw, im, true)} {
				if got, err := im.MRTD(order); err != nil || got != want {
					t.Errorf("MRTD %s %s (%v), want %s", order, got, err, want)
				}
			}
			layout := d.layout
			sum := sha256.Sum256(raw)
			known := slices.IndexFunc(vectors, func(v firmwareVector) bool { return v.Label == d.label && v.SHA256 == hex.EncodeToString(sum[:]) })
			if known >= 0 {
				checkVector(t, im, &vectors[known], layout != "")
			} else {
				t.Logf("%s has another image now: version %s, sha256 %x", d.pkg, pkg.Version, sum)
			}
			p, err := im.Profile()
			if known < 0 && d.suite == debian.Forky {
				// A suite that is still made moves on to later generations, of which some may have to be refused.
				if errors.Is(err, ErrProfile) {
					t.Logf("refused: %v", err)
					return
				}
				if err == nil {
					layout = p.Layout
				}
			}
			switch {
			case layout == "" && !errors.Is(err, ErrProfile):
				t.Errorf("profile: %v, want ErrProfile: the build measures nothing", err)
			case layout != "" && (err != nil || p.Layout != layout || p.Strings == nil || p.Strings.Version != pkg.Version):
				t.Errorf("profile %+v (%v), want layout %s of version %s", p, err, layout, pkg.Version)
			}
		})
	}
}

func checkVector(t *testing.T, im *Image, v *firmwareVector, measures bool) {
	t.Helper()
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
	if !measures {
		return
	}
	p, err := im.Profile()
	if err != nil {
		t.Fatal(err)
	}
	if table, err := im.ProfileOf(v.OnePass); err != nil || !reflect.DeepEqual(table, p) {
		t.Errorf("the table has %+v (%v), the image %+v", table, err, p)
	}
	if _, ok := known[v.OnePass.String()]; !ok {
		t.Error("the image is not in the table")
	}
}

// measureBySpecification computes MRTD as the TDX module does (Intel TDX Module Base Architecture Specification, "Measurement of TD build
// process"): TDH.MEM.PAGE.ADD extends by "MEM.PAGE.ADD" and the address, TDH.MR.EXTEND by "MR.EXTEND" and the address of 256 bytes, then
// these; the first two in buffers of 128 bytes, the address at 16. Only sections with MR.EXTEND (attribute bit 0) have their content
// measured, and with PAGE.AUG (bit 1) pages are not added.
func measureBySpecification(raw []byte, im *Image, twoPass bool) eventlog.Digest {
	const page, chunk = 4096, 256
	h := sha512.New384()
	record := func(name string, address uint64) {
		b := make([]byte, 128)
		copy(b, name)
		binary.LittleEndian.PutUint64(b[16:], address)
		h.Write(b)
	}
	for _, s := range im.Sections {
		content := make([]byte, s.MemorySize)
		copy(content, raw[s.DataOffset:s.DataOffset+s.RawSize])
		add := func(at uint64) { record("MEM.PAGE.ADD", s.Address+at) }
		extend := func(at uint64) {
			for i := at; i < at+page && s.Attributes&1 != 0; i += chunk {
				record("MR.EXTEND", s.Address+i)
				h.Write(content[i : i+chunk])
			}
		}
		for at := uint64(0); at < s.MemorySize && s.Attributes&2 == 0; at += page {
			add(at)
			if !twoPass {
				extend(at)
			}
		}
		for at := uint64(0); at < s.MemorySize && s.Attributes&2 == 0 && twoPass; at += page {
			extend(at)
		}
	}
	return eventlog.Digest(h.Sum(nil))
}
