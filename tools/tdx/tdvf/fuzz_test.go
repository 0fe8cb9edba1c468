package tdvf

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/boardroom-tee/boardroom/tools/tdx/internal/fwtest"
)

// FuzzParse puts small inputs at the places of an image that are parsed, because whole images are too large for a fuzzer to change
// with any effect: the CFV, the code volume, the metadata and the GUID table in front of the reset vector.
func FuzzParse(f *testing.F) {
	const descriptorAt, tableAt = 0x400, 32 + 40
	old := append(bytes.Clone(markSuffix), uiAppFile[:]...)
	vars := smallStore()
	code := fwtest.Compressed(fwtest.Volume(dxeVolume[:], fwtest.File{GUID: bdsFile[:], Content: old}))
	image := fwtest.Image(make([]byte, volumeStep), nil, fwtest.X64)
	metadata := image[len(image)-descriptorAt:][:descriptorHead+6*sectionSize]
	table := image[len(image)-tableAt : len(image)-32]
	f.Add(vars, code, metadata, table)
	f.Fuzz(func(t *testing.T, vars, code, metadata, table []byte) {
		image := make([]byte, imageUnit)
		copy(image, vars)
		copy(image[volumeStep:], code)
		copy(image[imageUnit-descriptorAt:], metadata)
		copy(image[imageUnit-32-min(len(table), 0x300):], table)
		im, err := Parse(image)
		if err != nil {
			return
		}
		if _, err := im.MRTD(TwoPass); err != nil {
			t.Errorf("MRTD of a parsed image: %v", err)
		}
		_, _ = im.CFVDigest()
		_, _ = im.Variables()
		_, _ = im.Profile()
		for _, memory := range []uint64{64 << 20, 2 << 30, 16 << 30} {
			ram, err := RAM(memory)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = im.TDHOB(ram)
		}
	})
}

// smallStore is a variable volume with the variable PK.
func smallStore() []byte {
	const header, size = 72, 512
	name, data := utf16Bytes("PK"), []byte("data")
	fv := bytes.Repeat([]byte{0xFF}, size)
	clear(fv[:header+storeHeaderSize])
	copy(fv[16:], nvramGUID[:])
	binary.LittleEndian.PutUint64(fv[fvLengthOffset:], size)
	copy(fv[40:], fvSignature)
	binary.LittleEndian.PutUint16(fv[fvHeaderLengthOffset:], header)
	store := fv[header:]
	copy(store, authenticatedStoreGUID[:])
	binary.LittleEndian.PutUint32(store[16:], size-header)
	store[20], store[21] = storeFormatted, storeHealthy
	v := store[storeHeaderSize:]
	clear(v[:variableHeaderSize])
	binary.LittleEndian.PutUint16(v, variableStart)
	v[2] = variableAdded
	binary.LittleEndian.PutUint32(v[36:], uint32(len(name)))
	binary.LittleEndian.PutUint32(v[40:], uint32(len(data)))
	copy(v[44:], GlobalVariable[:])
	copy(v[variableHeaderSize:], append(name, data...))
	return fv
}

func TestVariableStates(t *testing.T) {
	const stateAt = 72 + storeHeaderSize + 2
	for state, want := range map[byte]bool{variableAdded: true, variableInTransition: true, 0x3D: false, 0x3C: false, 0x7F: false} {
		fv := smallStore()
		fv[stateAt] = state
		variables, err := parseVariableStore(fv)
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := Lookup(variables, GlobalVariable, "PK"); ok != want || ok && string(v.Data) != "data" {
			t.Errorf("state 0x%02x: found %t, want %t", state, ok, want)
		}
	}
}

func FuzzVariableStore(f *testing.F) {
	f.Add(smallStore())
	f.Fuzz(func(t *testing.T, fv []byte) {
		variables, err := parseVariableStore(fv)
		if err != nil {
			return
		}
		size := 0
		for _, v := range variables {
			size += len(v.Data)
		}
		if size > len(fv) {
			t.Errorf("%d bytes of data in %d bytes", size, len(fv))
		}
	})
}

func FuzzLZMA(f *testing.F) {
	f.Add(fwtest.LZMA([]byte("literals")))
	f.Add(fwtest.Read(f, "testdata/matches.lzma"))
	f.Fuzz(func(t *testing.T, src []byte) {
		const limit = 1 << 20
		if out, err := decodeLZMA(src, limit); err == nil && len(out) > limit {
			t.Errorf("%d bytes, limit is %d", len(out), limit)
		}
	})
}
