package eventlog

import (
	"encoding/binary"
	"errors"
	"testing"
)

// TestSpecIDEventIsRequired holds that a log is read only after the event that says what its digests are (attack 71). Each header has
// the size of a good one.
func TestSpecIDEventIsRequired(t *testing.T) {
	const kind, signature = 4, 4 + 4 + sha1Size + 4 // offsets in the header event
	for name, change := range map[string]func([]byte){
		"header event of another type": func(b []byte) { binary.LittleEndian.PutUint32(b[kind:], uint32(EvSeparator)) },
		"Spec ID Event02":              func(b []byte) { b[signature+len("Spec ID Event0")] = '2' },
		"signature without its end":    func(b []byte) { b[signature+len(specIDSignature)-1] = '0' },
		"event of firmware":            func(b []byte) { copy(b[signature:], "Calling EFI Application") },
	} {
		log := append(header(sha384), event(1, uint32(EvSeparator), 4, make([]byte, 4), sha384)...)
		if _, err := ParseCCEL(log); err != nil {
			t.Fatal(err)
		}
		change(log)
		if _, err := ParseCCEL(log); !errors.Is(err, ErrNoSpecID) {
			t.Errorf("%s: %v, want %v", name, err, ErrNoSpecID)
		}
	}
}

// bootVariable is UEFI_VARIABLE_DATA of a variable with the given name, in ASCII.
func bootVariable(name string, data []byte) []byte {
	b := binary.LittleEndian.AppendUint64(make([]byte, 16), uint64(len(name)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(data)))
	for _, c := range []byte(name) {
		b = append(b, c, 0)
	}
	return append(b, data...)
}

// TestBootVariableData holds the data of a boot variable, of which only a part is hashed, to the digest (attack 65).
func TestBootVariableData(t *testing.T) {
	data := []byte("path to the kernel")
	for _, tt := range []struct {
		name  string
		event []byte
		want  DataCheck
	}{
		{"as it was hashed", bootVariable("Boot0001", data), DataMatches},
		{"other data", bootVariable("Boot0001", []byte("path to a kernel!!")), DataDiffers},
		{"no data", bootVariable("Boot0001", nil), DataDiffers},
		{"longer data", bootVariable("Boot0001", append(data, 0)), DataDiffers},
		{"data beyond its size", append(bootVariable("Boot0001", data), 0), DataDiffers},
		{"name beyond the event", bootVariable("Boot0001", data)[:40], DataDiffers},
		{"nothing", nil, DataDiffers},
		{"the bare data", data, DataDiffers},
	} {
		e := Event{Register: RTMR0, Type: EvEFIVariableBoot, Digest: Sum(data), Data: tt.event}
		if got := e.CheckData(); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
