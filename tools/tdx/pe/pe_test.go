package pe

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
)

// build makes a PE32+ image: headers of 1024 bytes, the sections in the given file order, trailing bytes and a certificate table.
func build(sections [][]byte, trailing, certificates int) []byte {
	const headers = 1024
	b := make([]byte, headers)
	copy(b, "MZ")
	binary.LittleEndian.PutUint32(b[0x3C:], 0x80)
	h := b[0x80:]
	copy(h, "PE\x00\x00")
	binary.LittleEndian.PutUint16(h[6:], uint16(len(sections)))
	binary.LittleEndian.PutUint16(h[20:], 240)
	binary.LittleEndian.PutUint16(h[24:], 0x20B)
	binary.LittleEndian.PutUint32(h[24+60:], headers)
	binary.LittleEndian.PutUint32(h[24+64:], 0xCCCCCCCC) // checksum
	binary.LittleEndian.PutUint32(h[24+108:], 16)
	if certificates > 0 {
		binary.LittleEndian.PutUint32(h[24+112+36:], uint32(certificates))
	}
	table := h[24+240:]
	for i, s := range sections {
		e := table[40*(len(sections)-1-i):] // the table is in reverse order
		copy(e, []byte{'.', 'a' + byte(i)})
		binary.LittleEndian.PutUint32(e[8:], uint32(len(s)))
		binary.LittleEndian.PutUint32(e[16:], uint32(len(s)))
		binary.LittleEndian.PutUint32(e[20:], uint32(len(b)))
		b = append(b, s...)
	}
	b = append(b, bytes.Repeat([]byte{0xEE}, trailing)...)
	return append(b, bytes.Repeat([]byte{0xCE}, certificates)...)
}

// plain hashes what Authenticode leaves of an image made by build: all but checksum, certificate entry and certificates.
func plain(image []byte, certificates int) eventlog.Digest {
	h := sha512.New384()
	const checksum, entry = 0x80 + 24 + 64, 0x80 + 24 + 112 + 32
	h.Write(image[:checksum])
	h.Write(image[checksum+4 : entry])
	h.Write(image[entry+8 : len(image)-certificates])
	var d eventlog.Digest
	h.Sum(d[:0])
	return d
}

func TestAuthenticode(t *testing.T) {
	sections := [][]byte{bytes.Repeat([]byte{1}, 513), bytes.Repeat([]byte{2}, 7), bytes.Repeat([]byte{3}, 100)}
	for _, test := range []struct{ trailing, certificates int }{{0, 0}, {3, 0}, {0, 16}, {5, 24}} {
		image := build(sections, test.trailing, test.certificates)
		im, err := Parse(image)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := im.Authenticode(), plain(image, test.certificates); got != want {
			t.Errorf("%+v: %s, want %s", test, got, want)
		}
	}
}

func TestPatchedIsTheSameAsWritten(t *testing.T) {
	image := build([][]byte{make([]byte, 4096)}, 0, 0)
	copy(image[setupMagic:], "HdrS")
	binary.LittleEndian.PutUint16(image[setupVersion:], 0x20F)
	image[setupLoadFlags] = 1
	binary.LittleEndian.PutUint32(image[setupInitrdMax:], 0x7FFFFFFF)
	patches, err := LinuxPatches(image, Loader{Cmdline: "vga=0x317 quiet", InitrdSize: 5000, HasInitrd: true, Memory: 2 << 30})
	if err != nil {
		t.Fatal(err)
	}
	im, err := Parse(image)
	if err != nil {
		t.Fatal(err)
	}
	written := bytes.Clone(image)
	for _, p := range patches {
		p.apply(written, 0)
	}
	if got, want := im.Authenticode(patches...), plain(written, 0); got != want {
		t.Errorf("patched image is %s, want %s", got, want)
	}
	if got := binary.LittleEndian.Uint16(written[setupVidMode:]); got != 0x317 {
		t.Errorf("video mode 0x%x, want 0x317", got)
	}
	if written[setupLoadFlags] != 0x81 {
		t.Errorf("load flags 0x%x, want 0x81", written[setupLoadFlags])
	}
}

func TestInitrdAddress(t *testing.T) {
	image := make([]byte, setupEnd)
	copy(image[setupMagic:], "HdrS")
	binary.LittleEndian.PutUint16(image[setupVersion:], 0x20F)
	image[setupLoadFlags] = 1
	image[setupXLoadFlags] = loadedAbove4G
	for memory, want := range map[uint64]uint32{
		2 << 30:    0x7FFD7000, // 0x80000000 - 0x28000 - 1 - 1, rounded down to a page
		4 << 30:    0x7FFD7000,
		1 << 30:    0x3FFD7000,
		2815 << 20: 0xAFED7000,
	} {
		got, err := initrdAddress(image, 0x20F, Loader{InitrdSize: 1, Memory: memory})
		if err != nil || got != want {
			t.Errorf("%d bytes of memory: 0x%x (%v), want 0x%x", memory, got, err, want)
		}
	}
	if _, err := initrdAddress(image, 0x20F, Loader{InitrdSize: 1 << 31, Memory: 1 << 30}); !errors.Is(err, ErrFormat) {
		t.Errorf("too large: %v, want ErrFormat", err)
	}
}

// TestNormalizedPatches: the bytes that dstack saw QEMU write into one of its kernels (its issue 1185), with an initrd of 0xA962C0 bytes, are
// written for machines of any size.
func TestNormalizedPatches(t *testing.T) {
	image := make([]byte, setupEnd)
	copy(image[setupMagic:], "HdrS")
	binary.LittleEndian.PutUint16(image[setupVersion:], 0x20F)
	image[setupLoadFlags] = loadedHigh
	image[setupXLoadFlags] = loadedAbove4G
	copy(image[setupHeapEnd:], []byte{0xA0, 0x50, 0x01, 0x02})
	header := func(l Loader) []byte {
		t.Helper()
		patches, err := NormalizedPatches(image, l)
		if err != nil {
			t.Fatal(err)
		}
		written := bytes.Clone(image)
		for _, p := range patches {
			p.apply(written, 0)
		}
		return written[setupLoader : setupCmdline+4]
	}
	want := []byte{
		0xB0, 0x81, 0, 0, 0, 0, 0, 0, // type_of_loader, loadflags, setup_move_size, code32_start
		0x00, 0x10, 0x54, 0x7F, 0xC0, 0x62, 0xA9, 0x00, // ramdisk_image, ramdisk_size
		0, 0, 0, 0, 0x00, 0xFE, 0, 0, // bootsect_kludge, heap_end_ptr with what is behind it
		0x00, 0x00, 0x02, 0x00, // cmd_line_ptr
	}
	for _, memory := range []uint64{256 << 20, 1 << 30, 2 << 30, 2560 << 20, 64 << 30} {
		if got := header(Loader{InitrdSize: 0xA962C0, HasInitrd: true, Memory: memory}); !bytes.Equal(got, want) {
			t.Errorf("%d bytes of memory: got % x, want % x", memory, got, want)
		}
	}
	copy(want[8:16], make([]byte, 8))
	for _, l := range []Loader{{}, {HasInitrd: true}} {
		if got := header(l); !bytes.Equal(got, want) {
			t.Errorf("without an initrd: got % x, want % x", got, want)
		}
	}
	for name, offset := range map[string]int{"no header": setupMagic, "an old protocol": setupVersion + 1, "loaded low": setupLoadFlags, "below 4 GiB": setupXLoadFlags} {
		other := bytes.Clone(image)
		other[offset] = 0
		if _, err := NormalizedPatches(other, Loader{}); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", name, err)
		}
	}
}

func TestRefused(t *testing.T) {
	good := build([][]byte{make([]byte, 100)}, 0, 0)
	change := func(offset int, value uint32) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint32(b[offset:], value)
		return b
	}
	for name, image := range map[string][]byte{
		"empty":               nil,
		"no PE header":        change(0x3C, 0xFFFFFFF0),
		"headers past end":    change(0x80+24+60, 1<<20),
		"section past end":    change(0x80+24+240+20, 1<<30),
		"directories too big": change(0x80+24+108, 1<<16),
		"certificates":        append(change(0x80+24+112+36, 1<<20), 0),
	} {
		if _, err := Parse(image); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(build([][]byte{make([]byte, 100), make([]byte, 3)}, 5, 8))
	kernel := build([][]byte{make([]byte, 64)}, 0, 0)
	copy(kernel[setupMagic:], "HdrS")
	f.Add(kernel)
	f.Fuzz(func(t *testing.T, image []byte) {
		l := Loader{Cmdline: "vga=ask", InitrdSize: 100, HasInitrd: true, Memory: 1 << 30, PatchesNonLinux: true}
		patches, err := LinuxPatches(image, l)
		if err != nil {
			patches = nil
		}
		if more, err := NormalizedPatches(image, l); err == nil {
			patches = append(patches, more...)
		}
		im, err := Parse(image)
		if err != nil {
			return
		}
		im.Authenticode(patches...)
		for _, s := range im.Sections {
			_, _, _ = im.Section(s.Name)
		}
	})
}
