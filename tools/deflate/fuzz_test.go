package deflate

import (
	"bytes"
	"testing"
)

// FuzzRoundTrip places data, twice, after lead synthetic bytes, so that chunk
// and window boundaries are within reach of small inputs.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{}, uint32(0), uint16(0))
	f.Add([]byte("abcabcabc"), uint32(0), uint16(3))
	f.Add([]byte("abcabcabc"), uint32(chunkSize-5), uint16(1000))
	f.Add(bytes.Repeat([]byte{0}, 300), uint32(windowSize-1), uint16(1))
	f.Add(noise(110, 600), uint32(chunkSize-600), uint16(4095))
	f.Fuzz(func(t *testing.T, data []byte, lead uint32, step uint16) {
		src := join(noise(111, int(lead%(chunkSize+2*windowSize))), data, data)
		got := compressWith(t, src, 2, 1+int(step))
		if !bytes.Equal(decode(t, got), src) {
			t.Error("decoded bytes differ from the input")
		}
		if !bytes.Equal(got, compressWith(t, src, 1, max(1, len(src)))) {
			t.Error("one worker and one Write give other bytes")
		}
	})
}
