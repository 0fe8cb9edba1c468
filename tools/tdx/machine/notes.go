package machine

import "fmt"

// Notes are, as sentences, what a prediction for the machine rests on that was not compared with a QEMU of its release, or that the
// shape does not say. It is empty for machines about which there is nothing to say.
func (m *Machine) Notes() []string {
	var notes []string
	switch [2]int{m.QEMU.Major, m.QEMU.Minor} {
	case [2]int{7, 2}, [2]int{8, 2}, [2]int{9, 2}, [2]int{10, 0}, [2]int{10, 1}, [2]int{10, 2}, [2]int{11, 1}:
	default:
		notes = append(notes, fmt.Sprintf("QEMU %s: modelled from the history of its sources, without tables of that release to compare with", m.QEMU))
	}
	if m.TDX == TDXDownstream && m.QEMU.Major == 9 {
		notes = append(notes, "TDX: edge-triggered interrupts with QEMU 9.x were not seen on a real machine")
	}
	devices, err := m.Devices()
	if err != nil {
		return notes
	}
	for _, d := range devices {
		if d.Kind == Expander && d.Resources == nil && len(d.Children) > 0 {
			notes = append(notes, fmt.Sprintf("PCI expander bus %d: without Resources its tables are those of a machine whose firmware assigned nothing to it, as dstack-mr computes them", d.Bus))
		}
	}
	return notes
}
