//go:build acceptance

package acpi

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/internal/qtest"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

// Further files that firmware measures.
const (
	fileRoots    = "etc/extra-pci-roots"
	fileReserved = "etc/reserved-memory-end"
)

var update = flag.Bool("update", false, "write the digests of testdata/shapes-VERSION.txt, from the tables of the QEMUs that are found")

// TestAgainstQEMU compares the tables of generated shapes with what QEMU itself makes of them, and the digests in testdata with those
// of QEMU's tables where the release is the same. BOARDROOM_SHAPES says how many shapes, spread evenly over all; unset means all. With
// -update the digests are written, all of which are of QEMU's tables and none of ours.
func TestAgainstQEMU(t *testing.T) {
	n := manyShapes
	if s := os.Getenv("BOARDROOM_SHAPES"); s != "" && !*update {
		var err error
		if n, err = strconv.Atoi(s); err != nil || n < 1 || n > manyShapes {
			t.Fatalf("BOARDROOM_SHAPES: expected a number from 1 to %d, got %q", manyShapes, s)
		}
	}
	for _, q := range qtest.Find(t) {
		t.Run(q.Version.String(), func(t *testing.T) {
			made := generated(q.Version)
			var recorded []string
			if slices.Contains(stored, q.Version) && !*update {
				recorded = readDigests(t, q.Version)
			}
			var lines strings.Builder
			equal := 0
			kinds := map[string]int{}
			for k := range n {
				i := k * manyShapes / n
				m := made[i]
				count(kinds, m)
				if t.Run(fmt.Sprintf("shape%03d", i), func(t *testing.T) {
					line := sameAsQEMU(t, q, m)
					if recorded != nil && line != recorded[i] {
						t.Errorf("QEMU's tables give the line %s, line %d of %s is %s", line, i+1, digestsFile(q.Version), recorded[i])
					}
					fmt.Fprintln(&lines, line)
				}) {
					equal++
				}
			}
			t.Logf("QEMU %s: %d of %d shapes equal, %d compared with testdata; among them %v", q.Version, equal, n, min(n, len(recorded)), kinds)
			if *update && slices.Contains(stored, q.Version) && !t.Failed() {
				if err := os.WriteFile(digestsFile(q.Version), []byte(lines.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// count counts what a shape has.
func count(kinds map[string]int, m machine.Machine) {
	has := map[string]bool{
		"root ports": m.NVSwitches > 0 || m.GPUs > 0, "NUMA": len(m.NUMA) > 0, "TPM": m.TPM != "", "no hotplug": m.HotplugOff,
		"more CPUs than there are": m.MaxCPUs > m.CPUs, "x2APIC": m.PossibleCPUs() > 255, "more than 128 KiB": m.PossibleCPUs() > 1500,
		"HPET": m.HPET, "SMM": m.SMM, "no 64-bit BAR": m.NoBAR64, "no serial port": !m.Serial,
	}
	for _, n := range m.NUMA {
		has["expander"] = has["expander"] || n.Expander
		has["expander with resources"] = has["expander with resources"] || n.Resources != nil
	}
	for kind, there := range has {
		if there {
			kinds[kind]++
		}
	}
}

// sameAsQEMU compares everything of a shape, and returns the line of digests that QEMU's files give.
func sameAsQEMU(t *testing.T, q qtest.QEMU, m machine.Machine) string {
	t.Helper()
	got, err := Build(m)
	if err != nil {
		t.Fatalf("%v\n%+v", err, m)
	}
	want, err := q.Files(t.Context(), m, fileTables, fileLoader, fileRSDP, fileTPMLog, fileRoots, fileReserved)
	if err != nil {
		t.Fatal(err)
	}
	if why := difference(got, want[fileTables], want[fileLoader], want[fileRSDP]); why != "" {
		t.Errorf("%s%+v", why, m)
	}
	var roots []byte
	items, err := FWCfg(m)
	if err != nil {
		t.Fatal(err)
	}
	if items[0].Name == fileRoots {
		roots = items[0].Data
	}
	if !bytes.Equal(roots, want[fileRoots]) {
		t.Errorf("%s: generated %x, wanted %x", fileRoots, roots, want[fileRoots])
	}
	if want[fileReserved] != nil {
		t.Errorf("%s: not generated, wanted %x", fileReserved, want[fileReserved])
	}
	if len(got.TPMLog) != len(want[fileTPMLog]) {
		t.Errorf("TPM log: generated %d bytes, wanted %d", len(got.TPMLog), len(want[fileTPMLog]))
	}
	line, err := digestLine(m, want[fileTables], want[fileLoader], want[fileRSDP])
	if err != nil {
		t.Fatal(err)
	}
	return line
}
