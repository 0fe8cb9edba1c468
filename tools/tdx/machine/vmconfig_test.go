package machine

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestVMConfig(t *testing.T) {
	base := func(change func(m *Machine)) Machine {
		m := Default()
		m.CPUs, m.Memory, m.QEMU, m.TDX, m.PageAdd = 4, 4<<30, Version{9, 2, 1}, TDXUpstream, OnePass
		change(&m)
		return m
	}
	for _, x := range []struct {
		name, config string
		want         Machine
	}{
		{"least", `{"cpu_count":4,"memory_size":4294967296}`, base(func(m *Machine) { m.QEMU, m.TDX = Version{9, 1, 0}, TDXDownstream })},
		{"9.2", `{"cpu_count":4,"memory_size":4294967296,"qemu_version":"9.2.1","spec_version":1,"image":"dstack-0.5.5"}`, base(func(*Machine) {})},
		{"8.2", `{"cpu_count":4,"memory_size":4294967296,"qemu_version":"8.2.2"}`, base(func(m *Machine) {
			m.QEMU, m.TDX, m.PIC, m.PageAdd = Version{8, 2, 2}, TDXDownstream, true, TwoPass
		})},
		{"single pass means two passes", `{"cpu_count":4,"memory_size":4294967296,"qemu_version":"9.2.1","qemu_single_pass_add_pages":true}`,
			base(func(m *Machine) { m.PageAdd = TwoPass })},
		{"and not single pass one", `{"cpu_count":4,"memory_size":4294967296,"qemu_version":"8.2.2","qemu_single_pass_add_pages":false,"pic":false}`,
			base(func(m *Machine) { m.QEMU, m.TDX = Version{8, 2, 2}, TDXDownstream })},
		{"null is absent", `{"cpu_count":4,"memory_size":4294967296,"qemu_version":"9.2.1","pic":null,"qemu_single_pass_add_pages":null}`, base(func(*Machine) {})},
		{"all", `{"cpu_count":4,"memory_size":4294967296,"qemu_version":"9.2.1","pic":true,"pci_hole64_size":1099511627776,"hugepages":false,"num_gpus":8,"num_nvswitches":4,` +
			`"hotplug_off":true,"host_share_mode":"vhd","num_nics":2,"num_verity_volumes":3,"swtpm":true,"future":{"a":[1]}}`, base(func(m *Machine) {
			m.PIC, m.PCIHole64Size, m.GPUs, m.NVSwitches, m.HotplugOff, m.HostShare = true, 1<<40, 8, 4, true, ShareVHD
			m.NICs, m.VerityVolumes, m.TPM = 2, 3, TPMTIS
		})},
		{"huge pages", `{"cpu_count":4,"memory_size":4294967296,"qemu_version":"9.2.1","hugepages":true,"num_gpus":2}`, base(func(m *Machine) {
			m.GPUs = 2
			m.NUMA = []NUMANode{{CPUs: 4, Memory: 4 << 30, Expander: true, GPUs: 2}}
		})},
		{"huge pages without GPUs", `{"cpu_count":4,"memory_size":4294967296,"qemu_version":"9.2.1","hugepages":true}`, base(func(m *Machine) {
			m.NUMA = []NUMANode{{CPUs: 4, Memory: 4 << 30}}
		})},
	} {
		got, err := FromVMConfig([]byte(x.config))
		if err != nil {
			t.Errorf("%s: %v", x.name, err)
			continue
		}
		if !reflect.DeepEqual(got, x.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", x.name, got, x.want)
		}
	}
}

func TestVMConfigRefusals(t *testing.T) {
	for config, want := range map[string]string{
		``:     "vm_config",
		`null`: "vm_config",
		`[]`:   "vm_config",
		`{"cpu_count":1,"cpu_count":2,"memory_size":2147483648}`: "cpu_count",
		`{"cpu_count":"1"}`:                                                  "cpu_count",
		`{"cpu_count":1,"memory_size":2147483648} x`:                         "vm_config",
		`{"CPU_COUNT":1,"memory_size":2147483648}`:                           "CPUs",
		`{"cpu_count":1,"memory_size":2147483648,"qemu_version":"7.2.0"}`:    "QEMU",
		`{"cpu_count":1,"memory_size":2147483648,"qemu_version":"x"}`:        "qemu_version",
		`{"cpu_count":1,"memory_size":2147483648,"host_share_mode":"nfs"}`:   "HostShare",
		`{"cpu_count":1,"memory_size":2147483648,"num_gpus":-1}`:             "GPUs",
		`{"cpu_count":1,"memory_size":2147483648,"num_nics":4294967296}`:     "NICs",
		`{"cpu_count":100000,"memory_size":2147483648}`:                      "CPUs",
		`{"cpu_count":1,"memory_size":18446744073709551615}`:                 "Memory",
		`{"cpu_count":1,"memory_size":2147483648,"pci_hole64_size":1e400}`:   "pci_hole64_size",
		"{\"image\":\"" + strings.Repeat("x", maxVMConfig) + "\"}":           "vm_config",
		`{"cpu_count":1,"memory_size":2147483648,"num_verity_volumes":1000}`: "VerityVolumes",
	} {
		_, err := FromVMConfig([]byte(config))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: got %v, want an error that names %s", config, err, want)
		}
	}
}

func FuzzFromVMConfig(f *testing.F) {
	f.Add([]byte(`{"cpu_count":4,"memory_size":4294967296,"qemu_version":"9.2.1","hugepages":true,"num_gpus":2}`))
	f.Add([]byte(`{"cpu_count":4,"memory_size":4294967296,"qemu_version":"8.2.2","pic":null,"num_nics":0,"swtpm":true,"host_share_mode":"vvfat"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := FromVMConfig(data)
		if err != nil {
			return
		}
		if err := m.Validate(); err != nil {
			t.Errorf("accepted an impossible machine: %v", err)
		}
		var field *FieldError
		m.CPUs = -1
		if err := m.Validate(); !errors.As(err, &field) {
			t.Errorf("negative vCPUs: %v", err)
		}
	})
}
