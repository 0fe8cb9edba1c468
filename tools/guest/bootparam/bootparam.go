package bootparam

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// MaxSize bounds the command line, in bytes. x86 kernels take 2048 (arch/x86/include/asm/setup.h COMMAND_LINE_SIZE).
const MaxSize = 4096

// prefix begins the parameters that are dstack's; all others are the kernel's.
const prefix = "dstack."

// blockSize is what dm-verity's hash tree is aligned to, in bytes.
const blockSize = 4096

// DefaultDevice is where the root file system is when the command line does not say (dstack 0.6, os/*/initramfs*/init).
const DefaultDevice = "PARTLABEL=dstack-rootfs"

// Parameters are what dstack's part of the command line says.
type Parameters struct {
	// RootHash is the root of the dm-verity tree, SHA-256.
	RootHash [32]byte
	// RootSize is the offset of the tree in the device, which is the size of the file system before it, in bytes.
	RootSize uint64
	// RootDevice is the device: "PARTLABEL=" and a partition's name, or a path such as "/dev/vda".
	RootDevice string
}

// Parse reads a command line, such as the content of /proc/cmdline. The hash and the size must stand in it, and no parameter of dstack
// may stand there twice.
func Parse(cmdline string) (Parameters, error) {
	if len(cmdline) > MaxSize {
		return Parameters{}, fmt.Errorf("kernel command line: expected at most %d bytes, got %d", MaxSize, len(cmdline))
	}
	values := make(map[string]string)
	for _, word := range strings.Fields(cmdline) {
		name, value, _ := strings.Cut(word, "=")
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if _, twice := values[name]; twice {
			return Parameters{}, &ParameterError{name, errors.New("expected once, got twice")}
		}
		if !slices.Contains([]string{"dstack.rootfs_hash", "dstack.rootfs_size", "dstack.rootfs_device"}, name) {
			return Parameters{}, &ParameterError{name, errors.New("this guest has no such parameter")}
		}
		values[name] = value
	}
	p := Parameters{RootDevice: DefaultDevice}
	for _, read := range []struct {
		name string
		to   func(string) error
		need bool
	}{
		{"dstack.rootfs_hash", p.readHash, true},
		{"dstack.rootfs_size", p.readSize, true},
		{"dstack.rootfs_device", p.readDevice, false},
	} {
		value, given := values[read.name]
		if !given && !read.need {
			continue
		}
		if !given {
			return Parameters{}, &ParameterError{read.name, errors.New("expected one on the kernel command line, got none")}
		}
		if err := read.to(value); err != nil {
			return Parameters{}, &ParameterError{read.name, err}
		}
	}
	return p, nil
}

// ParameterError names the parameter that does not hold.
type ParameterError struct {
	Name string
	Err  error
}

func (e *ParameterError) Error() string { return e.Name + ": " + e.Err.Error() }
func (e *ParameterError) Unwrap() error { return e.Err }

func (p *Parameters) readHash(value string) error {
	hash, err := hex.DecodeString(value)
	if err != nil || len(hash) != len(p.RootHash) || hex.EncodeToString(hash) != value {
		return fmt.Errorf("expected 64 lower-case hex digits, got %.80q", value)
	}
	p.RootHash = [32]byte(hash)
	return nil
}

func (p *Parameters) readSize(value string) error {
	size, err := strconv.ParseUint(value, 10, 63)
	if err != nil || strconv.FormatUint(size, 10) != value {
		return fmt.Errorf("expected a decimal number of bytes, got %.80q", value)
	}
	if size == 0 || size%blockSize != 0 {
		return fmt.Errorf("expected a multiple of %d, got %d", blockSize, size)
	}
	p.RootSize = size
	return nil
}

func (p *Parameters) readDevice(value string) error {
	if label, ok := strings.CutPrefix(value, "PARTLABEL="); ok && plain(label) || strings.HasPrefix(value, "/dev/") && plain(value[5:]) {
		p.RootDevice = value
		return nil
	}
	return fmt.Errorf("expected PARTLABEL=NAME or /dev/NAME, got %.80q", value)
}

// plain holds for names of letters, digits, hyphen and underscore, which are no path.
func plain(name string) bool {
	return name != "" && len(name) <= 64 && strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) < 0
}
