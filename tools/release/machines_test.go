package release_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/eventlog"
	"github.com/boardroom-tee/boardroom/tools/guestimage"
	"github.com/boardroom-tee/boardroom/tools/release"
	"github.com/boardroom-tee/boardroom/tools/release/releasetest"
	"github.com/boardroom-tee/boardroom/tools/tdx"
	"github.com/boardroom-tee/boardroom/tools/tdx/image"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/smbios"
)

func loadMachines(t *testing.T, text string) (*release.Machines, error) {
	t.Helper()
	tree := t.TempDir()
	file := filepath.Join(tree, filepath.FromSlash(release.MachinesFile))
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	return release.LoadMachines(tree)
}

// TestOwnMachines: the file of this repository is sound.
func TestOwnMachines(t *testing.T) {
	m, err := release.LoadMachines("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Hosts) == 0 {
		t.Error("expected hosts, got none")
	}
}

func TestLoadMachinesRefuses(t *testing.T) {
	hosts := strings.Repeat(`{"name":"a","qemu_version":"9.2.1"},`, 17)
	var sizes strings.Builder
	for i := range 16 {
		fmt.Fprintf(&sizes, `{"vcpus":%d,"memory_mb":2048},`, i+2)
	}
	five := `{"name":"a","qemu_version":"9.2.1"},{"name":"b","qemu_version":"9.2.1"},{"name":"c","qemu_version":"9.2.1"},{"name":"d","qemu_version":"9.2.1"}`
	for name, tt := range map[string]struct{ text, want string }{
		"not JSON":         {`{`, "the JSON ends too early"},
		"nothing":          {`{}`, "hosts: expected 1 to 16 hosts and at most as many sizes, got 0 and 0"},
		"many hosts":       {`{"hosts":[` + strings.TrimSuffix(hosts, ",") + `]}`, "got 17 and 0"},
		"many machines":    {`{"hosts":[` + five + `],"sizes":[` + strings.TrimSuffix(sizes.String(), ",") + `]}`, "expected hosts and sizes for at most 64 machines"},
		"unknown member":   {`{"hosts":[{"name":"a","qemu":"9.2.1"}]}`, `unknown member "qemu"`},
		"name":             {`{"hosts":[{"name":"A b","qemu_version":"9.2.1"}]}`, `hosts[0].name: expected a name in lower case, got "A b"`},
		"name twice":       {`{"hosts":[{"name":"a","qemu_version":"9.2.1"},{"name":"a","qemu_version":"8.2.2"}]}`, `hosts[1].name: expected each name once, got "a" again`},
		"no release":       {`{"hosts":[{"name":"a"}]}`, "hosts[0]: qemu_version: expected a release, got none"},
		"release":          {`{"hosts":[{"name":"a","qemu_version":"nine"}]}`, "hosts[0]: vm_config: qemu_version"},
		"size":             {`{"hosts":[{"name":"a","qemu_version":"9.2.1"}],"sizes":[{"vcpus":0,"memory_mb":2048}]}`, "expected vCPUs and memory, got 0 and 2048 MiB"},
		"share":            {`{"hosts":[{"name":"a","qemu_version":"9.2.1","host_share_mode":"nfs"}]}`, "HostShare"},
		"TDX":              {`{"hosts":[{"name":"a","qemu_version":"9.2.1","tdx":"other"}]}`, "TDX"},
		"page order":       {`{"hosts":[{"name":"a","qemu_version":"9.2.1","page_order":"three-pass"}]}`, "PageAdd"},
		"address width":    {`{"hosts":[{"name":"a","qemu_version":"9.2.1","phys_bits":20}]}`, "GuestPhysBits"},
		"too many devices": {`{"hosts":[{"name":"a","qemu_version":"9.2.1","num_gpus":99}]}`, "GPUs"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadMachines(t, tt.text)
			var malformed *release.MachinesError
			if !errors.As(err, &malformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a MachinesError with %q", err, tt.want)
			}
		})
	}
	if _, err := release.LoadMachines(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
}

// TestMachinesAreDstacks: a host means what dstack's vm_config of the same machine means.
func TestMachinesAreDstacks(t *testing.T) {
	m, err := loadMachines(t, `{"hosts":[
		{"name":"plain","qemu_version":"9.2.1"},
		{"name":"all","qemu_version":"8.2.2","pic":false,"pci_hole64_size":1099511627776,"num_gpus":2,"num_nvswitches":1,"hotplug_off":true,"host_share_mode":"vhd",
		 "num_nics":2,"num_verity_volumes":3,"swtpm":true},
		{"name":"huge","qemu_version":"9.2.1","hugepages":true,"num_gpus":1},
		{"name":"changed","qemu_version":"9.2.1","tdx":"downstream","page_order":"two-pass","phys_bits":48,"processor":{"signature":788369,"features":529267711}}
	]}`)
	if err != nil {
		t.Fatal(err)
	}
	const size = `"cpu_count":2,"memory_size":4294967296`
	f := releasetest.New(t, releasetest.Options{Change: func(p *release.Parts) { p.Machines, p.Applications = m, p.Applications[:1] }})
	values, err := f.Open(t).ReferenceValues()
	if err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		name, config string
		change       func(*machine.Machine)
	}{
		{"plain", `{` + size + `,"qemu_version":"9.2.1"}`, func(*machine.Machine) {}},
		{"all", `{` + size + `,"qemu_version":"8.2.2","pic":false,"pci_hole64_size":1099511627776,"num_gpus":2,"num_nvswitches":1,"hotplug_off":true,"host_share_mode":"vhd",` +
			`"num_nics":2,"num_verity_volumes":3,"swtpm":true}`, func(*machine.Machine) {}},
		{"huge", `{` + size + `,"qemu_version":"9.2.1","hugepages":true,"num_gpus":1}`, func(*machine.Machine) {}},
		{"changed", `{` + size + `,"qemu_version":"9.2.1"}`, func(m *machine.Machine) {
			m.TDX, m.PageAdd, m.GuestPhysBits = machine.TDXDownstream, machine.TwoPass, 48
		}},
	} {
		want, err := machine.FromVMConfig([]byte(tt.config))
		if err != nil {
			t.Fatal(err)
		}
		tt.change(&want)
		got := values.Machines[i]
		if got.Name != tt.name+"-2cpu-4096mb" || fmt.Sprintf("%+v", got.Machine) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: got %s %+v, want %+v", tt.name, got.Name, got.Machine, want)
		}
	}
	if p := values.Machines[3].Processor; p == nil || *p != (release.Processor{Signature: 788369, Features: 529267711}) {
		t.Errorf("processor: got %v", p)
	}
}

// TestMeasureIsThePrediction: values are those that package tdx predicts for the whole image.
func TestMeasureIsThePrediction(t *testing.T) {
	parts, err := releasetest.Parts(t.TempDir(), releasetest.Options{Flavours: []guestimage.Flavour{guestimage.Development}})
	if err != nil {
		t.Fatal(err)
	}
	f := releasetest.New(t, releasetest.Options{Flavours: []guestimage.Flavour{guestimage.Development}})
	values, err := f.Open(t).ReferenceValues()
	if err != nil {
		t.Fatal(err)
	}
	im, err := image.Read(parts.Guests[0].Dir)
	if err != nil {
		t.Fatal(err)
	}
	g := values.Guests[0]
	if !g.Development || g.Cmdline != im.Cmdline || g.Layout != "B" || g.OSImageHash != parts.Guests[0].Image.Digest || len(g.Values) != len(values.Machines) {
		t.Errorf("got %+v", g)
	}
	for i, m := range values.Machines {
		in := tdx.Inputs{Firmware: im.FirmwareData, Direct: &tdx.DirectBoot{Kernel: im.KernelData, Initrd: im.InitrdData, HasInitrd: true, Cmdline: im.Cmdline}}
		if err := in.SetMachine(m.Machine, smbios.Options{}); err != nil {
			t.Fatal(err)
		}
		p, err := tdx.Predict(in)
		if err != nil {
			t.Fatal(err)
		}
		if v := g.Values[i]; v.Machine != m.Name || v.MRTD != p.MRTD || v.RTMR0 != p.RTMR0 || v.RTMR1 != p.RTMR1 || v.RTMR2 != p.RTMR2 {
			t.Errorf("%s: got %+v, want %s %s %s %s", m.Name, v, p.MRTD, p.RTMR0, p.RTMR1, p.RTMR2)
		}
	}
}

// TestMeasureNormalized: what metadata.json says about the kernel's header counts.
func TestMeasureNormalized(t *testing.T) {
	f := releasetest.New(t)
	parts, err := releasetest.Parts(t.TempDir(), releasetest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	values, err := f.Open(t).ReferenceValues()
	if err != nil {
		t.Fatal(err)
	}
	dir, small := parts.Guests[0].Dir, values.Machines[0]
	small.Machine.Memory = 1 << 30
	rtmr1 := func() eventlog.Digest {
		t.Helper()
		g, err := release.Measure(dir, []release.NamedMachine{small})
		if err != nil {
			t.Fatal(err)
		}
		return g.Values[0].RTMR1
	}
	want := values.Guests[0].Values[0].RTMR1
	if rtmr1() == want {
		t.Fatal("the test needs a size that matters")
	}
	file := filepath.Join(dir, image.MetadataFile)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(data, []byte(`"is_dev"`), []byte(`"kernel_header_normalized": true, "is_dev"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := rtmr1(); got != want {
		t.Errorf("got %s, want %s, as with all memory sizes from 2.75 GiB on", got, want)
	}
}

func TestCoRIM(t *testing.T) {
	values, err := releasetest.New(t).Open(t).ReferenceValues()
	if err != nil {
		t.Fatal(err)
	}
	one, err := values.Guests[0].Values[0].CoRIM()
	if err != nil {
		t.Fatal(err)
	}
	two, err := values.Guests[0].Values[1].CoRIM()
	if err != nil {
		t.Fatal(err)
	}
	if len(one) == 0 || string(one) == string(two) {
		t.Error("two machines have one CoRIM")
	}
	if register := values.Guests[0].Values[0].RTMR0; !strings.Contains(string(one), string(register[:])) {
		t.Error("the CoRIM does not have RTMR0")
	}
}
