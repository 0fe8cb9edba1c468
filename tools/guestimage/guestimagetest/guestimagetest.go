package guestimagetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/boardroom-tee/boardroom/tools/deb"
	"github.com/boardroom-tee/boardroom/tools/deb/debtest"
	"github.com/boardroom-tee/boardroom/tools/guest/modules"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/tdx/image/imagetest"
)

// Release is that of the kernel.
const Release = "6.12.1-test"

// Source is what an image is built from. Tests change it before it is written.
type Source struct {
	// Definition is image.json, by member.
	Definition map[string]any
	// Packages are those of the root file system and the kernel, Firmware that of the firmware.
	Packages, Firmware debtest.Package
}

// New returns a source of which an image can be built. The firmware has the given variable store.
func New(vars []byte) (*Source, error) {
	firmware, err := firmwareOf(vars)
	if err != nil {
		return nil, err
	}
	return &Source{
		Definition: map[string]any{
			"name": "test-guest", "version": "0.5.11",
			"cmdline":  "console=ttyS0 dstack.rootfs_hash={rootfs_hash} dstack.rootfs_size={rootfs_size}",
			"program":  "guest",
			"packages": map[string]any{"set": "packages.json", "lock": "packages.lock.json"},
			"firmware": map[string]any{"set": "firmware.json", "lock": "firmware.lock.json", "file": "usr/share/ovmf/OVMF.fd", "layout": "B"},
			"kernel_config": []any{
				map[string]any{"option": "CONFIG_DM_VERITY", "values": []string{"y", "m"}, "reason": "checks the root file system"},
				map[string]any{"option": "CONFIG_DEVKMEM", "values": []string{"n"}, "reason": "no way around the kernel"},
				map[string]any{"option": "CONFIG_TSM_MEASUREMENTS", "values": []string{"y"}, "reason": "extends RTMR3", "flavour": "production"},
			},
			"executables": map[string]string{"usr/bin/runc": "makes containers"},
			"exclude":     map[string]string{"etc/cron.d": "nothing runs it"},
			"links":       map[string]string{"usr/bin/oci": "runc", "etc/resolv.conf": "../run/resolv.conf"},
			"folders":     map[string]string{"mnt": "0755"},
			"files":       []any{map[string]any{"from": "files/passwd", "to": "etc/passwd"}},
			"ports":       []any{map[string]any{"port": 8090, "protocol": "tcp", "purpose": "the guest agent"}},
		},
		Packages: debtest.Package{Name: "guest", Version: "1.0-1", Entries: []debtest.Entry{
			debtest.Folder("./"), debtest.Folder("./run/"), debtest.File("./etc/cron.d/job", "* * * * *"),
			debtest.File("./boot/vmlinuz-"+Release, string(imagetest.NewKernel("6.12.0"))),
			debtest.File("./boot/config-"+Release, "# a comment\nCONFIG_DM_VERITY=m\nCONFIG_TSM_MEASUREMENTS=y\nCONFIG_LOCALVERSION=\"\"\n"),
			debtest.File("./usr/lib/modules/"+Release+"/modules.builtin", builtin()),
			debtest.Folder("./usr/lib/modules/" + Release + "/kernel/"),
			Program("./usr/bin/runc"), Program("./usr/bin/bash"), Program("./usr/sbin/sshd"),
			debtest.File("./usr/share/doc/guest/copyright", "Somebody"),
		}},
		Firmware: debtest.Package{Name: "ovmf", Version: "2025.02-1", Architecture: "all", Entries: []debtest.Entry{
			debtest.File("./usr/share/ovmf/OVMF.fd", string(firmware)),
		}},
	}, nil
}

func firmwareOf(vars []byte) (firmware []byte, err error) {
	dir, err := os.MkdirTemp("", "guestimagetest-")
	if err != nil {
		return nil, err
	}
	if err = imagetest.Write(dir, vars); err == nil {
		firmware, err = os.ReadFile(filepath.Join(dir, imagetest.Firmware))
	}
	if removed := os.RemoveAll(dir); err == nil {
		err = removed
	}
	return firmware, err
}

// builtin lists every module that a guest asks for.
func builtin() string {
	var b strings.Builder
	seen := make(map[string]bool)
	for _, list := range [][]string{modules.Initramfs(), modules.Root(), modules.TDX(), modules.Simulated()} {
		for _, name := range list {
			if !seen[name] {
				seen[name] = true
				fmt.Fprintf(&b, "kernel/%s.ko\n", name)
			}
		}
	}
	return b.String()
}

// Program is a file that the kernel would start: an ELF header with nothing behind it.
func Program(name string) debtest.Entry {
	var b bytes.Buffer
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Phentsize: 56, Shentsize: 64}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	if err := binary.Write(&b, binary.LittleEndian, header); err != nil {
		panic(err) // a struct of fixed size to memory
	}
	e := debtest.File(name, b.String())
	e.Mode = 0o755
	return e
}

// Write writes the definition with its sets, locks and files to a folder, and the packages below it.
func (s *Source) Write(dir string) error {
	definition, err := json.Marshal(s.Definition)
	if err != nil {
		return err
	}
	files := map[string][]byte{guestimage.DefinitionFile: definition, "files/passwd": []byte("root:x:0:0:root:/root:/usr/sbin/nologin\n")}
	for name, p := range map[string]debtest.Package{"packages": s.Packages, "firmware": s.Firmware} {
		text := fmt.Appendf(nil, "{\"include\": [%q], \"files\": {}}\n", p.Name)
		set, err := deb.ParseSet(text)
		if err != nil {
			return err
		}
		data := p.Bytes()
		lock := &deb.Lock{Format: deb.LockFormat, Set: set.SHA256, Architecture: "amd64", Suites: []deb.LockedSuite{{
			Suite: deb.Suite{Archive: "debian", Name: "trixie"}, Date: time.Unix(0, 0).UTC(), SignedBy: []string{strings.Repeat("0", 40)},
		}}, Packages: []deb.LockedPackage{{
			Name: p.Name, Version: deb.Version(p.Version), Architecture: architecture(p), Suite: "trixie", Path: p.Path(), Size: int64(len(data)), SHA256: sha256.Sum256(data),
		}}}
		document, err := lock.Bytes()
		if err != nil {
			return err
		}
		files[name+".json"], files[name+".lock.json"], files[filepath.Join("debian", p.Path())] = text, document, data
	}
	for name, data := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func architecture(p debtest.Package) string {
	if p.Architecture == "" {
		return "amd64"
	}
	return p.Architecture
}

// Open loads what Write wrote. The caller closes the trees.
func Open(ctx context.Context, dir string, flavour guestimage.Flavour) (*guestimage.Definition, guestimage.Inputs, error) {
	in := guestimage.Inputs{Flavour: flavour, Program: []byte(Program("init").Data), CABundle: []byte("certificates\n")}
	d, err := guestimage.Load(filepath.Join(dir, guestimage.DefinitionFile))
	if err != nil {
		return nil, in, err
	}
	packages, firmware, err := d.Locks()
	if err != nil {
		return nil, in, err
	}
	in.Lock = packages
	place := func(p deb.LockedPackage) string { return filepath.Join(dir, "debian", filepath.FromSlash(p.Path)) }
	if in.Packages, err = deb.Unpack(ctx, packages, place, deb.Options{Spool: dir}); err != nil {
		return nil, in, err
	}
	in.Firmware, err = deb.Unpack(ctx, firmware, place, deb.Options{Spool: dir})
	return d, in, err
}
