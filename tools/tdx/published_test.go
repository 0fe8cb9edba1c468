package tdx

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
	"github.com/boardroom-tee/boardroom/tools/tdx/pe"
)

// published has the digests of the files of the published runs, which are too large to keep: SHA-384 of kernel and initrd, and
// Authenticode digests of the images as they were and with QEMU's boot parameters. TestPublishedKernel compares them with the kernel.
var published = struct {
	linux, initrd          string
	initrdSize             int
	raw, patched           string
	unified, unifiedByQEMU string
}{
	linux:         "07954655bff09dccb39487917d0898f69446aad30e80025f9b1499fd3525fb9d492c6040213fccb2f7485fb228fff4c3",
	initrd:        "f376921c91eab0d2724788d5f67abf56a5685f9407b661e714cadd6988e84d3e635b3185e1f1bfefd41193662e55b5db",
	initrdSize:    1038366,
	raw:           "85ac7473fe81fb47666a5c08d32d8e7a62af347ddae9567dff0781f954a9b06670accfcfa714830329b1e45cfa9e541c",
	patched:       "fa715649e679d3adfe1866681322e0bbc4a1f4d09a74ad25136556b7aa0922a35ab37a43bbc2d921bd0f9225327f6b4c",
	unified:       "dd3d4b88d043199c0371525a03d220f999e503353a536a22fec11fc9716e02f22cf9f4a45254ecdcc15e99bada91fbf3",
	unifiedByQEMU: "f0cfb64c58d9d7408ddf2fe64faace7c6c84279b07e3f3f960e9bf4fb29fdede09960677092111be765ad3680891c949",
}

// TestPublishedRuns predicts the published runs, all registers and every event, with stand-ins for kernel and initrd. Where an event
// is about one of these, the digest of the file itself takes its place: that of the patched image if the stand-in was patched.
func TestPublishedRuns(t *testing.T) {
	kernel, initrd := testKernel("6.1.0"), make([]byte, published.initrdSize)
	unified := packUKI(map[string][]byte{
		".sdmagic": []byte("#### LoaderInfo: systemd-stub 252.39-1~deb12u2 ####"), ".linux": kernel, ".initrd": initrd,
		".osrel": fwtest.Read(t, "testdata/tpm-oracle/osrel.txt"), ".cmdline": fwtest.Read(t, "testdata/tpm-oracle/cmdline.txt"),
	})
	standIns := map[eventlog.Digest]string{
		authenticode(t, kernel): published.raw, authenticode(t, unified): published.unified,
		eventlog.Sum(kernel): published.linux, eventlog.Sum(initrd): published.initrd,
	}
	for _, run := range oracleRuns {
		t.Run(run.name, func(t *testing.T) {
			file := kernel
			if strings.Contains(run.name, "uki") {
				file = unified
			}
			p := predict(t, run.inputs(t, file, initrd))
			for i := range p.Events {
				e := &p.Events[i]
				want, ok := standIns[e.Digest]
				switch {
				case ok:
				case e.Type != eventlog.EvEFIBootServicesApplication:
					continue
				case e.Name == "kernel":
					want = published.patched
				default:
					want = published.unifiedByQEMU
				}
				e.Digest = digest(t, want)
			}
			log := LogSequence("log", run.log(t))
			for _, d := range Diff(p.Sequence("prediction"), log) {
				t.Error(d)
			}
			if n := len(log.events[eventlog.RTMR1]) + len(log.events[eventlog.RTMR2]); n < 6 {
				t.Errorf("the log has %d events of images and the operating system", n)
			}
		})
	}
}

func authenticode(t *testing.T, file []byte) eventlog.Digest {
	t.Helper()
	image, err := pe.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	return image.Authenticode()
}

// packUKI packs sections into a PE file.
func packUKI(sections map[string][]byte) []byte {
	b := testKernel("")
	clear(b[0x200:0x1000])
	b = b[:0x1000]
	binary.LittleEndian.PutUint16(b[0x46:], uint16(len(sections)))
	i := 0
	for _, name := range []string{".sdmagic", ".osrel", ".cmdline", ".pcrpkey", ".pcrsig", ".linux", ".initrd"} {
		data, found := sections[name]
		if !found {
			continue
		}
		h := b[0xF8+40*i:]
		clear(h[:40])
		copy(h, name)
		binary.LittleEndian.PutUint32(h[8:], uint32(len(data)))
		binary.LittleEndian.PutUint32(h[16:], uint32(len(data)))
		binary.LittleEndian.PutUint32(h[20:], uint32(len(b)))
		b = append(b, data...)
		i++
	}
	return b
}

// TestSecureBootRun compares the variables of a firmware with keys; that run fell back to a loader that measures no kernel.
func TestSecureBootRun(t *testing.T) {
	run := oracleRun{name: "qemu10.0.13-ovmf2025.02-secureboot-ms-legacyloader", qemu: qemuVersion(10, 0, 13), release: 202502}
	in := run.inputs(t, testKernel("6.1.0"), nil)
	vars := fwtest.Read(t, "testdata/firmware/OVMF_VARS_4M.ms.fd.gz")
	in.Firmware = fwtest.Image(vars, nil, fwtest.X64)
	in.Profile.SecureBoot = true
	in.DBEntry = []byte{1}
	p := predict(t, in)
	log := LogSequence("log", run.log(t)).events[eventlog.RTMR0]
	var variables []Event
	for _, e := range p.Events {
		if e.Input == FromVariables && !strings.Contains(e.Name, "entry") {
			variables = append(variables, e)
		}
	}
	if len(variables) != 5 {
		t.Errorf("%d variables, want SecureBoot, PK, KEK, db and dbx", len(variables))
	}
	for i, e := range variables {
		if e.Digest != log[i].Digest {
			t.Errorf("%s is %s, want %s", e.Name, e.Digest, log[i].Digest)
		}
	}
}
