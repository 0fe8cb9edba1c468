package uki_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/disk/uki"
	"github.com/boardroom-tee/boardroom/tools/tdx/pe"
)

// program is a PE32+ image with one section .text of 600 bytes, and room for room more in its headers of 1 KiB.
func program(room int) []byte {
	const newHeader, optional = 0x80, 240
	b := make([]byte, 1024, 2048)
	copy(b, "MZ")
	le := binary.LittleEndian
	le.PutUint32(b[0x3C:], newHeader)
	h := b[newHeader:]
	copy(h, "PE\x00\x00")
	le.PutUint16(h[4:], 0x8664)
	le.PutUint16(h[6:], 1)
	le.PutUint32(h[12:], 2048) // symbols
	le.PutUint16(h[20:], optional)
	o := h[24:]
	le.PutUint16(o, 0x20B)
	le.PutUint32(o[4:], 1024)
	le.PutUint32(o[32:], 4096)
	le.PutUint32(o[36:], 512)
	le.PutUint32(o[56:], 0x3000)
	headers := newHeader + 24 + optional + (1+room)*40
	le.PutUint32(o[60:], uint32(min(headers, 1024)))
	le.PutUint32(o[64:], 0xC0FFEE) // checksum
	le.PutUint32(o[108:], 16)
	s := o[optional:]
	copy(s, ".text")
	le.PutUint32(s[8:], 600)
	le.PutUint32(s[12:], 0x1000)
	le.PutUint32(s[16:], 1024)
	le.PutUint32(s[20:], 1024)
	return append(b, bytes.Repeat([]byte{0x90}, 1024)...)
}

func image() uki.Image {
	return uki.Image{OSRelease: "ID=test\n", Cmdline: "console=ttyS0", Kernel: program(0), Initrd: bytes.Repeat([]byte("initrd"), 1000)}
}

func TestBuild(t *testing.T) {
	const want = "e760ebf8d557ff0cadc5117d3450d3db954151dbed9c4a8342ee44b064401302"
	stub := program(10)
	before := bytes.Clone(stub)
	got, err := uki.Build(stub, image())
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(got); hex.EncodeToString(sum[:]) != want {
		t.Errorf("SHA-256 %x, want %s", sum, want)
	}
	if !bytes.Equal(stub, before) {
		t.Error("the stub has changed")
	}
	parsed, err := pe.Parse(got)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range parsed.Sections {
		names = append(names, s.Name)
		if s.Offset%512 != 0 || s.RawSize%512 != 0 {
			t.Errorf("%s: %d bytes at %d of the file", s.Name, s.RawSize, s.Offset)
		}
	}
	if got := strings.Join(names, " "); got != ".text .osrel .cmdline .initrd .linux" {
		t.Errorf("sections %s", got)
	}
	im := image()
	for name, want := range map[string][]byte{".text": stub[1024:1624], ".osrel": []byte(im.OSRelease), ".cmdline": []byte(im.Cmdline), ".initrd": im.Initrd, ".linux": im.Kernel} {
		if data, found, err := parsed.Section(name); err != nil || !found || !bytes.Equal(data, want) {
			t.Errorf("%s has %d other bytes than %d (%v)", name, len(data), len(want), err)
		}
	}
	// Addresses: .text of 1024 bytes at 0x1000, then one page each, two for the initramfs, and one for the kernel.
	o := got[0x80+24:]
	for i, address := range []uint32{0x1000, 0x2000, 0x3000, 0x4000, 0x6000} {
		if at := binary.LittleEndian.Uint32(o[240+40*i+12:]); at != address {
			t.Errorf("%s is at %#x, want %#x", names[i], at, address)
		}
	}
	if size, sum, symbols := binary.LittleEndian.Uint32(o[56:]), binary.LittleEndian.Uint32(o[64:]), binary.LittleEndian.Uint32(got[0x80+12:]); size != 0x7000 || sum != 0 || symbols != 0 {
		t.Errorf("image of %#x bytes, checksum %#x, symbols at %#x", size, sum, symbols)
	}
}

func TestBuildRefuses(t *testing.T) {
	change := func(at int, to ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[at:], to); return b }
	}
	for name, f := range map[string]func([]byte) []byte{
		"no program":   func([]byte) []byte { return nil },
		"text":         func([]byte) []byte { return bytes.Repeat([]byte("text"), 1000) },
		"cut":          func(b []byte) []byte { return b[:1000] },
		"for ARM":      change(0x84, 0x64, 0xAA),
		"signed":       change(0x80+24+112+32, 0, 8, 0, 0, 8),
		"has a kernel": change(0x80+24+240, []byte(".linux\x00")...),
		"alignment 0":  change(0x80+24+32, 0, 0),
		"alignment 3":  change(0x80+24+36, 3, 0),
	} {
		if _, err := uki.Build(f(program(10)), image()); !errors.Is(err, uki.ErrStub) {
			t.Errorf("%s: %v, want ErrStub", name, err)
		}
	}
	if _, err := uki.Build(program(3), image()); err == nil {
		t.Error("room for three sections: no error")
	}
	if _, err := uki.Build(program(4), image()); err != nil {
		t.Errorf("room for four sections: %v", err)
	}
	for name, f := range map[string]func(*uki.Image){
		"no name":              func(i *uki.Image) { i.OSRelease = "" },
		"no command line":      func(i *uki.Image) { i.Cmdline = "" },
		"command line and NUL": func(i *uki.Image) { i.Cmdline += "\x00" },
		"no kernel":            func(i *uki.Image) { i.Kernel = nil },
		"no initramfs":         func(i *uki.Image) { i.Initrd = nil },
	} {
		im := image()
		f(&im)
		if _, err := uki.Build(program(10), im); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzBuild(f *testing.F) {
	f.Add(program(10))
	f.Add(program(3))
	f.Fuzz(func(t *testing.T, stub []byte) {
		got, err := uki.Build(stub, image())
		if err != nil {
			return
		}
		parsed, err := pe.Parse(got)
		if err != nil {
			t.Fatal(err)
		}
		if data, found, err := parsed.Section(".linux"); err != nil || !found || !bytes.Equal(data, image().Kernel) {
			t.Errorf("kernel: %v", err)
		}
	})
}
