package tdx

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/pe"
)

// ukiSections are the sections that systemd-stub measures, in its order (systemd src/fundamental, unified sections; the same from
// version 252 to 257 but for the versions that know each one).
var ukiSections = []struct {
	name  string
	since int
}{
	{".linux", 252}, {".osrel", 252}, {".cmdline", 252}, {".initrd", 252}, {".splash", 252}, {".dtb", 252},
	{".uname", 253}, {".sbat", 254}, {".pcrpkey", 252},
}

// ukiRefused are sections of later versions, which change what is measured or passed on.
var ukiRefused = []string{".ucode", ".profile", ".dtbauto", ".hwids", ".efifw"}

// ukiFiles are the sections that the stub hands to userspace, in its order: as files of cpio archives behind the initrd (systemd src/boot,
// stub.c and cpio.c).
var ukiFiles = []struct {
	name, file string
	since      int
}{
	{".pcrsig", "tpm2-pcr-signature.json", 252}, {".pcrpkey", "tpm2-pcr-public-key.pem", 252}, {".osrel", "os-release", 257},
}

// Later stubs load the kernel themselves, so that the firmware does not measure it, and measure SMBIOS tables.
const (
	firstStub, lastStub = 252, 257
	stubMark            = "#### LoaderInfo: systemd-stub "
)

// uki is a unified kernel image.
type uki struct {
	version  int
	sections []ukiSection
	linux    []byte
	cmdline  string
	// initrd is what the kernel gets, in parts; there is none without any.
	initrd [][]byte
	// initrdDigest and inner, that of the kernel, are set by hash.
	initrdDigest, inner eventlog.Digest
}

type ukiSection struct {
	name   string
	data   []byte
	digest eventlog.Digest
}

// readUKI returns nil for an image that is not a UKI.
func readUKI(image *pe.Image) (*uki, error) {
	linux, ok, err := image.Section(".linux")
	if err != nil || !ok {
		return nil, err
	}
	u := &uki{linux: linux}
	if u.version, err = stubVersion(image); err != nil {
		return nil, err
	}
	for _, name := range ukiRefused {
		if _, found, err := image.Section(name); err != nil || found {
			return nil, fmt.Errorf("%w: UKI with section %s", ErrUnsupported, name)
		}
	}
	for _, s := range ukiSections {
		data, found, err := image.Section(s.name)
		if err != nil {
			return nil, err
		}
		if !found || u.version < s.since {
			continue
		}
		switch s.name {
		case ".initrd":
			u.initrd = append(u.initrd, data)
		case ".cmdline":
			text, _, _ := bytes.Cut(data, []byte{0})
			u.cmdline = string(text)
		}
		u.sections = append(u.sections, ukiSection{name: s.name, data: data})
	}
	for _, f := range ukiFiles {
		data, found, err := image.Section(f.name)
		if err != nil {
			return nil, err
		}
		if found && len(data) > 0 && u.version >= f.since {
			if n := len(u.initrd); n == 1 {
				u.initrd = append(u.initrd, padding(len(u.initrd[0])))
			}
			u.initrd = append(u.initrd, stubArchive(f.file, data)...)
		}
	}
	return u, nil
}

// padding is what fills up to a multiple of 4 bytes.
func padding(n int) []byte { return make([]byte, -n&3) }

// stubArchive is a cpio archive as the stub makes one of a file in the folder .extra, in parts: the newc format (Linux,
// Documentation/driver-api/early-userspace/buffer-format.rst), read-only, with inodes from 1 on and no times.
func stubArchive(file string, data []byte) [][]byte {
	header := func(inode, mode, size int, name string) []byte {
		b := fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0, name)
		return append(b, padding(len(b))...)
	}
	const folder = ".extra"
	// The end has a capital in it, unlike the rest.
	end := fmt.Appendf(nil, "070701%032d%08d%048d%08X%08d%s", 0, 1, 0, len("TRAILER!!!")+1, 0, "TRAILER!!!\x00\x00\x00\x00")
	return [][]byte{header(1, 0o40555, 0, folder), header(2, 0o100444, len(data), folder+"/"+file), data, padding(len(data)), end}
}

// stubVersion reads the version that systemd-stub carries in its section .sdmagic.
func stubVersion(image *pe.Image) (int, error) {
	magic, _, err := image.Section(".sdmagic")
	if err != nil {
		return 0, err
	}
	_, text, ok := strings.Cut(string(magic[:min(len(magic), 256)]), stubMark)
	digits := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
	if !ok || digits <= 0 {
		return 0, fmt.Errorf("%w: UKI whose stub is not that of systemd", ErrUnsupported)
	}
	version, err := strconv.Atoi(text[:digits])
	if err != nil || version < firstStub || version > lastStub {
		return 0, fmt.Errorf("%w: UKI with systemd-stub %s, %d to %d are modelled", ErrUnsupported, text[:digits], firstStub, lastStub)
	}
	return version, nil
}

// hash computes the digests of the sections and of the kernel, which the stub has the firmware load like any image.
func (u *uki) hash() error {
	if u == nil {
		return nil
	}
	for i := range u.sections {
		s := &u.sections[i]
		s.digest = eventlog.Sum(s.data)
		if s.name == ".initrd" {
			u.initrdDigest = s.digest
		}
	}
	if len(u.initrd) > 1 {
		u.initrdDigest = eventlog.Sum(u.initrd...)
	}
	kernel, err := pe.Parse(u.linux)
	if err != nil {
		return err
	}
	u.inner = kernel.Authenticode()
	return nil
}

// ukiEvents lists what systemd-stub and the kernel in a UKI measure.
func (p *predictor) ukiEvents() error {
	u := p.images.uki
	p.notes = append(p.notes, fmt.Sprintf("the UKI has systemd-stub %d; whether a stub measures into RTMRs depends on its build, and credentials or extensions next to it on a disk are measured, too", u.version))
	for _, s := range u.sections {
		from := FromKernel
		switch s.name {
		case ".initrd":
			from = FromInitrd
		case ".cmdline":
			from = FromCmdline
		}
		p.add(eventlog.RTMR2, eventlog.EvIPL, "UKI section name "+s.name, from, eventlog.Sum([]byte(s.name+"\x00")))
		p.add(eventlog.RTMR2, eventlog.EvIPL, "UKI section "+s.name, from, s.digest)
	}
	cmdline := u.cmdline
	if d := p.in.Direct; d != nil {
		if d.HasInitrd {
			return fmt.Errorf("%w: -initrd together with a UKI", ErrUnsupported)
		}
		variables, err := p.image.Variables()
		if err != nil {
			return err
		}
		// With secure boot the stub takes arguments only if the UKI has none.
		if d.Cmdline != "" && (u.cmdline == "" || !p.enforced(variables)) {
			cmdline = d.Cmdline
			p.add(eventlog.RTMR2, eventlog.EvIPL, "UKI arguments", FromCmdline, eventlog.Sum(utf16z(cmdline)))
		}
	}
	if p.images.stub == StubNothing {
		p.notes = append(p.notes, "the kernel in the UKI is older than Linux 6.9 and measures nothing into RTMR2, unless its vendor changed that")
		return nil
	}
	if cmdline != "" {
		p.loadOptions(cmdline, FromCmdline)
	}
	if len(u.initrd) > 0 && p.images.stub == StubAll {
		p.add(eventlog.RTMR2, eventlog.EvEventTag, "initrd", FromInitrd, u.initrdDigest)
	}
	return nil
}
