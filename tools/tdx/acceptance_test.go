//go:build acceptance

package tdx

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/debian"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
	"github.com/boardroom-tee/boardroom/tools/tdx/pe"
)

// kernelOfOracle is the kernel of the published runs; its digest is in testdata/tpm-oracle/inputs.sha256.
func kernelOfOracle(t *testing.T) []byte {
	t.Helper()
	root := debian.Unpack(t, debian.Bookworm, "linux-image-6.1.0-56-cloud-amd64=6.1.192-2")
	kernel := fwtest.Read(t, root, "boot/vmlinuz-6.1.0-56-cloud-amd64")
	sum := sha256.Sum256(kernel)
	if !strings.Contains(string(fwtest.Read(t, "testdata/tpm-oracle/inputs.sha256")), hex.EncodeToString(sum[:])) {
		t.Skipf("another kernel of that version: sha256 %x", sum)
	}
	return kernel
}

// buildUKI makes a UKI as the one of the published runs, by the same command; time stamps differ.
func buildUKI(t *testing.T, kernel, initrd []byte) []byte {
	t.Helper()
	stub := filepath.Join(debian.Unpack(t, debian.Bookworm, "systemd-boot-efi"), "usr/lib/systemd/boot/efi/linuxx64.efi.stub")
	dir := t.TempDir()
	args := []string{}
	for _, s := range []struct {
		name, address string
		data          []byte
	}{
		{".osrel", "0x30000", fwtest.Read(t, "testdata/tpm-oracle/osrel.txt")},
		{".cmdline", "0x40000", fwtest.Read(t, "testdata/tpm-oracle/cmdline.txt")},
		{".linux", "0x2000000", kernel},
		{".initrd", "0x5000000", initrd},
	} {
		file := filepath.Join(dir, s.name[1:])
		if err := os.WriteFile(file, s.data, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--add-section", s.name+"="+file, "--change-section-vma", s.name+"="+s.address)
	}
	out := filepath.Join(dir, "uki.efi")
	if msg, err := exec.Command("objcopy", append(args, stub, out)...).CombinedOutput(); err != nil {
		t.Fatalf("objcopy: %v\n%s", err, msg)
	}
	return fwtest.Read(t, out)
}

// TestPublishedRuns predicts the published runs with their kernel. The initrd is looked for in the folder of the vectors that
// BOARDROOM_VECTORS names; without it the events that need it are left out.
func TestPublishedRuns(t *testing.T) {
	kernel := kernelOfOracle(t)
	initrd, err := os.ReadFile(filepath.Join(os.Getenv("BOARDROOM_VECTORS"), "measurement/tpm-oracle/initrd.cpio.gz"))
	if err != nil {
		t.Skip("BOARDROOM_VECTORS does not name the folder of the vectors")
	}
	uki := buildUKI(t, kernel, initrd)
	for _, run := range oracleRuns {
		t.Run(run.name, func(t *testing.T) {
			file, isUKI := kernel, strings.Contains(run.name, "uki")
			if isUKI {
				file = uki
			}
			p := predict(t, run.inputs(t, file, initrd))
			for _, d := range Diff(p.Sequence("prediction"), LogSequence("log", run.log(t))) {
				if isUKI && d.A != nil && d.A.Name == "unified kernel image" {
					// The time stamp of the published UKI is not known; what follows the event is compared.
					checkAfterUKI(t, p, run.log(t))
					continue
				}
				t.Error(d)
			}
		})
	}
}

func checkAfterUKI(t *testing.T, p *Prediction, log *eventlog.Log) {
	t.Helper()
	a, b := p.Sequence("").events[eventlog.RTMR1], LogSequence("", log).events[eventlog.RTMR1]
	for i, e := range shared(a) {
		if got := shared(b)[i]; e.Name != "unified kernel image" && e.Digest != got.Digest {
			t.Errorf("%s is %s, want %s", e.Name, e.Digest, got.Digest)
		}
	}
}

func TestKernelDigests(t *testing.T) {
	image, err := pe.Parse(kernelOfOracle(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := image.Authenticode().String(); !strings.HasPrefix(got, "85ac7473fe81") {
		t.Errorf("kernel is %s, want 85ac7473fe81...", got)
	}
}

// TestSecureBootRun compares the variables of a firmware with keys; that run fell back to a loader that measures no kernel.
func TestSecureBootRun(t *testing.T) {
	run := oracleRun{name: "qemu10.0.13-ovmf2025.02-secureboot-ms-legacyloader", qemu: qemuVersion(10, 0, 13), release: 202502}
	in := run.inputs(t, testKernel("6.1.0"), nil)
	vars := fwtest.Read(t, debian.Unpack(t, debian.Trixie, "ovmf"), "usr/share/OVMF/OVMF_VARS_4M.ms.fd")
	in.Firmware = fwtest.Image(vars, nil, fwtest.X64)
	in.Profile.SecureBoot = true
	in.DBEntry = []byte{1}
	p := predict(t, in)
	log := LogSequence("log", run.log(t)).events[eventlog.RTMR0]
	var variables []Event
	for _, e := range p.Events {
		if e.Input == FromVariables && !bytes.Contains([]byte(e.Name), []byte("entry")) {
			variables = append(variables, e)
		}
	}
	for i, e := range variables {
		if e.Digest != log[i].Digest {
			t.Errorf("%s is %s, want %s", e.Name, e.Digest, log[i].Digest)
		}
	}
}
