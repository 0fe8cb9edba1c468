//go:build acceptance && simtee

package guest_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/quote"
	"github.com/boardroom-tee/boardroom/tools/simtee"
	"github.com/boardroom-tee/boardroom/tools/tdx"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/smbios"
)

// patience is how long a boot may take before it counts as hanging.
const patience = 10 * time.Minute

// simCPU is QEMU's default with a source of random numbers: emulated AVX, which "max" has, is slow, and made QEMU 7.2 crash.
const simCPU = "qemu64,+rdrand"

const simSeed = "5151515151515151515151515151515151515151515151515151515151515151"

// simRegistry serves an image of the test application, and returns the registry's port and the image's digest.
func simRegistry(t *testing.T) (port int, digest v1.Hash) {
	t.Helper()
	program := compile(t, "./internal/simapp")
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	if err := w.WriteHeader(&tar.Header{Name: "simapp", Mode: 0o755, Size: int64(len(program))}); err != nil {
		t.Fatal(err)
	}
	w.Write(program)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		Architecture: "amd64", OS: "linux", Config: v1.Config{Entrypoint: []string{"/simapp"}},
		RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{must(t)(layer.DiffID())}},
	}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	reference, err := name.ParseReference(server.Listener.Addr().String() + "/library/simapp:latest")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, image); err != nil {
		t.Fatal(err)
	}
	return server.Listener.Addr().(*net.TCPAddr).Port, must(t)(image.Digest())
}

func must(t *testing.T) func(v1.Hash, error) v1.Hash {
	return func(h v1.Hash, err error) v1.Hash {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
}

// simHost is a folder as dstack-vmm gives it to the guest.
func simHost(t *testing.T, registryPort int, digest v1.Hash) string {
	t.Helper()
	dir := t.TempDir()
	compose, err := json.Marshal(map[string]any{
		"manifest_version": 2, "name": "simapp", "runner": "docker-compose", "public_logs": true, "public_sysinfo": true, "secure_time": false,
		"docker_compose_file": "services:\n  simapp:\n    image: simapp@" + digest.String() + "\n    container_name: simapp\n    ports: [\"8080:8080\"]\n" +
			"    volumes: [\"/var/run/dstack.sock:/var/run/dstack.sock\"]\n    restart: always\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{
		"kms_urls": []string{}, "docker_registry": fmt.Sprintf("http://10.0.2.2:%d", registryPort), "vm_config": `{"cpu_count":2,"memory_size":2147483648}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"app-compose.json": compose, ".sys-config.json": config} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// simMachine is a running QEMU.
type simMachine struct {
	agent, application string // addresses of forwarded ports
	console            string // the file of the serial port
	ended              chan error
}

// freePort is a port that was free a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// start runs QEMU as dstack-vmm does where there is no TDX, with a TPM for what the firmware measures.
func start(t *testing.T, image *simImage, host string) *simMachine {
	t.Helper()
	dir, err := os.MkdirTemp("", "guest")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	socket := filepath.Join(dir, "tpm")
	tpm := exec.CommandContext(ctx, "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--ctrl", "type=unixio,path="+socket, "--terminate")
	tpm.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := tpm.Start(); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(socket); err == nil || ctx.Err() != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	m := &simMachine{console: filepath.Join(dir, "serial"), ended: make(chan error, 1)}
	agent, application := freePort(t), freePort(t)
	m.agent, m.application = fmt.Sprintf("http://127.0.0.1:%d", agent), fmt.Sprintf("http://127.0.0.1:%d", application)
	qemu := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-cpu", simCPU, "-nographic", "-nodefaults", "-no-reboot",
		"-chardev", "file,id=com0,path="+m.console, "-serial", "chardev:com0", "-bios", write("ovmf.fd", image.firmware),
		"-kernel", write("bzImage", image.kernel), "-initrd", write("initrd", image.initrd),
		"-drive", "file="+image.rootfs+",if=none,id=hd0,format=raw,readonly=on", "-device", "virtio-blk-pci,drive=hd0",
		"-netdev", fmt.Sprintf("user,id=net0,net=10.0.2.0/24,dhcpstart=10.0.2.10,hostfwd=tcp:127.0.0.1:%d-:8090,hostfwd=tcp:127.0.0.1:%d-:8080", agent, application),
		"-device", "virtio-net-pci,netdev=net0,romfile=",
		"-virtfs", "local,path="+host+",mount_tag=host-shared,readonly=on,security_model=mapped,id=virtfs0",
		"-chardev", "socket,id=tpm,path="+socket, "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis,tpmdev=tpm0",
		"-fw_cfg", "name=opt/boardroom/simtee-seed,string="+simSeed,
		"-machine", "q35,kernel-irqchip=split,hpet=off,smm=off,pic=off", "-smp", "2", "-m", "2048M", "-append", image.cmdline())
	qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var messages bytes.Buffer
	qemu.Stdout, qemu.Stderr = &messages, &messages
	if err := qemu.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		err := qemu.Wait()
		if err != nil {
			err = fmt.Errorf("qemu: %w\n%s", err, messages.String())
		}
		m.ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		_ = tpm.Wait()
		<-m.ended
	})
	return m
}

func (m *simMachine) output(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(m.console)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // QEMU makes it
		t.Error(err)
	}
	return string(data)
}

// await asks until there is an answer, or the machine has ended.
func (m *simMachine) await(t *testing.T, address string) {
	t.Helper()
	for {
		response, err := http.Get(address)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-m.ended:
			m.ended <- err
			t.Fatalf("the machine ended: %v\n%s", err, m.output(t))
		case <-time.After(100 * time.Millisecond):
		}
		if strings.Contains(m.output(t), "the boot is stopped") {
			t.Fatal(m.output(t))
		}
	}
}

// fetch asks, and expects an answer.
func fetch(t *testing.T, address string) []byte {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %.400s %v", address, response.StatusCode, body, err)
	}
	return body
}

// predict computes what the image measures in the machine that start makes, as for a TD of that shape.
func predict(t *testing.T, image *simImage) *tdx.Prediction {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "qemu-system-x86_64", "--version").Output()
	match := regexp.MustCompile(`version (\d+\.\d+\.\d+)`).FindSubmatch(out)
	if err != nil || match == nil {
		t.Fatalf("qemu-system-x86_64 --version: %v: %s", err, out)
	}
	version, err := machine.ParseVersion(string(match[1]))
	if err != nil {
		t.Fatal(err)
	}
	in := tdx.Inputs{Firmware: image.firmware, Direct: &tdx.DirectBoot{Kernel: image.kernel, Initrd: image.initrd, HasInitrd: true, Cmdline: image.cmdline()}}
	if err := in.SetMachine(machine.Machine{
		CPUs: 2, Memory: 2 << 30, QEMU: version, RootDisk: true, NICs: 1, HostShare: machine.Share9P, TPM: machine.TPMTIS, Serial: true, DirectBoot: true,
		// Where this firmware puts 64-bit BARs with the 40 address bits of the emulated processor: 2^40 - 2^38.
		PageAdd: machine.OnePass, BAR64Base: 0xC000000000,
	}, smbios.Options{}); err != nil {
		t.Fatal(err)
	}
	p, err := tdx.Predict(in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestBootInQEMU boots the development flavour on unmodified firmware, until an application from a registry answers, and holds the quote
// that it gets to the simulated root and to a prediction that was made from the same files.
func TestBootInQEMU(t *testing.T) {
	image := buildImage(t)
	port, digest := simRegistry(t)
	host := simHost(t, port, digest)
	begun := time.Now()
	m := start(t, image, host)
	m.await(t, m.application+"/health")
	t.Logf("the application answered after %s; kernel and initramfs have %d and %d KiB", time.Since(begun).Round(time.Millisecond), len(image.kernel)>>10, len(image.initrd)>>10)
	t.Logf("console:\n%s", regexp.MustCompile(`(?m)^\[.*\n`).ReplaceAllString(m.output(t), ""))

	nonce := strings.Repeat("5a", 64)
	var answer map[string]string
	if err := json.Unmarshal(fetch(t, m.application+"/GetQuote?report_data="+nonce), &answer); err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(answer["quote"])
	if err != nil {
		t.Fatal(err)
	}
	seed, err := simtee.ParseSeed(simSeed)
	if err != nil {
		t.Fatal(err)
	}
	platform, err := simtee.New(seed, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	root, err := quote.ParseTrustRoot(platform.RootPEM())
	if err != nil {
		t.Fatal(err)
	}
	reportData := [64]byte(bytes.Repeat([]byte{0x5a}, 64))
	report := appraisal.Appraise(appraisal.Request{
		Evidence: appraisal.Evidence{Quote: raw, EventLog: []byte(answer["event_log"]), VMConfig: answer["vm_config"]},
		Verifier: quote.NewVerifier(platform.Collateral(), root), At: time.Now(), ReportData: &reportData,
	})
	if !report.Accepted {
		t.Errorf("the quote is not accepted: %v", report.Failures())
	}
	parsed, err := quote.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	p := predict(t, image)
	if parsed.Body.MRTD != p.MRTD {
		t.Errorf("MRTD %x, predicted %s", parsed.Body.MRTD, p.MRTD)
	}
	logged, err := eventlog.ParseDstackJSON([]byte(answer["event_log"]))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range tdx.Diff(p.Sequence("prediction"), tdx.LogSequence("log", logged)) {
		t.Error(d)
	}
	for i, want := range []eventlog.Digest{p.RTMR0, p.RTMR1, p.RTMR2} {
		if got := eventlog.Digest(parsed.Body.RTMR[i]); got != want {
			t.Errorf("RTMR%d %s, predicted %s", i, got, want)
		}
	}
	events, err := dstack.ParseRuntimeEvents([]byte(answer["event_log"]))
	if err != nil {
		t.Fatal(err)
	}
	facts, err := dstack.ParseBoot(events)
	if err != nil {
		t.Fatal(err)
	}
	compose, err := os.ReadFile(filepath.Join(host, "app-compose.json"))
	if err != nil {
		t.Fatal(err)
	}
	if facts.Compose != dstack.ComposeHashOf(compose) {
		t.Errorf("compose hash %s, want %s", facts.Compose, dstack.ComposeHashOf(compose))
	}
	for address, want := range map[string]string{
		"/": "simapp", "/metrics": "dstack_guest_cpus 2", "/logs/simapp?text&bare": "simapp begins\n", "/logs/simapp?text&tail=all": `"channel":"stderr"`,
		"/prpc/Worker.Version": `"0.5.11"`, "/prpc/Worker.Info": facts.App.String(),
	} {
		if body := fetch(t, m.agent+address); !bytes.Contains(body, []byte(want)) {
			t.Errorf("%s: %.600s, want %q in it", address, body, want)
		}
	}
}

// TestTamperedBoots: each of these machines powers itself off before it has run anything of an application, and says why.
func TestTamperedBoots(t *testing.T) {
	image := buildImage(t)
	compose := func(t *testing.T, dir, old, with string) {
		t.Helper()
		path := filepath.Join(dir, "app-compose.json")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Replace(data, []byte(old), []byte(with), 1)
		if bytes.Equal(changed, data) {
			t.Fatalf("%s has no %q", data, old)
		}
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, image *simImage, host string)
		want   string
	}{
		{"byte of the root file system", func(t *testing.T, image *simImage, _ string) { image.changeByte(t, 100) }, "mount the root file system"},
		{"byte of the hash tree", func(t *testing.T, image *simImage, _ string) { image.changeByte(t, image.offset+4096) }, "root"},
		{"root hash on the command line", func(_ *testing.T, image *simImage, _ string) { image.root[0] ^= 1 }, "root"},
		{"link in the share", func(t *testing.T, _ *simImage, host string) {
			t.Helper()
			if err := os.Remove(filepath.Join(host, ".sys-config.json")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/etc/passwd", filepath.Join(host, ".sys-config.json")); err != nil {
				t.Fatal(err)
			}
		}, ".sys-config.json"},
		{"oversized file", func(t *testing.T, _ *simImage, host string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(host, ".user-config"), make([]byte, 1<<20+1), 0o600); err != nil {
				t.Fatal(err)
			}
		}, ".user-config"},
		{"key provider", func(t *testing.T, _ *simImage, host string) {
			t.Helper()
			compose(t, host, `"secure_time":false`, `"secure_time":false,"kms_enabled":true,"key_provider":"kms"`)
		}, "key_provider"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := *image
			host := simHost(t, 1, v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("00", 32)})
			tt.change(t, &changed, host)
			m := start(t, &changed, host)
			err := <-m.ended
			m.ended <- err
			_, reason, stopped := strings.Cut(m.output(t), "the boot is stopped: ")
			reason, _, _ = strings.Cut(reason, "\n")
			if err != nil || !stopped || !strings.Contains(reason, tt.want) {
				t.Errorf("%v; stopped %t: %s, want a reason with %q", err, stopped, reason, tt.want)
			}
			t.Log(reason)
		})
	}
}

// changeByte changes one byte of a copy of the root device.
func (i *simImage) changeByte(t *testing.T, at int64) {
	t.Helper()
	data, err := os.ReadFile(i.rootfs)
	if err != nil {
		t.Fatal(err)
	}
	data[at] ^= 1
	i.rootfs = filepath.Join(t.TempDir(), "rootfs.img.verity")
	if err := os.WriteFile(i.rootfs, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
