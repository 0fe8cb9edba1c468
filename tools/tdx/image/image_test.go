package image_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/image"
)

const metadata = `{"bios":"ovmf.fd","kernel":"bzImage","cmdline":"console=ttyS0","initrd":"initramfs.cpio.gz","rootfs":"rootfs.img","version":"0.5.11",
"git_revision":"abc","shared_ro":true,"is_dev":true,"ovmf_variant":"pre202505","kernel_header_normalized":true}`

func TestParseMetadata(t *testing.T) {
	got, err := image.ParseMetadata([]byte(metadata))
	if err != nil {
		t.Fatal(err)
	}
	want := image.Metadata{
		Firmware: "ovmf.fd", Kernel: "bzImage", Initrd: "initramfs.cpio.gz", Cmdline: "console=ttyS0", Version: "0.5.11", OVMFVariant: "pre202505", IsDev: true, Normalized: true,
	}
	if *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
}

func TestParseMetadataRefuses(t *testing.T) {
	for _, test := range []struct{ old, new, field string }{
		{metadata, "null", ""},
		{metadata, "[]", ""},
		{metadata, metadata + "x", ""},
		{`"is_dev":true`, `"is_dev":true,"is_dev":false`, ""},
		{`"bios":"ovmf.fd",`, ``, "bios"},
		{`"ovmf.fd"`, `null`, "bios"},
		{`"ovmf.fd"`, `"../ovmf.fd"`, "bios"},
		{`"bzImage"`, `""`, "kernel"},
		{`"bzImage"`, `"/boot/bzImage"`, "kernel"},
		{`"initramfs.cpio.gz"`, `".."`, "initrd"},
		{`"initramfs.cpio.gz"`, `7`, "initrd"},
		{`"console=ttyS0"`, `"console=ttyS0\n"`, "cmdline"},
		{`"console=ttyS0"`, `"é"`, "cmdline"},
		{`"console=ttyS0"`, `"` + strings.Repeat("x", 2048) + `"`, "cmdline"},
		{`"pre202505"`, `"post202505"`, "ovmf_variant"},
		{`"is_dev":true`, `"is_dev":"yes"`, "is_dev"},
		{`normalized":true`, `normalized":1`, "kernel_header_normalized"},
	} {
		text := strings.Replace(metadata, test.old, test.new, 1)
		_, err := image.ParseMetadata([]byte(text))
		var field *image.FieldError
		if !errors.As(err, &field) || field.Field != test.field {
			t.Errorf("%s instead of %s: %v, want an error about %q", test.new, test.old, err, test.field)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := image.Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without metadata: %v, want ErrNotExist", err)
	}
	write(image.MetadataFile, metadata)
	write("ovmf.fd", "firmware")
	write("bzImage", "kernel")
	if _, err := image.Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without initrd: %v, want ErrNotExist", err)
	}
	write("initramfs.cpio.gz", "initrd")
	got, err := image.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.FirmwareData) != "firmware" || string(got.KernelData) != "kernel" || string(got.InitrdData) != "initrd" {
		t.Errorf("read %q, %q, %q", got.FirmwareData, got.KernelData, got.InitrdData)
	}
}

func TestReadFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	var size *image.SizeError
	if _, err := image.ReadFile(path, 4); !errors.As(err, &size) {
		t.Errorf("got %v, want a SizeError", err)
	}
	if data, err := image.ReadFile(path, 5); err != nil || string(data) != "12345" {
		t.Errorf("got %q (%v)", data, err)
	}
	if _, err := image.ReadFile(filepath.Dir(path), 5); err == nil {
		t.Error("a folder was read")
	}
}

func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte(metadata))
	f.Add([]byte(`{"bios":"a","kernel":"b","initrd":"c","cmdline":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := image.ParseMetadata(data)
		var field *image.FieldError
		switch {
		case err != nil && !errors.As(err, &field):
			t.Fatalf("%v, want a FieldError", err)
		case err == nil && strings.ContainsAny(m.Firmware+m.Kernel+m.Initrd, "/\x00"):
			t.Fatalf("%+v leaves the directory", m)
		}
	})
}
