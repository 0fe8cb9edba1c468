package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/boardroom-tee/boardroom/tools/strictjson"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// MetadataFile is the name of the file that describes an image.
const MetadataFile = "metadata.json"

// The largest files that are read, in bytes.
const (
	MaxMetadata = 1 << 20
	MaxFirmware = tdvf.MaxImageSize
	MaxKernel   = 512 << 20
	MaxInitrd   = 2 << 30
	// MaxCmdline is that of Linux on x86 (COMMAND_LINE_SIZE, arch/x86/include/asm/setup.h), less its NUL.
	MaxCmdline = 2047
)

// FieldError says which member of metadata.json is malformed.
type FieldError struct {
	// Field is the name of the member, empty for the document.
	Field string
	// Reason says what was expected and what came.
	Reason string
}

func (e *FieldError) Error() string {
	if e.Field == "" {
		return MetadataFile + ": " + e.Reason
	}
	return MetadataFile + ": " + e.Field + ": " + e.Reason
}

// SizeError says that a file is larger than any of its kind.
type SizeError struct {
	Path string
	Max  int64
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("%s: expected up to %d bytes, got more", e.Path, e.Max)
}

// Metadata are the members of metadata.json that say what is measured.
type Metadata struct {
	Firmware string
	Kernel   string
	Initrd   string
	Cmdline  string
	Version  string
	// OVMFVariant is empty or "pre202505", the only legal value.
	OVMFVariant string
	IsDev       bool
	// Normalized is kernel_header_normalized: the firmware fills in the kernel's header itself before it measures, see package pe.
	Normalized bool
}

// variantOld is what images and dstack's vm_config say whose firmware is older than edk2-stable202505.
const variantOld = "pre202505"

// VariantError: what is said about a firmware does not fit its layout.
type VariantError struct {
	// Variant is the value of ovmf_variant.
	Variant string
	// Layout is that of the firmware.
	Layout tdvf.Layout
}

func (e *VariantError) Error() string {
	return fmt.Sprintf("ovmf_variant: expected firmware of layout A or B for %q, got layout %s", e.Variant, e.Layout)
}

// CheckVariant compares what ovmf_variant says with the layout of the firmware. A contradiction is a [*VariantError], an unknown value a
// [*FieldError]; where nothing is said there is nothing to contradict.
func CheckVariant(variant string, found tdvf.Layout) error {
	switch {
	case variant == "":
		return nil
	case variant != variantOld:
		return &FieldError{"ovmf_variant", fmt.Sprintf("expected %q, got %q", variantOld, variant)}
	case found != tdvf.LayoutA && found != tdvf.LayoutB:
		return &VariantError{variant, found}
	default:
		return nil
	}
}

// LayoutOf returns the layout of the firmware in dstack's images of an ovmf_variant and version, empty where that is not known. Every
// image that says pre202505 has 13 events in RTMR0, and so have those of 0.5.2 to 0.5.9, which do not say it: their firmware is a
// snapshot of edk2 of September 2024.
func LayoutOf(variant, version string) tdvf.Layout {
	release, ok := strings.CutPrefix(version, "0.5.")
	if variant == variantOld || ok && len(release) == 1 && release[0] >= '2' && release[0] <= '9' {
		return tdvf.LayoutB
	}
	return ""
}

// ParseMetadata reads metadata.json. Refusals are a [*FieldError].
func ParseMetadata(data []byte) (*Metadata, error) {
	var members map[string]json.RawMessage
	if err := strictjson.Unmarshal(data, &members); err != nil {
		return nil, &FieldError{Reason: err.Error()}
	}
	if members == nil {
		return nil, &FieldError{Reason: "expected an object, got null"}
	}
	m := &Metadata{}
	for _, field := range []struct {
		name     string
		to       any
		required bool
	}{
		{"bios", &m.Firmware, true}, {"kernel", &m.Kernel, true}, {"initrd", &m.Initrd, true}, {"cmdline", &m.Cmdline, true},
		{"version", &m.Version, false}, {"ovmf_variant", &m.OVMFVariant, false}, {"is_dev", &m.IsDev, false},
		{"kernel_header_normalized", &m.Normalized, false},
	} {
		value, there := members[field.name]
		if !there || string(value) == "null" {
			if field.required {
				return nil, &FieldError{field.name, "expected a string, got none"}
			}
			continue
		}
		if err := strictjson.Unmarshal(value, field.to); err != nil {
			return nil, &FieldError{field.name, err.Error()}
		}
	}
	for _, file := range []struct{ field, name string }{{"bios", m.Firmware}, {"kernel", m.Kernel}, {"initrd", m.Initrd}} {
		if file.name == "" || file.name != filepath.Base(file.name) || file.name == "." || file.name == ".." || strings.ContainsRune(file.name, 0) {
			return nil, &FieldError{file.field, fmt.Sprintf("expected the name of a file in the directory, got %q", file.name)}
		}
	}
	// Any layout of the variant will do here; the firmware's is not known yet.
	if err := CheckVariant(m.OVMFVariant, tdvf.LayoutB); err != nil {
		return nil, err
	}
	if err := CheckCmdline(m.Cmdline); err != nil {
		return nil, &FieldError{"cmdline", err.Error()}
	}
	return m, nil
}

// CheckCmdline refuses what cannot be a kernel's command line.
func CheckCmdline(s string) error {
	if len(s) > MaxCmdline {
		return fmt.Errorf("expected up to %d bytes, got %d", MaxCmdline, len(s))
	}
	for i := range len(s) {
		// Firmware widens each byte to a UTF-16 unit; what it makes of others is not modelled.
		if s[i] < ' ' || s[i] > '~' {
			return fmt.Errorf("expected printable ASCII, got %q at byte %d", s[i], i)
		}
	}
	return nil
}

// Image is a guest image with its files.
type Image struct {
	Metadata
	FirmwareData, KernelData, InitrdData []byte
}

// Read reads the image in a directory. What is malformed is a [*FieldError] or a [*SizeError]; other errors are those of reading.
func Read(dir string) (*Image, error) {
	data, err := ReadFile(filepath.Join(dir, MetadataFile), MaxMetadata)
	if err != nil {
		return nil, err
	}
	m, err := ParseMetadata(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	im := &Image{Metadata: *m}
	for _, file := range []struct {
		to   *[]byte
		name string
		size int64
	}{{&im.FirmwareData, m.Firmware, MaxFirmware}, {&im.KernelData, m.Kernel, MaxKernel}, {&im.InitrdData, m.Initrd, MaxInitrd}} {
		if *file.to, err = ReadFile(filepath.Join(dir, file.name), file.size); err != nil {
			return nil, err
		}
	}
	return im, nil
}

// Open opens a regular file, and returns its size in bytes.
func Open(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// ReadFile reads a regular file of at most that many bytes; of a larger one nothing is read, and the error is a [*SizeError].
func ReadFile(path string, limit int64) ([]byte, error) {
	f, size, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, &SizeError{path, limit}
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}
