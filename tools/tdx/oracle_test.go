//go:build acceptance

package tdx

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/debian"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/qtest"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/smbios"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// patience is how long a boot may take. It takes some ten seconds; this is for a hanging guest to be told from a slow machine.
const patience = 10 * time.Minute

// oracleMachine is the machine of the boots, but for QEMU's version.
func oracleMachine(qemu machine.Version) machine.Machine {
	return machine.Machine{CPUs: 2, Memory: 2 << 30, QEMU: qemu, TPM: machine.TPMTIS, Serial: true, NoBAR64: true, DirectBoot: true}
}

// oracleArguments is what makes QEMU that machine, with firmware of which code and vars are the paths.
func oracleArguments(code, vars, serial string) []string {
	return []string{
		"-machine", "q35,kernel-irqchip=split,smm=off,hpet=off,pic=off", "-accel", "tcg", "-smp", "2", "-m", "2G", "-nodefaults", "-no-user-config",
		"-display", "none", "-monitor", "none", "-no-reboot", "-serial", "file:" + serial,
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + code, "-drive", "if=pflash,format=raw,unit=1,file=" + vars,
	}
}

// guest is what internal/guest reported from a virtual machine.
type guest map[string][]byte

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// boot runs QEMU without acceleration and with a TPM until the guest powers off, and returns what it reported. Nothing that it starts
// outlives it.
func boot(t *testing.T, code, vars []byte, more ...string) guest {
	t.Helper()
	// The path of a Unix socket has to be short, which t.TempDir is not.
	dir, err := os.MkdirTemp("", "oracle")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tpm, stop, err := qtest.StartTPM(ctx, dir, string(machine.TPMTIS))
	if err != nil {
		t.Fatal(err)
	}
	serial := filepath.Join(dir, "serial")
	args := append(oracleArguments(write(t, dir, "code", code), write(t, dir, "vars", vars), serial), tpm...)
	qemu := exec.CommandContext(ctx, "qemu-system-x86_64", append(args, more...)...)
	qtest.EndWithParent(qemu)
	out, runErr := qemu.CombinedOutput()
	messages := stop()
	console, err := os.ReadFile(serial)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		runErr = fmt.Errorf("the guest did not power off within %s: %w", patience, ctx.Err())
	}
	if runErr != nil {
		t.Fatalf("qemu: %v\n%s\nswtpm: %s\nserial port: %s", runErr, out, messages, tail(console))
	}
	return report(t, console)
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }

// report finds the lines that internal/guest writes.
func report(t *testing.T, serial []byte) guest {
	t.Helper()
	g := guest{}
	done := false
	for line := range strings.Lines(string(serial)) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "@error":
			t.Fatal(line)
		case name == "@done":
			done = true
		case strings.HasPrefix(name, "@"):
			packed, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			r, err := gzip.NewReader(bytes.NewReader(packed))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if g[name[1:]], err = io.ReadAll(r); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	if !done {
		t.Fatalf("the guest ended before it reported all:\n%s", tail(serial))
	}
	return g
}

// processor reads the processor's identity from the guest's SMBIOS tables: CPUID of the machine is nothing to predict. A structure is
// its formatted area, as long as its second byte says, and strings that two NULs end; type 4 has EAX and EDX of leaf 1 at 8 (DMTF
// DSP0134 6.1 and 7.5.3).
func (g guest) processor(t *testing.T) smbios.Processor {
	t.Helper()
	for table := g["smbios"]; len(table) > 4; {
		size := int(table[1])
		if table[0] == 4 && size >= 16 {
			return smbios.Processor{Signature: binary.LittleEndian.Uint32(table[8:]), Features: binary.LittleEndian.Uint32(table[12:])}
		}
		_, rest, ok := bytes.Cut(table[min(size, len(table)):], []byte{0, 0})
		if !ok {
			break
		}
		table = rest
	}
	t.Fatalf("no processor in the guest's SMBIOS tables: %x", g["smbios"])
	return smbios.Processor{}
}

// guestInitrd packs internal/guest.
func guestInitrd(t *testing.T) []byte {
	t.Helper()
	init := filepath.Join(t.TempDir(), "init")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", init, "./internal/guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var cpio bytes.Buffer
	for _, f := range []struct {
		name string
		mode int
		data []byte
	}{
		{"init", 0o100755, fwtest.Read(t, init)},
		{"TRAILER!!!", 0, nil},
	} {
		// The "newc" format: 13 fields of 8 hexadecimal digits (Documentation/driver-api/early-userspace/buffer-format.rst).
		fmt.Fprintf(&cpio, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
			0, f.mode, 0, 0, 1, 0, len(f.data), 0, 0, 0, 0, len(f.name)+1, 0, f.name)
		pad(&cpio)
		cpio.Write(f.data)
		pad(&cpio)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(cpio.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func pad(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}

// Sizes of the disk in blocks of 512 bytes, and of the header of its table in bytes. The partition begins at 1 MiB, the backup of the
// table is at the end.
const (
	block          = 512
	partitionStart = 2048
	partitionSize  = 128 << 20 / block
	diskSize       = partitionStart + partitionSize + 2048
	tableHeader    = 92
)

// gptDisk makes a disk with an EFI system partition that has the loader where firmware looks for it.
func gptDisk(t *testing.T, loader []byte) (path string, table []byte) {
	t.Helper()
	dir := t.TempDir()
	esp, image := filepath.Join(dir, "esp"), write(t, dir, "loader", loader)
	for _, args := range [][]string{
		{"mformat", "-i", esp, "-C", "-F", "-T", fmt.Sprint(partitionSize), "-h", "16", "-s", "63", "::"},
		{"mmd", "-i", esp, "::/EFI", "::/EFI/BOOT"},
		{"mcopy", "-i", esp, image, "::/EFI/BOOT/BOOTX64.EFI"},
	} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	disk := make([]byte, diskSize*block)
	copy(disk[partitionStart*block:], fwtest.Read(t, esp))
	// UEFI 2.10 section 5.3: 128 entries of 128 bytes after the header, and again before the backup header.
	entries := make([]byte, 128*128)
	copy(entries, fwtest.GUID("28732ac11ff8d211ba4b00a0c93ec93b"))
	copy(entries[16:], fwtest.GUID("000102030405060708090a0b0c0d0e0f"))
	binary.LittleEndian.PutUint64(entries[32:], partitionStart)
	binary.LittleEndian.PutUint64(entries[40:], partitionStart+partitionSize-1)
	copy(entries[56:], "E\x00S\x00P\x00")
	header := func(own, other, at uint64) []byte {
		h := make([]byte, tableHeader)
		copy(h, "EFI PART")
		binary.LittleEndian.PutUint32(h[8:], 1<<16)
		binary.LittleEndian.PutUint32(h[12:], tableHeader)
		binary.LittleEndian.PutUint64(h[24:], own)
		binary.LittleEndian.PutUint64(h[32:], other)
		binary.LittleEndian.PutUint64(h[40:], 34)
		binary.LittleEndian.PutUint64(h[48:], diskSize-34)
		copy(h[56:], fwtest.GUID("101112131415161718191a1b1c1d1e1f"))
		binary.LittleEndian.PutUint64(h[72:], at)
		binary.LittleEndian.PutUint32(h[80:], 128)
		binary.LittleEndian.PutUint32(h[84:], 128)
		binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(entries))
		binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h))
		return h
	}
	// The protective master boot record.
	copy(disk[446:], []byte{0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF, 1, 0, 0, 0})
	binary.LittleEndian.PutUint32(disk[458:], diskSize-1)
	copy(disk[510:], []byte{0x55, 0xAA})
	copy(disk[block:], header(1, diskSize-1, 2))
	copy(disk[2*block:], entries)
	copy(disk[(diskSize-33)*block:], entries)
	copy(disk[(diskSize-1)*block:], header(diskSize-1, 1, diskSize-33))
	return write(t, dir, "disk", disk), disk[:34*block]
}

// withoutRetry leaves out a first call of ExitBootServices that failed. Linux calls it once more when the memory map has changed in the
// meantime (drivers/firmware/efi/libstub/efi-stub-helper.c, efi_exit_boot_services), as it does in edk2 202608 after a boot from disk.
// That is not predicted.
func withoutRetry(t *testing.T, events []Event) []Event {
	t.Helper()
	for i := range len(events) - 2 {
		if e := events[i : i+3]; e[0].Name == actionExit && e[1].Name == "Exit Boot Services Returned with Failure" && e[2].Name == actionExit {
			t.Log("ExitBootServices was called twice")
			return append(events[:i:i], events[i+2:]...)
		}
	}
	return events
}

// TestFirmwareAsOracle boots unmodified firmware of today's packages, and compares each event that it logged with a prediction that
// is made from the same files, the shape of the machine and QEMU's version.
func TestFirmwareAsOracle(t *testing.T) {
	qemu := qtest.Find(t)[0].Version
	kernel := fwtest.Read(t, debian.Kernel(t, debian.Trixie))
	initrd := guestInitrd(t)
	const cmdline = "console=ttyS0 loglevel=3 panic=-1"
	const direct, unified, disk = "kernel", "UKI", "UKI on a disk"
	for _, firmware := range []struct {
		suite debian.Suite
		pkg   string
		boot  string
		// stub is the suite of the UKI's stub: 252 of bookworm, 257 of trixie.
		stub debian.Suite
		keys bool
	}{
		{suite: debian.Trixie, pkg: "ovmf", boot: direct},
		{suite: debian.Forky, pkg: "ovmf-generic", boot: direct},
		{debian.Trixie, "ovmf", unified, debian.Bookworm, true},
		{debian.Forky, "ovmf-generic", unified, debian.Trixie, true},
		{debian.Trixie, "ovmf", disk, debian.Trixie, false},
		{debian.Forky, "ovmf-generic", disk, debian.Bookworm, false},
	} {
		t.Run(string(firmware.suite)+" "+firmware.boot, func(t *testing.T) {
			t.Parallel()
			pkg := debian.Unpack(t, firmware.suite, firmware.pkg)
			t.Logf("QEMU %s, %s %s", qemu, firmware.pkg, pkg.Version)
			code := fwtest.Read(t, pkg.Root, "usr/share/OVMF/OVMF_CODE_4M.fd")
			vars := fwtest.Read(t, pkg.Root, "usr/share/OVMF/OVMF_VARS_4M.fd")
			m := oracleMachine(qemu)
			in := Inputs{Firmware: append(bytes.Clone(vars), code...)}
			var args []string
			files := t.TempDir()
			switch firmware.boot {
			case direct:
				in.Direct = &DirectBoot{Kernel: kernel, Initrd: initrd, HasInitrd: true, Cmdline: cmdline}
				args = []string{"-kernel", write(t, files, "kernel", kernel), "-initrd", write(t, files, "initrd", initrd), "-append", cmdline}
			case unified:
				uki := buildUKI(t, firmware.stub, firmware.keys, kernel, initrd, cmdline)
				in.Direct = &DirectBoot{Kernel: uki, Cmdline: cmdline + " x"}
				args = []string{"-kernel", write(t, files, "uki", uki), "-append", cmdline + " x"}
			case disk:
				uki := buildUKI(t, firmware.stub, firmware.keys, kernel, initrd, cmdline)
				path, table := gptDisk(t, uki)
				in.Disk = &DiskBoot{Table: table, Loader: uki, Devices: []DeviceOption{VirtioBlk(1, 0)}}
				m.DirectBoot, m.RootDisk = false, true
				args = []string{"-drive", "if=none,id=disk,format=raw,snapshot=on,file=" + path, "-device", "virtio-blk-pci,drive=disk,disable-modern=on"}
			}
			g := boot(t, code, vars, args...)
			log, err := eventlog.ParseTPM(g["log"])
			if err != nil {
				t.Fatal(err)
			}
			if err := in.SetMachine(m, smbios.Options{Processor: g.processor(t)}); err != nil {
				t.Fatal(err)
			}
			p, err := Predict(in)
			if errors.Is(err, tdvf.ErrProfile) && firmware.suite == debian.Forky {
				// A suite that is still made may have firmware of a generation that is not modelled yet: to refuse it is right.
				t.Logf("refused: %v", err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			logged := LogSequence("log", log)
			if firmware.boot == disk {
				logged.events[eventlog.RTMR1] = withoutRetry(t, logged.events[eventlog.RTMR1])
			}
			for _, d := range Diff(p.Sequence("prediction"), logged) {
				t.Error(d)
			}
			compared := 0
			for _, events := range p.Sequence("").events {
				compared += len(shared(events))
			}
			t.Logf("%d events compared", compared)
			for i := range log.Events {
				if e := &log.Events[i]; e.CheckData() == eventlog.DataDiffers {
					t.Errorf("event %d (%s): data is not what was hashed", i, e.Describe())
				}
			}
		})
	}
}
