//go:build simtee

package appraisal_test

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/quote"
)

// TestAttackedMeasurements holds every field of a TD report that reference values can name to them: attacks 50 (an unlisted TDX module),
// 52 (configuration and owner), 69, 75 and 76 (another firmware, kernel or command line), 73 and 74 (other ACPI tables, another shape of
// the machine). The TD is accepted as it is, and refused by that value alone where one bit of it was expected to be another.
func TestAttackedMeasurements(t *testing.T) {
	for name, field := range map[string]func(*quote.Body) []byte{
		"mrtd":          func(b *quote.Body) []byte { return b.MRTD[:] },
		"rtmr0":         func(b *quote.Body) []byte { return b.RTMR[0][:] },
		"rtmr1":         func(b *quote.Body) []byte { return b.RTMR[1][:] },
		"rtmr2":         func(b *quote.Body) []byte { return b.RTMR[2][:] },
		"rtmr3":         func(b *quote.Body) []byte { return b.RTMR[3][:] },
		"mrseam":        func(b *quote.Body) []byte { return b.MRSEAM[:] },
		"mrsignerseam":  func(b *quote.Body) []byte { return b.MRSIGNERSEAM[:] },
		"mrconfigid":    func(b *quote.Body) []byte { return b.MRCONFIGID[:] },
		"mrowner":       func(b *quote.Body) []byte { return b.MROWNER[:] },
		"mrownerconfig": func(b *quote.Body) []byte { return b.MROWNERCONFIG[:] },
		"report_data":   func(b *quote.Body) []byte { return b.ReportData[:] },
		"td_attributes": func(b *quote.Body) []byte { return b.TDAttributes[:] },
		"xfam":          func(b *quote.Body) []byte { return b.XFAM[:] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.td15 = name == "mrservicetd"
			honest := m.body
			var value []byte
			m.body = func(b *quote.Body) {
				honest(b)
				b.MROWNER, b.MROWNERCONFIG = [48]byte{1}, [48]byte{2}
				value = bytes.Clone(field(b))
			}
			m.appraise(t)
			for i, want := range map[int][]string{-1: nil, 0: {"reference_values", "reference_values." + name}, len(value) - 1: {"reference_values", "reference_values." + name}} {
				expected := bytes.Clone(value)
				if i >= 0 {
					expected[i] ^= 1
				}
				m.request.Expect = expect(t, map[string]string{name: hex.EncodeToString(expected)})
				report := m.appraise(t)
				if got := report.Failures(); report.Accepted != (want == nil) || !slices.Equal(got, want) {
					t.Errorf("byte %d expected to differ: accepted %t, failures %q, want %q", i, report.Accepted, got, want)
				}
			}
		})
	}
}
