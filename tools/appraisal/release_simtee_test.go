//go:build simtee

package appraisal_test

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/appraisal"
	"github.com/boardroom-tee/boardroom/tools/dstack"
	"github.com/boardroom-tee/boardroom/tools/quote"
)

// TestReleaseReferenceValues judges a machine by the statement of a release: it is accepted with one of the applications, on one of the
// machines that the application may run on, and never with parts of two choices.
func TestReleaseReferenceValues(t *testing.T) {
	m := newMachine(t)
	var mrtd string
	honest := m.body
	m.body = func(b *quote.Body) {
		honest(b)
		mrtd = hex.EncodeToString(b.MRTD[:])
	}
	m.appraise(t)
	r := registers(t, m.extended)
	other := strings.Repeat("a1", 48)
	type object = map[string]any
	values := func(machine, mrtd, rtmr0 string) object {
		return object{"machine": machine, "mrtd": mrtd, "rtmr0": rtmr0, "rtmr1": r[1].String(), "rtmr2": r[2].String(), "notes": []string{}}
	}
	another := dstack.ComposeHashOf([]byte("another"))
	document := func(small, large object, finance []string, hub []string) object {
		return object{
			"_type": appraisal.StatementType, "predicateType": appraisal.ReleaseReferenceValuesType,
			"subject": []object{{"name": "board", "digest": object{"sha256": strings.Repeat("0", 64)}}},
			"predicate": object{
				"machines": []object{{"name": "small", "machine": object{}}, {"name": "large", "machine": object{}}},
				"guests": []object{{
					"name": "board", "os_image_hash": strings.Repeat("0", 64), "development": false, "layout": "B", "cmdline": "", "values": []object{small, large},
				}},
				"applications": []object{{"name": "finance", "compose_hash": compose.String(), "machines": finance}, {"name": "hub", "compose_hash": another.String(), "machines": hub}},
			},
		}
	}
	both, here, there := []string{"small", "large"}, []string{"large"}, []string{"small"}
	for name, tt := range map[string]struct {
		document object
		failures []string
	}{
		"this machine":                  {document(values("small", other, other), values("large", mrtd, r[0].String()), here, there), nil},
		"one of two":                    {document(values("small", mrtd, other), values("large", mrtd, r[0].String()), both, both), nil},
		"on the other machine alone":    {document(values("small", mrtd, other), values("large", mrtd, r[0].String()), there, here), []string{"reference_values", "reference_values.rtmr0"}},
		"parts of two machines":         {document(values("small", mrtd, other), values("large", other, r[0].String()), both, both), []string{"reference_values", "reference_values.rtmr0"}},
		"no application of the release": {document(values("small", mrtd, r[0].String()), values("large", mrtd, r[0].String()), both, both), nil},
	} {
		t.Run(name, func(t *testing.T) {
			document := tt.document
			want := tt.failures
			if name == "no application of the release" {
				document["predicate"].(object)["applications"].([]object)[0]["compose_hash"] = strings.Repeat("0", 64)
				want = []string{"reference_values", "reference_values.compose_hash"}
			}
			m.request.Expect = expect(t, document)
			report := m.appraise(t)
			if got := report.Failures(); report.Accepted != (want == nil) || !slices.Equal(got, want) {
				t.Errorf("accepted %t, failures %q, want %q", report.Accepted, got, want)
			}
		})
	}
}
