//go:build acceptance

package tdx

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
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
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/tdvf"
)

// guest is what a virtual machine reported.
type guest map[string][]byte

// boot runs QEMU without acceleration and with a TPM until the guest powers off, and returns the files it printed.
func boot(t *testing.T, code, vars, kernel, initrd []byte, cmdline string) guest {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	socket := filepath.Join(dir, "tpm")
	tpm := exec.CommandContext(ctx, "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--ctrl", "type=unixio,path="+socket, "--terminate")
	if err := tpm.Start(); err != nil {
		t.Skipf("swtpm: %v", err)
	}
	defer tpm.Wait()
	for range 100 {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	serial := filepath.Join(dir, "serial")
	args := []string{
		"-machine", "q35,kernel-irqchip=split,smm=off,hpet=off", "-accel", "tcg", "-smp", "2", "-m", "2G", "-nodefaults", "-nographic", "-no-reboot",
		"-serial", "file:" + serial,
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + write("code", code), "-drive", "if=pflash,format=raw,unit=1,file=" + write("vars", vars),
		"-chardev", "socket,id=chrtpm,path=" + socket, "-tpmdev", "emulator,id=tpm0,chardev=chrtpm", "-device", "tpm-tis,tpmdev=tpm0",
		"-kernel", write("kernel", kernel), "-append", cmdline,
	}
	if initrd != nil {
		args = append(args, "-initrd", write("initrd", initrd))
	}
	if out, err := exec.CommandContext(ctx, "qemu-system-x86_64", args...).CombinedOutput(); err != nil {
		t.Fatalf("qemu: %v\n%s", err, out)
	}
	out, err := os.ReadFile(serial)
	if err != nil {
		t.Fatal(err)
	}
	return report(t, out)
}

// report finds the lines that internal/guest writes.
func report(t *testing.T, serial []byte) guest {
	t.Helper()
	g := guest{}
	for line := range strings.Lines(string(serial)) {
		name, text, ok := strings.Cut(strings.TrimSpace(line), " ")
		if name == "@error" {
			t.Fatal(line)
		}
		if !ok || !strings.HasPrefix(name, "@") {
			continue
		}
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
	if len(g["log"]) == 0 {
		t.Fatalf("the guest reported nothing:\n%s", serial[max(0, len(serial)-4000):])
	}
	return g
}

// guestInitrd packs internal/guest and the module it needs.
func guestInitrd(t *testing.T, kernelRoot string) []byte {
	t.Helper()
	init := filepath.Join(t.TempDir(), "init")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", init, "./internal/guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	modules, err := filepath.Glob(filepath.Join(kernelRoot, "lib/modules/*/kernel/drivers/firmware/qemu_fw_cfg.ko"))
	if err != nil || len(modules) != 1 {
		t.Fatalf("%d modules (%v)", len(modules), err)
	}
	var cpio bytes.Buffer
	for _, f := range []struct {
		name string
		mode int
		data []byte
	}{
		{"init", 0o100755, fwtest.Read(t, init)},
		{"qemu_fw_cfg.ko", 0o100644, fwtest.Read(t, modules[0])},
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

// installedQEMU returns the version of the QEMU in the path.
func installedQEMU(t *testing.T) machine.Version {
	t.Helper()
	out, err := exec.Command("qemu-system-x86_64", "--version").Output()
	if err != nil {
		t.Skipf("qemu-system-x86_64: %v", err)
	}
	fields := strings.Fields(string(out))
	for i, f := range fields[:len(fields)-1] {
		if f == "version" {
			v, err := machine.ParseVersion(fields[i+1])
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no version in %q", out)
	return machine.Version{}
}

// TestFirmwareAsOracle boots unmodified firmware and compares what it logged with the prediction made from the same files.
func TestFirmwareAsOracle(t *testing.T) {
	qemu := installedQEMU(t)
	kernelRoot := debian.Unpack(t, debian.Bookworm, "linux-image-6.1.0-56-cloud-amd64=6.1.192-2")
	kernel := fwtest.Read(t, kernelRoot, "boot/vmlinuz-6.1.0-56-cloud-amd64")
	initrd := guestInitrd(t, kernelRoot)
	const cmdline = "console=ttyS0 loglevel=3 panic=-1"
	for _, firmware := range []struct {
		suite debian.Suite
		pkg   string
		uki   bool
	}{
		{debian.Trixie, "ovmf", false},
		{debian.Forky, "ovmf-generic", false},
		{debian.Trixie, "ovmf", true},
	} {
		name := string(firmware.suite)
		if firmware.uki {
			name += " UKI"
		}
		t.Run(name, func(t *testing.T) {
			root := debian.Unpack(t, firmware.suite, firmware.pkg)
			code := fwtest.Read(t, root, "usr/share/OVMF/OVMF_CODE_4M.fd")
			vars := fwtest.Read(t, root, "usr/share/OVMF/OVMF_VARS_4M.fd")
			direct := &DirectBoot{Kernel: kernel, Initrd: initrd, HasInitrd: true, Cmdline: cmdline, Stub: StubAll}
			if firmware.uki {
				direct = &DirectBoot{Kernel: buildUKI(t, kernel, initrd), Cmdline: cmdline, Stub: StubAll}
			}
			g := boot(t, code, vars, direct.Kernel, direct.Initrd, cmdline)
			log, err := eventlog.ParseTPM(g["log"])
			if err != nil {
				t.Fatal(err)
			}
			p := predict(t, Inputs{
				Firmware: append(vars, code...), PageOrder: tdvf.OnePass, QEMU: qemu, Memory: 2 << 30,
				ACPI: ACPI{Loader: g["etc/table-loader"], Files: map[string][]byte{
					"etc/acpi/rsdp": g["etc/acpi/rsdp"], "etc/acpi/tables": g["etc/acpi/tables"], "etc/tpm/log": make([]byte, 64<<10),
				}},
				SMBIOS: g["etc/smbios/smbios-tables"], Direct: direct,
			})
			for _, d := range Diff(p.Sequence("prediction"), LogSequence("log", log)) {
				t.Error(d)
			}
			for i := range log.Events {
				if e := &log.Events[i]; e.CheckData() == eventlog.DataDiffers {
					t.Errorf("event %d (%s): data is not what was hashed", i, e.Describe())
				}
			}
		})
	}
}
