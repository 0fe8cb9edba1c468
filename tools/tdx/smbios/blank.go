package smbios

import "strings"

// blanked are the fields that firmware blanks before it measures, by structure type, as offsets from the structure's start: bytes
// that become 0, and numbers of strings of which the string becomes spaces and the number 0.
var blanked = map[uint8]struct{ zero, text []int }{
	typeSystem:    {zero: append(span(0x08, 16), 0x18), text: []int{0x07}},
	typeEnclosure: {text: []int{0x07, 0x08}},
	// Voltage, current speed and the counts of cores and threads.
	typeProcessor: {zero: append([]int{0x11, 0x16, 0x17, 0x23, 0x24, 0x25}, span(0x2a, 6)...), text: []int{0x20, 0x21, 0x22}},
	typeDevice:    {text: []int{0x18, 0x19, 0x1a}},
}

func span(first, n int) []int {
	var s []int
	for i := range n {
		s = append(s, first+i)
	}
	return s
}

// blank blanks the fields of a structure. A field beyond the end of the structure is not there.
func (s *structure) blank() {
	area := append([]byte(nil), s.area...)
	texts := append([]string(nil), s.strings...)
	fields := blanked[s.kind]
	for _, at := range fields.text {
		if i := at - headerSize; i < len(area) && area[i] != 0 {
			n := area[i] - 1
			texts[n] = strings.Repeat(" ", len(texts[n]))
			area[i] = 0
		}
	}
	for _, at := range fields.zero {
		if i := at - headerSize; i < len(area) {
			area[i] = 0
		}
	}
	s.area, s.strings = area, texts
}
