//go:build acceptance

package smbios

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/internal/qtest"
	"github.com/boardroom-tee/boardroom/tools/tdx/machine"
)

const fileTable = "etc/smbios/smbios-tables"

// TestAgainstQEMU compares generated tables with QEMU's, for sizes of memory and numbers of processors where something changes and for
// random ones.
func TestAgainstQEMU(t *testing.T) {
	for _, q := range qtest.Find(t) {
		t.Run(q.Version.String(), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(q.Version.Major), uint64(q.Version.Minor)))
			cpus := []int{1, 2, 254, 255}
			if q.Version.AtLeast(10, 0, 0) {
				cpus = append(cpus, 256, 300)
			}
			memory := []uint64{64 * mib, 2815 * mib, 2816 * mib, 16 * gib, 16*gib + mib, 32*gib - mib, 32 * gib, 2*tib - 2*gib, 2 * tib, 2*tib + mib, 5 * tib}
			for range 20 {
				memory = append(memory, uint64(64+r.IntN(1<<18))*mib)
			}
			for i, size := range memory {
				m := machine.Machine{CPUs: 1, MaxCPUs: cpus[i%len(cpus)], Memory: size, QEMU: q.Version}
				t.Run(fmt.Sprintf("%dcpu-%dM", m.MaxCPUs, size/mib), func(t *testing.T) {
					files, err := q.Files(t.Context(), m, fileTable)
					if err != nil {
						t.Fatal(err)
					}
					want := files[fileTable]
					got, err := Build(m, Options{Processor: processorOf(t, want)})
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got.QEMU, want) {
						t.Errorf("generated %x\nwanted %x", got.QEMU, want)
					}
				})
			}
		})
	}
}
