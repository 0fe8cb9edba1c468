//go:build simtee

package appraisal_test

import "testing"

// TestMatched: the expectation that holds is told, by its place, and only of what is accepted.
func TestMatched(t *testing.T) {
	m := newMachine(t)
	r := registers(t, m.extended)
	right, wrong := map[string]any{"rtmr0": r[0], "rtmr1": r[1]}, map[string]any{"rtmr0": r[0], "rtmr1": r[2]}
	first := expect(t, right)[0]
	m.request.Expect = append(expect(t, []any{wrong, wrong}), first, first)
	if i, ok := m.appraise(t).Matched(); !ok || i != 1 {
		t.Errorf("matched %d, %v, want the second, which is the first that holds", i, ok)
	}
	m.request.Expect = m.request.Expect[:1]
	if i, ok := m.appraise(t).Matched(); ok {
		t.Errorf("matched %d, which does not hold", i)
	}
	m.request.Expect = nil
	if i, ok := m.appraise(t).Matched(); ok {
		t.Errorf("matched %d of none", i)
	}
	m.request.Expect = append(m.request.Expect, first)
	m.request.ReportData = &[64]byte{9}
	if i, ok := m.appraise(t).Matched(); ok {
		t.Errorf("matched %d of what is not accepted", i)
	}
}
