package tdx

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
	"github.com/boardroom-tee/boardroom/tools/tdx/smbios"
)

// TestShapeIsNamed: of two boots whose ACPI tables differ, what is different about the machine is named, from both shapes or from one.
func TestShapeIsNamed(t *testing.T) {
	boot := func(m machine.Machine) *Prediction {
		t.Helper()
		in := Inputs{Firmware: testFirmware(t, fwtest.X64), Profile: releaseProfile(t, 202502), Direct: &DirectBoot{Kernel: testKernel("6.9.0"), Cmdline: "a"}}
		if err := in.SetMachine(m, smbios.Options{}); err != nil {
			t.Fatal(err)
		}
		return predict(t, in)
	}
	base := boot(machine.Default())
	for name, test := range map[string]struct {
		change      func(*machine.Machine)
		both, alone string
	}{
		"vCPUs":   {func(m *machine.Machine) { m.CPUs = 4 }, "cpus is 1 in A and 4 in B", "of one with 4 vCPUs, all"},
		"NIC":     {func(m *machine.Machine) { m.NICs = 2 }, "nics is 1 in A and 2 in B", "of one with 2 network devices or 1 verity volumes, all"},
		"HPET":    {func(m *machine.Machine) { m.HPET = true }, "hpet is false in A and true in B", "of one with HPET true, all"},
		"QEMU":    {func(m *machine.Machine) { m.QEMU = qemuVersion(8, 2, 2) }, "qemu is 9.2.1 in A and 8.2.2 in B; page_order is one-pass in A and two-pass in B", "of one with QEMU like 8.2.2 or QEMU like 9.0.0, all"},
		"too far": {func(m *machine.Machine) { m.CPUs, m.NICs = 4, 2 }, "cpus is 1 in A and 4 in B; nics is 1 in A and 2 in B", causes[FromACPI]},
	} {
		m := machine.Default()
		test.change(&m)
		other := boot(m)
		a, b := base.Sequence("A"), other.Sequence("B")
		if d := Diff(a, b); len(d) != 1 || d[0].Cause != "another machine shape: "+test.both {
			t.Errorf("%s: %v, want %s", name, d, test.both)
		}
		b.machine = nil
		for _, d := range [][]Difference{Diff(a, b), Diff(b, a)} {
			if len(d) != 1 || !strings.Contains(d[0].Cause, test.alone) {
				t.Errorf("%s, without the other shape: %v, want %s", name, d, test.alone)
			}
		}
	}
	saved, err := json.Marshal(base.Report(true))
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(string(saved), `"cpus":1`, `"cpus":0`, 1)
	if _, err := ParseReport([]byte(bad)); err == nil || !strings.Contains(err.Error(), "CPUs") {
		t.Errorf("a saved prediction of an impossible machine: %v", err)
	}
}
