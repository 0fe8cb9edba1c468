//go:build acceptance

package tdx

import (
	"debug/pe"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/debian"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
)

// buildUKI makes a UKI with the stub of a suite; with keys it has a signature and a public key for PCRs, which the stub hands on.
func buildUKI(t *testing.T, suite debian.Suite, keys bool, kernel, initrd []byte, cmdline string) []byte {
	t.Helper()
	stub := filepath.Join(debian.Unpack(t, suite, "systemd-boot-efi").Root, "usr/lib/systemd/boot/efi/linuxx64.efi.stub")
	program, err := pe.Open(stub)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	const page = 4096
	header := program.OptionalHeader.(*pe.OptionalHeader64)
	next := header.ImageBase + uint64(header.SizeOfImage)
	dir := t.TempDir()
	args := []string{}
	add := func(name string, data []byte) {
		next = (next + page - 1) &^ (page - 1)
		args = append(args, "--add-section", name+"="+write(t, dir, name[1:], data), "--change-section-vma", fmt.Sprintf("%s=%#x", name, next))
		next += uint64(len(data))
	}
	add(".osrel", fwtest.Read(t, "testdata/tpm-oracle/osrel.txt"))
	add(".cmdline", []byte(cmdline))
	if keys {
		add(".pcrsig", []byte("{}"))
		add(".pcrpkey", []byte("a public key"))
	}
	add(".initrd", initrd)
	add(".linux", kernel)
	out := filepath.Join(dir, "uki.efi")
	if msg, err := exec.CommandContext(t.Context(), "objcopy", append(args, stub, out)...).CombinedOutput(); err != nil {
		t.Fatalf("objcopy: %v\n%s", err, msg)
	}
	return fwtest.Read(t, out)
}

// TestPublishedKernel holds the digests that TestPublishedRuns takes as given to the kernel of those runs. Once the archive has a
// later kernel only, it has nothing to compare with; TestFirmwareAsOracle does the same with that one.
func TestPublishedKernel(t *testing.T) {
	pkg, err := debian.UnpackVersion(t, debian.Bookworm, "linux-image-6.1.0-56-cloud-amd64", "6.1.192-2")
	if err != nil {
		t.Skip(err)
	}
	kernel := fwtest.Read(t, pkg.Root, "boot/vmlinuz-6.1.0-56-cloud-amd64")
	if got := eventlog.Sum(kernel).String(); got != published.linux {
		t.Fatalf("the kernel's SHA-384 is %s, want %s", got, published.linux)
	}
	for _, run := range oracleRuns {
		if strings.Contains(run.name, "uki") {
			continue
		}
		t.Run(run.name, func(t *testing.T) {
			// Of the initrd only the size is written into the kernel.
			p := predict(t, run.inputs(t, kernel, make([]byte, published.initrdSize)))
			want := LogSequence("log", run.log(t)).events[eventlog.RTMR1][0].Digest
			for _, e := range p.Events {
				if e.Input == FromKernel && e.Digest != want {
					t.Errorf("%s is %s, want %s", e.Name, e.Digest, want)
				}
			}
		})
	}
	if got := authenticode(t, kernel).String(); got != published.raw {
		t.Errorf("kernel is %s, want %s", got, published.raw)
	}
}
