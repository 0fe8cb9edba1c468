package deflate

import "testing"

// The tables of RFC 1951 §3.2.5: first value and extra bits of each code.
var (
	rfcLengths = [29][2]uint32{
		{3, 0}, {4, 0}, {5, 0}, {6, 0}, {7, 0}, {8, 0}, {9, 0}, {10, 0},
		{11, 1}, {13, 1}, {15, 1}, {17, 1}, {19, 2}, {23, 2}, {27, 2}, {31, 2},
		{35, 3}, {43, 3}, {51, 3}, {59, 3}, {67, 4}, {83, 4}, {99, 4}, {115, 4},
		{131, 5}, {163, 5}, {195, 5}, {227, 5}, {258, 0},
	}
	rfcDistances = [numDist][2]uint32{
		{1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 1}, {7, 1}, {9, 2}, {13, 2},
		{17, 3}, {25, 3}, {33, 4}, {49, 4}, {65, 5}, {97, 5}, {129, 6}, {193, 6},
		{257, 7}, {385, 7}, {513, 8}, {769, 8}, {1025, 9}, {1537, 9},
		{2049, 10}, {3073, 10}, {4097, 11}, {6145, 11}, {8193, 12}, {12289, 12},
		{16385, 13}, {24577, 13},
	}
)

func checkCodes(t *testing.T, table [][2]uint32, last uint32, code func(uint32) (uint32, uint)) {
	t.Helper()
	first := table[0][0]
	want := 0
	for v := first; v <= last; v++ {
		if want+1 < len(table) && v == table[want+1][0] {
			want++
		}
		got, extra := code(v - first)
		if got != uint32(want) || extra != uint(table[want][1]) {
			t.Errorf("%d: code %d with %d extra bits, want %d with %d", v, got, extra, want, table[want][1])
		}
		// The extra bits are sent as the low bits of v-first.
		if low := (v - first) & (1<<extra - 1); low != v-table[want][0] {
			t.Errorf("%d: extra bits %d, want %d", v, low, v-table[want][0])
		}
	}
	if want != len(table)-1 {
		t.Errorf("reached code %d of %d", want, len(table))
	}
}

func TestLengthCode(t *testing.T) { checkCodes(t, rfcLengths[:], maxMatch, lengthCode) }
func TestDistCode(t *testing.T)   { checkCodes(t, rfcDistances[:], windowSize, distCode) }
